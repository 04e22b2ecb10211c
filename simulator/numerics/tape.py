"""A recorded run: losses under the keys of what was computed, so that it can be replayed without computing.

`Recording` stands between a run and its numerics and keeps every loss under its key (`history.History`); `Replay` is
numerics that look the keys up. A key that is not there means that the schedule has changed what is trained: `Diverged`
says where and why. A tape in a file is data: one msgpack map of numbers and bytes, with a hash over its content.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, TypeVar

import msgpack
import numpy as np

from simulator.failure import RunFailed
from simulator.numerics import Loss, Numerics, Ticket
from simulator.numerics.divergence import reason
from simulator.numerics.history import KEY_BYTES, KINDS, Event, History

VERSION: Final = 2
"""Of the file's form, and of what the keys stand for: raised whenever a tape of before would replay something else."""

MOST_BYTES: Final = 1 << 27
"""A larger file is refused; what is read takes some ten times as much memory. 1,000 devices over 1,000 rounds leave
17 MB."""

_ENVELOPE: Final = {"tape": int, "hash": bytes, "content": bytes}
_CONTENT: Final = {
    "training": str,
    "made_by": str,
    "weights": bytes,
    "keys": bytes,
    "means": bytes,
    "positions": bytes,
    "kinds": bytes,
    "rounds": bytes,
    "counts": bytes,
    "devices": bytes,
    "batches": bytes,
}
_T = TypeVar("_T", bound=np.generic)


class Diverged(RunFailed):
    """The schedule has changed what is trained; the message says in which round, at what, and why."""


@dataclass(frozen=True, slots=True)
class Tape:
    """What a run has computed. ``training`` says what was trained, ``weights`` has each device's in an average.

    ``lengths`` has the positions per sequence of each batch, by device and round, where they differ; else nothing.
    ``made_by`` has the versions of what computed the losses, as a person reads them; where others would compute them
    today, they are told, not refused.
    """

    training: str
    weights: Sequence[float]
    losses: Mapping[bytes, Loss]
    events: Sequence[Event]
    lengths: Mapping[tuple[int, int], int]
    made_by: str

    def to_bytes(self) -> bytes:
        """The file's content."""
        devices = [device for event in self.events for device in event.devices]
        batches = [number for (device, round), tokens in self.lengths.items() for number in (device, round, tokens)]
        content: dict[str, str | bytes] = {
            "training": self.training,
            "made_by": self.made_by,
            "weights": _packed(self.weights, "<f8"),
            "keys": b"".join(self.losses),
            "means": _packed([loss.mean for loss in self.losses.values()], "<f8"),
            "positions": _packed([loss.positions for loss in self.losses.values()], "<i8"),
            "kinds": bytes(KINDS.index(event.kind) for event in self.events),
            "rounds": _packed([event.round for event in self.events], "<i4"),
            "counts": _packed([len(event.devices) for event in self.events], "<i4"),
            "devices": _packed(devices, "<i4"),
            "batches": _packed(batches, "<i4"),
        }
        packed = msgpack.packb(content)
        file: bytes = msgpack.packb({"tape": VERSION, "hash": _digest(packed), "content": packed})
        return file

    @classmethod
    def from_bytes(cls, data: bytes) -> Tape:
        """Read a file's content; ValueError for what is not a whole and unchanged tape of this version."""
        envelope = _unpack(data, _ENVELOPE)
        if envelope["tape"] != VERSION:
            raise ValueError(f"is a tape of version {envelope['tape']}, and this splitwire reads version {VERSION}")
        if envelope["hash"] != _digest(envelope["content"]):
            raise ValueError("is damaged: its hash is not that of its content")
        return cls._of(_unpack(envelope["content"], _CONTENT))

    @classmethod
    def _of(cls, content: dict[str, Any]) -> Tape:
        keys = content["keys"]
        means, positions = _numbers(content, "means", np.float64), _numbers(content, "positions", np.int64)
        kinds, rounds = content["kinds"], _numbers(content, "rounds", np.int32)
        counts, devices = _numbers(content, "counts", np.int32), _numbers(content, "devices", np.int32)
        weights, batches = _numbers(content, "weights", np.float64), _numbers(content, "batches", np.int32)
        agree = len(keys) == KEY_BYTES * len(means) and len(means) == len(positions)
        agree = agree and len(kinds) == len(rounds) == len(counts) and sum(counts) == len(devices)
        agree = agree and len(batches) % 3 == 0 and min(batches[2::3], default=1) >= 1
        known = all(kind < len(KINDS) for kind in kinds) and all(0 <= device < len(weights) for device in devices)
        if not content["made_by"].isprintable():  # a terminal would obey it
            raise ValueError("is damaged: what made it is no text")
        if not (agree and known and min(counts, default=0) >= 0 and min(positions, default=0) >= 0):
            raise ValueError("is damaged: its parts do not belong together")
        named = [keys[first : first + KEY_BYTES] for first in range(0, len(keys), KEY_BYTES)]
        ends = np.cumsum(counts, dtype=np.int64).tolist()
        return cls(
            content["training"],
            weights,
            dict(zip(named, map(Loss, means, positions), strict=True)),
            [
                Event(KINDS[kind], round, tuple(devices[end - count : end]))
                for kind, round, count, end in zip(kinds, rounds, counts, ends, strict=True)
            ],
            dict(zip(zip(batches[::3], batches[1::3], strict=True), batches[2::3], strict=True)),
            content["made_by"],
        )


