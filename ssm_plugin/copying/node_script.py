"""The programs for ``sh`` at the node, one for each way. They need what any Unix has.

Paths come as formats of ``printf`` (see ``places.octal``), so no byte of them means anything to
whoever carries them. Relative ones start at the home directory. What goes wrong is said on stderr,
in the node's own words, with status 1.

Down, stdout is text: base64 is what a session carries unchanged::

    head KIND SIZE MODE MTIME OFFSET PACK     KIND: f or d; SIZE MODE MTIME may be -; PACK: gz or -
    ...                                       base64 of the file, or of a tar of the directory
    !STATUS DIGEST                            of what was read, all of it; SHA-256

Up, stdin is exact bytes, and stdout says what there is and how it went::

    have SIZE DIGEST PACK                     of the .part that is there; PACK: gz or -
    OFFSET PACK LENGTH                        on stdin: what stays of it, and how the rest is packed
    ...                                       the rest, then 64 characters and a line end
    done DIGEST
    end                                       whatever happened: nothing more is read

PACK is ``raw`` there if all that follows has LENGTH bytes, and the input no end of its own. Those
64 are the SHA-256 of the whole, or dashes: the sender has given up. What is compared with them is
what can be read back from the node's disk.
"""

import os
import time
from typing import List, Optional, Sequence

from ..named_tuple import NamedTuple
from .node_listener import GIVEN_UP, listening_argv
from .places import PREFIX, SUFFIX, at_node, octal

# Bytes after the content: 64 characters and a line end.
TRAILER = 65

# Of the year 9999: touch -t knows no later one.
_LAST_SECOND = 253402300799

_COMMON = """\
u=$(umask); umask 077; cd "${HOME:-/}" 2>/dev/null || cd /
say() { printf '%s\\n' "$*" >&2; exit 1; }
need() { for t; do command -v "$t" >/dev/null 2>&1 || say "the node has no $t"; done; }
path() { r=$(printf "$1"x) && r=${r%x}; }
need base64 cat mv mkdir rm dd head tail wc tee sed
for h in sha256sum shasum openssl python3 perl ""; do command -v "$h" >/dev/null 2>&1 && break; done
[ "$h" ] || say "the node has none of sha256sum, shasum, openssl, python3, perl"
digest() { case $h in
sha256sum) sha256sum;; shasum) shasum -a 256;; openssl) openssl dgst -sha256;;
python3) python3 -c 'import hashlib as h, sys
d = h.sha256()
for b in iter(lambda: sys.stdin.buffer.read(65536), b""): d.update(b)
print(d.hexdigest())';;
perl) perl -MDigest::SHA -e 'print Digest::SHA->new(256)->addfile(*STDIN)->hexdigest, "\\n"';;
esac | sed 's/^.*= *//; s/ .*//'; }
size() { echo $(($(wc -c))); }
state() { stat -L -c "$1" -- "$3" 2>/dev/null || stat -L -f "$2" "$3" 2>/dev/null; }
"""

# $1 path  $2 r: directories too  $3 $4 size and SHA-256 of what is here already  $5 z: compress
_DOWN = _COMMON + """\
path "$1"; f=$r o=$3 z=-
ls -d "$f" >/dev/null || exit 1
if [ -d "$f" ]; then k=d; [ "$2" ] || say "it is a directory, which is copied with -r"
case $(stat -f -c %T -- "$f" 2>/dev/null) in proc|cgroup*|debugfs|tracefs)
say "tar takes the kernel's files in it for empty ones: copy them one by one"; esac
need tar; emit() { tar -cf - -C "$f" .; }
elif [ -f "$f" ]; then k=f; emit() { cat <"$f"; }
else say "it is neither a file nor a directory"; fi
s=$(state "%s %a %Y" "%z %Lp %m" "$f") || s="$(size <"$f") - -"
[ $k = f ] || s="- ${s#* }"
[ "$o" = 0 ] || [ "$(emit 2>/dev/null | head -c "$o" | digest)" = "$4" ] || o=0
if [ "$5" ] && command -v gzip >/dev/null 2>&1; then
n=$(emit 2>/dev/null | head -c 65536 | size) m=$(emit 2>/dev/null | head -c 65536 | gzip -1 | size)
[ "$m" -ge $((n-n/10)) ] || z=gz; fi
pack() { case $z in gz) gzip -1;; *) cat;; esac; }
skip() { case $o in 0) cat;; *) tail -c +$((o+1));; esac; }
printf 'head %s %s %s %s\\n' $k "$s" "$o" $z
exec 4>&1
r=$(exec 5>&1
{ { emit 3>&-; echo $? >&5; } | tee /dev/fd/3 | skip 3>&- | pack 3>&- |
base64 >&4 3>&-; } 3>&1 | digest)
printf '\\n!%s %s\\n' $r
if [ $k = f ] && n=$(state %s %z "$f"); then
[ "$n" -ge "${s%% *}" ] || say "it has shrunk while it was being copied"; fi
"""

