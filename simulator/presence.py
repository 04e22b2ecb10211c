"""Who could take part in a round, and until when: availability, dropouts, and the draw of the participants."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from devices.availability import ALWAYS, Availability, comes_s, dropout_s, leaves_s
from simulator.selection import Order
from simulator.streams import stream

Preference = Callable[[int, np.random.Generator], Order]
"""In which order devices are drawn for a round; chance is that of the round."""

MOST_ASKED: Final = 50_000
"""Devices of a population that are asked for one round, in the order of preference: if fewer of them than wanted are
there, the round has fewer, although others may be. Asking one takes about 0.1 ms."""


@dataclass(frozen=True, slots=True)
class Habits:
    """What is known of each device, by index: when it is there, how often it drops out, and its own state.

    ``ready_s``: when a device may begin a round, now or later, whatever its availability; infinity for never.
    """

    availability: Callable[[int], Availability] = lambda _: ALWAYS
    dropouts_per_hour: Callable[[int], float] = lambda _: 0.0
    ready_s: Callable[[int, float], float] = lambda _, now_s: now_s


class Presence:
    """The whole fleet by index. Whoever is never asked about costs nothing."""

    def __init__(
        self,
        size: int,
        habits: Habits,
        *,
        seed: int,
        participants: int | None = None,
        preference: Preference | None = None,
        horizon_s: float = math.inf,
    ) -> None:
        """``participants``: devices in a round, None for all; ``preference``: who is drawn first, None: chance decides.

        Nothing beyond the horizon of the run is looked for.
        """
        self._size, self._habits, self._seed = size, habits, seed
        self._participants, self._horizon_s = participants or size, horizon_s
        self._preference = preference or (lambda round, rng: rng.permutation(size))

    @property
    def everybody(self) -> bool:
        """True if whoever is available takes part: nobody is drawn."""
        return self._participants >= self._size

    def pick(self, round: int, now_s: float, taken: Container[int], busy: int) -> list[int]:
        """Who joins a round in which ``busy`` devices are already, in order of index; none of the ``taken`` ones."""
        wanted = self._participants - busy
        chosen: list[int] = []
        for index in self._candidates(round) if wanted > 0 else ():
            if index not in taken and self._habits.availability(index).available(now_s) and self.ready(index, now_s):
                chosen.append(index)
                if len(chosen) == wanted:
                    break
        return sorted(chosen)

    def next_s(self, round: int, now_s: float) -> float:
        """When the next of a round's candidates will be available, now or later; infinity beyond the horizon."""
        return min(self._next_s(index, now_s) for index in self._candidates(round))

    def ready(self, index: int, now_s: float) -> bool:
        """True for a device whose own state lets it begin a round now."""
        return self._habits.ready_s(index, now_s) <= now_s

    def _next_s(self, index: int, now_s: float) -> float:
        """When a device will be there after it was ready; it may not be so any more, then this is asked again."""
        ready_s = self._habits.ready_s(index, now_s)
        return comes_s(self._habits.availability(index), ready_s, horizon_s=self._horizon_s)

    def leaves_s(self, index: int, round: int, now_s: float) -> float:
        """When a device that begins a round now would leave: it is no longer available, or drops out."""
        availability = self._habits.availability(index)
        when_s = math.inf if availability is ALWAYS else leaves_s(availability, now_s, horizon_s=self._horizon_s)
        per_hour = self._habits.dropouts_per_hour(index)
        if not per_hour:
            return when_s
        return min(when_s, now_s + dropout_s(stream(self._seed, "dropout", index, round), per_hour))

    def _candidates(self, round: int) -> Iterable[int]:
        """Everybody in turn, or in the order of preference of this round; of a large population the first ones."""
        if self.everybody:
            return range(self._size)
        return map(int, self._preference(round, stream(self._seed, "participants", round))[:MOST_ASKED])
