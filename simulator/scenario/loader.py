"""The door to a scenario: file, overrides, validation, cross-checks; everything wrong is reported together."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from devices.catalog import extended, find
from simulator.scenario.access import fill_vary
from simulator.scenario.checks import Lenient, findings, unused
from simulator.scenario.errors import KeyPath, Problem, ScenarioError
from simulator.scenario.explain import Finding, explain, told_once
from simulator.scenario.fields import Surroundings, catalogue_profile, to_text
from simulator.scenario.groups import default_names
from simulator.scenario.model import Scenario
from simulator.scenario.overrides import Setting, override
from simulator.scenario.paths import find_path
from simulator.scenario.reader import parse, read_text
from simulator.scenario.tree import Mapping, Node, Raw, locate
from simulator.scenario.words import show

FindProfile = Callable[[str], object]


def load(path: Path, overrides: Sequence[str] = (), *, find_profile: FindProfile = catalogue_profile) -> Scenario:
    """Read a scenario file, change it by ``overrides`` (``key.path=value``), and check everything.

    Raises ``ScenarioError`` with all problems. ``find_profile`` raises ``ValueError`` for an unknown device profile.
    """
    return Template(path, find_profile=find_profile).scenario(overrides)


class Template:
    """A scenario file that is read once, and from which many scenarios are made by changing values."""

    def __init__(self, path: Path, *, find_profile: FindProfile = catalogue_profile) -> None:
        """Read the file. Raises ``ScenarioError`` where it is no YAML with keys; nothing else is checked yet."""
        path = Path(path)
        source = path.resolve()
        self.folder, self._name = source.parent, path.stem
        self._around = Surroundings(source.parent, find_profile, source)
        root, self.problems = parse(read_text(path, str(path)), str(path))
        self.root = _mapping(root)

    def scenario(self, overrides: Sequence[str | Setting] = ()) -> Scenario:
        """The file with these changes, after every check. Raises ``ScenarioError`` with all problems."""
        return _checked(self.root, self.problems, overrides, self._around, self._name)


def loads(
    text: str,
    overrides: Sequence[str] = (),
    *,
    base_folder: Path | None = None,
    find_profile: FindProfile = catalogue_profile,
) -> Scenario:
    """As ``load``, from a text; relative paths begin in ``base_folder`` (the working directory where absent)."""
    around = Surroundings((base_folder or Path.cwd()).resolve(), find_profile)
    parsed, problems = parse(text, "<text>")
    return _checked(_mapping(parsed), problems, overrides, around, "scenario")


def written_at(scenario: Scenario, path: KeyPath) -> str:
    """``FILE:LINE: `` of what is written at that path or around it, for what is refused after loading; else nothing.

    The file is read anew. A value that came by an override is told as such: ``--set KEY=VALUE: ``.
    """
    source = scenario.source_path
    if source is None:
        return ""
    written = parse(read_text(source, str(source)), str(source))[0]
    where = locate(override(written, cast(tuple[str | Setting, ...], scenario.overrides))[0], path)
    return f"{where.file}: " if where.line is None else f"{where.file}:{where.line}: "


def _checked(
    parsed: Mapping, unread: list[Problem], overrides: Sequence[str | Setting], around: Surroundings, name: str
) -> Scenario:
    around = replace(around, overrides=tuple(overrides))
    root, refused = override(parsed, overrides)
    problems = [*unread, *refused]
    raw = root.raw()
    assert isinstance(raw, dict), "an override changes entries of the top level, never the whole"
    if "scenario" in raw and "devices" not in raw:
        message = "this file is a study of another scenario: splitwire study FILE does it"
        raise ScenarioError([locate(root, ("scenario",), key=True).problem(("scenario",), message, of_key=True)])
    _fill_names(raw, name.lstrip(". ")[:100] or "scenario")
    fill_vary(Lenient(raw), around.base_folder)
    around, no_table = _with_own_devices(raw, around)
    scenario, wrong = _validate(raw, around)
    wrong = [*no_table, *(found for found in wrong if not no_table or found.path[-1:] != ("profile",))]
    told = {found.path for found in wrong}
    wrong += [Finding(path, message) for path, message in unused(parsed.raw(), raw) if path not in told]
    known = {problem.key_path for problem in problems}
    places = ((locate(root, found.path, key=found.at_key), found) for found in wrong)
    judged = [where.problem(found.path, found.message, of_key=found.at_key) for where, found in places]
    problems += [problem for problem in judged if problem.key_path not in known]
    if problems or scenario is None:
        raise ScenarioError(problems)
    scenario.ask_for_code()
    return scenario


def _with_own_devices(raw: dict[str, Raw], around: Surroundings) -> tuple[Surroundings, list[Finding]]:
    """Where profiles are looked up when the scenario brings a table of its own, and what is wrong with that table."""
    name = Lenient(raw).read(to_text, "device_catalog")
    path = None if name is None else find_path(name, around.base_folder)
    if path is None:
        return around, []
    try:
        own = extended(path)
    except ValueError as error:
        return around, [Finding(("device_catalog",), str(error))]
    return replace(around, find_profile=lambda name: find(name, own)), []


def _mapping(root: Node) -> Mapping:
    """The top level, which must be a mapping."""
    if isinstance(root, Mapping):
        return root
    raw = root.raw()
    message = "is empty" if raw is None else f"must be a mapping at the top level, got {show(raw)}"
    keys = ", ".join(name for name, field in Scenario.model_fields.items() if field.is_required())
    raise ScenarioError([root.where.problem((), f"{message}; a scenario has at least the keys {keys}")])


def _validate(raw: dict[str, Raw], around: Surroundings) -> tuple[Scenario | None, list[Finding]]:
    """The scenario if it is sound by itself, and everything wrong, one finding for each key path."""
    found: dict[KeyPath, Finding] = {}
    scenario = None
    try:
        scenario = Scenario.model_validate(raw, context=around)
    except ValidationError as error:
        for finding in explain(error, Scenario):
            found.setdefault(finding.path, finding)
    for path, message in findings(raw, around.base_folder):
        found.setdefault(path, Finding(path, message))
    return scenario, told_once(found.values())


def _fill_names(raw: dict[str, Raw], name: str) -> None:
    """Name the scenario and the groups that have no name."""
    if raw.get("name") is None:
        raw["name"] = name
    devices = raw.get("devices")
    groups = [group for group in devices if isinstance(group, dict)] if isinstance(devices, list) else []
    names = [group.get("name") for group in groups]
    profiles = [group.get("profile") for group in groups]
    filled = default_names(
        [name if isinstance(name, str) else None for name in names],
        [profile if isinstance(profile, str) else "" for profile in profiles],
    )
    for group, given, default in zip(groups, names, filled, strict=True):
        if given is None:
            group["name"] = default