# $1 destination  $2 name to use in a directory, if any  $3 f, or d: a tar of a directory
# $4 m: it must be a directory  $5 r: resume  $6 mode  $7 p: keep modes and times
# $8 $9 modification time: seconds since 1970, and for touch -t  ${10} a word of this copy's own
# What an earlier copy has left is not written to: its process may still be there, and may write.
_UP = """\
p= t=
trap '[ -z "$p" ] || [ -s "$p" ] || rm -f "$p"
[ -z "$t" ] || [ ! -e "$t" ] || { chmod -R u+rwX "$t" 2>/dev/null; rm -rf "$t"; }
echo end' EXIT
trap "exit 1" INT TERM HUP
""" + _COMMON + """\
path "$1"; d=$r; path "$2"; b=$r k=$3
case $d in /*) ;; *) d=$PWD/${d#./};; esac
if [ -d "$d" ]; then
if [ "$b" ]; then d=${d%/}/$b; elif [ $k = f ]; then say "it is a directory"; else d=${d%/}/.; fi
else case $4$k$d in m*|f*/) say "there is no such directory";; esac; fi
if [ $k = f ]; then
[ ! -d "$d" ] || say "it is a directory"
if [ -L "$d" ]; then d=$(readlink -f "$d" && echo x) || say "its link leads nowhere"; d=${d%?x}; fi
[ ! -e "$d" ] || [ -f "$d" ] || say "it is not a regular file"
else need tar touch; [ ! -e "$d" ] || [ -d "$d" ] || say "it is not a directory"
while [ "${d%/}" != "$d" ]; do d=${d%/}; done; fi
w=${d%/*} n=${d##*/}
[ "$n" != . ] || n=
[ "$(printf %s "$n" | size)" -le 200 ] || n=$(printf %s "$n" | digest)
w=$w/$n@PREFIX@ o=0 g=- z=-; p=$w${10}@SUFFIX@ t=$w${10}.tree@SUFFIX@
(set -C; : >"$p") || exit 1
for e in "$w"*@SUFFIX@; do
[ "$e" != "$p" ] && [ -f "$e" ] && [ ! -L "$e" ] && [ -O "$e" ] || continue
n=$( (size <"$e") 2>/dev/null) || continue
[ -z "$5" ] || [ "$n" -le "$o" ] || { (cat <"$e" >"$p") 2>/dev/null && o=$n; } || { : >"$p"; o=0; }
rm -f "$e"
done
[ "$o" = 0 ] || { o=$(size <"$p") g=$(digest <"$p"); }
shorten() { dd if=/dev/null of="$p" bs=1 seek="$1" 2>/dev/null || say "cannot shorten $p"; }
command -v gzip >/dev/null 2>&1 && z=gz
echo "have $o $g $z"
read -r w z m || exit 1
[ "$w" = "$o" ] || shorten "$w"
case $z in gz) gzip -dc;; raw) head -c "$m";; *) cat;; esac >>"$p" || exit 1
[ -f "$p" ] || say "another copy to the same place has begun"
[ $z != raw ] || [ "$(size <"$p")" = $((w+m)) ] || say "not all of it came"
n=$(($(size <"$p")-@TRAILER@))
[ $n -ge 0 ] || say "not all of it came"
w=$(tail -c @TRAILER@ "$p"); shorten $n
[ "$w" != @GIVEN_UP@ ] || exit 1
g=$(digest <"$p")
[ "$g" = "$w" ] || { rm -f "$p"; say "its SHA-256 at the node is $g, and here $w"; }
m=$6
[ "$7" ] || m=$(printf %o $((0$m & ~0$u)))
"""

# Modes and owners: where there is no stat, ls says the same in letters.
_RIGHTS = """\
letters() {
sed 's/.\\(...\\)\\(...\\)\\(...\\).*/u=\\1,g=\\2,o=\\3/;s/-//g;s/s/xs/g;s/S/s/;s/t/x/;s/T//'
}
listed() { ls -Lldn "$1" 2>/dev/null |
{ read -r m r u g r && m=$(echo "$m" | letters) && echo "$m $u:$g"; }; }
rights() { stat -L -c "%a %u:%g" -- "$@" 2>/dev/null || stat -L -f "%Lp %u:%g" "$@" 2>/dev/null ||
for r; do listed "$r" || return 1; done; }
"""

_FILE = """\
q=
if [ -f "$d" ] && q=$(rights "$d"); then [ "$7" ] || m=${q% *}; q=${q#* }; fi
[ -z "$q" ] || chown "$q" "$p" 2>/dev/null
chmod "$m" "$p" || exit 1
[ -z "$7" ] || touch -m -d "@$8" "$p" 2>/dev/null || TZ=UTC0 touch -m -t "$9" "$p" || exit 1
mv -f "$p" "$d" || exit 1
"""

