"""A transfer under way over a network, and what it tells the queues on its route. State only: `Network` moves it."""

import math
from collections.abc import Hashable
from typing import Final, NamedTuple

from netmodels.cubic import Window
from netmodels.queues import LinkQueue, Stake, wait_s
from netmodels.routes import Route
from netmodels.tcp import LEAST_RTT_S

_NOWHERE: Final = Stake(())  # of all that no queue holds up


class Completion(NamedTuple):
    """A transfer whose last bit left the sender at `sent_s` and is with the receiver at `delivered_s`, in seconds.

    The two are one latency of the route apart.
    """

    flow_id: Hashable
    sent_s: float
    delivered_s: float


class Transfer:
    """A transfer under way. ``left_bits`` are wire bits not yet handed to the core.

    ``lossy_bits`` follow once those have left, at no more than the rate that packet loss allows. The window of a
    managed transfer limits it after slow start too, and waits in queues.
    """

    __slots__ = (
        "acks",
        "ahead_s",
        "behind_s",
        "burst_end_s",
        "cap_bps",
        "connection",
        "flow_id",
        "least_waited_s",
        "left_bits",
        "lossy_bits",
        "lossy_cap_bps",
        "managed",
        "over",
        "path",
        "round_s",
        "rtt_s",
        "seen_s",
        "stake",
        "waited_s",
        "weight",
        "window",
    )

    def __init__(self, flow_id: Hashable, path: Route, *, rtt_s: float, window: Window) -> None:
        self.flow_id, self.path, self.rtt_s = flow_id, path, rtt_s
        self.ahead_s = self.behind_s = 0.0  # latency before the bits share the links, or after
        self.left_bits = self.lossy_bits = 0.0
        self.lossy_cap_bps = math.inf
        self.connection: tuple[Hashable, Hashable] | None = None
        self.window = window
        self.managed = False
        self.over = False  # done or cancelled
        self.stake = _NOWHERE
        self.acks: tuple[LinkQueue, ...] = ()  # the queues in which acknowledgements wait
        self.round_s = self.seen_s = 0.0  # when this round of slow start began; when the window was last looked at
        self.burst_end_s: float | None = None  # when the packets of the round had left
        self.waited_s = 0.0  # in queues, at the beginning of the round
        self.least_waited_s = math.inf
        self.weight = self.cap_bps = 0.0  # in force under congestion avoidance

    def wait_s(self, now_s: float) -> float:
        """How much longer than `rtt_s` a round trip takes now."""
        return wait_s(self.stake.route, now_s) + wait_s(self.acks, now_s)

    def note_backlog(self, now_s: float, rate_bps: float) -> None:
        """Tell the queues what of the window is not on the way at this rate."""
        rtt_s, window_bits = self.rtt_s, self.window.bits
        most_bps = window_bits / (rtt_s if rtt_s > LEAST_RTT_S else LEAST_RTT_S)
        rate_bps = min(rate_bps, most_bps)
        underway_bits = rate_bps * (rtt_s + wait_s(self.acks, now_s))
        self.stake.put(now_s, window_bits - underway_bits, rate_bps)
