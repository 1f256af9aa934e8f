"""Which words fit at a place of a command line that is being typed."""

import argparse
import re
import shlex
from typing import Iterable, List, Mapping, Optional, Sequence, Tuple

from .. import config
from ..aws.profiles import profile_names
from ..config import Settings
from ..copying.places import parse_place
from ..errors import SsmPluginError, UsageError
from ..named_tuple import NamedTuple
from .command_line import Parser, add_common_options, parser_of
from .completion_scripts import FILES
from .help import TOPICS
from .program import COMMANDS, HELP


class Word(NamedTuple):
    value: str
    description: str = ""


_FILES = [Word(FILES)]
# Characters at which bash takes a word for two.
_BREAKS = (":", "=")


def fitting(words: Sequence[str], environ: Mapping[str, str]) -> List[str]:
    """A line for each word that fits in place of the last of ``words``, which follow the program's
    name: the word, a tab, what it means. Before them the line :data:`FILES` where those fit."""
    found = _fitting(list(words) or [""], environ)
    return ["%s\t%s" % one if one.description else one.value for one in found]


def for_bash(given: Sequence[str], environ: Mapping[str, str]) -> List[str]:
    """``given``: the line up to the cursor, and the part of its last word that bash will replace,
    as it was typed. The words are quoted as bash wants them, without what they mean."""
    line, replaced = (list(given) + ["", ""])[:2]
    words, quote = _split(line)
    words = words[1:] or [""]
    found = _fitting(words, environ)
    files = [word.value for word in found if word in _FILES]
    found = found[len(files):]
    current = words[-1]
    if replaced in _BREAKS:
        replaced = ""
    # Of a word in quotes, bash gives what follows the quote, and closes it itself.
    front = quote if quote and replaced.startswith(quote) else ""
    bare = replaced[len(front):] if quote else replaced.replace("\\", "")
    kept = len(current) - len(bare) if current.endswith(bare) else 0
    return files + [front + _escaped(word.value[kept:], quote) for word in found]


def _split(line: str) -> Tuple[List[str], str]:
    """Its words as the shell sees them, and the quote that is still open."""
    for end in ("", "\\", '"', "'"):
        try:
            words = shlex.split(line + end)
        except ValueError:
            continue
        if not end and re.search(r"(?<!\\)\s\Z", line):
            words.append("")
        return words, end.strip("\\")
    return line.split(), ""


def _escaped(text: str, quote: str) -> str:
    """Text that bash reads as it is, behind such a quote, or none."""
    if quote == "'":
        return text.replace("'", "'\\''")
    if quote:
        return re.sub(r'([$`"\\])', r"\\\1", text)
    return re.sub(r"([^A-Za-z0-9_@%+=:,./\-\u0080-\U0010ffff])", r"\\\1", text)


def _fitting(words: List[str], environ: Mapping[str, str]) -> List[Word]:
    return [
        one._replace(description=_one_line(one.description))
        for one in _possible(words, environ)
        if one in _FILES or (one.value.startswith(words[-1]) and one.value.isprintable())
    ]


def _one_line(text: str) -> str:
    return "".join(one for one in text.replace("%%", "%") if one.isprintable())[:100]


def _possible(words: List[str], environ: Mapping[str, str]) -> List[Word]:
    common = Parser(prog="ssm-plugin", add_help=False)
    add_common_options(common)
    common.add_argument(*HELP, action="store_true", help="show help")
    before = _Place(common, words, stop=1)
    if before.positionals == 0:
        if before.pending is not None:
            return _values(before.pending, words, environ)
        if words[-1].startswith("-"):
            return _options(common)
        return _commands()
    at = before.first_positional
    return _of_command(words[at], words[at + 1 :], words, environ)


def _of_command(
    name: str, words: List[str], line: List[str], environ: Mapping[str, str]
) -> List[Word]:
    if name not in COMMANDS or not words:
        return []
    _, parser = parser_of(name)
    place = _Place(parser, words, _ends_options(name, words))
    if place.pending is not None:
        return _values(place.pending, line, environ)
    if name == "demo" and not place.positionals and not words[-1].startswith("-"):
        return [Word("serve", "only run the service")] + _commands()
    if name == "demo" and place.positionals:
        at = place.first_positional
        return _of_command(words[at], words[at + 1 :], line, environ)
    if place.is_open and words[-1].startswith("-"):
        return _options(parser)
    if name == "exec" and place.positionals + 1 >= _ends_options(name, words):
        return _FILES  # the command and its arguments
    slots = [action for action in parser._actions if not action.option_strings]
    slot = _slot(slots, place.positionals)
    return _values(slot, line, environ) if slot is not None and place.is_open else _FILES


def _ends_options(name: str, words: Sequence[str]) -> int:
    """Which positional ends the options, 0 for none: what follows belongs to another program."""
    if name == "exec":
        # The first word of the command, which a target may stand before.
        named = ("--targets-file", "--attach")
        return 1 if any(word.partition("=")[0] in named for word in words[:-1]) else 2
    return 1 if name in ("demo", "connect") else 0


