"""Keeps the rounds: who has finished which, what it cost, and when to evaluate."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from simulator.numerics import Loss, Numerics
from simulator.record import Record, RoundRow


@dataclass(frozen=True, slots=True)
class Schedule:
    """How many rounds, counted from 1, and after which adapters are averaged and the global model is evaluated."""

    rounds: int
    aggregate_every: int
    evaluate_every: int

    def aggregates_after(self, round: int) -> bool:
        """True every ``aggregate_every`` rounds: I = 5 aggregates after rounds 5, 10, 15, ..."""
        return round % self.aggregate_every == 0

    def evaluates_after(self, round: int) -> bool:
        """True every ``evaluate_every`` rounds and after the last one."""
        return round % self.evaluate_every == 0 or round == self.rounds

    def __iter__(self) -> Iterator[int]:
        """The rounds 1, 2, ..."""
        return iter(range(1, self.rounds + 1))


class Rounds:
    """A round is over when its last participant has finished it; then the global model may be evaluated."""

    def __init__(self, schedule: Schedule, participants: int, numerics: Numerics, record: Record) -> None:
        """Round 0 of the record is the state before training."""
        self.schedule = schedule
        self._participants, self._numerics, self._record = participants, numerics, record
        self._losses: dict[int, list[Loss]] = defaultdict(list)
        self._finished: dict[int, int] = defaultdict(int)
        self._seen_up = self._seen_down = 0
        self._end_s = 0.0

    def begin(self) -> None:
        """Note the state before training."""
        self._write(0, 0.0, Loss(math.nan, 0), self._numerics.evaluate(), "")

    def trained(self, round: int, loss: Loss) -> None:
        """Note the loss of a server step of a round."""
        self._losses[round].append(loss)

    def finished(self, round: int, device: str, now_s: float) -> None:
        """Note that a device has finished a round; the last one closes it."""
        self._finished[round] += 1
        if self._finished[round] == self._participants:
            del self._finished[round]
            due = self.schedule.evaluates_after(round)
            held_out = self._numerics.evaluate() if due else Loss(math.nan, 0)
            self._write(round, now_s, _mean(self._losses.pop(round, [])), held_out, device)

    def _write(self, number: int, end_s: float, train: Loss, held_out: Loss, slowest: str) -> None:
        up, down = self._record.bytes_up, self._record.bytes_down
        row = RoundRow(
            number,
            self._end_s,
            end_s,
            self._participants,
            0,
            train.mean,
            held_out.mean,
            math.exp(held_out.mean),
            up - self._seen_up,
            down - self._seen_down,
            slowest,
        )
        self._seen_up, self._seen_down, self._end_s = up, down, end_s
        self._record.round(row)


def _mean(losses: list[Loss]) -> Loss:
    """Mean over label positions of several steps."""
    positions = sum(loss.positions for loss in losses)
    if positions == 0:
        return Loss(math.nan, 0)
    return Loss(sum(loss.mean * loss.positions for loss in losses) / positions, positions)
