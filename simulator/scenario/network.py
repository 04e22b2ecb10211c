"""The ``network`` section: access classes, cells, backhaul, and the links of the server and the aggregator.

What the keys of an access class demand of one another is in `simulator.scenario.access`.

Rates are bits per second, times seconds, losses fractions. Latency is one way. Names carry no unit because the types
(``Rate``, ``Duration``) do; the ``rates`` of a shared link are what to compute with.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator

from netmodels.link import AIRTIME, Airtime
from simulator.scenario.fields import (
    Count,
    Decibels,
    Duration,
    ExistingPath,
    Frequency,
    LinkName,
    Loss,
    NonNegative,
    NotEmpty,
    Positive,
    Radius,
    Rate,
    Section,
    Span,
    Table,
    Text,
    one_of,
)

NetworkModel = Literal["tcp", "tcp-fast", "pure"]
NETWORK_MODELS: Final[tuple[NetworkModel, ...]] = ("tcp", "tcp-fast", "pure")
VARY: Final = ("once", "ar1")


class Wireless(Section):
    """A radio channel by distance, shadowing and fading; the phones are spread evenly over the cell's area."""

    bandwidth: Frequency = Field(description="what the cell has for each direction")
    radius: Radius = Field(description="of the cell; phones are 35 m away at least")
    shadowing: Decibels = Field(default=8.0, description="sigma of each phone's own loss")
    margin: Decibels = Field(default=0.0, description="further loss of every phone: walls, bodies, interference")
    coherence: Span | None = Field(default=None, description="time between draws of Rayleigh fading; null: no fading")


class Access(Section):
    """A class of access links: what one device gets, each way apart.

    Either ``up`` and ``down``, or a link class, a trace or a radio channel, where a rate given beside it wins.
    """

    link_class: Text | None = Field(
        default=None,
        alias="class",
        description="class of `cli.py links`: each device draws its rates and round trip",
    )
    vary: Annotated[Literal["once", "ar1"], BeforeValidator(one_of("way to vary", VARY))] | None = Field(
        default=None,
        description="rates of a class: drawn once per device, or ar1, from second to second; null: as it was measured",
    )
    trace: ExistingPath | None = Field(
        default=None, description="a recording, or a folder of some that are dealt out in turn; see docs/network.md"
    )
    offset: Duration | None = Field(default=None, description="where in a trace devices begin; null: each elsewhere")
    wireless: Wireless | None = Field(default=None, description="a radio channel")
    up: Rate | None = Field(default=None, description="median rate from the device")
    down: Rate | None = Field(default=None, description="median rate to the device")
    latency: Duration | None = Field(default=None, description="one-way latency; null: half a class's round trip")
    loss: Loss = Field(default=0.0, description="share of packets lost, each way")
    spread: NonNegative = Field(default=0.0, description="lognormal sigma of each device's rates around up and down")
    up_factor: Positive = Field(
        default=1.0, description="multiplies the rates from the devices, however they are given"
    )
    down_factor: Positive = Field(default=1.0, description="multiplies the rates to the devices")
    latency_factor: NonNegative = Field(default=1.0, description="multiplies the latency")
    radio: Text | None = Field(
        default=None, description="class whose radio they pay for in joules; null: that of class, else unknown"
    )


class Pair(Section):
    """A shared link: either ``capacity``, that much in each direction, or both ``up`` and ``down``."""

    default_capacity: ClassVar[float | None] = None  # bits per second, where the scenario gives no rate

    capacity: Rate | None = Field(default=None, description="rate in each direction")
    up: Rate | None = Field(default=None, description="rate towards the server")
    down: Rate | None = Field(default=None, description="rate towards the devices")
    latency: Duration = Field(default=0.0, description="one-way latency")

    @model_validator(mode="before")
    @classmethod
    def _fill_capacity(cls, given: object) -> object:
        if not isinstance(given, Mapping) or any(given.get(key) is not None for key in ("capacity", "up", "down")):
            return given
        return {**given, "capacity": cls.default_capacity}

    @model_validator(mode="after")
    def _has_one_rate_each_way(self) -> "Pair":
        given = [key for key in ("capacity", "up", "down") if getattr(self, key) is not None]
        if self.by_airtime:
            if given:
                raise ValueError(f"airtime shares it at the rates of its devices' access links; leave out {given[0]}")
            return self
        if given not in (["capacity"], ["up", "down"]):
            got = " and ".join(given) or "none of them"
            raise ValueError(f"needs either capacity (that much each way) or both up and down, got {got}")
        return self

    @property
    def by_airtime(self) -> bool:
        """Whether it is a cell that is shared by time, not by bits."""
        return False

    @property
    def rates(self) -> tuple[float, float]:
        """Up and down in bits per second; all the time each way of a cell that is shared by airtime."""
        if self.by_airtime:
            return 1.0, 1.0
        up, down = (self.up, self.down) if self.capacity is None else (self.capacity, self.capacity)
        assert up is not None, "validated above"
        assert down is not None, "validated above"
        return up, down


class Cell(Pair):
    """A radio cell or access point, shared by the devices in it."""

    count: Count = Field(default=1, description="so many equal cells of that name; devices are dealt out in turn")
    airtime: Annotated[Airtime, BeforeValidator(one_of("airtime", AIRTIME))] | None = Field(
        default=None,
        description="instead of rates, time for its devices' access links: equal-times (LTE, 5G), equal-rates (Wi-Fi)",
    )

    @property
    def by_airtime(self) -> bool:
        """Whether it is shared by time, not by bits."""
        return self.airtime is not None


class ServerLink(Pair):
    """The server's own link."""

    default_capacity: ClassVar[float | None] = 10e9
    latency: Duration = Field(default=1e-3, description="one-way latency")


class AggregatorLink(Pair):
    """The aggregator's own link."""

    default_capacity: ClassVar[float | None] = 1e9
    latency: Duration = Field(default=1e-3, description="one-way latency")


def _plain(table: Mapping[str, Section]) -> dict[str, Any]:
    return {name: section.model_dump(mode="json", by_alias=True) for name, section in table.items()}


_AS_DICT = PlainSerializer(_plain, when_used="json")
_FROZEN = AfterValidator(Table)
_NO_CELLS: Final[Table[Cell]] = Table({})


class Network(Section):
    """How devices reach the server."""

    model: Annotated[NetworkModel, BeforeValidator(one_of("network model", NETWORK_MODELS))] = Field(
        default="tcp",
        description="tcp: handshake, windows, queues, losses; tcp-fast: no windows or queues after slow start; "
        "pure: max-min shares and latency only",
    )
    access: Annotated[Mapping[LinkName, Access], NotEmpty, _FROZEN, _AS_DICT] = Field(
        description="access classes by name"
    )
    cells: Annotated[Mapping[LinkName, Cell], _FROZEN, _AS_DICT] = Field(
        default=_NO_CELLS, description="shared cells by name"
    )
    backhaul: Pair | None = Field(default=None, description="one link that all devices share behind their cells")
    server: ServerLink = Field(default_factory=ServerLink, description="the server's link")
    aggregator: AggregatorLink = Field(default_factory=AggregatorLink, description="the aggregator's link")
