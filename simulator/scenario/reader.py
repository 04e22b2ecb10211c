"""YAML text to a tree with places.

Scalars stay text: what a word means is decided by the key that holds it. So ``1e6`` is a number, ``no`` a name,
``010`` ten and ``12:30`` no number, whatever the YAML version. Anchors, aliases and merge keys (``<<``) are read;
tags other than ``!!str`` are refused.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from simulator.scenario.errors import KeyPath, Problem, ScenarioError
from simulator.scenario.tree import Entry, Mapping, Node, Scalar, Sequence, Where, depth
from simulator.scenario.words import guess, show

MAX_FILE_BYTES: Final = 4 << 20
MAX_NODES: Final = 200_000  # values in a scenario, counted again wherever an alias repeats them
MAX_DEPTH: Final = 30
STRING_TAG: Final = "tag:yaml.org,2002:str"


def read_text(path: Path, shown: str) -> str:
    """Read a file as UTF-8 text; raises ``ScenarioError`` for whatever is not a readable text file."""
    try:
        if path.is_dir():
            _refuse(shown, None, f"is a folder, not a scenario file{_inside(path)}")
        if not path.exists():
            _refuse(shown, None, f"no such file{_similar(path)}")
        if not path.is_file():
            _refuse(shown, None, "is not a regular file")
        if path.stat().st_size > MAX_FILE_BYTES:
            _refuse(shown, None, f"is larger than {MAX_FILE_BYTES >> 20} MiB, so it is not a scenario")
        data = path.read_bytes()
    except OSError as error:
        _refuse(shown, None, f"cannot be read: {error.strerror or error}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        _refuse(shown, line, f"is not UTF-8 text: byte 0x{data[error.start]:02x} at offset {error.start}")


def _inside(path: Path) -> str:
    """The scenario of a run, where its folder was named."""
    inside = path / "scenario.yaml"
    return f"; the run's own is {str(inside)!r}" if inside.is_file() else ""


def _similar(path: Path) -> str:
    """A guess at the scenario that was meant."""
    near = guess(path.name, sorted(file.name for pattern in ("*.yaml", "*.yml") for file in path.parent.glob(pattern)))
    return "" if near is None else f"; did you mean {str(path.parent / near)!r}?"


def parse(text: str, file: str, *, numbered: bool = True) -> tuple[Node, list[Problem]]:
    """Parse YAML into a tree and the problems that leave a tree (such as a duplicate key).

    ``numbered`` is off for the value of an override, which has no lines worth naming. An empty text is null.
    Raises ``ScenarioError`` where YAML itself cannot be read.
    """
    builder = _Builder(text, file, numbered)
    try:
        return builder.document(), builder.problems
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        code = ord(error.character) if isinstance(error.character, str) else error.character
        _refuse(file, line if numbered else None, f"is not a text file: control character 0x{code:02x}")
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        sentence = ", ".join(part for part in (error.problem, error.context) if part)
        _refuse(file, mark.line + 1 if mark and numbered else None, f"is not valid YAML: {sentence}")
    except YAMLError as error:
        _refuse(file, None, f"is not valid YAML: {' '.join(str(error).split())}")


def _refuse(file: str, line: int | None, message: str) -> NoReturn:
    raise ScenarioError([Problem(file, line, "", message)]) from None


class _Builder:
    """Builds the tree from the parser's events; recursion is bounded by ``MAX_DEPTH``."""

    def __init__(self, text: str, file: str, numbered: bool) -> None:
        self.file = file
        self.numbered = numbered
        self.problems: list[Problem] = []
        self.events: Iterator[Event] = iter(YAML(typ="safe", pure=True).parse(text))
        self.anchors: dict[str, tuple[Node, int]] = {}  # the node, and its size with aliases repeated
        self.count = 0

    def where(self, event: Event) -> Where:
        """The place of an event."""
        return Where(self.file, event.start_mark.line + 1 if self.numbered else None)

    def stop(self, where: Where, path: KeyPath, message: str) -> NoReturn:
        """Give up: what follows cannot be trusted."""
        raise ScenarioError([*self.problems, where.problem(path, message)])

    def document(self) -> Node:
        """The only document of the stream; null when there is none."""
        root: Node = Scalar(Where(self.file, 1 if self.numbered else None), "", plain=True)
        seen = False
        for event in self.events:
            if isinstance(event, NodeEvent):
                if seen:
                    self.stop(self.where(event), (), "a second document begins here; a scenario is one document")
                root, seen = self.node(event, ()), True
        return root

    def node(self, event: Event, path: KeyPath) -> Node:
        """The value that begins with this event."""
        if isinstance(event, AliasEvent):
            return self.alias(event, path)
        assert isinstance(event, ScalarEvent | SequenceStartEvent | MappingStartEvent), "what else begins a value"
        where, before = self.where(event), self.count
        self.grow(where, 1, len(path))
        tag = event.tag
        if tag is not None and not (isinstance(event, ScalarEvent) and tag == STRING_TAG):
            self.problems.append(where.problem(path, f"tags are not read here, got {show(tag)}"))
        node: Node
        if isinstance(event, ScalarEvent):
            node = Scalar(where, event.value, plain=event.style is None and tag is None)
        elif isinstance(event, SequenceStartEvent):
            node = self.sequence(where, path)
        else:
            node = self.mapping(where, path)
        if event.anchor:
            self.anchors[event.anchor] = (node, self.count - before)
        return node

    def grow(self, where: Where, nodes: int, depth: int) -> None:
        """Keep the tree small and shallow, also where aliases repeat aliases."""
        self.count += nodes
        if self.count > MAX_NODES:
            self.stop(where, (), f"holds more than {MAX_NODES} values, aliases repeated")
        if depth > MAX_DEPTH:
            self.stop(where, (), f"is nested more than {MAX_DEPTH} deep")

    def alias(self, event: AliasEvent, path: KeyPath) -> Node:
        """The value that an alias repeats; its problems are reported where it is written."""
        where = self.where(event)
        if event.anchor not in self.anchors:
            self.stop(where, path, f"alias '*{event.anchor}' has no anchor '&{event.anchor}' before it")
        node, nodes = self.anchors[event.anchor]
        self.grow(where, nodes, len(path) + depth(node))
        return node

    def sequence(self, where: Where, path: KeyPath) -> Sequence:
        """A list, up to its end."""
        items: list[Node] = []
        while not isinstance(event := next(self.events), SequenceEndEvent):
            items.append(self.node(event, (*path, len(items))))
        return Sequence(where, tuple(items))

    def mapping(self, where: Where, path: KeyPath) -> Mapping:
        """A mapping, up to its end; of two equal keys the first counts and the second is a problem."""
        entries: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        while not isinstance(event := next(self.events), MappingEndEvent):
            place = self.where(event)
            if not isinstance(event, ScalarEvent) or not event.value:
                self.stop(place, path, "a key must be a word")
            key = event.value
            value = self.node(next(self.events), (*path, key))
            if key == "<<" and event.style is None:
                merged = self.merge(place, path, value) | merged
            elif key in entries:
                first = f" (first in line {entries[key].where.line})" if self.numbered else ""
                self.problems.append(place.problem((*path, key), f"the key is given twice{first}"))
            else:
                entries[key] = Entry(place, _on_the_line_of_its_key(value, place))
        return Mapping(where, entries | {key: entry for key, entry in merged.items() if key not in entries})

    def merge(self, where: Where, path: KeyPath, value: Node) -> dict[str, Entry]:
        """The entries that a merge key brings in: of one mapping, or of several where the first wins."""
        entries: dict[str, Entry] = {}
        for source in value.items if isinstance(value, Sequence) else (value,):
            if not isinstance(source, Mapping):
                self.problems.append(where.problem((*path, "<<"), "must be an alias of a mapping, or a list of such"))
                continue
            entries = dict(source.entries) | entries
        return entries


def _on_the_line_of_its_key(value: Node, where: Where) -> Node:
    """An absent value has no place of its own; the parser puts it where the next token begins."""
    absent = isinstance(value, Scalar) and value.plain and not value.text
    return Scalar(where, "", plain=True) if absent else value
