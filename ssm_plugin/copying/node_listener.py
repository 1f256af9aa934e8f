"""What takes a fast upload at the node: texts, which are never run here.

A program for Python 2.7 and 3, or for perl, listens on the node's loopback and tells us by the
command's standard output::

    listen PORT SECRET        or 'listen none': the node has nothing to run it
    taken                     a connection has brought the secret, and is the only one from now on

What that connection sends then are frames, 4 bytes of length and so many bytes, and goes to the
standard input of the upload's script; a length of 0 ends it. Should the connection end without,
the script reads that the sender has given up, and keeps what it has. To others on the node it is a
port that answers nothing: who brings no secret is hung up on, after five seconds if silent.
Where the script ends first, this ends too.

No single quotes: each costs four more in the command line.
"""

from typing import List

# In place of a digest: the sender has given up.
GIVEN_UP = "-" * 64

# $0: the upload's script. $1 $2: the sources for Python and perl; then the script's words.
# Each interpreter must show that it starts.
_LAUNCH = """\
exec 3>&1; y=$1 l=$2 q=; shift 2
for p in python3 /usr/libexec/platform-python python2.7 python2 python; do
"$p" -V >/dev/null 2>&1 </dev/null && "$p" -c "import select, socket" >/dev/null 2>&1 </dev/null &&
q=y && break; done
[ "$q" ] || { perl -e "use IO::Poll; use Socket" >/dev/null 2>&1 </dev/null && q=l; }
case $q in
y) "$p" -ESs -c "$y" </dev/null;;
l) perl -e "$l" </dev/null;;
*) echo listen none >&3;;
esac | sh -c "$0" ssm-plugin "$@" 3>&-"""

PYTHON = r'''
import binascii, errno, hashlib, os, select, socket, struct, sys, time
GONE = select.POLLERR | select.POLLHUP | select.POLLNVAL
secret, ears, came, written = binascii.hexlify(os.urandom(16)), {}, {}, []

def listen():
    # Both addresses of the name localhost: nobody else may have the other one.
    for _ in range(20):
        four = socket.socket()
        four.bind(("127.0.0.1", 0))
        found = [four]
        try:
            six = socket.socket(socket.AF_INET6)
            six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            six.bind(("::1", four.getsockname()[1]))
            found.append(six)
        except EnvironmentError as error:
            if error.errno == errno.EADDRINUSE:
                continue
        for sock in found:
            sock.listen(64)
            sock.setblocking(False)
            ears[sock.fileno()] = sock
        return four.getsockname()[1]
    sys.exit(1)

def poll_for(socks):
    poll = select.poll()
    poll.register(1, 0)
    for sock in socks:
        poll.register(sock, select.POLLIN)
    return poll

def ready(poll):
    # The descriptors that can be read.
    try:
        found = dict(poll.poll(1000))
    except (select.error, EnvironmentError):
        return []
    if found.get(1, 0) & GONE:
        sys.exit(0)
    return found

def same(one, other):
    return hashlib.sha256(one).digest() == hashlib.sha256(other).digest()

def accept(ear):
    try:
        sock = ear.accept()[0]
    except EnvironmentError:
        return
    sock.setblocking(True)
    if len(came) >= 64:
        drop(min(came, key=lambda one: came[one][1]))
    came[sock] = [b"", time.time()]

def drop(sock):
    del came[sock]
    sock.close()

def take():
    while True:
        socks = list(ears.values()) + list(came)
        found = ready(poll_for(socks))
        for sock in [one for one in socks if one.fileno() in found]:
            if sock.fileno() in ears:
                accept(sock)
                continue
            if sock not in came:
                continue
            try:
                data = sock.recv(33 - len(came[sock][0]))
            except EnvironmentError:
                data = b""
            came[sock][0] += data
            if len(came[sock][0]) == 33:
                if same(came[sock][0], secret + b"\n"):
                    return sock
                data = b""
            if not data:
                drop(sock)
        for sock in list(came):
            if not 0 <= time.time() - came[sock][1] < 5:
                drop(sock)

def write(data):
    try:
        while data:
            data = data[os.write(1, data):]
        written[:] = [True]
    except EnvironmentError:
        sys.exit(0)

def read(sock, poll, most):
    while not ready(poll):
        pass
    try:
        data = sock.recv(most)
    except EnvironmentError:
        data = b""
    if not data:
        if written:
            write(b"@GIVEN_UP@\n")
        sys.exit(1)
    return data

def pass_on(sock):
    poll = poll_for([sock])
    while True:
        head = b""
        while len(head) < 4:
            head += read(sock, poll, 4 - len(head))
        left, = struct.unpack(">I", head)
        if not left:
            return
        while left:
            data = read(sock, poll, min(left, 65536))
            left -= len(data)
            write(data)

os.write(3, ("listen %d " % listen()).encode("ascii") + secret + b"\n")
taken = take()
for other in list(ears.values()) + [one for one in came if one is not taken]:
    other.close()
os.write(3, b"taken\n")
os.close(3)
pass_on(taken)
'''

