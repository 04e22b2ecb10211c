"""The congestion window of one direction of a connection, as Linux's CUBIC moves it, seen every few round trips.

Sources: RFC 9438 (CUBIC), Ha and Rhee 2011 (HyStart), RFC 5681 and RFC 2861 (idle connections), and the Linux kernel's
`net/ipv4/tcp_cubic.c` and `tcp_output.c` for what the RFCs leave open. Units: bits of IP packets and seconds.
Not modelled: which of several senders loses the packets of a full queue (each is cut by its expectation), timeouts,
several cuts by one burst of losses, pacing, receive windows.
"""

import math
from typing import Final

SEGMENT_BITS: Final = 12_000.0
_KEPT: Final = 0.7  # of the window after a loss
_CUBIC: Final = 0.4  # segments per cubed second
_LOG_2: Final = math.log(2)
_RENO: Final = 3 * (1 - _KEPT) / (1 + _KEPT)  # segments a round trip that keep up with Reno
_GROWTH_BEFORE_LOSS: Final = 1.05  # a round trip: tcp_cubic.c, `cnt` of at most 20 while no maximum is known
_MOST_ROUNDS: Final = 32.0  # that one look back can cover; a window does not grow while nothing is acknowledged
_LONGEST_EPOCH_S: Final = 1e6  # by then a window has any size
# HyStart: a train of acknowledgements no more than 2 ms apart that lasts half a round trip, or a delay above the least
# one by an eighth of it, at least 4 and at most 16 ms, seen by 8 acknowledgements once the window is 16 segments.
_TRAIN_BPS: Final = 2 * SEGMENT_BITS / 0.002
_LEAST_RISE_S: Final = 0.004
_MOST_RISE_S: Final = 0.016
_SAMPLES: Final = 8
_LOW_WINDOW_BITS: Final = 16 * SEGMENT_BITS * (1 - 1e-9)


class Window:
    """A congestion window of `bits`, in slow start or not, and what it needs to know of its past.

    `threshold_bits` ends slow start; `gain` is how many segments it grew by in its last round trip.
    """

    __slots__ = ("bits", "cut_s", "gain", "lost", "slow", "threshold_bits", "top_bits", "used_s")

    def __init__(self) -> None:
        self.bits = 0.0
        self.slow = True
        self.threshold_bits = math.inf
        self.top_bits = 0.0  # the window before the last cut
        self.cut_s: float | None = None
        self.gain = 1.0
        self.used_s = -math.inf  # when it last sent
        self.lost = False  # it has met packet loss, so no slow start will ever again run free of it

    def __repr__(self) -> str:
        return f"<Window {self.bits / SEGMENT_BITS:.0f} segments{' slow start' if self.slow else ''}>"

    def copy(self) -> "Window":
        """Another window with the same past."""
        other = Window()
        other.be_like(self)
        return other

    def be_like(self, other: "Window") -> None:
        """Take over the past of another window."""
        self.bits, self.slow, self.threshold_bits = other.bits, other.slow, other.threshold_bits
        self.top_bits, self.cut_s, self.gain = other.top_bits, other.cut_s, other.gain
        self.used_s, self.lost = other.used_s, other.lost

    def wake(self, now_s: float, timeout_s: float, first_bits: float) -> None:
        """Begin to send: a window of `first_bits` if it has never sent, less than before after a silence.

        It is halved for each retransmission timeout that passed, but not below `first_bits`; slow start then leads it
        back to three quarters of what it was (Linux `tcp_cwnd_restart`).
        """
        idle_s = now_s - self.used_s
        self.bits = max(self.bits, first_bits)
        if timeout_s < idle_s < math.inf and self.bits > first_bits:
            if not self.slow:
                self.threshold_bits = max(0.75 * self.bits, self.threshold_bits)
            halvings = min(math.ceil(idle_s / timeout_s) - 1, 64)
            self.bits = max(self.bits / 2**halvings, first_bits)
            self.slow = self.slow or self.bits < self.threshold_bits

    def leave_slow_start(self, bits: float) -> None:
        """Go over to congestion avoidance with a window of `bits`."""
        self.slow = False
        self.gain = 0.5 * bits / SEGMENT_BITS
        self.bits = self.threshold_bits = bits

    def likely_hit(self) -> bool:
        """Whether a slow start of this size rather loses a packet than not in a queue that others fill.

        They add some 5 % a round trip, so that many of all packets are dropped, wherever they come from.
        """
        return (_GROWTH_BEFORE_LOSS - 1) * self.bits / SEGMENT_BITS > _LOG_2

    def overshoot(self, now_s: float) -> None:
        """A queue on the path overflowed in slow start, half-way through a round on average: cut and end it."""
        self.top_bits = 1.5 * self.bits
        self.leave_slow_start(_KEPT * self.top_bits)
        self.cut_s = now_s

    def grow(self, now_s: float, elapsed_s: float, rtt_s: float) -> None:
        """Congestion avoidance for `elapsed_s`, whose round trips took `rtt_s`."""
        rounds = min(elapsed_s / rtt_s, _MOST_ROUNDS)
        if rounds <= 0:
            return
        before = self.bits / SEGMENT_BITS
        if self.cut_s is None:
            growth: float = _GROWTH_BEFORE_LOSS**rounds
            after = before * growth
        else:
            top = self.top_bits / SEGMENT_BITS
            plateau_s = math.cbrt(top * (1 - _KEPT) / _CUBIC)
            since_s = min(now_s - self.cut_s, _LONGEST_EPOCH_S) + rtt_s - plateau_s
            cubed: float = since_s**3
            most: float = 1.5**rounds
            after = max(before + _RENO * rounds, min(top + _CUBIC * cubed, before * most))
        self.gain = (after - before) / rounds
        self.bits = after * SEGMENT_BITS

    def cut(self, now_s: float) -> None:
        """A queue on the path overflowed: shrink by 30 % times the chance that one of its own packets was lost.

        A full queue has to drop what the senders add in a round trip, so a sender that adds n segments loses n on
        average, and none with a chance of exp(-n).
        """
        chance = -math.expm1(-self.gain)
        self.top_bits = self.bits if self.bits >= self.top_bits else self.bits * (1 + _KEPT) / 2
        self.bits = max(self.bits * (1 - (1 - _KEPT) * chance), 2 * SEGMENT_BITS)
        self.cut_s = now_s
        self.gain = _RENO


def exit_bits(
    window_bits: float, *, rtt_s: float, train_s: float, waited_s: float, least_waited_s: float
) -> float | None:
    """The window with which HyStart leaves slow start after a round; None if it goes on.

    `rtt_s` is the least round trip seen, queues included; the packets of the round left within `train_s` and had to
    wait for `waited_s` in queues, while `least_waited_s` is the least that any round had to wait.
    """
    if train_s >= rtt_s / 2 and window_bits >= _TRAIN_BPS * train_s:
        return window_bits * (1 + rtt_s / 2 / train_s)  # acknowledged by the time it is noticed
    rise_s = min(max(rtt_s / 8, _LEAST_RISE_S), _MOST_RISE_S)
    if waited_s - least_waited_s > rise_s and window_bits >= _LOW_WINDOW_BITS:
        return window_bits + _SAMPLES * SEGMENT_BITS
    return None
