"""The types of a scenario's fields: each reads a word of the file, a text, or a Python value in SI.

Every refusal is a ``ValueError`` with one sentence. Floats are SI: bits per second, seconds, bytes, watts, fractions.
Fields with units are written back with units when a model is dumped as JSON (``model_dump(mode="json")``).
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationInfo

from netmodels.wireless import LEAST_DISTANCE_M
from simulator.scenario.paths import find_path, resolve_model
from simulator.scenario.units import (
    DURATION,
    FREQUENCY,
    LENGTH,
    LEVEL,
    NUMBER,
    POWER,
    RATE,
    SIZE,
    Kind,
    exact,
    format_share,
    parse_share,
)
from simulator.scenario.words import Word, show, unknown
from simulator.workload import ALL_TARGETS, in_order

MAX_WHOLE: Final = 2**63 - 1  # what an int64 holds
DIGITS: Final = re.compile("[+-]?[0-9]+")
SCENARIO_NAME: Final = re.compile(r"[^\s./\\][^/\\\x00-\x1f]{0,99}")
GROUP_NAME: Final = re.compile(r"[a-z0-9-]+")
LINK_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")

T = TypeVar("T")
Number = TypeVar("Number", int, float)
Validator = Callable[[object], T]


class Section(BaseModel):
    """A mapping of the scenario: frozen, and no key that nobody asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What validation needs from outside the text; given as the validation context."""

    base_folder: Path  # where relative paths begin
    find_profile: Callable[[str], object]  # raises ValueError for an unknown profile
    source_path: Path | None = None  # the scenario's file
    overrides: tuple[object, ...] = ()  # what was changed in it, as `overrides.override` takes them


def catalogue_profile(name: str) -> object:
    """Look a profile up in the device catalogue; raises ``ValueError`` with a guess."""
    from devices.catalog import find  # noqa: PLC0415 -- read only when a scenario is

    return find(name)


def surroundings(info: ValidationInfo) -> Surroundings:
    """What ``load`` gave as context; a model made by hand lives in the working directory."""
    context = info.context
    return context if isinstance(context, Surroundings) else Surroundings(Path.cwd(), catalogue_profile)


def to_number(value: object) -> float:
    """A finite float from a plain word or a Python number."""
    if isinstance(value, Word):
        return exact(value)
    if isinstance(value, str) and NUMBER.fullmatch(value):
        raise ValueError(f"must be a number, got the text {show(value)}; remove the quotes")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"must be a number, got {show(value)}")
    if not math.isfinite(value):
        raise ValueError(f"must be finite, got {show(value)}")
    return float(value)


def to_whole(value: object) -> int:
    """An int from a plain word (``1e3`` is 1000, ``010`` is 10) or a Python number without a fraction."""
    try:
        number = to_number(value)
    except ValueError as error:
        raise ValueError(str(error).replace("must be a number", "must be a whole number")) from None
    if not number.is_integer():
        raise ValueError(f"must be a whole number, got {_given(value)}")
    digits = str(value)
    exactly = int(digits) if abs(number) < 1e20 and DIGITS.fullmatch(digits) else int(number)
    if abs(exactly) > MAX_WHOLE:
        raise ValueError(f"must be at most {MAX_WHOLE}, got {_given(value)}")
    return exactly


def to_text(value: object) -> str:
    """A text: any scalar but null."""
    if not isinstance(value, str):
        raise ValueError(f"must be a text, got {show(value)}")
    return str(value)


def bounded(
    read: Validator[Number],
    *,
    minimum: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> Validator[Number]:
    """A reader whose values have bounds; the refusal says which."""

    def validate(value: object) -> Number:
        result = read(value)
        if minimum is not None and result < minimum:
            raise ValueError(f"must be >= {minimum}, got {_given(value)}")
        if above is not None and result <= above:
            raise ValueError(f"must be > {above}, got {_given(value)}")
        if below is not None and result >= below:
            raise ValueError(f"must be < {below}, got {_given(value)}")
        return result

    return validate


def quantity(kind: Kind) -> Validator[float]:
    """A reader of a quantity with a unit; a Python number is taken as SI."""

    def validate(value: object) -> float:
        if isinstance(value, str):
            return kind.parse(value)
        if value is None or isinstance(value, list | dict | bool):
            raise ValueError(f"must be {kind.article} {kind.name} such as '20 {kind.example}', got {show(value)}")
        return to_number(value)

    return validate


def share(value: object) -> float:
    """A part of a whole as a fraction, from ``40 %`` or 0.4."""
    if value is None or isinstance(value, list | dict | bool):
        raise ValueError(f"must be a share such as '40 %' or 0.4, got {show(value)}")
    result = parse_share(value) if isinstance(value, str) else to_number(value)
    if not 0 <= result <= 1:
        meant = f"; did you mean '{value} %'?" if 1 < result <= 100 and not str(value).endswith("%") else ""
        raise ValueError(f"must be in 0..1 (0 % to 100 %), got {_given(value)}{meant}")
    return result


def one_of(what: str, allowed: Iterable[str]) -> Validator[str]:
    """A reader of one of some words."""
    names = tuple(allowed)

    def validate(value: object) -> str:
        text = to_text(value)
        if text not in names:
            raise ValueError(unknown(what, text, names))
        return text

    return validate


def not_empty(value: object) -> object:
    """Refuse an empty list or mapping; pydantic's own bound counts only the entries that are sound."""
    if isinstance(value, list | tuple | Mapping) and not value:
        raise ValueError("must have at least one entry")
    return value