def _slot(slots: List[argparse.Action], number: int) -> Optional[argparse.Action]:
    if number < len(slots):
        return slots[number]
    last = slots[-1] if slots else None
    return last if last is not None and last.nargs in ("*", "+", argparse.REMAINDER) else None


class _Place:
    """Where the last of ``words`` stands. ``pending``: it is the value of that option.
    ``is_open``: options may stand there. ``stop``: nothing behind so many positionals is an option,
    unless it is 0."""

    def __init__(self, parser: Parser, words: Sequence[str], stop: int = 0) -> None:
        self.pending: Optional[argparse.Action] = None
        self.positionals = 0
        self.first_positional = -1
        self.is_open = True
        for at, word in enumerate(words[:-1]):
            if self.pending is not None:
                self.pending = None
            elif word == "--":
                self.is_open = False
            elif word.startswith("-") and self.is_open:
                self.pending = _taking_value(parser, word)
            else:
                self.first_positional = at if self.positionals == 0 else self.first_positional
                self.positionals += 1
                self.is_open = self.is_open and self.positionals != stop


def _taking_value(parser: Parser, word: str) -> Optional[argparse.Action]:
    action = parser._option_string_actions.get(word)
    return action if action is not None and action.nargs != 0 else None


def _options(parser: Parser) -> List[Word]:
    return [
        Word(max(action.option_strings, key=len), action.help or "")
        for action in parser._actions
        if action.option_strings and action.help != argparse.SUPPRESS
    ]


def _commands() -> List[Word]:
    return [Word(*pair) for pair in COMMANDS.items()]


def _values(action: argparse.Action, line: List[str], environ: Mapping[str, str]) -> List[Word]:
    """What the option or positional may be."""
    what = str(action.metavar or action.dest)
    if action.choices is not None:
        return [Word(str(one)) for one in action.choices]
    if action.dest == "profile":
        return [Word(name) for name in _profiles(environ)]
    if action.dest == "places":
        return _places(line, environ)
    if what == "TARGET":
        return _targets(line, environ)
    if what == "TARGET COMMAND":
        return _in_list(_targets(line, environ), line[-1])
    if what == "[USER@]TARGET":
        return _behind(line[-1][: line[-1].rfind("@") + 1], _targets(line, environ))
    if what == "JOB":
        return [Word(name) for name in _settings(line, environ).jobs]
    if what == "SHELL":
        return [Word(name) for name in ("bash", "zsh", "fish")]
    if what == "TOPIC":
        return [Word(name) for name in TOPICS] + _commands()
    return _FILES if what in ("FILE", "DIR", "PATH", "COMMAND", "ARG") else []


def _in_list(words: Iterable[Word], current: str) -> List[Word]:
    """``exec`` takes several targets with commas in between: the last one fits. A comma of a name
    is written with a backslash in front."""
    named = [one._replace(value=one.value.replace(",", "\\,")) for one in words]
    end = current.replace("\\,", "\\.").rfind(",") + 1
    return _behind(current[:end], named)


def _behind(front: str, words: Iterable[Word]) -> List[Word]:
    return [one._replace(value=front + one.value) for one in words]


def _places(line: List[str], environ: Mapping[str, str]) -> List[Word]:
    """The arguments of ``cp``: a file here, or a target, a colon, and a path."""
    targets = _in_list(_targets(line, environ), line[-1])
    words = [one._replace(value=one.value + ":") for one in targets]
    try:
        is_here = not line[-1] or parse_place(line[-1]).target is None
    except UsageError:
        is_here = False
    return (_FILES if is_here else []) + words


def _targets(line: List[str], environ: Mapping[str, str]) -> List[Word]:
    from ..nodes.cache import load

    settings = _settings(line, environ)
    found = [Word(name, meaning) for name, meaning in settings.targets.items()]
    nodes = load(settings, environ)
    found += [Word(node.name, node.node_id) for node in nodes if node.name]
    found += [Word(node.node_id, node.name) for node in nodes]
    return list({one.value: one for one in reversed(found)}.values())[::-1]


def _profiles(environ: Mapping[str, str]) -> List[str]:
    try:
        return profile_names(environ)
    except SsmPluginError:
        return []


def _settings(line: List[str], environ: Mapping[str, str]) -> Settings:
    """The settings that the line would have if it were run as it stands."""
    given = dict(_given(line))
    try:
        settings = config.load(given.get("--config"), environ)
    except SsmPluginError:
        settings = Settings()
    return settings.override(
        profile=given.get("--profile"),
        region=given.get("--region"),
        endpoint_url=given.get("--endpoint-url"),
    )


def _given(line: List[str]) -> Iterable[Tuple[str, str]]:
    for at, word in enumerate(line[:-1]):
        name, equals, value = word.partition("=")
        if word.startswith("--"):
            yield name, value if equals else line[at + 1]
