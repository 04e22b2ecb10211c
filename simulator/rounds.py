"""Keeps the rounds: when they aggregate and evaluate, and what each has cost."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from simulator.failure import RunFailed
from simulator.numerics import Loss
from simulator.numerics.company import Company, LateLoss
from simulator.record import Record, RoundRow, WaitRow

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
    """A round is over when its last participant has finished it or is gone; then the model may be evaluated."""

    def __init__(self, schedule: Schedule, numerics: Company, record: Record) -> None:
        """Round 0 of the record is the state before training."""
        self.schedule, self.numerics = schedule, numerics
        self._record = record
        self._losses: dict[int, list[LateLoss]] = defaultdict(list)
        self._end_s = 0.0
        self.over = 0  # the last round that has ended

    def begin(self, participants: int, *, dropped: int = 0) -> None:
        """Note the state before training, and how many devices were dropped before the first round."""
        held_out = self.numerics.evaluate()
        self._write(RoundRow(0, 0.0, 0.0, participants, dropped, math.nan, *_held_out(held_out), 0, 0, slowest=""))

    def trained(self, round: int, loss: Loss | LateLoss) -> None:
        """Note the loss of a step of a round; one that is computed later is asked for when the round is over.

        Raises ValueError for a round that is over: an algorithm must not let its devices finish it before.
        """
        if round <= self.over:
            raise ValueError(f"a step of round {round} ends when all devices have finished that round already")
        self._losses[round].append((lambda: loss) if isinstance(loss, Loss) else loss)

    def waits(self, row: WaitRow) -> None:
        """Note that a round cannot begin yet."""
        self._record.wait(row)

    def close(self, round: int, participants: int, dropped: int, last: str, now_s: float, *, late: int = 0) -> None:
        """Note that a round is over: so many began it, so many of them are gone, ``last`` was waited for last.

        Of those who are gone so many were given up as too ``late``.
        """
        train = _mean([loss() for loss in self._losses.pop(round, [])])  # first: steps put off are taken now
        due = self.schedule.evaluates_after(round)
        held_out = self.numerics.evaluate() if due else Loss(math.nan, 0)
        for loss, what in ((train, "training"), (held_out, "validation")):
            if loss.positions and not math.isfinite(loss.mean):
                raise RunFailed(
                    f"training diverged: the {what} loss of round {round} is {loss.mean}; "
                    f"lower training.learning_rate or lora.alpha"
                )
        bytes_up, bytes_down = self._record.bytes_of_round[round]
        self._write(
            RoundRow(
                round,
                self._end_s,
                now_s,
                participants,
                dropped,
                train.mean,
                *_held_out(held_out),
                bytes_up,
                bytes_down,
                slowest=last,
                late=late,
            )
        )

    def _write(self, row: RoundRow) -> None:
        self._end_s, self.over = row.end_s, row.round
        self._record.round(row)


def _held_out(loss: Loss) -> tuple[float, float]:
    """Loss and perplexity."""
    return loss.mean, math.exp(min(loss.mean, MOST_NATS))


def _mean(losses: list[Loss]) -> Loss:
    """Mean over label positions of several steps; one that was never taken has none, and a mean that is no number."""
    taken = [loss for loss in losses if loss.positions]
    positions = sum(loss.positions for loss in taken)
    if positions == 0:
        return Loss(math.nan, 0)
    return Loss(sum(loss.mean * loss.positions for loss in taken) / positions, positions)
