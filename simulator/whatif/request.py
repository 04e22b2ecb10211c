"""What a study was asked for: a scenario or a study file, ``--vary`` and ``--seeds``, read into one grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import Field, ValidationError

from simulator.run_folder import SCENARIO, TAPE
from simulator.run_reader import check_finished
from simulator.scenario import Problem, Scenario, ScenarioError, Setting, Study, Template
from simulator.scenario.errors import KeyPath
from simulator.scenario.explain import explain, told_once
from simulator.scenario.fields import Surroundings, Text, catalogue_profile
from simulator.scenario.paths import find_path
from simulator.scenario.study import read_seeds
from simulator.scenario.tree import Node, Raw, Where, locate
from simulator.scenario.words import show
from simulator.whatif.grid import Axis, Grid, algorithms, crossed, section, seeds_axis, vary

_S = TypeVar("_S", bound=Study)


class StudyFile(Study):
    """A file of its own that studies a scenario: the keys of a section ``study:``, and which scenario."""

    scenario: Text = Field(description="the scenario's file, beside this one or in the working directory")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be studied; ``base`` is the scenario before anything is varied, None where it is unsound by itself."""

    template: Template
    base: Scenario | None
    changes: tuple[str | Setting, ...]
    grid: Grid
    train: bool  # the file asks for it, or compares algorithms by a list
    target: float | None
    tape: Path | None  # of the run that is studied


def read(path: Path, *, vary_texts: Sequence[str], changes: Sequence[str], seeds: str | None) -> Asked:
    """Read what was asked for; the path is a scenario, a study's own file, or a finished run's folder.

    ``--vary`` takes the place of the file's grid, draws and variants, ``--seeds`` that of its seeds. A list of
    algorithms in the scenario is an axis, unless ``algorithm`` is varied. Raises ``ScenarioError`` or ValueError with
    what is wrong; whether the cells are sound is not known yet (`grid.resolve`), nor whether the scenario is, which may
    need what is varied.
    """
    asked_axes = vary(vary_texts)
    tape = _tape_of(path) if path.is_dir() else None
    template, of_file, root, place = _files(path / SCENARIO if tape else path)
    named = [] if any(axis.name == "algorithm" for axis in asked_axes) else algorithms(template)
    first = [axis.points[0].settings[0] for axis in [*named, *asked_axes] if axis.name == "algorithm"]
    base, study = _base(template, [*changes, *first], of_file)
    axes = asked_axes or section(study, root, place)
    named = [axis for axis in named if not any("algorithm" in point.columns for a in axes for point in a.points)]
    sown = _seeds(seeds) if seeds is not None else seeds_axis(study.seeds, locate(root, (*place, "seeds"), key=True))
    train = study.train == "on" or bool(named)
    return Asked(template, base, tuple(changes), crossed([*named, *axes, *sown]), train, study.target, tape)


def _base(template: Template, changes: Sequence[str | Setting], of_file: Study | None) -> tuple[Scenario | None, Study]:
    """The scenario before anything is varied, and the study of its section, or of a file of its own."""
    try:
        base = template.scenario(changes)
    except ScenarioError:
        return None, of_file or _section(template)
    return base, of_file or base.study or Study()


def _section(template: Template) -> Study:
    """The section of a scenario that is not sound by itself."""
    entry = template.root.entries.get("study")
    raw = None if entry is None else entry.value.raw()
    return Study() if raw is None else _judged(Study, template, raw, ("study",))


def _tape_of(run: Path) -> Path:
    """The tape of a finished run."""
    check_finished(run)
    if not (run / TAPE).exists():
        raise ValueError(f"{run} holds no tape: nothing was trained; study its scenario instead: {run / SCENARIO}")
    return run / TAPE


def _seeds(text: str) -> list[Axis]:
    where = Where(f"--seeds {text}", None)
    try:
        return seeds_axis(read_seeds(text), where)
    except ValueError as error:
        raise ScenarioError([where.problem((), str(error))]) from None


def _files(path: Path) -> tuple[Template, Study | None, Node, tuple[str, ...]]:
    """The scenario, the study of a file of its own, and in which tree, and where in it, the study is written."""
    template = Template(path)
    if "scenario" not in template.root.entries or "devices" in template.root.entries:
        return template, None, template.root, ("study",)
    study = _judged(StudyFile, template, template.root.raw(), ())
    found = find_path(study.scenario, template.folder)
    if found is None:
        where = locate(template.root, ("scenario",))
        raise ScenarioError([where.problem(("scenario",), f"{show(study.scenario)} does not exist")])
    return Template(found), study, template.root, ()


def _judged(kind: type[_S], template: Template, raw: Raw, at: KeyPath) -> _S:
    """What is written there as a study, checked."""
    problems: list[Problem] = [*template.problems]
    try:
        around = Surroundings(template.folder, catalogue_profile)
        study = kind.model_validate(raw, context=around)
    except ValidationError as error:
        for each in told_once(explain(error, kind)):
            path = (*at, *each.path)
            problems.append(locate(template.root, path, key=each.at_key).problem(path, each.message))
    if problems:
        raise ScenarioError(problems)
    return study
