"""Keeps the rounds: who has finished which, what it cost, and when to evaluate."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from simulator.failure import RunFailed
from simulator.numerics import Loss, Numerics
from simulator.record import Record, RoundRow

MOST_NATS: Final = 700.0
"""A perplexity above exp(700) is shown as that: more does not fit a float."""


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
        self._end_s = 0.0

    def begin(self, *, dropped: int = 0) -> None:
        """Note the state before training, and how many devices were dropped before the first round."""
        self._write(0, 0.0, Loss(math.nan, 0), self._numerics.evaluate(), "", dropped=dropped)

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
            train = _mean(self._losses.pop(round, []))
            for loss, what in ((train, "training"), (held_out, "validation")):
                if loss.positions and not math.isfinite(loss.mean):
                    raise RunFailed(
                        f"training diverged: the {what} loss of round {round} is {loss.mean}; "
                        f"lower training.learning_rate or lora.alpha"
                    )
            self._write(round, now_s, train, held_out, device)

    def _write(self, number: int, end_s: float, train: Loss, held_out: Loss, slowest: str, *, dropped: int = 0) -> None:
        up, down = self._record.bytes_of_round[number]
        row = RoundRow(
            number,
            self._end_s,
            end_s,
            self._participants,
            dropped,
            train.mean,
            held_out.mean,
            math.exp(min(held_out.mean, MOST_NATS)),
            up,
            down,
            slowest,
        )
        self._end_s = end_s
        self._record.round(row)


def _mean(losses: list[Loss]) -> Loss:
    """Mean over label positions of several steps."""
    positions = sum(loss.positions for loss in losses)
    if positions == 0:
        return Loss(math.nan, 0)
    return Loss(sum(loss.mean * loss.positions for loss in losses) / positions, positions)
