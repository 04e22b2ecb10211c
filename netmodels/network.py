"""Transfers over a network: the fluid core played with the transport model. Pure data; the caller tells the time.

A transfer waits for its connection, sends its windows while slow start lasts, then the rest at its share, and is
delivered one latency after its last bit has left. Sizes are payload bytes; links carry `Tcp.wire_bytes` of them.
"""

import math
from collections.abc import Hashable, Iterable, Mapping
from typing import Final

from netmodels.agenda import Agenda, common_date
from netmodels.cubic import Window, exit_bits
from netmodels.flows import Flows, slack_s
from netmodels.link import Link
from netmodels.queues import Queues, Stake, wait_s
from netmodels.tcp import LEAST_RTT_S, Tcp
from netmodels.transfer import Completion, Transfer

# A window is looked at every 2 round trips. Once it has been cut it grows slowly: then every 4 at most, while it still
# needs 10 times as long to send all that is left.
_ROUNDS: Final = 2.0
_MOST_ROUNDS: Final = 4.0
_PATIENCE: Final = 0.1
_LEAST_STEP: Final = 0.0005  # of what it still needs: a transfer of days is not looked at every 0.1 s
_SAME: Final = 0.03  # a share that differs by less is left alone


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
        self._transfers: dict[Hashable, Transfer] = {}
        self._agenda: Agenda[Network] = Agenda()
        self._ready_s: dict[frozenset[Hashable], float] = {}  # when the handshake between two ends is over
        self._windows: dict[tuple[Hashable, Hashable], Window] = {}
        # Where nothing depends on a window one will do for all: a million transfers are a million windows otherwise.
        self._window = None if model.slow_start or model.congestion or model.loss_cap else Window()
        if self._window is not None:
            self._window.leave_slow_start(math.inf)
        self._queues = Queues(self._links)
        self._due: list[Transfer] = []  # whose window is to be looked at now
        self._done: list[Completion] = []
        self._now_s = 0.0
        self._next_s: float | None = math.inf  # the next event; None if something has changed since it was worked out

    def __repr__(self) -> str:
        return f"<Network {len(self._links)} links, {len(self._transfers)} transfers>"

    def __contains__(self, flow_id: Hashable) -> bool:
        """Whether bits of a transfer have still to leave."""
        return flow_id in self._transfers

    @property
    def now_s(self) -> float:
        """Up to when everything has been played."""
        return self._now_s

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
        path = self._core.route(route)
        latency_s, loss = path.latency_s, path.loss_probability
        rtt_s = latency_s + (latency_s if ack_route is None else self._core.route(ack_route).latency_s)
        transfer = Transfer(flow_id, path, rtt_s=rtt_s, window=self._window or Window())
        if self._model.latency_first:
            transfer.ahead_s = latency_s
        else:
            transfer.behind_s = latency_s
        free_bytes = self._model.loss_free_bytes(size_bytes, loss) if loss > 0 else size_bytes
        transfer.left_bits = 8 * self._model.wire_bytes(free_bytes)
        if loss > 0:
            transfer.lossy_bits = 8 * self._model.wire_bytes(size_bytes - free_bytes)
            transfer.lossy_cap_bps = self._model.wire_bytes(self._model.loss_rate_bps(rtt_s, loss))
        self._transfers[flow_id] = transfer
        self._next_s = None
        if self._model.congestion:
            self._manage(transfer, ack_route or ())
        begin_s = self._connect(now_s, transfer, connection) + transfer.ahead_s
        self._agenda.note(begin_s, transfer, Network._begin)

    def cancel(self, now_s: float, flow_id: Hashable) -> float:
        """Stop a transfer at once; return the payload bytes that had not left."""
        transfer = self._transfers.get(flow_id)
        if transfer is None:
            raise ValueError(f"no transfer {flow_id!r} is under way")
        in_core = 0.0
        self._next_s = None
        if flow_id in self._core:
            in_core = self._core.remove(now_s, flow_id)
            self._remember(now_s, transfer)
        transfer.stake.withdraw()
        transfer.over = True
        del self._transfers[flow_id]
        return (in_core + transfer.left_bits + transfer.lossy_bits) / 8 / self._model.wire_bytes(1.0)

    def next_event_s(self) -> float:
        """When to call `advance` next; infinity if nothing will ever happen (a link of no capacity stays so)."""
        next_s = self._next_s
        if next_s is None:
            next_s = self._next_s = min(self._agenda.next_s(), self._core.next_event_s())
        return next_s

    def advance(self, now_s: float) -> list[Completion]:
        """Play everything up to ``now_s``; return the transfers whose last bit has left, in order of time.

        With `Tcp.latency_first` what left is only known when it arrives: a transfer is returned at `delivered_s`.
        """
        if not now_s >= self._now_s - slack_s(now_s):
            raise ValueError(f"time must not go back: {now_s!r} s after {self._now_s!r} s")
        until_s = now_s + slack_s(now_s)
        core, agenda = self._core, self._agenda
        while (when_s := self.next_event_s()) <= until_s:
            self._next_s = None
            when_s = min(when_s, now_s)
            for flow_id in core.advance(when_s):
                self._drained(when_s, self._transfers[flow_id])
            end_s = when_s + slack_s(when_s)
            while (entry := agenda.take(end_s)) is not None:
                entry[1](self, when_s, entry[0])
            if self._due:
                self._look_at_windows(when_s)
        self._now_s = max(now_s, self._now_s)
        done, self._done = self._done, []
        return done

    def _manage(self, transfer: Transfer, ack_route: tuple[str, ...]) -> None:
        """Let windows and queues limit a transfer.

        Not over the airtime of a cell: its scheduler keeps a queue per phone and does not look at windows.
        """
        path = transfer.path
        if not path.names or path.timed:
            return
        transfer.managed = True
        transfer.stake = Stake(self._queues.along(path.names))
        if self._model.ack_queues:
            transfer.acks = self._queues.along(ack_route)
        for queue in transfer.stake.route:
            queue.longest_rtt_s = max(queue.longest_rtt_s, transfer.rtt_s)

    def _connect(self, now_s: float, transfer: Transfer, connection: tuple[Hashable, Hashable] | None) -> float:
        """Set the first window of a transfer; return when its connection is ready."""
        model = self._model
        ready_s = now_s + transfer.rtt_s + transfer.wait_s(now_s) if model.handshake else now_s
        if connection is not None:
            ready_s = max(self._ready_s.setdefault(frozenset(connection), ready_s), now_s)
            transfer.connection = connection
            if connection in self._windows:
                transfer.window = self._windows[connection].copy()
        if self._window is not None:
            return ready_s
        if transfer.window.lost:
            transfer.lossy_bits += transfer.left_bits
            transfer.left_bits = 0.0
        if model.slow_start:
            first_bits = 8 * model.wire_bytes(model.initial_window_bytes)
            transfer.window.wake(now_s, model.idle_limit_s(transfer.rtt_s), first_bits)
        else:
            transfer.window.leave_slow_start(transfer.path.peak_bps * transfer.rtt_s)
        return ready_s

    def _remember(self, now_s: float, transfer: Transfer) -> None:
        """Leave the window to the next transfer of the connection."""
        transfer.window.used_s = now_s
        if transfer.connection is not None and self._window is None:
            kept = self._windows.get(transfer.connection)
            if kept is None:
                self._windows[transfer.connection] = transfer.window.copy()
            else:
                kept.be_like(transfer.window)

    def _weight(self, transfer: Transfer, waited_s: float = 0.0) -> float:
        """The share of a transfer relative to others: what its window would send, or that of a first window."""
        if not transfer.managed:
            return self._model.weight(transfer.rtt_s)
        if not self._model.rtt_weights:
            return 1.0
        return transfer.window.bits / max(transfer.rtt_s + waited_s, LEAST_RTT_S)

    def _begin(self, now_s: float, transfer: Transfer) -> None:
        """The connection is ready: slow start, or all at once under a window that has left it."""
        if transfer.window.slow and self._model.slow_start:
            self._send_window(now_s, transfer)
        elif transfer.managed and transfer.left_bits > 0:
            weight = self._weight(transfer, transfer.wait_s(now_s))
            self._core.add(now_s, transfer.flow_id, 0.0, transfer.path, weight=weight)
            self._avoid_congestion(now_s, transfer)
        else:
            self._core.add(now_s, transfer.flow_id, transfer.left_bits, transfer.path, weight=self._weight(transfer))
            transfer.left_bits = 0.0

    def _send_window(self, now_s: float, transfer: Transfer) -> None:
        """Hand the next window to the core; all that is left once a window fills the path."""
        window_bits = transfer.window.bits
        fills_path = window_bits >= transfer.path.peak_bps * transfer.rtt_s
        bits = transfer.left_bits if fills_path else min(window_bits, transfer.left_bits)
        transfer.left_bits -= bits
        waited_s = 0.0
        if transfer.managed:
            waited_s = transfer.wait_s(now_s)
            transfer.round_s, transfer.burst_end_s, transfer.waited_s = now_s, None, waited_s
            transfer.least_waited_s = min(transfer.least_waited_s, waited_s)
            if transfer.flow_id in self._core:
                bits += self._core.remove(now_s, transfer.flow_id)
            transfer.stake.put_burst(min(bits, window_bits))
        if transfer.left_bits > 0 or (transfer.managed and bits > window_bits):
            self._agenda.note(now_s + transfer.rtt_s + waited_s, transfer, Network._end_round)
        weight = self._weight(transfer, waited_s)
        self._core.add(now_s, transfer.flow_id, bits, transfer.path, weight=weight)

    def _end_round(self, now_s: float, transfer: Transfer) -> None:
        """A round trip after a window began: a window twice as large, unless slow start is over.

        Without a managed window it is over when the last one is still leaving: then the share limits.
        """
        if transfer.managed:
            self._end_managed_round(now_s, transfer)
        elif transfer.flow_id in self._core:
            self._core.extend(now_s, transfer.flow_id, transfer.left_bits)
            transfer.left_bits = 0.0
        else:
            transfer.window.bits *= 2
            self._send_window(now_s, transfer)

    def _end_managed_round(self, now_s: float, transfer: Transfer) -> None:
        window, leaving = transfer.window, transfer.flow_id in self._core
        transfer.stake.lift()
        if leaving:
            transfer.note_backlog(now_s, self._core.rate_bps(transfer.flow_id))
        rtt_s = transfer.rtt_s + transfer.wait_s(now_s)
        for queue in transfer.stake.route:
            queue.overflows(now_s, rtt_s)
        end_s = transfer.burst_end_s if transfer.burst_end_s is not None else now_s
        exit_to = exit_bits(
            window.bits,
            rtt_s=transfer.rtt_s + transfer.least_waited_s,
            train_s=max(end_s - transfer.round_s, 1e-12),
            waited_s=transfer.waited_s,
            least_waited_s=transfer.least_waited_s,
        )
        if window.likely_hit() and self._overflowed(transfer, transfer.round_s):
            window.overshoot(now_s)
        elif exit_to is not None or 2 * window.bits >= window.threshold_bits:
            window.leave_slow_start(min(exit_to or math.inf, window.threshold_bits))
        else:
            window.bits *= 2
            self._send_window(now_s, transfer)
            return
        if not leaving:
            weight = self._weight(transfer, transfer.wait_s(now_s))
            self._core.add(now_s, transfer.flow_id, 0.0, transfer.path, weight=weight)
        self._avoid_congestion(now_s, transfer)

    def _avoid_congestion(self, now_s: float, transfer: Transfer) -> None:
        """Hand over all that is left; from now on the window limits."""
        self._core.extend(now_s, transfer.flow_id, transfer.left_bits)
        transfer.left_bits = 0.0
        transfer.seen_s = now_s
        self._due.append(transfer)

    def _overflowed(self, transfer: Transfer, since_s: float) -> bool:
        if self._model.drop_tail:
            for queue in transfer.stake.route:
                if queue.overflow_s > since_s:
                    return True
        return False

    def _look_at_windows(self, now_s: float) -> None:
        """All windows that are due: first their rates, so that the core works them out once, then what follows."""
        due, self._due = self._due, []
        under_way = [transfer for transfer in due if transfer.flow_id in self._core]
        rates = [self._core.rate_bps(transfer.flow_id) for transfer in under_way]
        for transfer, rate_bps in zip(under_way, rates, strict=True):
            self._look_at_window(now_s, transfer, rate_bps)

    def _look_at_window(self, now_s: float, transfer: Transfer, rate_bps: float) -> None:
        """Move a window by what happened since it was last looked at; its share and limit follow."""
        window = transfer.window
        if rate_bps <= 0:
            self._await_capacity(now_s, transfer)
            return
        transfer.note_backlog(now_s, rate_bps)
        rtt_s = max(transfer.rtt_s + transfer.wait_s(now_s), LEAST_RTT_S)
        for queue in transfer.stake.route:
            queue.overflows(now_s, rtt_s)
        if self._overflowed(transfer, window.cut_s if window.cut_s is not None else transfer.round_s):
            window.cut(now_s)
        else:
            window.grow(now_s, now_s - transfer.seen_s, rtt_s)
        transfer.note_backlog(now_s, rate_bps)
        transfer.seen_s = now_s
        self._share(now_s, transfer)
        left_bits = self._core.remaining_bits(transfer.flow_id)
        rest_s = left_bits / rate_bps if window.cut_s is not None else 0.0
        step_s = max(min(max(_PATIENCE * rest_s / rtt_s, _ROUNDS), _MOST_ROUNDS) * rtt_s, _LEAST_STEP * rest_s)
        look_s = common_date(now_s + 0.75 * step_s, step_s)
        if look_s > now_s + slack_s(now_s):  # far from 0 the clock's own steps may be longer
            self._agenda.note(look_s, transfer, Network._look)

    def _share(self, now_s: float, transfer: Transfer) -> None:
        """Put a window into force: its weight, and what it can send at most while nobody else fills its links."""
        deepest_s = waited_s = 0.0
        for queue in transfer.stake.route:
            if queue.backlog_bits > 0:
                delay_s = queue.delay_s(now_s)
                waited_s += delay_s
                deepest_s = max(deepest_s, delay_s)
        waited_s += wait_s(transfer.acks, now_s)
        weight = self._weight(transfer, waited_s)
        cap_bps = transfer.window.bits / max(transfer.rtt_s + waited_s - deepest_s, LEAST_RTT_S)
        if abs(weight - transfer.weight) <= _SAME * weight and abs(cap_bps - transfer.cap_bps) <= _SAME * cap_bps:
            return
        transfer.weight, transfer.cap_bps = weight, cap_bps
        self._core.renew(now_s, transfer.flow_id, weight=weight, cap_bps=cap_bps)

    def _await_capacity(self, now_s: float, transfer: Transfer) -> None:
        """Nothing moves in an outage: come back when it may be over, never if it lasts for ever."""
        transfer.seen_s = now_s
        changes = [self._links[name].capacity.next_change_s(now_s) for name in transfer.path.names]
        if min(changes) < math.inf:
            self._agenda.note(min(changes), transfer, Network._look)

    def _look(self, now_s: float, transfer: Transfer) -> None:
        self._due.append(transfer)

    def _drained(self, now_s: float, transfer: Transfer) -> None:
        """What the core had of a transfer has left: wait for the round to end, go on under loss, or be done."""
        if self._window is None:
            self._remember(now_s, transfer)
        if transfer.window.slow:
            transfer.burst_end_s = now_s
            transfer.stake.lift()
        if transfer.left_bits > 0:
            return
        if transfer.managed:
            transfer.stake.withdraw()
        if transfer.lossy_bits > 0:
            self._go_on_under_loss(now_s, transfer)
            return
        transfer.over = True
        del self._transfers[transfer.flow_id]
        self._done.append(Completion(transfer.flow_id, now_s - transfer.ahead_s, now_s + transfer.behind_s))

    def _go_on_under_loss(self, now_s: float, transfer: Transfer) -> None:
        transfer.window.lost = True
        self._remember(now_s, transfer)
        weight = self._weight(transfer)
        if transfer.managed:  # its window is what keeps up the rate that loss allows
            weight = transfer.lossy_cap_bps if self._model.rtt_weights else 1.0
            transfer.managed = False
        bits, transfer.lossy_bits = transfer.lossy_bits, 0.0
        cap_bps = transfer.lossy_cap_bps
        self._core.add(now_s, transfer.flow_id, bits, transfer.path, weight=weight, cap_bps=cap_bps)
