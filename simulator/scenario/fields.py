"""Types of a scenario's values: how each is read from the text of the file, and how it is written back."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BeforeValidator

from simulator.scenario.units import DURATION, RATE, SIZE, Kind, exact, format_share, number_text, parse_share
from simulator.scenario.words import Word, alternatives, show

NAME: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Writer:
    """How a value is written in a scenario file."""

    write: Callable[[Any], str]


def _text_of(value: object, what: str) -> str:
    """The text of a scalar; numbers from Python code are taken as their text."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"must be {what}, got {show(value)}")
    return str(value)


def _within(number: float, least: float | None, above: float | None, shown: str) -> None:
    if least is not None and not number >= least:
        raise ValueError(f"must be >= {least:g}, got {shown}")
    if above is not None and not number > above:
        raise ValueError(f"must be > {above:g}, got {shown}")


def quantity(kind: Kind, *, above: float | None = None) -> Any:  # noqa: ANN401 -- an Annotated form
    """A value with a unit, at least zero or above a bound."""

    def read(value: object) -> float:
        text = _text_of(value, f"{kind.article} {kind.name} such as '20 {kind.example}'")
        number = kind.parse(text) if isinstance(value, str) else exact(text)  # from Python code: SI already
        _within(number, 0.0 if above is None else None, above, f"'{value}'")
        return number

    return (BeforeValidator(read), Writer(kind.format))


def _plain(value: object, what: str) -> str:
    """The text of a number, which stands without quotes."""
    text = _text_of(value, what)
    if isinstance(value, str) and not isinstance(value, Word):
        raise ValueError(f"must be {what}, got the text {show(value)}")
    return text


def number(*, least: float | None = None, above: float | None = None) -> Any:  # noqa: ANN401 -- an Annotated form
    """A plain number without a unit."""

    def read(value: object) -> float:
        parsed = exact(_plain(value, "a number"))
        _within(parsed, least, above, str(value))
        return parsed

    return (BeforeValidator(read), Writer(number_text))


def whole(*, least: int) -> Any:  # noqa: ANN401 -- an Annotated form
    """A whole number; ``1e3`` and ``64.0`` are whole."""

    def read(value: object) -> int:
        parsed = exact(_plain(value, "a whole number"))
        if not parsed.is_integer():
            raise ValueError(f"must be a whole number, got {value}")
        _within(parsed, least, None, str(value))
        return int(str(value)) if re.fullmatch(r"\d+", str(value)) else int(parsed)

    return (BeforeValidator(read), Writer(str))


def share(*, most: float, strict: bool) -> Any:  # noqa: ANN401 -- an Annotated form
    """A part of a whole, 0..most or 0..most without its end."""

    def read(value: object) -> float:
        parsed = parse_share(_text_of(value, "a share such as '40 %' or 0.4"))
        if not (0 <= parsed < most if strict else 0 < parsed <= most):
            allowed = f"at least 0 and below {most:g}" if strict else f"above 0 and at most {most:g}"
            raise ValueError(f"must be a share {allowed}, got '{value}'")
        return parsed

    return (BeforeValidator(read), Writer(format_share))


def choice(what: str, *allowed: str) -> Any:  # noqa: ANN401 -- an Annotated form
    """One of some words."""

    def read(value: object) -> str:
        text = _text_of(value, f"one of {', '.join(allowed)}")
        if text not in allowed:
            raise ValueError(f"unknown {what} {show(text)}{alternatives(text, allowed)}")
        return text

    return BeforeValidator(read)


def optional(kind: Any) -> Any:  # noqa: ANN401 -- an Annotated form
    """The same, or null."""
    validator, writer = kind if isinstance(kind, tuple) else (kind, Writer(str))

    def read(value: object) -> object:
        return None if value is None else validator.func(value)

    return (BeforeValidator(read), writer)


def _read_text(value: object) -> str:
    text = _text_of(value, "a text")
    if not text.strip():
        raise ValueError("must not be empty")
    return text


def _read_name(value: object) -> str:
    text = _text_of(value, "a name")
    if not NAME.fullmatch(text):
        raise ValueError(f"must be a name of a-z, 0-9 and '-', got {show(text)}")
    return text


TEXT: Final = BeforeValidator(_read_text)
NAME_FORM: Final = BeforeValidator(_read_name)

Text = Annotated[str, TEXT]
OptionalText = Annotated[str | None, *optional(TEXT)]
Name = Annotated[str, NAME_FORM]
OptionalName = Annotated[str | None, *optional(NAME_FORM)]
Rate = Annotated[float, *quantity(RATE, above=0)]
OptionalRate = Annotated[float | None, *optional(quantity(RATE, above=0))]
Duration = Annotated[float, *quantity(DURATION)]
PositiveDuration = Annotated[float, *quantity(DURATION, above=0)]
Size = Annotated[float, *quantity(SIZE, above=0)]
Natural = Annotated[int, *whole(least=0)]
Count = Annotated[int, *whole(least=1)]
OptionalCount = Annotated[int | None, *optional(whole(least=1))]
OptionalNatural = Annotated[int | None, *optional(whole(least=0))]
Positive = Annotated[float, *number(above=0)]
NonNegative = Annotated[float, *number(least=0)]
Decay = Annotated[float, *share(most=1, strict=True)]
Loss = Annotated[float, *share(most=1, strict=True)]
OptionalShare = Annotated[float | None, *optional(share(most=1, strict=False))]
