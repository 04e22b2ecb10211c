"""Transfers over a network: the fluid core played with the transport model. A data structure; the caller tells the time.

A transfer waits for its connection, sends its windows while slow start lasts, then the rest at its share, and is
delivered one latency after its last bit has left. Sizes are payload bytes; links carry `Tcp.wire_bytes` of them.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count

from netmodels.flows import Flows, slack_s
from netmodels.link import Link
from netmodels.tcp import Tcp


@dataclass(frozen=True, slots=True)
class Completion:
    """A transfer whose last bit left the sender at `sent_s` and is with the receiver at `delivered_s`, in seconds."""

    flow_id: Hashable
    sent_s: float
    delivered_s: float


@dataclass(frozen=True, slots=True)
class _Path:
    """What a route costs: one-way latency, packet loss, and the most wire bits per second that a lone flow can get."""

    latency_s: float
    loss_probability: float
    peak_bps: float


class _Window:
    """What a connection remembers between transfers on one route: the window, in wire bits, and its last use."""

    __slots__ = ("bits", "used_s")

    def __init__(self) -> None:
        self.bits = 0.0
        self.used_s = -math.inf


class _Transfer:
    """A transfer under way: `left_bits` wire bits are not yet in the core, `loss_free_bits` may go without loss cap."""

    __slots__ = (
        "cap_bps",
        "flow_id",
        "in_core",
        "latency_s",
        "left_bits",
        "loss_free_bits",
        "peak_bps",
        "round_s",
        "route",
        "rtt_s",
        "weight",
        "window",
        "window_bits",
    )
