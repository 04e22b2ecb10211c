"""Transfers over a network: the fluid core played with the transport model. Pure data; the caller tells the time.

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
    """A transfer whose last bit left the sender at `sent_s` and is with the receiver at `delivered_s`, in seconds.

    The two are one latency of the route apart.
    """

    flow_id: Hashable
    sent_s: float
    delivered_s: float


class _Window:
    """What a connection remembers in one direction: its congestion window in wire bits, and when it last sent."""

    __slots__ = ("bits", "lost", "used_s")

    def __init__(self) -> None:
        self.bits = 0.0
        self.used_s = -math.inf
        self.lost = False  # it has met packet loss, so no slow start will ever again run free of it


class _Transfer:
    """A transfer under way. ``left_bits`` are wire bits not yet handed to the core.

    ``lossy_bits`` follow once those have left, at no more than the rate that packet loss allows.
    """

    __slots__ = (
        "ahead_s",
        "behind_s",
        "flow_id",
        "left_bits",
        "lossy_bits",
        "lossy_cap_bps",
        "peak_bps",
        "round_s",
        "route",
        "rtt_s",
        "weight",
        "window",
        "window_bits",
    )

    def __init__(self, flow_id: Hashable, route: tuple[str, ...], *, rtt_s: float) -> None:
        self.flow_id, self.route, self.rtt_s = flow_id, route, rtt_s
        self.ahead_s = self.behind_s = 0.0  # latency before the bits share the links, or after
        self.weight, self.peak_bps = 1.0, math.inf
        self.left_bits = self.lossy_bits = 0.0
        self.lossy_cap_bps = self.window_bits = math.inf
        self.round_s = math.inf  # when the current window's round trip is over; infinity once slow start has ended
        self.window = _Window()


class Network:
    """Transfers over links under a transport model.

    Calls carry the absolute time in seconds, from 0 on, which must not go back nor pass a pending event without
    `advance`. Raises ValueError for unknown links, repeated or unknown ids, impossible sizes and impossible times.
    Transfers that overlap on one connection are not queued: each takes a share of its own. A mapping of links is not
    copied: links that are added to it can be used from then on.
    """

    def __init__(self, links: Mapping[str, Link] | Iterable[Link], model: Tcp) -> None:
        self._links = links if isinstance(links, Mapping) else {link.name: link for link in links}
        self._model = model
        self._core = Flows(self._links)
        self._transfers: dict[Hashable, _Transfer] = {}
        self._events: list[tuple[float, int, _Transfer, Callable[[float, _Transfer], None]]] = []
        self._serial = count()
        self._ready_s: dict[frozenset[Hashable], float] = {}  # when the handshake between two ends is over
        self._windows: dict[tuple[Hashable, Hashable], _Window] = {}
        self._done: list[Completion] = []
        self._now_s = 0.0

    def __repr__(self) -> str:
        return f"<Network {len(self._links)} links, {len(self._transfers)} transfers>"

    def wire_bytes(self, size_bytes: int) -> int:
        """Bytes of IP packets that carry a message of ``size_bytes``, rounded up."""
        return math.ceil(round(self._model.wire_bytes(size_bytes), 6))

    def start(
        self,
        now_s: float,
        flow_id: Hashable,
        size_bytes: float,
        route: tuple[str, ...],
        *,
        connection: tuple[Hashable, Hashable] | None = None,
        ack_route: tuple[str, ...] | None = None,
    ) -> None:
        """Begin to send ``size_bytes`` of payload over the links of ``route``.

        ``connection`` is (sender, receiver): the first transfer between the two, in either direction, pays the
        handshake; each direction has a window of its own that outlives a transfer. None is a connection of its own.
        ``ack_route`` gives the latency of the way back; None is as long as the way there. No bytes take no time beyond
        handshake and latency; an empty route, between two programs of one host, takes none at all.
        """
        if flow_id in self._transfers:
            raise ValueError(f"transfer {flow_id!r} is already under way")
        if not self._now_s - slack_s(now_s) <= now_s < math.inf:
            raise ValueError(f"transfer {flow_id!r}: time must not go back: {now_s!r} s after {self._now_s!r} s")
        if not 0 <= size_bytes < math.inf:
            raise ValueError(f"transfer {flow_id!r}: size_bytes must be finite and >= 0, got {size_bytes!r}")
        latency_s, loss = self._path(route)
        rtt_s = latency_s + (latency_s if ack_route is None else self._path(ack_route)[0])
        transfer = _Transfer(flow_id, route, rtt_s=rtt_s)
        if self._model.latency_first:
            transfer.ahead_s = latency_s
        else:
            transfer.behind_s = latency_s
        transfer.weight = self._model.weight(rtt_s)
        transfer.peak_bps = self._core.route(route).peak_bps
        free_bytes = self._model.loss_free_bytes(size_bytes, loss)
        transfer.left_bits = 8 * self._model.wire_bytes(free_bytes)
        transfer.lossy_bits = 8 * self._model.wire_bytes(size_bytes - free_bytes)
        transfer.lossy_cap_bps = self._model.wire_bytes(self._model.loss_rate_bps(rtt_s, loss))
        self._transfers[flow_id] = transfer
        begin_s = self._connect(now_s, transfer, connection) + transfer.ahead_s
        self._later(begin_s, transfer, self._send_window)

    def cancel(self, now_s: float, flow_id: Hashable) -> float:
        """Stop a transfer at once; return the payload bytes that had not left."""
        transfer = self._transfers.get(flow_id)
        if transfer is None:
            raise ValueError(f"no transfer {flow_id!r} is under way")
        in_core = 0.0
        if flow_id in self._core:
            in_core = self._core.remove(now_s, flow_id)
            transfer.window.bits, transfer.window.used_s = transfer.window_bits, now_s
        del self._transfers[flow_id]
        return (in_core + transfer.left_bits + transfer.lossy_bits) / 8 / self._model.wire_bytes(1.0)

    def next_event_s(self) -> float:
        """When to call `advance` next; infinity if nothing will ever happen (a link of no capacity stays so)."""
        events, core_s = self._events, self._core.next_event_s()
        while events and self._transfers.get(events[0][2].flow_id) is not events[0][2]:
            heappop(events)  # of a transfer that is over
        return events[0][0] if events and events[0][0] < core_s else core_s

    def advance(self, now_s: float) -> list[Completion]:
        """Play everything up to ``now_s``; return the transfers whose last bit has left, in order of time.

        With `Tcp.latency_first` what left is only known when it arrives: a transfer is returned at `delivered_s`.
        """
        if not now_s >= self._now_s - slack_s(now_s):
            raise ValueError(f"time must not go back: {now_s!r} s after {self._now_s!r} s")
        until_s = now_s + slack_s(now_s)
        while (when_s := self.next_event_s()) <= until_s:
            when_s = min(when_s, now_s)
            for flow_id in self._core.advance(when_s):
                self._drained(when_s, self._transfers[flow_id])
            instant_s = when_s + slack_s(when_s)
            while self._events and self._events[0][0] <= instant_s:
                _, _, transfer, action = heappop(self._events)
                if self._transfers.get(transfer.flow_id) is transfer:
                    action(when_s, transfer)
        self._now_s = max(now_s, self._now_s)
        done, self._done = self._done, []
        return done

    def _path(self, route: tuple[str, ...]) -> tuple[float, float]:
        """One-way latency and packet loss of a route."""
        path = self._core.route(route)
        return path.latency_s, path.loss_probability

    def _connect(self, now_s: float, transfer: _Transfer, connection: tuple[Hashable, Hashable] | None) -> float:
        """Set the first window of a transfer; return when its connection is ready."""
        model = self._model
        ready_s = now_s + transfer.rtt_s if model.handshake else now_s
        if connection is not None:
            ready_s = max(self._ready_s.setdefault(frozenset(connection), ready_s), now_s)
            transfer.window = self._windows.setdefault(connection, transfer.window)
        if transfer.window.lost:
            transfer.lossy_bits += transfer.left_bits
            transfer.left_bits = 0.0
        if model.slow_start:
            awake = now_s - transfer.window.used_s <= model.idle_limit_s(transfer.rtt_s)
            first_bits = 8 * model.wire_bytes(model.initial_window_bytes)
            transfer.window_bits = max(transfer.window.bits, first_bits) if awake else first_bits
        return ready_s

    def _later(self, when_s: float, transfer: _Transfer, action: Callable[[float, _Transfer], None]) -> None:
        heappush(self._events, (when_s, next(self._serial), transfer, action))

    def _send_window(self, now_s: float, transfer: _Transfer) -> None:
        """Hand the next window to the core; all that is left once a window fills the path."""
        if transfer.window_bits >= min(transfer.left_bits, transfer.peak_bps * transfer.rtt_s):
            transfer.round_s = math.inf
            bits, transfer.left_bits = transfer.left_bits, 0.0
        else:
            transfer.round_s = now_s + transfer.rtt_s
            bits = transfer.window_bits
            transfer.left_bits -= bits
            self._later(transfer.round_s, transfer, self._end_round)
        self._core.add(now_s, transfer.flow_id, bits, transfer.route, weight=transfer.weight)

    def _end_round(self, now_s: float, transfer: _Transfer) -> None:
        """A round trip after a window began: if it is still leaving, the share limits; else a window twice as large."""
        if transfer.flow_id in self._core:
            transfer.round_s = math.inf
            self._core.extend(now_s, transfer.flow_id, transfer.left_bits)
            transfer.left_bits = 0.0
        else:
            transfer.window_bits *= 2
            self._send_window(now_s, transfer)

    def _drained(self, now_s: float, transfer: _Transfer) -> None:
        """What the core had of a transfer has left: wait for the round to end, go on under loss, or be done."""
        transfer.window.bits, transfer.window.used_s = transfer.window_bits, now_s
        if transfer.left_bits > 0:
            return
        if transfer.lossy_bits > 0:
            transfer.window.lost = True
            bits, transfer.lossy_bits = transfer.lossy_bits, 0.0
            cap_bps, weight = transfer.lossy_cap_bps, transfer.weight
            self._core.add(now_s, transfer.flow_id, bits, transfer.route, weight=weight, cap_bps=cap_bps)
            return
        del self._transfers[transfer.flow_id]
        self._done.append(Completion(transfer.flow_id, now_s - transfer.ahead_s, now_s + transfer.behind_s))
