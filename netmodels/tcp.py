"""What a transport protocol adds to fluid sharing: overhead, handshake, slow start, windows and queues, loss.

Frozen switches and formulas; `netmodels.network` plays them, `netmodels.cubic` moves the windows, `netmodels.queues`
holds what waits. Units: bytes of payload, seconds, bits per second of IP packets ("wire") or of payload, as each name
says. Every correction can be switched off alone; docs/network-accuracy.md shows what each is worth.

Sources: RFC 6928 (initial window of 10 segments), RFC 5681 and RFC 6298 (slow start, restart after idle, timeout),
RFC 9438 (CUBIC), Padhye, Firoiu, Towsley, Kurose 1998 (rate under loss), Cardwell, Savage, Anderson 2000 (bytes before
the first loss). Not modelled: which of equal flows loses the packets of a full queue, timeouts of flows on links that
lose none at random, the capacity that acknowledgements take, receive windows, pacing, BBR.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

_MIN_RTO_VARIATION_S: Final = 0.2
LEAST_RTT_S: Final = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Tcp:
    """Switches and constants of the transport model.

    `efficiency`: payload bytes per byte of IP packet (1448 of 1500); 1 for none.
    `handshake`: a cold connection waits one round trip before its first byte.
    `slow_start`: windows of `initial_window_bytes` x 2^k, one a round trip, each sent at the full share of its links,
    until a window lasts as long as the round trip; from then on the share alone limits.
    `rtt_weights`: shares of a common bottleneck are in proportion to 1 / round-trip time.
    `loss_cap`: random packet loss limits the rate to `loss_rate_bps` after the bytes of `loss_free_bytes`.
    `congestion`: after slow start too, a window of its own limits each transfer, and what a window has beyond its path
    waits in queues (`netmodels.cubic`, `netmodels.queues`); slow start ends early where queues grow (HyStart). Without
    it, a transfer takes its share of the links at once.
    `drop_tail`: full queues cut the windows of those who wait in them (only with `congestion`).
    `ack_queues`: acknowledgements wait in the queues of their way back (only with `congestion`).
    `latency_first`: bits share the links one latency after they were sent (SimGrid's convention) instead of at once;
    makes a difference only between flows of different latency.
    Raises ValueError for numbers outside their range.
    """

    efficiency: float = 0.9653
    handshake: bool = True
    slow_start: bool = True
    rtt_weights: bool = True
    loss_cap: bool = True
    congestion: bool = True
    drop_tail: bool = True
    ack_queues: bool = True
    latency_first: bool = False
    initial_window_bytes: float = 14480.0
    mss_bytes: float = 1448.0

    def __post_init__(self) -> None:
        if not 0 < self.efficiency <= 1:
            raise ValueError(f"efficiency must be in (0, 1], got {self.efficiency!r}")
        for name in ("initial_window_bytes", "mss_bytes"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be finite and > 0, got {getattr(self, name)!r}")

    def wire_bytes(self, size_bytes: float) -> float:
        """Bytes of IP packets that carry `size_bytes` of payload; part of a packet has its part of the headers."""
        return size_bytes / self.efficiency

    def weight(self, rtt_s: float) -> float:
        """The share of a flow relative to others, 1 / round-trip time (at least 0.1 ms), or 1."""
        return 1 / max(rtt_s, LEAST_RTT_S) if self.rtt_weights else 1.0

    def idle_limit_s(self, rtt_s: float) -> float:
        """How long a connection may be silent and keep its window: the retransmission timeout, round trip + 200 ms.

        RFC 6298 on a path of constant round trip, with the floor that Linux puts under the variation. What becomes of
        the window is for `netmodels.cubic.Window.wake` to say.
        """
        return rtt_s + _MIN_RTO_VARIATION_S

    def loss_rate_bps(self, rtt_s: float, loss_probability: float) -> float:
        """Payload bits per second that packet loss allows in the long run (Padhye 1998, equation 30, b = 1).

        A segment takes RTT sqrt(2p / 3) of recovery, which alone is Mathis's MSS / RTT x sqrt(1.5 / p), and
        T min(1, 3 sqrt(3p / 8)) p (1 + 32 p^2) of timeouts T, `idle_limit_s`. Infinity without loss. Trusted for
        p >= 0.01; below it a transfer of some megabytes is not in the long run.
        """
        if not self.loss_cap or loss_probability <= 0:
            return math.inf
        p, rtt_s = loss_probability, max(rtt_s, LEAST_RTT_S)
        timeouts_s = self.idle_limit_s(rtt_s) * min(1, 3 * math.sqrt(3 * p / 8)) * p * (1 + 32 * p**2)
        return 8 * self.mss_bytes / (rtt_s * math.sqrt(2 * p / 3) + timeouts_s)

    def loss_free_bytes(self, size_bytes: float, loss_probability: float) -> float:
        """Payload bytes that slow start is expected to send before and with the first loss, of `size_bytes` in all.

        (1 - (1 - p)^d)(1 - p) / p + 1 segments of d (Cardwell 2000, equation 5).
        """
        if not self.loss_cap or loss_probability <= 0:
            return size_bytes
        segments = math.ceil(size_bytes / self.mss_bytes)
        kept = 1 - loss_probability
        return min(size_bytes, self.mss_bytes * ((1 - kept**segments) * kept / loss_probability + 1))


PURE: Final = Tcp(
    efficiency=1.0,
    handshake=False,
    slow_start=False,
    rtt_weights=False,
    loss_cap=False,
    congestion=False,
    latency_first=True,
)
MODELS: Final[Mapping[str, Tcp]] = {"pure": PURE, "tcp": Tcp(), "tcp-fast": Tcp(congestion=False)}


def find_model(name: str) -> Tcp:
    """The transport model of that name; ValueError with a guess for an unknown one."""
    if name not in MODELS:
        guess = get_close_matches(name, MODELS, n=1)
        hint = f"; did you mean {guess[0]!r}?" if guess else ""
        raise ValueError(f"network model must be one of {', '.join(MODELS)}, got {name!r}{hint}")
    return MODELS[name]