def betas(value: object) -> tuple[float, float]:
    """The two decay rates of Adam, each in [0, 1)."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        got = f"a list of {len(value)}" if isinstance(value, list | tuple) else show(value)
        raise ValueError(f"must be a list of two numbers such as [0.9, 0.999], got {got}")
    first, second = (bounded(to_number, minimum=0, below=1)(part) for part in value)
    return first, second


def targets(value: object) -> tuple[str, ...]:
    """The LoRA targets, in the order in which a forward pass meets them."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be a list of projections such as [c_attn] or [q, v], got {show(value)}")
    return in_order([to_text(part) for part in value], ALL_TARGETS)


def existing_path(value: object, info: ValidationInfo) -> str:
    """An existing file or folder as an absolute path: beside the scenario first, then in the working directory."""
    text = to_text(value)
    base = surroundings(info).base_folder
    path = find_path(text, base)
    if path is None:
        raise ValueError(f"{show(text)} does not exist (looked in {str(base)!r} and in {str(Path.cwd())!r})")
    return str(path)


def profile(value: object, info: ValidationInfo) -> str:
    """A profile that the catalogue knows, as it was written."""
    text = to_text(value)
    surroundings(info).find_profile(text)
    return text


def model_name(value: object, info: ValidationInfo) -> str:
    """A known model, a hub name, or a folder as an absolute path."""
    return resolve_model(to_text(value), surroundings(info).base_folder)


def matching(pattern: re.Pattern[str], wanted: str) -> Validator[str]:
    """A reader of a text of some form."""

    def validate(value: object) -> str:
        text = to_text(value)
        if not pattern.fullmatch(text):
            raise ValueError(f"{wanted}, got {show(text)}")
        return text

    return validate


def _given(value: object) -> str:
    """A refused value; numbers are quoted without quotation marks."""
    return str(value) if isinstance(value, Word) and NUMBER.fullmatch(value) else show(value)


class Table(Mapping[str, T]):
    """A mapping that cannot change, with the equality of a dict; can be pickled."""

    __slots__ = ("_entries",)

    def __init__(self, entries: Mapping[str, T]) -> None:
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> T:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __hash__(self) -> int:
        return hash(frozenset(self._entries.items()))

    def __repr__(self) -> str:
        return repr(self._entries)


def _written(kind: Kind) -> PlainSerializer:
    return PlainSerializer(kind.format, return_type=str, when_used="json-unless-none")


Rate = Annotated[float, BeforeValidator(bounded(quantity(RATE), above=0)), _written(RATE)]
Duration = Annotated[float, BeforeValidator(bounded(quantity(DURATION), minimum=0)), _written(DURATION)]
Span = Annotated[float, BeforeValidator(bounded(quantity(DURATION), above=0)), _written(DURATION)]
Size = Annotated[float, BeforeValidator(bounded(quantity(SIZE), above=0)), _written(SIZE)]
Frequency = Annotated[float, BeforeValidator(bounded(quantity(FREQUENCY), above=0)), _written(FREQUENCY)]
Radius = Annotated[float, BeforeValidator(bounded(quantity(LENGTH), above=LEAST_DISTANCE_M)), _written(LENGTH)]
Decibels = Annotated[float, BeforeValidator(bounded(quantity(LEVEL), minimum=0)), _written(LEVEL)]
Power = Annotated[float, BeforeValidator(bounded(quantity(POWER), minimum=0)), _written(POWER)]
_AS_SHARE = PlainSerializer(format_share, return_type=str, when_used="json-unless-none")
Share = Annotated[float, BeforeValidator(bounded(share, above=0)), _AS_SHARE]
Part = Annotated[float, BeforeValidator(share), _AS_SHARE]
Loss = Annotated[float, BeforeValidator(bounded(share, below=1)), _AS_SHARE]
Switch = Annotated[Literal["on", "off"], BeforeValidator(one_of("switch", ("on", "off")))]
Count = Annotated[int, BeforeValidator(bounded(to_whole, minimum=1))]
Natural = Annotated[int, BeforeValidator(bounded(to_whole, minimum=0))]
Tokens = Annotated[int, BeforeValidator(bounded(to_whole, minimum=2))]
Positive = Annotated[float, BeforeValidator(bounded(to_number, above=0))]
NonNegative = Annotated[float, BeforeValidator(bounded(to_number, minimum=0))]
NotEmpty = BeforeValidator(not_empty)
Betas = Annotated[tuple[float, float], BeforeValidator(betas)]
Targets = Annotated[tuple[str, ...], BeforeValidator(targets)]
Text = Annotated[str, BeforeValidator(to_text)]
ExistingPath = Annotated[str, BeforeValidator(existing_path)]
ProfileName = Annotated[str, BeforeValidator(profile)]
ModelName = Annotated[str, BeforeValidator(model_name)]
_SCENARIO_NAME = "must be fit for a folder's name (no slash, not a dot first, at most 100 characters)"
ScenarioName = Annotated[str, BeforeValidator(matching(SCENARIO_NAME, _SCENARIO_NAME))]
GroupName = Annotated[str, BeforeValidator(matching(GROUP_NAME, "must be made of a-z, 0-9 and '-'"))]
LinkName = Annotated[str, BeforeValidator(matching(LINK_NAME, "a name is made of letters, digits, '-' and '_'"))]
