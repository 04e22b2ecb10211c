"""Who takes part: devices come when a round opens, and go when they leave, drop out or are given up.

A device is a task from the round in which it joins until it goes. It goes at an instant, in the middle of whatever it
does: its connections break, its update is lost, and it may come back when the next round opens. A round opens when the
one before has ended, with those who stay and with those who are available just then; if nobody is, it opens when the
next device is. It ends when everybody in it has finished or is gone. A device that has finished need not wait for the
others: it goes on with the next round before that is open, and what it sends meanwhile counts in the next round.

Whom a round waits for is a rule (`policies`) about its barrier: the kind of message that comes first in it. As soon as
the rule has waited long enough, whoever has not sent one is given up: it goes, as if it had left, and counts as late.
The rule is asked while a round is open and, once the round is past its barrier, not again. Rounds without a message (a
federated device's local steps) have no barrier: there the next round that has one decides, before it is open.
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from simulator.actors import Actor, Device
from simulator.messages import Kind, Message
from simulator.policies import Barrier, Patience, everybody
from simulator.presence import Presence
from simulator.record import WaitRow
from simulator.rounds import Rounds
from simulator.transport import HUNG_UP, Transport

REMEMBERED: Final = 8  # rounds that are over
INITIAL: Final = 0  # the global adapters that everybody starts with, as if averaged after round 0

Spawn = Callable[[Device, int], asyncio.Task[None]]


@dataclass(slots=True)
class _Member:
    """A device that takes part, and the round that it is in."""

    device: Device
    round: int = 0
    leaves: asyncio.TimerHandle | None = None
    task: asyncio.Task[None] | None = None


@dataclass(slots=True)
class _Roll:
    """One round: who began it, who has not finished it, who is gone from it, and what has been received in it.

    ``barrier`` is the kind of message that the round waits for: that of the first one.
    """

    began: dict[str, int] = field(default_factory=dict)  # indices by name
    busy: dict[str, None] = field(default_factory=dict)
    gone: dict[str, None] = field(default_factory=dict)
    received: defaultdict[Kind, dict[str, Message]] = field(default_factory=lambda: defaultdict(dict))
    barrier: Kind | None = None
    opened_s: float = math.inf
    passed: bool = False  # nobody is waited for any more
    late: int = 0  # of those who are gone

    @property
    def sent(self) -> dict[str, Message]:
        """What has come of the barrier's kind, by sender; of those who are still there."""
        return self.received[self.barrier] if self.barrier else {}