class Recording:
    """Passes everything on to a run's numerics and keeps the losses. Implements `Numerics`."""

    def __init__(
        self,
        numerics: Numerics,
        training: str,
        weights: Sequence[float],
        *,
        tokens: int | None = None,
        made_by: str = "",
    ) -> None:
        """``training`` says what is trained: the root of all keys. ``tokens``: length of every batch, if it has one.

        ``made_by`` is kept on the tape.
        """
        self._made_by = made_by
        self._numerics, self._training, self._weights, self._tokens = numerics, training, weights, tokens
        self._history = History(training.encode())
        self._losses: dict[bytes, Loss] = {}
        self._lengths: dict[tuple[int, int], int] = {}

    def join(self, device: int) -> None:
        """Pass it on."""
        self._history.join(device)
        self._numerics.join(device)

    def leave(self, device: int) -> None:
        """Pass it on."""
        self._history.leave(device)
        self._numerics.leave(device)

    def forward(self, device: int, round: int) -> Ticket:
        """Pass it on and keep how long the batch is."""
        self._history.forward(device, round)
        ticket = self._numerics.forward(device, round)
        if self._tokens is None:
            self._lengths[device, round] = ticket.tokens
        return ticket

    def server_step(self, tickets: Sequence[Ticket]) -> Loss:
        """Pass it on and keep the loss."""
        return self._keep(self._history.server_step(tickets), self._numerics.server_step(tickets))

    def backward(self, ticket: Ticket) -> None:
        """Pass it on."""
        self._history.backward(ticket)
        self._numerics.backward(ticket)

    def local_steps(self, tickets: Sequence[Ticket]) -> list[Loss]:
        """Pass it on and keep the losses."""
        losses = self._numerics.local_steps(tickets)
        return list(map(self._keep, self._history.local_steps(tickets), losses))

    def aggregate(self, devices: Sequence[int], weights: Sequence[float]) -> None:
        """Pass it on."""
        self._history.aggregate(devices, weights)
        self._numerics.aggregate(devices, weights)

    def adopt(self, device: int) -> None:
        """Pass it on."""
        self._history.adopt(device)
        self._numerics.adopt(device)

    def evaluate(self) -> Loss:
        """Pass it on and keep the loss."""
        return self._keep(self._history.evaluate(), self._numerics.evaluate())

    def export(self, device: int | None = None) -> Mapping[str, bytes]:
        """Pass it on."""
        return self._numerics.export(device)

    def _keep(self, key: bytes, loss: Loss) -> Loss:
        self._losses[key] = loss
        return loss

    @property
    def tape(self) -> Tape:
        """What was recorded so far."""
        return Tape(self._training, self._weights, self._losses, self._history.events, self._lengths, self._made_by)


