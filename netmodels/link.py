"""One direction of a link between two places, as a value that can be checked with a pocket calculator."""

import math
from dataclasses import dataclass
from typing import Final, Literal

from netmodels.capacity import Capacity, Constant

Airtime = Literal["equal-rates", "equal-times"]
AIRTIME: Final[tuple[Airtime, ...]] = ("equal-rates", "equal-times")
_PREFIXES = ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s"))


@dataclass(frozen=True, slots=True, repr=False)
class Link:
    """A link in one direction, shared by the flows that cross it.

    `capacity` counts bits of IP packets per second (what is left for payload is a matter of the transport model),
    `latency_s` is one-way propagation, paid once per message, `loss_probability` is that of an IP packet, independent
    from one packet to the next.

    With `airtime` the link is the time of a radio cell: `capacity` is the share of it that may be used (1 is all of
    it, less leaves room for others), and a flow uses rate / (present capacity of its radio link). The radio link is the
    one on the flow's route whose `radio_in` names the cell; its capacity is what that phone would get from the cell
    alone. "equal-rates" gives flows equal rates, so that a far phone slows everybody down; "equal-times" gives them
    equal times, so that each of n phones gets 1/n of its own rate (what a proportionally fair scheduler of LTE or 5G
    comes to, Tse and Viswanath, Fundamentals of Wireless Communication, 6.7.1).

    Raises ValueError for a negative or not finite latency, for a loss outside [0, 1), for an unknown kind of airtime,
    for airtime above 1, and for a cell that is a radio link of another one.
    Not modelled: queues (and the delay that they add), bursts of loss, collisions and back-off on a radio channel.
    """

    name: str
    capacity: Capacity
    latency_s: float = 0.0
    loss_probability: float = 0.0
    airtime: Airtime | None = None
    radio_in: str | None = None

    def __post_init__(self) -> None:
        if not hasattr(self.capacity, "next_change_s"):  # a runtime-checked Protocol would cost 10 us a link
            raise ValueError(f"link {self.name!r}: capacity must be a Capacity such as Constant, got {self.capacity!r}")
        if not 0 <= self.latency_s < math.inf:
            raise ValueError(f"link {self.name!r}: latency_s must be finite and >= 0, got {self.latency_s!r}")
        if not 0 <= self.loss_probability < 1:
            raise ValueError(f"link {self.name!r}: loss_probability must be in [0, 1), got {self.loss_probability!r}")
        if self.airtime is not None:
            self._check_airtime()

    def _check_airtime(self) -> None:
        if self.airtime not in AIRTIME:
            raise ValueError(f"link {self.name!r}: airtime must be one of {', '.join(AIRTIME)}, got {self.airtime!r}")
        if self.capacity.peak_bps > 1:
            raise ValueError(
                f"link {self.name!r}: the capacity of airtime is a share of time, at most 1, got {self.capacity!r}; "
                f"bits per second belong to the radio links in it"
            )
        if self.radio_in is not None:
            raise ValueError(f"link {self.name!r}: airtime cannot be a radio link (radio_in) as well")

    def __repr__(self) -> str:
        if self.airtime is not None:
            return f"<Link {self.name} airtime, {self.airtime} {self.latency_s * 1e3:g} ms>"
        constant = isinstance(self.capacity, Constant)
        bandwidth = ("" if constant else "up to ") + format_bps(self.capacity.peak_bps)
        loss = f" loss {self.loss_probability:g}" if self.loss_probability else ""
        return f"<Link {self.name} {bandwidth} {self.latency_s * 1e3:g} ms{loss}>"


def format_bps(bps: float) -> str:
    """Bits per second for people: `20 Mbit/s`."""
    for unit, label in _PREFIXES:
        if bps >= unit:
            return f"{bps / unit:g} {label}"
    return f"{bps:g} bit/s"
