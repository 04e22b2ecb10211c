"""One direction of a link between two places, as a value that can be checked with a pocket calculator."""

import math
from dataclasses import dataclass

from netmodels.capacity import Capacity, Constant

_PREFIXES = ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s"))


@dataclass(frozen=True, slots=True, repr=False)
class Link:
    """A link in one direction, shared by the flows that cross it.

    `capacity` counts bits of IP packets per second (what is left for payload is a matter of the transport model),
    `latency_s` is one-way propagation, paid once per message, `loss_probability` is that of an IP packet, independent
    from one packet to the next.
    Raises ValueError for a negative or not finite latency and for a loss outside [0, 1).
    Not modelled: queues (and the delay that they add), bursts of loss, half-duplex radio, medium access.
    """

    name: str
    capacity: Capacity
    latency_s: float = 0.0
    loss_probability: float = 0.0

    def __post_init__(self) -> None:
        if not hasattr(self.capacity, "next_change_s"):  # a runtime-checked Protocol would cost 10 us a link
            raise ValueError(f"link {self.name!r}: capacity must be a Capacity such as Constant, got {self.capacity!r}")
        if not 0 <= self.latency_s < math.inf:
            raise ValueError(f"link {self.name!r}: latency_s must be finite and >= 0, got {self.latency_s!r}")
        if not 0 <= self.loss_probability < 1:
            raise ValueError(f"link {self.name!r}: loss_probability must be in [0, 1), got {self.loss_probability!r}")

    def __repr__(self) -> str:
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
