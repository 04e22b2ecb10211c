"""A scenario as it stands in the file: scalars as text, and every key and value with its place."""

from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from simulator.scenario.errors import KeyPath, Problem, path_text
from simulator.scenario.words import Word

NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})  # YAML 1.2 core schema

Raw: TypeAlias = "dict[str, Raw] | list[Raw] | str | None"


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a scenario."""

    file: str
    line: int | None

    def problem(self, path: KeyPath, message: str, *, of_key: bool = False) -> Problem:
        """Say what is wrong here."""
        return Problem(self.file, self.line, path_text(path), message, of_key)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value without parts; ``plain`` says that it is not in quotes."""

    where: Where
    text: str
    plain: bool

    def raw(self) -> Raw:
        """Null, a plain word, or a text."""
        if not self.plain:
            return self.text
        return None if self.text in NULLS else Word(self.text)


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    where: Where
    items: "tuple[Node, ...]"

    def raw(self) -> Raw:
        """The list without places."""
        return [item.raw() for item in self.items]


@dataclass(frozen=True, slots=True)
class Entry:
    """A key's place and its value."""

    where: Where
    value: "Node"


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values, in the order of the file."""

    where: Where
    entries: AbstractMapping[str, Entry]

    def raw(self) -> Raw:
        """The mapping without places."""
        return {key: entry.value.raw() for key, entry in self.entries.items()}


Node: TypeAlias = Scalar | Sequence | Mapping


def depth(node: Node) -> int:
    """How many steps lead from here to the deepest value."""
    if isinstance(node, Sequence):
        return 1 + max(map(depth, node.items), default=0)
    if isinstance(node, Mapping):
        return 1 + max((depth(entry.value) for entry in node.entries.values()), default=0)
    return 0


def child(node: Node, part: str | int) -> "Entry | None":
    """What is written one step down: the place of its key (an item's own place in a list) and its value."""
    if isinstance(node, Mapping) and isinstance(part, str):
        return node.entries.get(part)
    if isinstance(node, Sequence) and isinstance(part, int) and part < len(node.items):
        return Entry(node.items[part].where, node.items[part])
    return None


def locate(root: Node, path: KeyPath, *, key: bool = False) -> Where:
    """Where that path is written: a scalar's own line, the key's line of anything larger and wherever ``key`` is set.

    A path that is not in the file (a missing key, a default) is where its innermost written parent is.
    """
    node, where = root, root.where
    for step, part in enumerate(path, start=1):
        entry = child(node, part)
        if entry is None:
            break
        node = entry.value
        at_key = not isinstance(node, Scalar) or (key and step == len(path))
        where = entry.where if at_key else node.where
    return where