# A directory that is not there yet takes one rename; of others, many files share one.
# GNU tar ignores the umask for root, and busybox tar for all. A chmod for neither u, g nor o leaves
# out the bits of its umask: here all but those that are to go.
# The tar says 700 for its root (see ``tree.tar_of``), which gets its mode last.
# ``keep`` gives new files the modes and owners of those that they replace: the owner first, since
# a change of it takes bits away. Nobody else gets into the tree meanwhile.
# What is taken out of a directory needs one that is writable, and so does a directory that moves to
# another: its entry .. changes.
_TREE = """\
T=-T; mkdir "$t.1" || exit 1
mv -T "$t.1" "$t" 2>/dev/null || { T=; mv "$t.1" "$t" || exit 1; }
(umask "$u"; x=xmof; [ -z "$7" ] || x=xpof; tar $x "$p" -C "$t") || exit 1
[ "$7" ] || (umask "$(printf %o $((0777 & ~0$u)))"; chmod -R -- -rwx "$t") || exit 1
keep() (
for e; do shift
[ -L "$e" ] || [ ! -f "$e" ] || [ -L "$w/$e" ] || [ ! -f "$w/$e" ] || set -- "$@" "$e"; done
[ $# != 0 ] || exit 0
q=$(cd "$w" && rights "$@") || say "cannot read the modes of what is in $w"
[ "$(rights "$@")" != "$q" ] || exit 0
printf '%s\\n' "$q" | for e; do
read -r m q && { chown "$q" "$e" 2>/dev/null; chmod "$m" "$e"; } || exit 1; done
)
put() { w=$1; shift; [ $# = 0 ] || { [ "$P" ] || keep "$@" || return 1; mv -f "$@" "$w/"; }; }
merge() (
[ -z "$P" ] || { R=$R.r; touch -r "$1" "$R"; }
chmod u+rwx "$1" && cd "$1" || exit 1; w=$2; set --
for e in ./* ./.[!.]* ./..?*; do
if [ -L "$e" ] || [ -f "$e" ]; then [ ! -d "$w/$e" ] || say "$w/$e is a directory"
elif [ ! -d "$e" ]; then continue
elif [ -L "$w/$e" ] || [ -e "$w/$e" ]; then
[ -d "$w/$e" ] && [ ! -L "$w/$e" ] || say "$w/$e is there, and is no directory"
merge "$e" "$w/$e" || exit 1; continue
elif [ ! -w "$e" ]; then
chmod u+w "$e" && mv -f "$e" "$w/" && chmod u-w "$w/$e" || exit 1; continue; fi
set -- "$@" "$e"
[ $# -lt 200 ] || { put "$w" "$@" || exit 1; set --; }
done
put "$w" "$@" || exit 1
[ -z "$P" ] || { touch -r "$R" "$w"; rm -f "$R"; }
)
P=$7 R=$p
[ ! -d "$d" ] && chmod "$m" "$t" && mv $T -f "$t" "$d" 2>/dev/null || merge "$t" "$d" || exit 1
rm -f "$p"
"""

_CONSTANTS = {
    "PREFIX": PREFIX,
    "SUFFIX": SUFFIX,
    "TRAILER": str(TRAILER),
    "GIVEN_UP": GIVEN_UP,
}

_DONE = 'echo "done $g"\n'


class Existing(NamedTuple):
    """What is here already of a download: so many bytes, with this SHA-256."""

    size: int = 0
    digest: str = "-"


def download_argv(
    path: str, recursive: bool, existing: Existing, compress: bool, sudo: bool
) -> Sequence[str]:
    """The command that prints a file, or the tar of a directory."""
    words = [octal(at_node(path)), "r" if recursive else "", str(existing.size), existing.digest]
    return _argv(_DOWN, words + ["z" if compress else ""], sudo)


def upload_argv(
    destination: str,
    name: str,
    *,
    is_tree: bool,
    needs_directory: bool,
    resume: bool,
    mode: int,
    mtime: Optional[int],
    sudo: bool,
    fast: bool
) -> Sequence[str]:
    """The command whose standard input becomes a file, or from a tar a directory. ``name`` is for a
    destination that is a directory; empty for none. ``mode`` are permission bits; ``mtime`` is None
    where neither is to be kept. ``fast``: it gets not its own standard input, but what comes to
    where it listens (see ``node_listener``)."""
    script = _UP + _RIGHTS + (_TREE if is_tree else _FILE) + _DONE
    for constant, value in _CONSTANTS.items():
        script = script.replace("@%s@" % constant, value)
    kept = mtime or 0
    words = [
        octal(at_node(destination)),
        octal(name),
        "d" if is_tree else "f",
        "m" if needs_directory else "",
        "r" if resume else "",
        "%o" % mode,
        "p" if mtime is not None else "",
        str(kept),
        time.strftime("%Y%m%d%H%M.%S", time.gmtime(max(0, min(kept, _LAST_SECOND)))),
        os.urandom(4).hex(),
    ]
    return _as_root(listening_argv(script, words), sudo) if fast else _argv(script, words, sudo)


def _argv(script: str, words: List[str], sudo: bool) -> Sequence[str]:
    return _as_root(["sh", "-c", script, "ssm-plugin"] + words, sudo)


def _as_root(words: List[str], sudo: bool) -> Sequence[str]:
    return (["sudo", "-n"] if sudo else []) + words
