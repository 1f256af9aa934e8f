"""YAML read strictly: each value has one type, each key is known, each error has a line.

A schema is built from the functions that end in ``_of``. What they return is a ``Parser``: it
takes a node of the YAML tree and the place to blame, and returns a value. The tree is never
turned into Python objects by the YAML library, so a tag can make nothing happen, and an alias
costs nothing; a recursive one ends where the schema ends.
"""

from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Tuple

from .errors import ConfigurationError
from .named_tuple import NamedTuple

# Far more than any schema has. PyYAML takes time by the square of the depth, and stack as well.
MAX_DEPTH = 50

SCALARS = ("str", "int", "float", "bool", "null", "timestamp")
_KINDS = {"scalar": SCALARS, "sequence": ("seq",), "mapping": ("map",)}
_FOUND = {
    "null": "nothing",
    "bool": "true or false",
    "int": "a number",
    "float": "a number",
    "timestamp": "a date",
    "str": "text",
    "seq": "a list",
    "map": "a mapping",
}


class Place(NamedTuple):
    """``line`` counts from 1; ``key`` is dotted, empty for the whole file."""

    file: str
    line: int
    key: str

    def error(self, problem: str) -> ConfigurationError:
        key = self.key + ": " if self.key else ""
        return ConfigurationError("%s:%s: %s%s" % (self.file, self.line, key, problem))

    def inside(self, key: str, node: Any) -> "Place":
        key = "%s.%s" % (self.key, key) if self.key else key
        return Place(self.file, node.start_mark.line + 1, key)

    def checked(self, convert: Callable[..., Any], *args: Any, **named: Any) -> Any:
        try:
            return convert(*args, **named)
        except ValueError as error:
            raise self.error(str(error)) from error


Parser = Callable[[Any, Place], Any]


class Shape(NamedTuple):
    """What a parser accepts, for help. ``keys`` are those of a section; ``item`` is of a list, or
    of a mapping with keys of the user's choice."""

    what: str
    keys: Mapping[str, Any] = {}
    item: Optional["Shape"] = None


def described(parse: Parser, shape: Shape) -> Parser:
    parse.shape = shape  # type: ignore[attr-defined]
    return parse


def shape_of(parse: Parser) -> Shape:
    shape: Shape = parse.shape  # type: ignore[attr-defined]
    return shape


def read(data: bytes, file: str, parse: Parser) -> Any:
    """Parse the whole of ``data``; ``file`` is what errors call it.

    :raises ConfigurationError: for anything that ``parse`` or YAML itself does not accept
    """
    node = _compose(_decode(data, file), file)
    return parse(node, Place(file, 1, ""))


def kind(node: Any) -> str:
    """``str``, ``int``, ``seq``, ``map`` …, or the tag itself if it is not one of YAML's own."""
    if node is None:  # an empty document
        return "null"
    name = node.tag.replace("tag:yaml.org,2002:", "")
    return name if name in _KINDS[node.id] else str(node.tag)


def expected(what: str, node: Any, place: Place) -> ConfigurationError:
    found = kind(node)
    hint = "; put quotes around it" if what == "text" and found in SCALARS[1:] else ""
    if found == "null":
        hint = ""
    return place.error("expected %s, found %s%s" % (what, _FOUND.get(found, found), hint))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of an error message: a hint if ``name`` is close to a known one, else empty."""
    near = nearest(name, known, 1)
    return "; did you mean %r?" % near[0] if near else ""


def nearest(name: str, known: Iterable[str], most: int) -> List[str]:
    """The known ones that are closest, whether in capital or small letters. That both are options
    makes them no closer."""
    import difflib  # costs milliseconds, and is needed only here

    written: Dict[str, List[str]] = {}
    for one in dict.fromkeys(known):
        if one != name:
            written.setdefault(_bare(one), []).append(one)
    near = difflib.get_close_matches(_bare(name), list(written), n=most)
    return [one for key in near for one in written[key]][:most]


def _bare(name: str) -> str:
    return name.lower().lstrip("-")


def scalar_of(what: str, convert: Callable[[str], object], *kinds: str) -> Parser:
    """A scalar of one of ``kinds``, converted from its text. ``convert`` raises ValueError."""

    def parse(node: Any, place: Place) -> Any:
        if kind(node) not in kinds:
            raise expected(what, node, place)
        return place.checked(convert, node.value)

    return described(parse, Shape(what))


def list_of(parse_item: Parser) -> Parser:
    def parse(node: Any, place: Place) -> Tuple[object, ...]:
        if kind(node) != "seq":
            raise expected("a list", node, place)
        items = enumerate(node.value, 1)
        return tuple(parse_item(item, place.inside(str(n), item)) for n, item in items)

    return described(parse, Shape("a list", item=shape_of(parse_item)))


def mapping_of(check_key: Callable[[str], str], parse_value: Parser) -> Parser:
    """A mapping with keys of the user's choice -> dict."""

    def parse(node: object, place: Place) -> Dict[str, object]:
        return {
            inner.checked(check_key, key): parse_value(value, inner)
            for key, value, inner in _entries(node, place)
        }

    return described(parse, Shape("a mapping", item=shape_of(parse_value)))


