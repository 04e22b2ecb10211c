"""Makes docs/scenario.md from the models that read a scenario: ``python docs/make_reference.py``."""

from __future__ import annotations

import types
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel, PlainSerializer
from pydantic_core import PydanticUndefined

from devices.catalog import ALIASES
from simulator.scenario import Scenario, dump, load
from simulator.scenario.units import DURATION, LEVEL

KINDS = {"latency": DURATION, "shadowing": LEVEL, "margin": LEVEL}  # of nested sections; others are read from a dump
ROOT = Path(__file__).parents[1]
HEAD = """# Every key of a scenario

Made by `python docs/make_reference.py`. Quantities carry units: `20 Mbit/s`, `50 ms`, `4 GiB`, `40 %`; a bare number is
refused where a unit is expected. `--set devices.2.profile=phone-low` goes through the same door as the file. A key
without a default is required. `NAME` stands for a name of your own, `devices[]` for each group.

| key | default | meaning |
|---|---|---|
"""


def rows(section: type[BaseModel], path: str) -> list[str]:
    lines: list[str] = []
    for name, field in section.model_fields.items():
        key = field.alias or name
        here = f"{path}.{key}" if path else key
        inner, suffix = section_in(field.annotation)
        if inner is not None:
            note = field.description or (inner.__doc__ or "").splitlines()[0]
            lines.append(f"| **{here}{suffix}** | {'' if field.is_required() else 'has one'} | {note} |")
            lines += rows(inner, here + suffix)
        else:
            lines.append(f"| {here} | {default_text(section, name)} | {field.description or ''} |")
    return lines


def section_in(kind: Any) -> tuple[type[BaseModel] | None, str]:
    """The section inside an optional, a list or a mapping, and how its place is written."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind, ""
    origin = typing.get_origin(kind)
    arguments = [each for each in typing.get_args(kind) if each not in {type(None), ...}]
    if origin is typing.Annotated or origin in {types.UnionType, typing.Union}:
        found = [section_in(each) for each in arguments]
        return next((each for each in found if each[0] is not None), (None, ""))
    if origin in {tuple, list} and arguments:
        inner, suffix = section_in(arguments[0])
        return inner, f"[]{suffix}" if inner else ""
    if origin is dict or (origin is not None and "Mapping" in str(origin)):
        inner, suffix = section_in(arguments[-1])
        return inner, f".NAME{suffix}" if inner else ""
    return None, ""


def default_text(section: type[BaseModel], name: str) -> str:
    field = section.model_fields[name]
    if field.is_required() or field.get_default(call_default_factory=False) is PydanticUndefined:
        return ""
    value = field.get_default(call_default_factory=False)
    if name == "name":
        return "the file's name"
    if name in KINDS and value is not None:
        return f"`{KINDS[name].format(value)}`"
    for part in field.metadata:  # numbers as a file writes them, with their unit
        if isinstance(part, PlainSerializer) and isinstance(value, float):
            return f"`{part.func(value)}`"
    written = WRITTEN.get((section.__name__, name))
    return f"`{written}`" if written is not None else f"`{'null' if value is None else value}`"


def written_defaults() -> dict[tuple[str, str], str]:
    """Defaults as a scenario file writes them, units included: from a scenario that sets nothing."""
    path = ROOT / "docs" / ".smallest.yaml"
    path.write_text(
        "name: x\ndevices: [{name: a, profile: phone-mid, count: 1, access: l}]\n"
        "network: {access: {l: {up: 1 Mbit/s, down: 1 Mbit/s, latency: 0 s}}}\n"
    )
    lines = dump(load(path)).splitlines()
    path.unlink()
    found, owner = {}, "Scenario"
    owners = {name: section_in(field.annotation)[0] for name, field in Scenario.model_fields.items()}
    for line in lines:
        key, _, value = line.strip().removeprefix("- ").partition(": ")
        if not line.startswith(" "):
            section = owners.get(key.rstrip(":"))
            owner = section.__name__ if section and not value else "Scenario"
        if value and line.startswith("  ") and not line.startswith("    "):
            found[owner, key] = value
        elif value and not line.startswith(" "):
            found["Scenario", key] = value
    return found


WRITTEN = written_defaults()


def main() -> None:
    aliases = "\n".join(f"- `{alias}`: {device}" for alias, device in ALIASES.items())
    tail = (
        "\n## Classes of devices\n\n"
        f"Every id of `devices/catalog.csv` is a profile, and these names stand for one:\n\n{aliases}\n"
    )
    (ROOT / "docs" / "scenario.md").write_text(HEAD + "\n".join(rows(Scenario, "")) + "\n" + tail)


if __name__ == "__main__":
    main()
