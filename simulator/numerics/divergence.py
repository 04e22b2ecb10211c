"""Why a replayed run has left its recording: the first thing that was not as recorded, in one sentence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Final

from simulator.numerics.history import ADOPTS, AVERAGE, BACKWARD, EVALUATION, JOINS, LEAVES, LOCAL, STEP, Event

MOST_NAMES: Final = 3

Name = Callable[[int], str]

_WHAT: Final = {
    STEP: "the server's step",
    LOCAL: "the devices' own steps",
    EVALUATION: "the evaluation",
}
_DID: Final = {
    JOINS: "joined",
    LEAVES: "dropped out",
    STEP: "was in the server's step",
    BACKWARD: "had its gradients back",
    LOCAL: "took a step of its own",
    AVERAGE: "was in the average",
    ADOPTS: "took the global adapters",
}


def reason(recorded: Sequence[Event], replayed: Sequence[Event], name: Name) -> str:
    """What the last replayed event, which was not recorded, has that the recorded run had not.

    The runs agree up to it as far as losses tell, so it is compared with the recorded event of its kind at its place.
    """
    here = replayed[-1]
    what = f"round {here.round}: {_WHAT[here.kind]}"
    place = sum(event.kind == here.kind for event in replayed) - 1
    same_kind = [event for event in recorded if event.kind == here.kind]
    if place >= len(same_kind):
        return f"{what} is not in the recorded run, which ended before it"
    there = same_kind[place]
    if there.devices != here.devices or there.round != here.round:
        return f"{what} {_members(here, there, name)}{_dropped(here, there, replayed)}"
    first = _first_difference(recorded, replayed, there)
    if first is None:
        return f"{what} comes after other events than in the recorded run"
    device, now, before = first
    return f"{what} is on other adapters: {name(device)} {_did(now)}; in the recorded run it {_did(before)}"


def _members(here: Event, there: Event, name: Name) -> str:
    """How the devices of two events differ."""
    missing, added = set(there.devices) - set(here.devices), set(here.devices) - set(there.devices)
    if there.round != here.round:
        return f"with {_names(here.devices, name)} comes where the recorded run had one of round {there.round}"
    if missing and added:
        return f"is with {_names(added, name)} where the recorded run had {_names(missing, name)}"
    if missing:
        return f"is without {_names(missing, name)}, which the recorded run had"
    return f"is with {_names(added, name)}, which the recorded run did not have"


def _dropped(here: Event, there: Event, replayed: Sequence[Event]) -> str:
    """In which round those dropped out who were there in the recorded run; nothing where some never were."""
    missing = set(there.devices) - set(here.devices)
    last = {event.devices[0]: event for event in replayed if event.kind in {JOINS, LEAVES}}
    if not missing or any(device not in last or last[device].kind == JOINS for device in missing):
        return ""
    rounds = sorted({last[device].round for device in missing})
    return f": dropped out in round {', '.join(map(str, rounds))}"


def _first_difference(
    recorded: Sequence[Event], replayed: Sequence[Event], there: Event
) -> tuple[int, Event | None, Event | None] | None:
    """The device whose own events differ first (earliest round, lowest index), what it did and what was recorded.

    Only events before the one at which the runs part are compared.
    """
    until = next(index for index, event in enumerate(recorded) if event is there)
    before, now = _by_device(recorded[:until]), _by_device(replayed[:-1])
    found = []
    for device in sorted(before.keys() | now.keys()):
        for mine, theirs in zip_longest(now[device], before[device]):
            if mine != theirs:
                found.append((min(event.round for event in (mine, theirs) if event), device, mine, theirs))
                break
    if not found:
        return None
    _, device, mine, theirs = min(found, key=lambda each: each[:2])
    return device, mine, theirs


def _by_device(events: Sequence[Event]) -> defaultdict[int, list[Event]]:
    """What each device took part in, in order; an average counts by its round, not by who else was in it."""
    own: defaultdict[int, list[Event]] = defaultdict(list)
    for event in events:
        if event.kind != EVALUATION:
            for device in event.devices:
                own[device].append(Event(event.kind, event.round, (device,)))
    return own


def _did(event: Event | None) -> str:
    return f"{_DID[event.kind]} in round {event.round}" if event else "did nothing more"


def _names(devices: Sequence[int] | set[int], name: Name) -> str:
    told = [name(device) for device in sorted(devices)[:MOST_NAMES]]
    more = len(devices) - len(told)
    return f"{', '.join(told)} and {more} more" if more else ", ".join(told)
