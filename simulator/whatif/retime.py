"""A finished run with other links, devices and machines: its tape is replayed, nothing is trained, torch is not loaded.

What is trained depends on the schedule (who steps when, in which order), so the replay is exact as long as the changes
leave that alone, and stops where they do not.
"""

from __future__ import annotations

from collections.abc import Sequence

from simulator import world
from simulator.numerics.tape import Diverged, Tape
from simulator.record import Observer
from simulator.scenario import Scenario
from simulator.whatif.tape import replayed, training_key

__all__ = ["Diverged", "retime_scenario"]


def retime_scenario(scenario: Scenario, tape: Tape, observers: Sequence[Observer] = ()) -> world.Outcome:
    """Run a scenario with the losses of a tape; bit for bit what training it for real would give.

    Raises `Diverged` where the scenario's schedule changes what is trained, and what `world.run` raises; ValueError for
    a tape of something else.
    """
    if tape.training != training_key(scenario):
        raise ValueError("the tape is that of other training: model, data, optimisation, devices or seed differ")
    return world.run(scenario, observers=observers, learner=replayed(tape))
