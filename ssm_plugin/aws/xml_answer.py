"""Answers in XML, of the services with a Query API, as a small tree.

A service writes no document type, so one is refused: with it go entities, their expansion and
whatever they may fetch. The size is bounded by whoever read the answer, the rest here.
"""

from typing import Iterator, List, Optional

MAX_DEPTH = 40
MAX_ELEMENTS = 1000000


class XmlError(ValueError):
    """The text is not XML, or larger than any answer of a service."""


class Element:
    """``name`` without its namespace. ``text`` without the white space around it."""

    __slots__ = ("children", "name", "text")

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = ""
        self.children: List["Element"] = []

    def find(self, *path: str) -> Optional["Element"]:
        """The first child of the first name, of it the first of the second, and so on."""
        found: Optional[Element] = self
        for name in path:
            children = found.children if found is not None else []
            found = next((child for child in children if child.name == name), None)
        return found

    def value(self, *path: str) -> str:
        """The text at the end of the path; empty if there is none."""
        found = self.find(*path)
        return found.text if found is not None else ""

    def items(self, *path: str) -> Iterator["Element"]:
        """The elements called ``item`` at the end of the path, which is how EC2 writes lists."""
        found = self.find(*path)
        return (child for child in (found.children if found else []) if child.name == "item")


class _Builder:
    def __init__(self) -> None:
        self.root: Optional[Element] = None
        self._open: List[Element] = []
        self._texts: List[List[str]] = []
        self._elements = 0

    def start(self, name: str, attributes: object) -> None:
        self._elements += 1
        if len(self._open) >= MAX_DEPTH or self._elements > MAX_ELEMENTS:
            raise XmlError("too many elements, or too deep")
        element = Element(name.rpartition(":")[2])
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)
        self._texts.append([])

    def end(self, name: str) -> None:
        self._open.pop().text = "".join(self._texts.pop()).strip()

    def data(self, text: str) -> None:
        if self._texts:
            self._texts[-1].append(text)


def parse_xml(data: bytes) -> Element:
    """:raises XmlError: for what no service writes, a document type among it"""
    from xml.parsers import expat  # few programs ask a Query API

    builder = _Builder()
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise XmlError(str(error)) from error
    if builder.root is None:
        raise XmlError("it is empty")
    return builder.root


def _refuse(*declaration: object) -> None:
    raise XmlError("it has a document type")
