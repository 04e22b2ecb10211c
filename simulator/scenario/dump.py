"""A scenario as YAML text with nothing left silent; reading it gives the same scenario."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel

from simulator.scenario.fields import Writer
from simulator.scenario.model import Scenario
from simulator.scenario.units import number_text

SAFE: Final = re.compile(r"[A-Za-z0-9_/.][A-Za-z0-9_ ./%+-]*[A-Za-z0-9_/.%]|[A-Za-z0-9]")


def dump(scenario: Scenario) -> str:
    """Every key with its value, units written out."""
    return "\n".join(_section(scenario, 0)) + "\n"


def _section(section: BaseModel, depth: int) -> Iterator[str]:
    for name, field in type(section).model_fields.items():
        writer = next((item.write for item in field.metadata if isinstance(item, Writer)), None)
        yield from _entry(name, getattr(section, name), depth, writer)


def _entry(key: str, value: Any, depth: int, writer: Any = None) -> Iterator[str]:  # noqa: ANN401 -- any field
    pad = "  " * depth
    if isinstance(value, BaseModel):
        yield f"{pad}{key}:"
        yield from _section(value, depth + 1)
    elif isinstance(value, dict):
        yield f"{pad}{key}:" if value else f"{pad}{key}: {{}}"
        for name, item in value.items():
            yield from _entry(_text(name), item, depth + 1)
    elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        yield f"{pad}{key}:"
        for item in value:
            lines = list(_section(item, depth + 2))
            yield f"{pad}  - {lines[0].lstrip()}"
            yield from lines[1:]
    elif isinstance(value, tuple):
        yield f"{pad}{key}: [{', '.join(_scalar(item) for item in value)}]"
    else:
        yield f"{pad}{key}: {_scalar(value, writer)}"


def _scalar(value: Any, writer: Any = None) -> str:  # noqa: ANN401 -- any scalar
    if value is None:
        return "null"
    if isinstance(value, str):
        return _text(value)
    if writer is not None:
        return str(writer(value))
    return number_text(value) if isinstance(value, float) else str(value)


def _text(text: str) -> str:
    """A string, quoted unless it is plain and cannot be taken for null."""
    plain = SAFE.fullmatch(text) and text.lower() not in {"null", "true", "false", "yes", "no", "on", "off"}
    return text if plain and not text[0].isdigit() else f'"{"".join(map(_quoted, text))}"'


def _quoted(character: str) -> str:
    """One character inside double quotes; whatever does not print becomes an escape that YAML knows."""
    if character in '"\\':
        return f"\\{character}"
    return character if character.isprintable() else f"\\U{ord(character):08x}"
