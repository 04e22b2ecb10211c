"""From a scenario to how many devices are drawn, who of them first, and whom a round waits for."""

from __future__ import annotations

from functools import cache, partial

from simulator import pace
from simulator.extension import select_of
from simulator.fleet import Fleet
from simulator.policies import Patience, everybody, first, sooner, to_draw, until
from simulator.presence import Preference
from simulator.scenario import Scenario, written_at
from simulator.scenario.code import is_file
from simulator.selection import SELECTIONS, Population


def drawn(scenario: Scenario) -> int | None:
    """Devices of a round, those over and above the participants included; None for all who are available."""
    training = scenario.training
    return None if training.participants is None else to_draw(training.participants, training.over_selection)


def patience(scenario: Scenario) -> Patience:
    """Whom a round waits for."""
    training = scenario.training
    rule = everybody if training.deadline is None else until(training.deadline)
    count = training.participants if training.over_selection else training.first
    return rule if count is None else sooner(first(count), rule)


def preference(scenario: Scenario, fleet: Fleet) -> Preference:
    """Who is drawn first. Raises ValueError for a selection of the user's own that cannot be run."""
    name = scenario.training.select
    select = select_of(scenario) if is_file(name) else SELECTIONS[name]
    population = Population(
        len(fleet),
        drawn(scenario) or len(fleet),
        scenario.training.aggregate_every,
        fleet.ranges,
        cache(partial(pace.step_s, scenario, fleet)),
    )
    return lambda round, rng: select(round, population, rng)


def check_deadline(scenario: Scenario, fleet: Fleet) -> None:
    """Refuse a deadline before which nobody could arrive; jitter, which may make a computation faster, is left out."""
    deadline_s, soonest = scenario.training.deadline, pace.soonest(scenario, fleet)
    if deadline_s is not None and deadline_s < soonest.total_s:
        raise ValueError(
            f"{written_at(scenario, ('training', 'deadline'))}training.deadline: {deadline_s:g} s is shorter than the "
            f"fastest possible round: the first that could arrive, a device of {soonest.group}, computes for "
            f"{soonest.compute_s:.3g} s and then sends for {soonest.messages_s:.3g} s, {soonest.total_s:.4g} s together"
        )


def check_timeout(scenario: Scenario, fleet: Fleet) -> None:
    """Refuse a time-out before which nobody could finish a round, not even alone; jitter as above.

    What a step of the user's own algorithm has is not known here.
    """
    timeout_s, fastest = scenario.training.timeout, pace.fastest(scenario, fleet)
    if timeout_s is not None and timeout_s < fastest.total_s and not is_file(scenario.algorithm):
        raise ValueError(
            f"{written_at(scenario, ('training', 'timeout'))}training.timeout: {timeout_s:g} s is shorter than the "
            f"fastest possible round, so every round would give up everybody: a device of {fastest.group} alone "
            f"computes for {fastest.compute_s:.3g} s, its messages take {fastest.messages_s:.3g} s, "
            f"{fastest.total_s:.4g} s together"
        )
