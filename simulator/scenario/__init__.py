"""Scenarios: a YAML file read into frozen values, or refused with every reason and its place."""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from simulator.scenario import reader
from simulator.scenario.check import anchor_paths, findings
from simulator.scenario.dump import dump
from simulator.scenario.errors import Path as KeyPath
from simulator.scenario.errors import Problem, ScenarioError
from simulator.scenario.model import ALGORITHMS, Access, Cell, Group, Pair, Scenario
from simulator.scenario.words import show, unknown

__all__ = [
    "ALGORITHMS",
    "Access",
    "Cell",
    "Group",
    "Pair",
    "Problem",
    "Scenario",
    "ScenarioError",
    "dump",
    "load",
]


def load(path: Path, overrides: Sequence[str] = ()) -> Scenario:
    """Read a scenario file, with ``a.b.2.c=value`` overrides; raises ScenarioError with everything that is wrong."""
    tree = reader.read(path)
    reader.override(tree, overrides)
    if tree.root.get("name") is None:
        tree.root["name"] = path.stem
    anchor_paths(tree.root, path.parent)
    problems: dict[tuple[str, str], Problem] = {}
    scenario = None
    try:
        scenario = Scenario.model_validate(tree.root)
    except ValidationError as error:
        for found in error.errors(include_url=False):
            place, message = _translate(found)
            problems.setdefault((reader.path_text(place), ""), tree.problem(place, message))
    for place, message in findings(tree.root):
        key = (reader.path_text(place), "" if (reader.path_text(place), "") not in problems else message)
        problems.setdefault(key, tree.problem(place, message))
    if problems or scenario is None:
        raise ScenarioError(problems.values())
    return scenario


def _translate(found: Any) -> tuple[KeyPath, str]:  # noqa: ANN401 -- pydantic's ErrorDetails
    """Our sentence for one of pydantic's findings."""
    place: KeyPath = tuple(found["loc"])
    kind, value = found["type"], found["input"]
    if kind == "value_error":
        return place, str(found["ctx"]["error"])
    if kind == "extra_forbidden":
        return place, unknown("key", str(place[-1]), _keys_at(place[:-1]))
    plain = {
        "missing": "is missing",
        "model_type": f"must be a mapping, got {show(value)}",
        "dict_type": f"must be a mapping, got {show(value)}",
        "tuple_type": f"must be a list, got {show(value)}",
        "list_type": f"must be a list, got {show(value)}",
    }
    return place, plain.get(kind, f"{found['msg'][0].lower()}{found['msg'][1:]}, got {show(value)}")


def _keys_at(place: KeyPath) -> list[str]:
    """The keys that are allowed at a place of the scenario."""
    kind: Any = Scenario
    for part in place:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[str(part)].annotation
        else:
            kind = typing.get_args(kind)[0 if isinstance(part, int) else 1]
        if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
            kind = next(option for option in typing.get_args(kind) if option is not type(None))
    return list(kind.model_fields)