class Replay:
    """Numerics that compute nothing: losses are those of a tape, to the last bit. Implements `Numerics`."""

    def __init__(self, tape: Tape, *, sequences: int, tokens: int | None, name: Callable[[int], str]) -> None:
        """``tokens``: length of every batch; None where they differ, as recorded. ``name``: of a device."""
        self._tape, self._sequences, self._tokens, self._name = tape, sequences, tokens, name
        self._history = History(tape.training.encode())

    def join(self, device: int) -> None:
        """Note it."""
        self._history.join(device)

    def leave(self, device: int) -> None:
        """Note it."""
        self._history.leave(device)

    def forward(self, device: int, round: int) -> Ticket:
        """A ticket of the recorded shape; `Diverged` where lengths differ and this batch was not recorded."""
        self._history.forward(device, round)
        tokens = self._tokens or self._tape.lengths.get((device, round))
        if tokens is None:
            raise Diverged(
                f"round {round}: {self._name(device)} takes part, which it did not in the recorded run; so how long "
                f"its batch is was not recorded"
            )
        return Ticket(device, round, self._sequences, tokens)

    def server_step(self, tickets: Sequence[Ticket]) -> Loss:
        """The recorded loss of this very step; `Diverged` where there is none."""
        return self._recorded(self._history.server_step(tickets))

    def backward(self, ticket: Ticket) -> None:
        """Note it."""
        self._history.backward(ticket)

    def local_steps(self, tickets: Sequence[Ticket]) -> list[Loss]:
        """The recorded losses of these very steps; `Diverged` where there are none."""
        return [self._recorded(key) for key in self._history.local_steps(tickets)]

    def aggregate(self, devices: Sequence[int], weights: Sequence[float]) -> None:
        """Note it."""
        self._history.aggregate(devices, weights)

    def adopt(self, device: int) -> None:
        """Note it."""
        self._history.adopt(device)

    def evaluate(self) -> Loss:
        """The recorded loss of this very model; `Diverged` where there is none."""
        return self._recorded(self._history.evaluate())

    def export(self, device: int | None = None) -> Mapping[str, bytes]:
        """A tape has losses, no adapters."""
        return {}

    def _recorded(self, key: bytes) -> Loss:
        loss = self._tape.losses.get(key)
        if loss is None:
            raise Diverged(reason(self._tape.events, self._history.events, self._name))
        return loss


def _packed(values: Sequence[float], form: str) -> bytes:
    return np.array(values, dtype=form).tobytes()


def _numbers(content: Mapping[str, Any], name: str, kind: type[_T]) -> list[Any]:
    data, form = content[name], np.dtype(kind).newbyteorder("<")
    if len(data) % form.itemsize:
        raise ValueError(f"is damaged: its {name} are cut off")
    values: list[Any] = np.frombuffer(data, form).tolist()
    return values


def _unpack(data: bytes, form: Mapping[str, type]) -> dict[str, Any]:
    """A flat map with these very entries; no list, no extension, nothing nested."""
    if len(data) > MOST_BYTES:
        raise ValueError(f"is too large for a tape: {len(data):,} bytes, at most {MOST_BYTES:,}")
    try:
        found = msgpack.unpackb(data, max_array_len=0, max_ext_len=0, max_map_len=len(form), strict_map_key=True)
    except (ValueError, TypeError, OverflowError, msgpack.exceptions.UnpackException) as error:
        raise ValueError(f"is not a tape: {error or type(error).__name__}") from None
    whole = isinstance(found, dict) and found.keys() == form.keys()
    if not whole or any(type(found[name]) is not kind for name, kind in form.items()):
        raise ValueError("is not a tape: it has other entries")
    return dict(found)


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=32).digest()