PERL = r'''
use strict;
use Errno qw(EADDRINUSE);
use Fcntl qw(F_GETFL F_SETFL O_NONBLOCK);
use IO::Poll qw(POLLIN POLLERR POLLHUP POLLNVAL);
use Socket qw(:DEFAULT IPPROTO_IPV6 IPV6_V6ONLY);
$SIG{PIPE} = "IGNORE";
my $GONE = POLLERR | POLLHUP | POLLNVAL;
my (@ears, %came, $written);
open(my $told, ">&=", 3) or exit 1;
open(my $file, "<", "/dev/urandom") or exit 1;
sysread($file, my $random, 16) == 16 or exit 1;
my $secret = unpack("H*", $random);

sub listen_at_both {
    # Both addresses of the name localhost: nobody else may have the other one.
    for (1 .. 20) {
        socket(my $four, PF_INET, SOCK_STREAM, 0) or exit 1;
        bind($four, pack_sockaddr_in(0, inet_aton("127.0.0.1"))) or exit 1;
        my ($port) = unpack_sockaddr_in(getsockname($four));
        @ears = ($four);
        if (socket(my $six, PF_INET6, SOCK_STREAM, 0)) {
            setsockopt($six, IPPROTO_IPV6, IPV6_V6ONLY, 1);
            if (bind($six, Socket::pack_sockaddr_in6($port, Socket::inet_pton(PF_INET6, "::1")))) {
                push @ears, $six;
            } elsif ($! == EADDRINUSE) { next }
        }
        for (@ears) {
            listen($_, 64) or exit 1;
            fcntl($_, F_SETFL, fcntl($_, F_GETFL, 0) | O_NONBLOCK);
        }
        return $port;
    }
    exit 1;
}
sub ready {
    # Those that can be read.
    my $poll = IO::Poll->new;
    $poll->mask(\*STDOUT => POLLERR);
    $poll->mask($_ => POLLIN) for @_;
    $poll->poll(1);
    exit 0 if $poll->events(\*STDOUT) & $GONE;
    return grep { $poll->events($_) } @_;
}
sub same {
    my ($one, $other) = @_;
    my $wrong = length($one) ^ length($other);
    $wrong |= ord(substr($one . "\0" x 64, $_, 1)) ^ ord(substr($other, $_, 1))
        for 0 .. length($other) - 1;
    return !$wrong;
}
sub drop {
    my ($one) = @_;
    delete $came{$one->[0]};
    close($one->[0]);
}
sub take {
    while (1) {
        for my $sock (ready(@ears, map { $_->[0] } values %came)) {
            if (grep { $_ == $sock } @ears) {
                accept(my $new, $sock) or next;
                my ($oldest) = sort { $came{$a}[2] <=> $came{$b}[2] } keys %came;
                drop($came{$oldest}) if keys %came >= 64;
                $came{$new} = [$new, "", time];
                next;
            }
            my $one = $came{$sock} or next;
            my $size = sysread($sock, $one->[1], 33 - length($one->[1]), length($one->[1]));
            return $sock if same($one->[1], "$secret\n");
            drop($one) if !$size || length($one->[1]) == 33;
        }
        for my $one (values %came) {
            my $age = time - $one->[2];
            drop($one) if $age < 0 || $age >= 5;
        }
    }
}
sub put {
    my ($data) = @_;
    while (length $data) {
        my $sent = syswrite(STDOUT, $data);
        defined $sent or exit 0;
        substr($data, 0, $sent, "");
        $written = 1;
    }
}
sub get {
    my ($sock, $most) = @_;
    1 until ready($sock);
    my $size = sysread($sock, my $data, $most);
    return $data if $size;
    put("@GIVEN_UP@\n") if $written;
    exit 1;
}
my $port = listen_at_both();
syswrite($told, "listen $port $secret\n");
my $taken = take();
close($_) for @ears, grep { $_ != $taken } map { $_->[0] } values %came;
syswrite($told, "taken\n");
close($told);
while (1) {
    my $head = "";
    $head .= get($taken, 4 - length($head)) while length($head) < 4;
    my $left = unpack("N", $head) or exit 0;
    while ($left) {
        my $data = get($taken, $left < 65536 ? $left : 65536);
        $left -= length($data);
        put($data);
    }
}
'''


def listening_argv(script: str, words: List[str]) -> List[str]:
    """The command that runs the upload's ``script`` with ``words``, and takes what it reads."""
    texts = [text.strip().replace("@GIVEN_UP@", GIVEN_UP) for text in (_LAUNCH, PYTHON, PERL)]
    return ["sh", "-c", texts[0], script] + texts[1:] + words
