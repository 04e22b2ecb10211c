"""The section ``study:`` of a scenario: what is varied when it is studied. A run does not read it."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator

from simulator.scenario.fields import Count, Natural, NotEmpty, Positive, Section, Switch, Table, Text, one_of, to_whole
from simulator.scenario.values import flow, interval, values
from simulator.scenario.words import Word, show

SCALES: Final = ("linear", "log")


def read_values(given: object) -> tuple[str, ...]:
    """Values as texts: from a list, or from one text such as ``1,5,20 Mbit/s`` or ``1..11``."""
    if isinstance(given, list | tuple):
        return values(",".join(flow(each) for each in given)) if given else ()
    if not isinstance(given, str):
        raise ValueError(f"must be a list of values, or a text such as 1,5,20 Mbit/s or 1..11, got {show(given)}")
    return values(given)


def read_settings(given: object) -> object:
    """Values of a variant's keys as texts; what is no mapping is left to its own refusal."""
    return {key: flow(value) for key, value in given.items()} if isinstance(given, dict) else given


def read_draw(given: object) -> object:
    """Allow a range's text, or a list to choose from, in place of its mapping."""
    if isinstance(given, str):
        return {"range": given}
    return {"choices": given} if isinstance(given, list) else given


def read_seeds(given: object) -> tuple[int, ...]:
    """Allow ``1,2,3`` and ``1..5`` in place of a list."""
    return tuple(to_whole(Word(each)) for each in read_values(str(given) if isinstance(given, int) else given))


Values = Annotated[tuple[str, ...], NotEmpty, BeforeValidator(read_values)]
_AS_DICT = PlainSerializer(dict, when_used="json")


class Draw(Section):
    """What one key is drawn from."""

    range: Text | None = Field(default=None, description="such as 1..100 Mbit/s; whole numbers stay whole: 1..11")
    choices: Values | None = Field(default=None, description="instead of a range: values, each as likely as any other")
    scale: Annotated[Literal["linear", "log"], BeforeValidator(one_of("scale", SCALES))] = Field(
        default="linear", description="log: a range is as likely from 1 to 10 as from 10 to 100"
    )

    @model_validator(mode="after")
    def _is_one_of_both(self) -> "Draw":
        if (self.range is None) == (self.choices is None):
            raise ValueError("needs either a range such as 1..100 Mbit/s or choices")
        if self.range is not None:
            span = interval(self.range)
            if span is None:
                raise ValueError(f"is not a range such as 1..100 Mbit/s or 1..11: {show(self.range)}")
            if self.scale == "log" and span.low <= 0:
                raise ValueError(f"a log scale needs a range above 0, got {show(self.range)}")
        elif self.scale == "log":
            raise ValueError("scale: log needs a range")
        return self


def _plain_draws(table: Mapping[str, Draw]) -> dict[str, object]:
    return {key: draw.model_dump(mode="json", exclude_none=True) for key, draw in table.items()}


class Random(Section):
    """Draws of several keys at once."""

    draws: Count = Field(description="number of draws")
    seed: Natural = Field(default=1, description="of the draws; each key has a stream of its own")
    ranges: Annotated[
        Mapping[str, Annotated[Draw, BeforeValidator(read_draw)]],
        NotEmpty,
        AfterValidator(Table),
        PlainSerializer(_plain_draws, when_used="json"),
    ] = Field(description="for each key a range, a list to choose from, or a mapping with a scale")


def _plain_variants(table: Mapping[str, Mapping[str, str]]) -> dict[str, object]:
    return {name: dict(settings) for name, settings in table.items()}


Variant = Annotated[Mapping[str, str], BeforeValidator(read_settings), AfterValidator(Table)]


class Study(Section):
    """What is varied: a grid, random draws, named variants; all that is given is crossed with each other."""

    grid: Annotated[Mapping[str, Values], AfterValidator(Table), _AS_DICT] = Field(
        default=Table({}), description="for each key its values: a list, or a text such as 1,5,20 Mbit/s or 1..11"
    )
    random: Random | None = Field(default=None, description="draws of several keys at once; null: none")
    variants: Annotated[
        Mapping[str, Variant], AfterValidator(Table), PlainSerializer(_plain_variants, when_used="json")
    ] = Field(default=Table({}), description="for each name the keys that it changes; {} is the scenario as it is")
    seeds: Annotated[tuple[Natural, ...], BeforeValidator(read_seeds)] = Field(
        default=(), description="the seeds of every variant, the same for all; empty: the scenario's own"
    )
    train: Switch = Field(default="off", description="on: as with `study --train`, perplexities too; off: times alone")
    target: Positive | None = Field(
        default=None, description="perplexity whose time is compared; null: the lowest that all trained cells reach"
    )
