"""From the text of a scenario to a tree of words that knows where each of them stands."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from simulator.scenario.errors import Path as KeyPath
from simulator.scenario.errors import Problem, ScenarioError
from simulator.scenario.words import Word, show

NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})


@dataclass(slots=True)
class Tree:
    """Mappings, lists, words and null as they stand in the file, and the place of every key path."""

    root: Any
    file: str
    lines: dict[KeyPath, int] = field(default_factory=dict)
    overrides: dict[KeyPath, str] = field(default_factory=dict)

    def problem(self, path: KeyPath, message: str) -> Problem:
        """A problem at a key path: the nearest enclosing place that is known."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.overrides:
                return Problem(self.overrides[path[:end]], None, path_text(path), message)
            if path[:end] in self.lines:
                return Problem(self.file, self.lines[path[:end]], path_text(path), message)
        return Problem(self.file, 1, path_text(path), message)


def path_text(path: KeyPath) -> str:
    """``devices[1].access``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read(path: Path) -> Tree:
    """Read a file; raises ScenarioError for one that cannot be read or is no YAML mapping."""
    name = str(path)
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise _refused(name, None, "no such file" + _similar(path)) from None
    except IsADirectoryError:
        raise _refused(name, None, "is a folder; give a scenario file such as scenarios/100_phones.yaml") from None
    except UnicodeDecodeError as error:
        raise _refused(name, None, f"is not a text file in UTF-8 (byte {error.start}); is it a scenario?") from None
    except OSError as error:
        raise _refused(name, None, f"cannot be read: {error.strerror}") from None
    if not text.strip():
        raise _refused(name, None, "is empty; a scenario needs at least devices and network")
    tree = Tree(None, name)
    problems: list[Problem] = []
    node = _compose(text, name)
    if not isinstance(node, MappingNode):
        raise _refused(name, 1, "must be a mapping with keys such as model, devices and network")
    tree.root = _build(node, (), tree, problems)
    if problems:
        raise ScenarioError(problems)
    return tree


def override(tree: Tree, settings: Sequence[str]) -> None:
    """Put ``a.b.2.c=value`` into the tree; raises ScenarioError where no such place can be."""
    for setting in settings:
        label = f"--set {setting}"
        key, equals, text = setting.partition("=")
        if not equals or not key.strip():
            raise _refused(label, None, "must be KEY=VALUE, such as training.rounds=10")
        path = _parse_path(key.strip())
        scratch = Tree(None, label)
        problems: list[Problem] = []
        node = _compose(text, label) if text.strip() else None
        value = None if node is None else _build(node, path, scratch, problems)
        if problems:
            raise ScenarioError([Problem(label, None, p.key_path, p.message) for p in problems])
        _put(tree, path, value, label)
        for known in [known for known in tree.overrides if known[: len(path)] == path]:
            del tree.overrides[known]
        tree.overrides[path] = label


def _put(tree: Tree, path: KeyPath, value: object, label: str) -> None:
    at = tree.root
    for depth, part in enumerate(path[:-1]):
        if isinstance(at, dict):
            if at.get(part) is None:
                at[part] = {}
            at = at[part]
        else:
            at = at[_index(at, part, path[: depth + 1], label)]
    if not isinstance(at, dict | list):
        raise _refused(label, None, f"{path_text(path[:-1])}: there is a plain value, nothing can be set inside it")
    if isinstance(at, dict):
        at[path[-1]] = value
    else:
        at[_index(at, path[-1], path, label)] = value


def _index(items: object, part: str | int, path: KeyPath, label: str) -> int:
    where = path_text(path)
    if not isinstance(items, list):
        raise _refused(label, None, f"{where}: there is a plain value, nothing can be set inside it")
    if not isinstance(part, int) or part >= len(items):
        raise _refused(label, None, f"{where}: must be a number in 0..{len(items) - 1}, got {show(str(part))}")
    return part


def _parse_path(text: str) -> KeyPath:
    """``devices.2.profile`` or ``devices[2].profile``."""
    parts = re.sub(r"\[(\d+)\]", r".\1", text).split(".")
    return tuple(int(part) if part.isdigit() else part for part in parts)


def _compose(text: str, name: str) -> Node | None:
    try:
        node: Node | None = YAML(typ="rt", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.context, error.problem) if part)
        raise _refused(name, mark.line + 1 if mark else None, f"is not valid YAML: {what}") from None
    except (YAMLError, ValueError) as error:
        raise _refused(name, None, f"is not valid YAML: {' '.join(str(error).split())}") from None
    return node


def _build(node: Node, path: KeyPath, tree: Tree, problems: list[Problem], above: tuple[Node, ...] = ()) -> Any:  # noqa: ANN401 -- a tree
    """Python values of a node; notes the line of every path and collects duplicate keys."""
    if node in above:
        problems.append(tree.problem(path, "an anchor must not contain itself"))
        return None
    above = (*above, node)
    if path not in tree.lines:
        tree.lines[path] = node.start_mark.line + 1
    if isinstance(node, MappingNode):
        return {
            key: _build(value, (*path, key), tree, problems, above) for key, value in _pairs(node, path, tree, problems)
        }
    if isinstance(node, SequenceNode):
        return [_build(item, (*path, index), tree, problems, above) for index, item in enumerate(node.value)]
    assert isinstance(node, ScalarNode)
    return _scalar(node)


def _pairs(node: MappingNode, path: KeyPath, tree: Tree, problems: list[Problem]) -> Iterator[tuple[str, Node]]:
    seen: set[str] = set()
    for key_node, value in node.value:
        key = key_node.value if isinstance(key_node, ScalarNode) else None
        line = key_node.start_mark.line + 1
        if key is None:
            problems.append(Problem(tree.file, line, path_text(path), "a key must be a plain word"))
            continue
        if key in seen:
            first = tree.lines[(*path, key)]
            problems.append(
                Problem(
                    tree.file, line, path_text((*path, key)), f"the key is there twice; it first stands in line {first}"
                )
            )
            continue
        seen.add(key)
        tree.lines[(*path, key)] = line
        yield key, value


def _scalar(node: ScalarNode) -> str | None:
    if node.style:  # quoted or block text
        return str(node.value)
    return None if node.value in NULLS else Word(node.value)


def _refused(file: str, line: int | None, message: str) -> ScenarioError:
    return ScenarioError([Problem(file, line, "", message)])


def _similar(path: Path) -> str:
    """A guess at the file that was meant."""
    from difflib import get_close_matches  # noqa: PLC0415 -- only for an error

    folder = path.parent if path.parent.is_dir() else None
    names = [entry.name for entry in folder.iterdir() if entry.suffix in {".yaml", ".yml"}] if folder else []
    near = get_close_matches(path.name, names, n=1, cutoff=0.5)
    return f"; did you mean {path.parent / near[0]}?" if near else ""
