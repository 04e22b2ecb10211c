"""The ``availability`` section: when the devices of a group are there, by name.

Times are seconds, times of day seconds after midnight.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, Field, PlainSerializer, model_validator

from devices.availability import DAY_S, read_trace
from simulator.scenario.fields import (
    Duration,
    ExistingPath,
    LinkName,
    NonNegative,
    Part,
    Power,
    Section,
    Share,
    Span,
    Switch,
    Table,
)
from simulator.scenario.units import DURATION


def _before_midnight(value: float) -> float:
    if value >= DAY_S:
        raise ValueError(f"must be a time of day, less than '24 h', got '{DURATION.format(value)}'")
    return value


TimeOfDay = Annotated[Duration, AfterValidator(_before_midnight)]


class Charging(Section):
    """The window of every day in which a device is plugged in and idle."""

    start: TimeOfDay = Field(description="time of day at which an average device is plugged in")
    end: TimeOfDay = Field(description="time of day at which it is unplugged; before start: on the next day")
    spread: Duration = Field(
        default=0.0, description="standard deviation of each device's own shift (habit, time zone)"
    )
    jitter: Duration = Field(
        default=0.0, description="standard deviation of a start and an end from one day to the next"
    )
    power: Power = Field(default=10.0, description="what the charger gives the battery; read by min_battery only")
    days: Share = Field(default=1.0, description="share of days on which a device is plugged in at all")

    @model_validator(mode="after")
    def _has_a_length(self) -> "Charging":
        if self.start == self.end:
            raise ValueError("start and end must differ; leave charging out for devices that are always there")
        return self


class Sessions(Section):
    """Times on and off in turn, of exponential length."""

    on: Span = Field(description="mean time for which a device is there")
    off: Span = Field(description="mean time for which it is not")


class Availability(Section):
    """When devices are there; what is given holds together: a device is there when all of it says so."""

    charging: Charging | None = Field(default=None, description="plugged in and idle, once a day")
    only_while_charging: Switch = Field(default="on", description="on: there in the charging window only; off: always")
    min_battery: Share | None = Field(default=None, description="a round is begun only with so full a battery")
    battery: Share = Field(default=0.8, description="how full batteries are at the start; read by min_battery only")
    battery_spread: Part = Field(default=0.0, description="sigma of that from device to device")
    sessions: Sessions | None = Field(default=None, description="on and off in turn")
    trace: ExistingPath | None = Field(
        default=None, description="CSV with the columns device, from_s, to_s; dealt out to the devices in turn"
    )
    repeat: Duration | None = Field(
        default=None, description="period after which the trace comes again; 0 s: at its last end; null: never"
    )
    dropouts_per_hour: NonNegative = Field(
        default=0.0, description="rate at which a device at work drops out of a round"
    )

    @model_validator(mode="after")
    def _trace_is_sound(self) -> "Availability":
        if self.trace is not None:
            read_trace(Path(self.trace), period_s=self.repeat)
        elif self.repeat is not None:
            raise ValueError("repeat is read only with a trace")
        return self


def _plain(table: Mapping[str, Section]) -> dict[str, object]:
    return {name: section.model_dump(mode="json") for name, section in table.items()}


Classes = Annotated[
    Mapping[LinkName, Availability],
    AfterValidator(Table),
    PlainSerializer(_plain, when_used="json"),
]
NO_CLASSES: Final[Table[Availability]] = Table({})