class Attendance:
    """Keeps the roll of every round; the algorithm asks it whom to wait for."""

    def __init__(
        self,
        rounds: Rounds,
        presence: Presence,
        devices: Sequence[Device],
        transport: Transport,
        *,
        patience: Patience = everybody,
        timeout_s: float | None = None,
    ) -> None:
        """``patience``: until when a round waits for those who have not sent.

        ``timeout_s``: whoever has not finished a round so long after it opened is given up; None: never.
        """
        self._rounds, self._presence, self._devices, self._transport = rounds, presence, devices, transport
        self._patience, self._timeout_s = patience, timeout_s
        self._spawn: Spawn | None = None
        self._members: dict[str, _Member] = {}
        self._rolls: defaultdict[int, _Roll] = defaultdict(_Roll)
        self._open = self._last = 0
        self._held = False  # the round that is open does not end with its devices
        self._expiry: asyncio.TimerHandle | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._opened, self._over = asyncio.Event(), asyncio.Event()
        self._left: dict[int, Mapping[str, None]] = {}  # who was gone at the end of the last rounds that are over
        self._average = INITIAL  # the round after which the last average was taken
        self._holds: dict[int, int] = {}  # ... and that of the global adapters a device holds; -1: none

    def start(self, spawn: Spawn, *, only_first: bool = False) -> None:
        """Open the first round; ``spawn`` makes the task of a device that joins in a round.

        ``only_first``: devices take part in the first round only, and it does not end before it is told (`end_first`).
        """
        self._spawn, self._held = spawn, only_first
        self._last = 1 if only_first else self._rounds.schedule.rounds
        self._open_round(1)

    def rounds(self, me: Device, first: int) -> Iterator[int]:
        """The rounds of a device from the one in which it joined: when it asks for the next, it has finished one."""
        number = first
        while True:
            yield number
            if not self._finished(me, number):
                return
            number += 1

    @property
    def stays(self) -> bool:
        """True if whoever is there at an average goes on; False if devices are drawn anew after it."""
        return self._presence.everybody

    def missed_an_average(self, me: Device) -> bool:
        """True for a device that does not hold the global adapters: it was not there, or has been away since."""
        return self._holds.get(me.index, INITIAL) != self._average

    def averaged(self, round: int) -> None:
        """Note that there are new global adapters."""
        self._average = round

    def end_first(self, me: Actor) -> None:
        """The first round ends with what this actor has just done; no device is waited for any more."""
        self._held = False
        self._close(1, me.name)

    async def over(self) -> None:
        """Wait until the last round has ended; rounds may still be to come while no device is there."""
        await self._over.wait()

    async def gather(self, me: Actor, kind: Kind, round: int) -> list[Message]:
        """The messages of a round, in order of arrival, once everybody who is still in it has sent one."""

        def enough(message: Message) -> bool:
            self._note(kind, message)
            return self._complete(kind, round)

        if not self._complete(kind, round):
            await me.receive_until(kind, enough)
        return self.still_there(round, list(self._rolls[round].received[kind].values())) if round in self._rolls else []

    async def arrivals(self, me: Actor, kind: Kind, round: int) -> AsyncIterator[Message]:
        """The messages of a round as they come, until everybody who is still in it has sent one."""
        told: set[str] = set()
        while True:
            received = self._rolls[round].received[kind] if round in self._rolls else {}
            for sender in [sender for sender in received if sender not in told]:
                told.add(sender)
                yield received[sender]
            if self._complete(kind, round):
                return
            self._note(kind, await me.receive(kind))

    async def members(self, round: int) -> list[Device]:
        """Those who are in a round when it opens, in the order of the fleet."""
        while self._open < round:
            self._opened.clear()
            await self._opened.wait()
        roll = self._rolls[round]
        return [self._devices[roll.began[name]] for name in sorted(roll.busy, key=roll.began.__getitem__)]

    async def answer(self, me: Actor, kind: Kind, round: int, sender: Device) -> Message | None:
        """A device's message of a round, once it is there; None if the device is gone before."""
        while True:
            roll = self._rolls.get(round)
            if roll is None or sender.name not in roll.began or sender.name in roll.gone:
                return None
            if sender.name in roll.received[kind]:
                return roll.received[kind][sender.name]
            self._note(kind, await me.receive(kind))

    def _note(self, kind: Kind, message: Message) -> None:
        """Keep what has come, in the roll of its round, unless its sender is gone."""
        if message.payload is not HUNG_UP:
            self._check_in_time(message)
        roll = self._rolls.get(message.round)
        here = roll is not None and message.sender in roll.began and message.sender not in roll.gone
        if roll is not None and here and message.payload is not HUNG_UP:
            roll.received[kind][message.sender] = message
            roll.barrier = roll.barrier or kind
            self._judge(message.round)

    def still_there(self, round: int, messages: Sequence[Message]) -> list[Message]:
        """Those whose senders have not gone since.

        Raises ValueError for a sender that has finished the round although its message was still to be used.
        """
        if round in self._left:
            for message in messages:
                self._check_in_time(message)
        gone = self._rolls[round].gone if round in self._rolls else {message.sender for message in messages}
        return [message for message in messages if message.sender not in gone]

    def _check_in_time(self, message: Message) -> None:
        left = self._left.get(message.round)
        if left is not None and message.sender not in left:
            raise ValueError(
                f"{message.sender} has finished round {message.round} before its {message.kind} were used: "
                f"a device must wait for an answer"
            )

    def _complete(self, kind: Kind, round: int) -> bool:
        if round >= self._open:
            roll = self._rolls[round]
            return round == self._open and len(roll.received[kind]) == len(roll.began) - len(roll.gone)
        return True

    def _open_round(self, number: int) -> None:
        now_s, roll = _now_s(), self._rolls[number]
        taken = {member.device.index for member in self._members.values()} | set(roll.began.values())
        past = any(ahead.passed for each, ahead in self._rolls.items() if each >= number)  # nobody joins behind it
        newcomers = [] if past else self._presence.pick(number, now_s, taken, len(roll.busy))
        if not newcomers and not roll.began:
            until_s = self._presence.next_s(number, now_s)
            self._rounds.waits(WaitRow(number, now_s, until_s))
            asyncio.get_running_loop().call_at(until_s, self._open_round, number)
            return
        self._open, roll.opened_s = number, now_s
        self._opened.set()
        for index in newcomers:
            self._admit(self._devices[index], number)
        if self._timeout_s is not None:
            self._expiry = asyncio.get_running_loop().call_at(now_s + self._timeout_s, self._expire, number)
        if not roll.busy and not self._held:  # those who began it early are gone already, or further on
            self._close(number, next(reversed(roll.gone or roll.began)))
        else:
            self._judge(number)

    def _close(self, number: int, last: str) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        self._set_deadline(number, math.inf)
        roll = self._rolls.pop(number)
        self._left[number] = roll.gone
        self._left.pop(number - REMEMBERED, None)
        self._rounds.close(number, len(roll.began), len(roll.gone), last, _now_s(), late=roll.late)
        if number < self._last:
            self._open_round(number + 1)
        else:
            self._open = number + 1
            self._over.set()

    def _admit(self, device: Device, number: int) -> None:
        assert self._spawn is not None, "started"
        self._transport.connect(device.name)
        self._rounds.numerics.join(device.index)
        member = self._members[device.name] = _Member(device)
        self._begin(member, number, _now_s())
        member.task = self._spawn(device, number)

    def _begin(self, member: _Member, number: int, now_s: float) -> None:
        """A device begins a round; it is known by now when it would leave."""
        name, index = member.device.name, member.device.index
        member.round = number
        roll = self._rolls[number]
        roll.began[name] = index
        roll.busy[name] = None
        self._set_leaving(member, self._presence.leaves_s(index, number, now_s))

    def _set_leaving(self, member: _Member, when_s: float) -> None:
        if member.leaves is not None:
            member.leaves.cancel()
            member.leaves = None
        if when_s < math.inf:
            member.leaves = asyncio.get_running_loop().call_at(when_s, self._drop, member.device.name)

    def _finished(self, me: Device, number: int) -> bool:
        """A device has finished a round; true if it goes on with the next one."""
        member, roll, now_s = self._members[me.name], self._rolls[number], _now_s()
        roll.busy.pop(me.name, None)  # a first round may have ended without it
        averaged, last = self._rounds.schedule.aggregates_after(number), number == self._last
        self._holds[me.index] = number if averaged and self.stays else -1
        stays = not last and (self.stays or not averaged) and self._presence.ready(me.index, now_s)
        if stays:
            self._begin(member, number + 1, now_s)
        elif last:
            self._set_leaving(member, math.inf)
        else:
            self._part_with(member)
        if not roll.busy and number == self._open and not self._held:
            self._close(number, me.name)
        return stays

    def _drop(self, name: str, *, late: bool = False) -> None:
        """A device goes in the middle of a round: it has left, or is given up as too late."""
        member = self._members[name]
        number, roll = member.round, self._rolls[member.round]
        roll.busy.pop(name, None)
        roll.gone[name] = None
        roll.late += late
        for received in roll.received.values():
            received.pop(name, None)
        self._holds[member.device.index] = -1
        self._part_with(member)
        if member.task is not None:
            member.task.cancel()
        if not roll.busy and number == self._open and not self._held:
            self._close(number, name)
        else:
            self._judge(number)

    def _judge(self, number: int) -> None:
        """Ask the rule whether a round has waited long enough; then give up whoever has not sent."""
        roll = self._rolls.get(number)
        if roll is None or roll.passed or not self._is_next_barrier(number):
            return
        sent = roll.sent
        there = len(roll.began) - len(roll.gone) if number == self._open else len(self._members)
        if self._patience is everybody and len(sent) < there:  # nobody is ever late
            return
        now_s = _now_s()
        patience_s = self._patience(Barrier(there, len(sent)))
        until_s = roll.opened_s + patience_s if patience_s else now_s
        if until_s > now_s:
            self._set_deadline(number, until_s)
            return
        self._set_deadline(number, math.inf)
        roll.passed = True
        silent = [member for name, member in self._members.items() if name not in sent]
        for name in [member.device.name for member in silent if self._may_send(member, number)]:
            self._drop(name, late=True)

    def _is_next_barrier(self, number: int) -> bool:
        """True for the open round, and for one behind it if nothing has been sent in the rounds between."""
        for before in range(self._open, number):
            if before in self._rolls and self._rolls[before].barrier is not None:
                return False
        return number >= self._open

    def _may_send(self, member: _Member, number: int) -> bool:
        """True for who is in the middle of that round or of an earlier one."""
        return member.round <= number and member.device.name in self._rolls[member.round].busy

    def _set_deadline(self, number: int, when_s: float) -> None:
        """Judge again at that time, if nothing happens before; infinity for never."""
        timer = self._deadline
        if timer is not None and timer.when() != when_s:
            timer.cancel()
            self._deadline = None
        if self._deadline is None and when_s < math.inf:
            self._deadline = asyncio.get_running_loop().call_at(when_s, self._judge, number)

    def _part_with(self, member: _Member) -> None:
        self._set_leaving(member, math.inf)
        del self._members[member.device.name]
        self._transport.hang_up(member.device.name)
        self._rounds.numerics.leave(member.device.index)

    def _expire(self, number: int) -> None:
        """A round has taken too long: give up all who have not finished it."""
        roll = self._rolls[number]
        roll.passed = True
        for name in list(roll.busy):
            self._drop(name, late=True)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
