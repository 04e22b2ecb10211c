"""Chooses: which points nothing beats, and which split each class of devices should have."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final, NamedTuple

from simulator.whatif.plan_space import Cut

PATIENCE: Final = 2
"""A walk along the splits of one class ends when so many in a row are no better than the best."""

NEAR: Final = 0.01
"""Choices that are worse by so little are as good as the best, since under `tcp` the same fleet scatters by that."""

Choice = Mapping[str, Cut]


class Score(NamedTuple):
    """What a choice is worth; less is better, in this order."""

    excess: float  # by how much the limits are missed; 0: they hold
    value: float  # what is to be small
    bytes: float  # decides between equals


def scored(excess: float, value: float, size_bytes: float) -> Score:
    """A score of which rounding errors decide nothing: nine digits of the value."""
    return Score(excess, float(f"{value:.9g}"), size_bytes)


def front(points: Sequence[Sequence[float]]) -> list[bool]:
    """Whether each point is on the Pareto front: no other is as good in all coordinates and better in one.

    Small is good. Equal points are on it, or off it, together.
    """
    return [
        not any(all(map(_no_worse, other, point)) and tuple(other) != tuple(point) for other in points)
        for point in points
    ]


def _no_worse(one: float, other: float) -> bool:
    return one <= other


@dataclass(frozen=True, slots=True)
class Found:
    """The choice that is taken, how it was searched for, how many were tried, and what it was taken from.

    ``best`` has the least value of all; the choice is the one of the fewest bytes within `NEAR` of it. ``equals`` equal
    the choice but for their bytes.
    """

    choice: dict[str, Cut]
    score: Score
    method: str
    tried: int
    best: dict[str, Cut]
    equals: list[dict[str, Cut]]


def taken(names: Sequence[str], scores: Mapping[tuple[Cut, ...], Score], method: str) -> Found:
    """Take one of the choices that were scored, given as a cut for each of the classes ``names``; see `Found`."""
    best = min(scores, key=scores.__getitem__)
    most = (1 + NEAR) * scores[best].value
    near = [cuts for cuts, score in scores.items() if score.excess == scores[best].excess and score.value <= most]
    choice = min(near, key=lambda cuts: (scores[cuts].bytes, scores[cuts].value))
    equals = [cuts for cuts in near if scores[cuts].value == scores[choice].value and cuts != choice]

    def named(cuts: tuple[Cut, ...]) -> dict[str, Cut]:
        return dict(zip(names, cuts, strict=True))

    return Found(named(choice), scores[choice], method, len(scores), named(best), [*map(named, equals)])


class Search:
    """Looks for the choice of the least score, and takes one that is as good; each is scored once."""

    def __init__(self, options: Mapping[str, Sequence[Cut]], score: Callable[[Choice], Score]) -> None:
        """Take what each class may be given, in order of depth, and what a choice is worth."""
        self._names = list(options)
        self._options = list(options.values())
        self._score = score
        self._scores: dict[tuple[Cut, ...], Score] = {}

    @property
    def combinations(self) -> int:
        """How many choices there are."""
        return math.prod(map(len, self._options))

    def run(self, starts: Sequence[Choice], *, most: int) -> Found:
        """Try all of at most so many; else improve one class after another, from the best of the starts."""
        if self.combinations <= most:
            method = f"exact: all {self.combinations} combinations timed"
            for cuts in product(*self._options):
                self._of(cuts)
        else:
            self._descend(min((tuple(start[name] for name in self._names) for start in starts), key=self._of))
            method = f"greedy: one class after another, {len(self._scores)} of {self.combinations:,} combinations timed"
        return taken(self._names, self._scores, method)

    def _descend(self, best: tuple[Cut, ...]) -> None:
        """Until no change of one class helps."""
        while True:
            before = best
            for place in range(len(best)):
                for deeper in (True, False):
                    best = self._walk(best, place, deeper=deeper)
            if best == before:
                return

    def _walk(self, best: tuple[Cut, ...], place: int, *, deeper: bool) -> tuple[Cut, ...]:
        """Try the splits of one class in one direction, until `PATIENCE` of them have not helped."""
        options = self._options[place]
        at = options.index(best[place])
        idle = 0
        for cut in options[at + 1 :] if deeper else reversed(options[:at]):
            other = (*best[:place], cut, *best[place + 1 :])
            if self._of(other) < self._of(best):
                best, idle = other, 0
            else:
                idle += 1
            if idle == PATIENCE:
                break
        return best

    def _of(self, cuts: tuple[Cut, ...]) -> Score:
        if cuts not in self._scores:
            self._scores[cuts] = self._score(self._named(cuts))
        return self._scores[cuts]

    def _named(self, cuts: tuple[Cut, ...]) -> dict[str, Cut]:
        return dict(zip(self._names, cuts, strict=True))
