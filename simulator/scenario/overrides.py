"""``--set key.path=value``: a change of the tree before it is judged, so that it goes through the same door."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from simulator.scenario.errors import KeyPath, Problem, ScenarioError
from simulator.scenario.reader import parse
from simulator.scenario.tree import Entry, Mapping, Node, Scalar, Sequence, Where

STEP: Final = re.compile(r"([^.\[\]]+)((?:\[[0-9]+\])*)")


@dataclass(frozen=True, slots=True)
class Setting:
    """One change ``key.path=value``, and where it was said if not behind ``--set``."""

    text: str
    where: Where


def override(root: Node, settings: Iterable[str | Setting]) -> tuple[Node, list[Problem]]:
    """Apply ``devices.2.profile=x`` or ``devices[2].profile=x``, in order; returns the new tree and what was wrong.

    A value is a YAML scalar or a flow list or mapping. Keys that are absent are added, lists are not lengthened.
    Whether a key is known and a value fits is judged later, with everything else.
    """
    problems: list[Problem] = []
    for setting in settings:
        try:
            root = _apply(root, setting, problems)
        except ScenarioError as error:
            problems.extend(error.problems)
    return root, problems


def _apply(root: Node, said: str | Setting, problems: list[Problem]) -> Node:
    setting = Setting(said, Where(f"--set {said}", None)) if isinstance(said, str) else said
    where = setting.where
    key, equals, text = setting.text.partition("=")
    if not equals:
        raise ScenarioError([where.problem((), "must be key.path=value", of_key=True)])
    path = _path(key.strip(), where)
    value, found = _value(text, where.file)
    problems.extend(found)
    value = Scalar(where, value.text, value.plain) if isinstance(value, Scalar) else value
    return _replaced(root, path, value, where)


@lru_cache(maxsize=4096)
def _value(text: str, file: str) -> tuple[Node, tuple[Problem, ...]]:
    """A value as a tree, and what is wrong with it; a study says the same one in many cells."""
    node, problems = parse(text, file, numbered=False)
    return node, tuple(problems)


def _path(key: str, where: Where) -> KeyPath:
    path: list[str | int] = []
    for part in key.split("."):
        match = STEP.fullmatch(part)
        if not match:
            message = f"{key!r} is not a key path such as devices[2].profile"
            raise ScenarioError([where.problem((), message, of_key=True)])
        path.append(match[1])
        path.extend(int(index) for index in re.findall("[0-9]+", match[2]))
    return tuple(path)


def _replaced(root: Node, path: KeyPath, value: Node, where: Where) -> Node:
    """A copy of the tree with one value replaced; an alias elsewhere keeps the old one."""

    def descend(node: Node | None, depth: int) -> Node:
        if depth == len(path):
            return value
        part, done = path[depth], path[:depth]
        absent = node is None or _is_null(node)
        if isinstance(node, Mapping) or (absent and _index(part) is None):
            entries = node.entries if isinstance(node, Mapping) else {}
            old = entries.get(str(part))
            place = old.where if old is not None and depth + 1 < len(path) else where
            new = Entry(place, descend(old.value if old else None, depth + 1))
            return Mapping(node.where if node else where, {**entries, str(part): new})
        if isinstance(node, Sequence):
            index = _index_in(node, part, done, where)
            changed = descend(node.items[index], depth + 1)
            return Sequence(node.where, (*node.items[:index], changed, *node.items[index + 1 :]))
        reason = f"is not in the file, so its entry {part} cannot be set; set the whole list, e.g. [a, b]"
        reason = reason if absent else f"is a single value, so it has no {part!r}"
        raise ScenarioError([where.problem(done, reason, of_key=True)])

    return descend(root, 0)


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.raw() is None


def _index(part: str | int) -> int | None:
    if isinstance(part, int):
        return part
    return int(part) if part.isascii() and part.isdigit() else None


def _index_in(node: Sequence, part: str | int, done: KeyPath, where: Where) -> int:
    size, index = len(node.items), _index(part)
    span = f"0..{size - 1}" if size else "none: it is empty"
    if index is None:
        message = f"is a list; name an entry by its number ({span}), got {part!r}"
        raise ScenarioError([where.problem(done, message, of_key=True)])
    if index >= size:
        raise ScenarioError([where.problem((*done, index), f"there is no such entry (allowed: {span})", of_key=True)])
    return index
