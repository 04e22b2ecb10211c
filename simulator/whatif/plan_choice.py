"""Chooses a split for every class of devices, within the memory they have and what their batteries may give."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from devices.format import exact_bytes, short_bytes
from devices.memory import DoesNotFit
from simulator.energy import Figures
from simulator.failure import RunFailed
from simulator.scenario import Group, Scenario
from simulator.scenario.words import unknown as unknown_word
from simulator.views.format import by_cause
from simulator.whatif.plan_search import Choice, Found, Score, Search, scored
from simulator.whatif.plan_space import Cut
from simulator.whatif.plan_timing import HOUR_S, Stopwatch, Timed

ROUND_TIME, ENERGY, BYTES = OBJECTIVES = ("round-time", "energy", "bytes")
LIMITS: Final = ("memory", "battery")
WAYS_OUT: Final = "ways out: memory: {attention: fused, checkpointing: on}; a lower training.batch or training.tokens"
PORTABLE: Final = ("phone", "tablet", "laptop")
"""Classes of the catalogue that run on a battery; of others (boards, desktops, servers) none is known to have one."""

MOST_TRIED: Final = 200
MOST_DEVICE_ROUNDS: Final = 10_000
"""All combinations are timed where they are that few, and that few devices times rounds: about ten seconds."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be small, and within which limits; ValueError for a word that is not known.

    Memory is always a limit: a run refuses what does not fit.
    """

    objective: str = ROUND_TIME
    battery: bool = False
    battery_percent_per_hour: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.objective not in OBJECTIVES:
            raise ValueError(f"--optimise: {unknown_word('objective', self.objective, OBJECTIVES)}")
        limit = self.battery_percent_per_hour
        if limit is not None and not 0 < limit < math.inf:
            raise ValueError(f"--battery-per-hour: must be above 0 per cent, got {limit:g}")

    @classmethod
    def of(cls, objective: str, subject_to: str, battery_percent_per_hour: float | None) -> Goal:
        """From the words of the command line."""
        words = [word.strip() for word in subject_to.split(",")]
        for word in words:
            if word not in LIMITS:
                raise ValueError(f"--subject-to: {unknown_word('limit', word, LIMITS)}")
        battery = "battery" in words
        if battery_percent_per_hour is not None and not battery:
            raise ValueError("--battery-per-hour: is read only with --subject-to memory,battery")
        return cls(objective, battery, battery_percent_per_hour)

    def value(self, timed: Timed) -> float:
        """What is to be small; infinite where it is unknown."""
        if self.objective == ENERGY:
            return math.inf if timed.energy_j is None else timed.energy_j
        return timed.round_s if self.objective == ROUND_TIME else timed.bytes_up + timed.bytes_down


class Batteries:
    """What batteries may give in an hour: so much at most, or what lies between ``battery`` and ``min_battery``."""

    def __init__(self, watch: Stopwatch, goal: Goal) -> None:
        """Raises ValueError where nobody says how much, or a figure that it takes is unknown."""
        scenario = watch.scenario
        self._most, self._rounds = goal.battery_percent_per_hour, scenario.training.rounds
        self._groups = [group for group in scenario.groups if goal.battery and self._limited(scenario, group)]
        self._stock = {group.name: _stock_percent(scenario, group) for group in self._groups}
        if goal.battery and not self._groups:
            raise ValueError(
                "--subject-to battery: nobody says how much; give --battery-per-hour, or a min_battery in availability"
            )
        unknown = by_cause({group.name: lacking(group, watch) for group in self._groups})
        if unknown:
            raise ValueError(
                f"--subject-to battery: unknown for {unknown}; give these figures in tables of your own "
                f"(device_catalog, link_catalog), or leave battery out"
            )

    def compared(self, timed: Timed) -> Iterator[tuple[str, float, float]]:
        """Every group that is limited and takes part: per cent of a battery in an hour, and what is allowed."""
        for group in self._groups:
            used = timed.groups.get(group.name)
            if used is not None and used.battery_percent_per_hour is not None:
                yield group.name, used.battery_percent_per_hour, self._allowed(group.name, timed.round_s)

    def excess(self, timed: Timed) -> float:
        """By how many per cent an hour the worst group is above what is allowed; 0 where all hold."""
        return max([0.0, *(percent - allowed for _, percent, allowed in self.compared(timed))])

    def _allowed(self, group: str, round_s: float) -> float:
        if self._most is not None:
            return self._most
        stock = self._stock[group]
        assert stock is not None, "limited by it"
        return stock / (self._rounds * round_s / HOUR_S)

    def _limited(self, scenario: Scenario, group: Group) -> bool:
        if self._most is None:
            return _stock_percent(scenario, group) is not None
        return _has_battery(scenario, group)


def _stock_percent(scenario: Scenario, group: Group) -> float | None:
    """Per cent of a battery from its level at the start to the least with which a round is begun; None: no least."""
    given = scenario.availability.get(group.availability or "")
    return None if given is None or given.min_battery is None else 100 * max(0.0, given.battery - given.min_battery)


def lacking(group: Group, watch: Stopwatch) -> list[str]:
    """The figures without which nobody knows what a class takes out of its batteries."""
    figures: Figures = watch.figures[group.name]
    unknown = _has_battery(watch.scenario, group) and math.isnan(figures.battery_wh)
    return [*([f"battery_wh of {group.profile}"] if unknown else []), *figures.missing]


def _has_battery(scenario: Scenario, group: Group) -> bool:
    profile = scenario.profile_of(group)
    return profile.battery_wh is not None or profile.device_class.startswith(PORTABLE)


class Chooser:
    """Looks for the best split of every class; what makes that impossible is told before anything is timed."""

    def __init__(self, watch: Stopwatch, goal: Goal, splits: Sequence[int], rank: int | None) -> None:
        """Every class has that rank; None: its own.

        Raises `DoesNotFit` naming every class that can hold none of the splits, and ValueError where the energy or the
        batteries that matter are unknown.
        """
        self._watch, self._goal = watch, goal
        if goal.objective == ENERGY:
            _check_energy(watch)
        self._batteries = Batteries(watch, goal)
        self.choices = _fitting(watch, splits, rank)

    def search(self, progress: Progress) -> Found:
        """The best choice. Raises ValueError where no battery is big enough, RunFailed where no round would end."""
        if self._goal.objective == BYTES and not self._goal.battery:
            return self._least_bytes()

        def score(choice: Choice) -> Score:
            progress(f"timing fleet {self._watch.retimings + 1}: {described(choice)}")
            return self._score(choice)

        found = Search(self.choices, score).run(_starts(self.choices), most=self._most_tried)
        if found.score.excess == math.inf:
            raise RunFailed("no fleet comes to the end of the first average; see `splitwire run --timing-only`")
        if found.score.excess > 0:
            raise ValueError(self._too_hungry(found))
        return found

    @property
    def _most_tried(self) -> int:
        return min(MOST_TRIED, MOST_DEVICE_ROUNDS // self._watch.device_rounds)

    def _score(self, choice: Choice) -> Score:
        try:
            timed = self._watch.fleet(choice)
        except RunFailed:
            return Score(math.inf, math.inf, math.inf)
        return scored(self._batteries.excess(timed), self._goal.value(timed), timed.bytes_up + timed.bytes_down)

    def _least_bytes(self) -> Found:
        """Bytes add up over the devices, so each class has its own best."""
        least: dict[str, list[Cut]] = {}
        for name, cuts in self.choices.items():
            sums = {cut: sum(self._watch.bytes_per_round(cut)) for cut in cuts}
            least[name] = [cut for cut in cuts if sums[cut] == min(sums.values())]
        choice = {name: cuts[0] for name, cuts in least.items()}
        equals = [{**choice, name: cut} for name, cuts in least.items() for cut in cuts[1:]]
        method = "exact: what a class sends does not depend on the others"
        return Found(choice, self._score(choice), method, 1, choice, equals)

    def _too_hungry(self, found: Found) -> str:
        timed = self._watch.fleet(found.choice)
        over = [
            f"{name} {percent:.3g} % an hour, {allowed:.3g} % allowed"
            for name, percent, allowed in self._batteries.compared(timed)
            if percent > allowed
        ]
        return (
            f"--subject-to battery: none of the {found.tried} choices that were timed holds; nearest is "
            f"{described(found.choice)}: {', '.join(over)}"
        )


def _fitting(watch: Stopwatch, splits: Sequence[int], rank: int | None) -> dict[str, list[Cut]]:
    every = {group: [Cut(split, rank or group.rank) for split in splits] for group in watch.scenario.groups}
    fitting = {group: [cut for cut in cuts if watch.fit(group.name, cut).fits] for group, cuts in every.items()}
    too_big = [_nothing_fits(group, every[group], watch) for group, cuts in fitting.items() if not cuts]
    if too_big:
        raise DoesNotFit("\n".join([*too_big, WAYS_OUT]))
    return {group.name: cuts for group, cuts in fitting.items()}


def _nothing_fits(group: Group, cuts: Sequence[Cut], watch: Stopwatch) -> str:
    fits = {cut: watch.fit(group.name, cut) for cut in cuts}
    held = [cut for cut, fit in fits.items() if not fit.lacks_bytes]
    who = f"{group.name} ({group.profile}): none of the splits {', '.join(str(cut.split) for cut in cuts)} fits"
    if held:
        least = min(held, key=lambda cut: fits[cut].server_lacks_bytes)
        return f"{who}: at split {least.split} the server lacks {exact_bytes(fits[least].server_lacks_bytes)}"
    least = min(cuts, key=lambda cut: fits[cut].need_bytes)
    fit = fits[least]
    return (
        f"{who}: split {least.split} needs least, {exact_bytes(fit.need_bytes)}; usable are "
        f"{exact_bytes(fit.usable_bytes)}: {short_bytes(fit.lacks_bytes)} too little"
    )


def _starts(choices: Mapping[str, Sequence[Cut]]) -> list[Choice]:
    """One split for everybody, or what is nearest to it for those who cannot hold it."""
    splits = sorted({cut.split for cuts in choices.values() for cut in cuts})
    return [{name: _nearest(cuts, split) for name, cuts in choices.items()} for split in splits]


def _nearest(cuts: Sequence[Cut], split: int) -> Cut:
    return min(cuts, key=lambda cut: abs(cut.split - split))


def _check_energy(watch: Stopwatch) -> None:
    unknown = by_cause({name: each.missing for name, each in watch.figures.items()})
    if unknown:
        raise ValueError(
            f"--optimise energy: unknown for {unknown}; give these figures in tables of your own "
            f"(device_catalog, link_catalog)"
        )


def described(choice: Choice) -> str:
    """``budget at split 1, flagship at split 5``."""
    return ", ".join(f"{name} at split {cut.split}" for name, cut in choice.items())
