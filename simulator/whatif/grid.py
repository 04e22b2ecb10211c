"""What a study varies: axes of points, crossed into cells; every cell is a list of settings for a scenario."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

from simulator.scenario import Problem, Scenario, ScenarioError, Setting, Study, Template
from simulator.scenario.errors import KeyPath
from simulator.scenario.study import Draw
from simulator.scenario.tree import Node, Where, locate
from simulator.scenario.tree import Sequence as YamlList
from simulator.scenario.units import number_text
from simulator.scenario.values import flow, interval, values
from simulator.streams import stream

SEED: Final = "seed"
MOST_TOLD: Final = 20  # problems of one study that are printed
DIGITS: Final = 4  # of a drawn number: what is run is what the table shows


@dataclass(frozen=True, slots=True)
class Point:
    """One place on an axis: what the table shows of it, by column, and what it changes."""

    columns: Mapping[str, str]
    settings: tuple[Setting, ...]


@dataclass(frozen=True, slots=True)
class Axis:
    """What is varied, and its points; ``name`` is a key path, "variant" or "draw"."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One scenario of the study: its columns in the table and its changes, in order."""

    columns: Mapping[str, str]
    settings: tuple[Setting, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """All axes; the first varies slowest."""

    axes: tuple[Axis, ...]

    def __len__(self) -> int:
        """The number of cells."""
        return math.prod(len(axis.points) for axis in self.axes)

    @property
    def columns(self) -> list[str]:
        """The columns of the table that tell the cells apart."""
        return list(dict.fromkeys(name for axis in self.axes for point in axis.points for name in point.columns))

    def cells(self) -> list[Cell]:
        """Every combination of points, in the order of the axes."""
        return [
            Cell(
                {name: text for point in points for name, text in point.columns.items()},
                tuple(setting for point in points for setting in point.settings),
            )
            for points in product(*(axis.points for axis in self.axes))
        ]


def vary(texts: Sequence[str]) -> list[Axis]:
    """The axes of ``--vary KEY=VALUES`` options. Raises ``ScenarioError`` for what is none, or names a key twice."""
    axes: list[Axis] = []
    problems: list[Problem] = []
    for text in texts:
        where = Where(f"--vary {text}", None)
        key, equals, given = (part.strip() for part in text.partition("="))
        if not equals or not key:
            problems.append(where.problem((), "must be key.path=value,value,..."))
            continue
        if any(axis.name == key for axis in axes):
            problems.append(where.problem((), f"{key} is varied twice"))
            continue
        try:
            axes.append(_axis(key, values(given), None))
        except ValueError as error:
            problems.append(where.problem((), str(error)))
    if problems:
        raise ScenarioError(problems)
    return axes


def _axis(key: str, found: Sequence[str], where: Where | None) -> Axis:
    """One key and its values; without a place they were said behind ``--vary``."""

    def setting(each: str) -> Setting:
        text = f"{key}={each}"
        return Setting(text, where or Where(f"--vary {text}", None))

    return Axis(key, tuple(Point({key: each}, (setting(each),)) for each in found))


def algorithms(template: Template) -> list[Axis]:
    """The axis of a scenario whose ``algorithm`` is a list; none where it is not."""
    entry = template.root.entries.get("algorithm")
    if entry is None or not isinstance(entry.value, YamlList):
        return []
    if not entry.value.items:
        raise ScenarioError([entry.where.problem(("algorithm",), "must have at least one entry")])
    try:
        found = values(",".join(flow(each.raw()) for each in entry.value.items))
    except ValueError as error:
        raise ScenarioError([entry.where.problem(("algorithm",), str(error))]) from None
    return [_axis("algorithm", found, entry.where)]


def section(study: Study, root: Node, path: KeyPath) -> list[Axis]:
    """The axes of a study's section: variants, draws, grid. ``path`` is where the section stands in that tree."""

    def point(columns: Mapping[str, str], settings: Mapping[str, str], *inside: str) -> Point:
        places = {key: locate(root, (*path, *inside, key), key=True) for key in settings}
        return Point(columns, tuple(Setting(f"{key}={value}", places[key]) for key, value in settings.items()))

    axes: list[Axis] = []
    if study.variants:
        named = study.variants.items()
        axes.append(Axis("variant", tuple(point({"variant": name}, each, "variants", name) for name, each in named)))
    if study.random is not None:
        draws, seed = study.random.draws, study.random.seed
        drawn = {key: _drawn(draw, draws, seed, key) for key, draw in study.random.ranges.items()}
        rows = [{key: texts[number] for key, texts in drawn.items()} for number in range(draws)]
        numbered = [{"draw": str(number), **row} for number, row in enumerate(rows, start=1)]
        pairs = zip(numbered, rows, strict=True)
        axes.append(Axis("draw", tuple(point(columns, row, "random", "ranges") for columns, row in pairs)))
    grid = study.grid.items()
    return [*axes, *(_axis(key, found, locate(root, (*path, "grid", key), key=True)) for key, found in grid)]


def seeds_axis(found: Sequence[int], where: Where) -> list[Axis]:
    """The axis of seeds: the same for every variant, so that variants are compared on equal random numbers."""
    return [_axis(SEED, [str(seed) for seed in found], where)] if found else []


def _drawn(draw: Draw, draws: int, seed: int, key: str) -> list[str]:
    """So many draws of one key, as texts; the n-th depends on the seed, the key and n only."""
    chance = stream(seed, "study", key)
    if draw.choices is not None:
        return [draw.choices[int(place)] for place in chance.integers(len(draw.choices), size=draws)]
    span = interval(draw.range or "")
    assert span is not None, "validated"
    low, high = (math.log(span.low), math.log(span.high)) if draw.scale == "log" else (span.low, span.high)
    if span.whole and draw.scale == "linear":
        return [str(number) for number in chance.integers(int(low), int(high), size=draws, endpoint=True)]
    found = chance.uniform(low, high, size=draws)
    numbers = [float(f"{math.exp(each) if draw.scale == 'log' else each:.{DIGITS}g}") for each in found]
    unit = f" {span.unit}" if span.unit else ""
    return [f"{round(each) if span.whole else number_text(each)}{unit}" for each in numbers]


def crossed(axes: Sequence[Axis]) -> Grid:
    """The grid of these axes. Raises ValueError where two of them change the same key, or there is none."""
    if not axes:
        raise ValueError("nothing is varied: say what with --vary KEY=VALUES, --seeds, or a section study: in the file")
    told: set[str] = set()
    for axis in axes:
        keys = {_key(setting) for point in axis.points for setting in point.settings}
        twice = sorted(other for other in told for key in keys if f"{other}.".startswith(f"{key}."))
        if twice:  # a key, or the section that it is in: what is said later would take its place
            raise ValueError(f"{twice[0]} is varied twice: leave out one of the two")
        told |= keys
    return Grid(tuple(axes))


def _key(setting: Setting) -> str:
    """``devices.2.profile``, however it was written."""
    return setting.text.partition("=")[0].strip().replace("[", ".").replace("]", "")


def resolve(
    template: Template, changes: Sequence[str | Setting], cells: Sequence[Cell]
) -> list[Scenario | ScenarioError]:
    """Every cell's scenario, or what is wrong with it.

    Raises ``ScenarioError``, with everything that is wrong in any cell told once, where no cell is sound or a key does
    not exist.
    """
    found: list[Scenario | ScenarioError] = []
    problems: dict[tuple[str, str], Problem] = {}
    for cell in cells:
        try:
            found.append(template.scenario([*changes, *cell.settings]))
        except ScenarioError as error:
            found.append(error)
            for problem in error.problems:
                problems.setdefault((problem.key_path, problem.message), problem)
    if any(problem.of_key for problem in problems.values()) or len(cells) == sum(map(_is_wrong, found)):
        told = sorted(problems.values(), key=lambda problem: not problem.of_key)
        more = len(told) - MOST_TOLD
        rest = [Problem("", None, "", f"and {more} more of the kind")] if more > 0 else []
        raise ScenarioError([*told[:MOST_TOLD], *rest])
    return found


def _is_wrong(found: Scenario | ScenarioError) -> bool:
    return isinstance(found, ScenarioError)


def refuse_large(grid: Grid, most: int) -> None:
    """Refuse more cells than that. Raises ValueError with the number and how it comes about."""
    if len(grid) > most:
        sizes = " x ".join(f"{len(axis.points):,} {axis.name}" for axis in grid.axes)
        raise ValueError(f"the grid has {len(grid):,} cells ({sizes}), more than {most:,}; --yes runs it all the same")
