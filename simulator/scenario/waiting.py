"""What the keys of who is drawn for a round, and whom it waits for, demand of one another.

Read from the unvalidated mapping, as everything in `simulator.scenario.checks`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from simulator.policies import to_draw
from simulator.scenario.fields import quantity, share, to_text, to_whole
from simulator.scenario.units import DURATION

if TYPE_CHECKING:
    from simulator.scenario.checks import Lenient, Unmet


def waiting_findings(scenario: Lenient, fleet: int | None) -> Iterator[Unmet]:
    """Everything in these keys that does not fit together; ``fleet`` is the number of devices, None if unknown."""
    wanted = scenario.read(to_whole, "training", "participants")
    if wanted is not None and fleet is not None and wanted > fleet:
        yield ("training", "participants"), f"must be at most the number of devices, {fleet}, got {wanted}"
        fleet = None  # the rest would say the same again
    yield from _drawing(scenario, wanted, fleet)
    yield from _rule(scenario, wanted, fleet)


def _drawing(scenario: Lenient, wanted: int | None, fleet: int | None) -> Iterator[Unmet]:
    more = scenario.read(share, "training", "over_selection", default=0.0)
    drawn_only = [
        ("select", scenario.read(to_text, "training", "select", default="random") not in (None, "random")),
        ("over_selection", bool(more)),
    ]
    for key, is_set in drawn_only:
        if is_set and scenario.at("training", "participants") is None:
            yield ("training", key), "is read only with training.participants: without it nobody is drawn"
    if more and wanted is not None and fleet is not None and (drawn := to_draw(wanted, more)) > fleet:
        text = f"{wanted} participants and {100 * more:.9g} % more are {drawn} devices, and there are {fleet}"
        yield ("training", "over_selection"), text
    if more and scenario.read(to_text, "training", "wait") == "first":
        text = "says that a round goes on with the first participants, and wait: first says how many; leave out one"
        yield ("training", "over_selection"), text


def _rule(scenario: Lenient, wanted: int | None, fleet: int | None) -> Iterator[Unmet]:
    rule = scenario.read(to_text, "training", "wait", default="all")
    for key, what in (("deadline", "how long after it opened a round waits"), ("first", "how many are waited for")):
        if scenario.at("training", key) is not None and rule in ("all", "deadline", "first") and rule != key:
            yield (
                ("training", key),
                f"is read only with wait: {key}, and wait is {rule}; leave it out or set it to null",
            )
        elif scenario.at("training", key) is None and rule == key:
            yield ("training", key), f"missing: {what}"
    count = scenario.read(to_whole, "training", "first")
    most = wanted if wanted is not None else fleet
    if rule == "first" and count is not None and most is not None and count > most:
        of = "training.participants" if wanted is not None else "the number of devices"
        yield ("training", "first"), f"must be at most {of}, {most}, got {count}: a round cannot wait for more"
    yield from _time_out(scenario)


def _time_out(scenario: Lenient) -> Iterator[Unmet]:
    """A round that is given up before its deadline."""
    deadline_s = scenario.read(quantity(DURATION), "training", "deadline")
    timeout_s = scenario.read(quantity(DURATION), "training", "timeout")
    if deadline_s is not None and timeout_s is not None and timeout_s <= deadline_s:
        text = f"must be later than the deadline, {DURATION.format(deadline_s)}, got {DURATION.format(timeout_s)}"
        yield ("training", "timeout"), f"{text}: it gives up everybody who has not finished the round"