def section_of(make: Callable[..., object], **keys: Parser) -> Parser:
    """A mapping with these keys only, handed by name to ``make``, which may raise ValueError."""

    def parse(node: object, place: Place) -> object:
        values = {}
        for key, value, inner in _entries(node, place):
            if key not in keys:
                hint = did_you_mean(key, keys) or "; known here: " + ", ".join(sorted(keys))
                raise inner.error("unknown key" + hint)
            values[key] = keys[key](value, inner)
        return place.checked(make, **values)

    keys_described = {name: shape_of(parser) for name, parser in keys.items()}
    return described(parse, Shape("a section", keys_described))


def _entries(node: Any, place: Place) -> List[Tuple[str, Any, Place]]:
    """Key, node and place of each entry. A section with nothing in it (``jobs:``) has none."""
    if kind(node) == "null":
        return []
    if kind(node) != "map":
        raise expected("a mapping", node, place)
    entries: Dict[str, Tuple[str, Any, Place]] = {}
    for key, value in node.value:
        if key.id != "scalar":
            raise place.inside("?", key).error("a key must be a plain word")
        inner = place.inside(key.value, key)
        if key.value in entries:
            first = entries[key.value][2].line
            raise inner.error("given twice, first in line %s" % first)
        entries[key.value] = (key.value, value, inner)
    return list(entries.values())


def _decode(data: bytes, file: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Place(file, line, "").error("this is not UTF-8 text") from error


def _bounded(yaml: Any) -> Any:
    """The safe loader, which gives up at :data:`MAX_DEPTH`."""

    class Loader(yaml.SafeLoader):
        depth = 0

        def check_depth(self, depth: int) -> None:
            if depth > MAX_DEPTH:
                mark = self.get_mark()
                raise yaml.MarkedYAMLError(problem="nested too deep", problem_mark=mark)

        # The scanner looks a thousand brackets ahead of what is composed.
        def fetch_flow_collection_start(self, token: Any) -> None:
            self.check_depth(self.flow_level + 1)
            super().fetch_flow_collection_start(token)

        def compose_node(self, parent: Any, index: Any) -> Any:
            self.depth += 1
            self.check_depth(self.depth)
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

    return Loader


def _compose(text: str, file: str) -> object:
    try:
        import yaml
        from yaml.reader import ReaderError
    except ImportError as error:
        raise ConfigurationError("%s: PyYAML is needed to read it" % file) from error
    try:
        return yaml.compose(text, Loader=_bounded(yaml))
    except ReaderError as error:
        place = Place(file, text.count("\n", 0, error.position) + 1, "")
        raise place.error("a control character is not allowed here") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        tab = "; indent with spaces" if "'\\t'" in str(error.problem) else ""
        line = mark.line + 1 if mark else 1
        raise Place(file, line, "").error("%s%s" % (error.problem, tab)) from error
    except (ValueError, OverflowError, RecursionError) as error:
        # An escape beyond Unicode (``"\\UFFFFFFFF"``), or brackets nested by the thousand.
        raise ConfigurationError("%s: this is not usable YAML" % file) from error
