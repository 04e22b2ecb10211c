"""Writes splits and ranks into the text of a scenario; every other character, comments too, stays as it is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from simulator.scenario import Scenario, ScenarioError, loads
from simulator.scenario.reader import read_text
from simulator.whatif.plan_space import Cut, with_cuts

BY_HAND: Final = "set devices[i].split by hand"

Edit = tuple[int, int, str]  # from where to where in the text, and what stands there instead

CUT_OF_GROUP: Final = re.compile(r"\s*devices(?:\.([0-9]+)|\[([0-9]+)\])\.(split|rank)\s*=")


def kept(overrides: Sequence[str]) -> list[str]:
    """The overrides that a written scenario still needs: all but splits and ranks of groups."""
    return [each for each in overrides if not CUT_OF_GROUP.match(each)]


def settings(scenario: Scenario, choice: Mapping[str, Cut]) -> dict[tuple[int, str], int]:
    """What must be said of the groups, by their number and the key, so that they have these splits and ranks."""
    said: dict[tuple[int, str], int] = {}
    for number, group in enumerate(scenario.groups):
        cut = choice[group.name]
        said |= {(number, "split"): cut.split} if cut.split != group.split else {}
        said |= {(number, "rank"): cut.rank} if cut.rank != group.rank else {}
    return said


def rewritten(text: str, said: Mapping[tuple[int, str], int]) -> str:
    """The scenario's text with these values for ``devices[number].key``.

    A key that is there gets another value; one that is not is put before the group's first key, or its second in
    braces. Raises ValueError where the groups are not written out in the text.
    """
    root = YAML(typ="rt", pure=True).compose(text)
    edits: list[Edit] = []
    for (number, key), value in said.items():
        group = _group(root, number)
        if group is None:
            raise ValueError(
                f"devices[{number}] is not written out in the scenario, so its {key} cannot be set there; {BY_HAND}"
            )
        edits.append(_edit(text, group, key, value))
    for start, end, new in sorted(edits, key=lambda edit: edit[0])[::-1]:  # from the end; of one place the last first
        text = f"{text[:start]}{new}{text[end:]}"
    return text


def _group(root: Node | None, number: int) -> MappingNode | None:
    """Where a group is written; None where it is not, or only as an alias."""
    pairs = root.value if isinstance(root, MappingNode) else []
    groups = next((value for key, value in pairs if key.value == "devices"), None)
    if not isinstance(groups, SequenceNode) or number >= len(groups.value):
        return None
    group = groups.value[number]
    alone = sum(each is group for each in groups.value) == 1  # no alias
    return group if alone and isinstance(group, MappingNode) and group.value else None


def _edit(text: str, group: MappingNode, key: str, value: int) -> Edit:
    for name, old in group.value:
        if name.value == key and isinstance(old, ScalarNode):
            if old.value == "":  # nothing stands there, or an empty text
                colon = text.index(":", name.end_mark.index) + 1
                return colon, max(colon, old.end_mark.index if old.style else colon), f" {value}"
            return old.start_mark.index, old.end_mark.index, str(value)
    before = group.value[1 if group.flow_style and len(group.value) > 1 else 0][0].start_mark
    end = ", " if group.flow_style else f"{_line_end(text)}{' ' * before.column}"
    return before.index, before.index, f"{key}: {value}{end}"


def _line_end(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def check_out(out: Path, source: Path) -> None:
    """Refuse to write over anything; ValueError."""
    if out.resolve() == source.resolve():
        raise ValueError(f"--out {out}: is the scenario itself; name another file")
    if out.exists():
        raise ValueError(f"--out {out}: is there already; name another file, or remove it")
    if not out.resolve().parent.is_dir():
        raise ValueError(f"--out {out}: there is no folder {out.parent}")


def write(scenario: Scenario, choice: Mapping[str, Cut], overrides: Sequence[str], out: Path) -> None:
    """Write the scenario with these splits and ranks, and make sure that it is read as just that.

    ``overrides`` are those with which the scenario was loaded; the new file needs `kept` of them. Raises ValueError
    where the file would be read as another scenario: it names files relative to a folder that is not that of ``out``,
    or its groups are not written out one by one.
    """
    source = scenario.source_path
    assert source is not None, "a plan is made from a file"
    text = read_text(source, str(source))
    text = rewritten(text, settings(loads(text, kept(overrides), base_folder=source.parent), choice))
    try:
        read = loads(text, kept(overrides), base_folder=out.resolve().parent)
    except ScenarioError as error:
        raise ValueError(
            f"--out {out}: would not be read ({error.problems[0]}); where the scenario names files relative to its "
            f"folder, write beside it, into {source.parent}"
        ) from None
    wanted = with_cuts(scenario, choice)
    if _same(read, wanted):
        out.write_text(text, "utf-8", newline="")
        return
    raise ValueError(f"--out {out}: the groups of {source} are not written out one by one; {BY_HAND}")


def _same(read: Scenario, wanted: Scenario) -> bool:
    """Equal but for the name, which may be the file's, and for what a group leaves to model and lora."""
    return _plain(read) == _plain(wanted)


def _plain(scenario: Scenario) -> Scenario:
    cuts = {group.name: Cut(group.split, group.rank) for group in scenario.groups}
    return with_cuts(scenario, cuts).model_copy(update={"name": ""})
