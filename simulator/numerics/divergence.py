"""Why a replayed run has left its recording: the first thing that was not as recorded, in one sentence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from simulator.numerics.history import ADOPTS, AVERAGE, BACKWARD, EVALUATION, JOINS, LEAVES, LOCAL, STEP, Event

MOST_NAMES: Final = 3

Name = Callable[[int], str]

_WHAT: Final = {
    STEP: "the server's step",
    LOCAL: "the local step",
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


class _Difference(NamedTuple):
    """What a device has done, and what it had done in the recorded run; None: nothing more."""

    round: int
    device: int
    now: Event | None
    before: Event | None


def reason(recorded: Sequence[Event], replayed: Sequence[Event], name: Name) -> str:
    """What the last replayed event, which was not recorded, has that the recorded run had not.

    The runs agree up to it as far as losses tell, so it is compared with the recorded event of its kind at its place.
    """
    here = replayed[-1]
    place = sum(event.kind == here.kind for event in replayed) - 1
    same_kind = [event for event in recorded if event.kind == here.kind]
    if place >= len(same_kind):
        return f"round {here.round}: {_WHAT[here.kind]} is not in the recorded run, which ended before it"
    there = same_kind[place]
    here = here._replace(round=there.round) if here.kind == EVALUATION else here  # it was due then
    what = f"round {here.round}: {_WHAT[here.kind]}"
    first = _first_difference(recorded, replayed, there)
    if there.devices != here.devices or there.round != here.round:
        why = _dropped(here, there, replayed)
        if first and (first.round < here.round or not (why or first.device in {*here.devices, *there.devices})):
            why = f": {_told(first, name)}"
        return f"{what} {_members(here, there, name)}{why}"
    if first is None:
        return f"{what} comes after {_too_early(recorded, replayed, there, name)}"
    return f"{what} is on other adapters: {_told(first, name)}"


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


def _first_difference(recorded: Sequence[Event], replayed: Sequence[Event], there: Event) -> _Difference | None:
    """The device whose own events differ first (earliest round, lowest index).

    What a device had done in the recorded run before the event at which the runs part, and has not done now, is a
    difference; so is what it has done now and never did then.
    """
    all_before, before, now = _by_device(recorded), _by_device(_until(recorded, there)), _by_device(replayed[:-1])
    found = []
    for device in before.keys() | now.keys():
        for place in range(max(len(now[device]), len(before[device]))):
            mine, theirs = (
                events[place] if place < len(events) else None for events in (now[device], all_before[device])
            )
            if mine != theirs:
                round = min(event.round for event in (mine, theirs) if event)
                found.append(_Difference(round, device, mine, theirs))
                break
    return min(found, key=lambda each: (each.round, each.device), default=None)


def _too_early(recorded: Sequence[Event], replayed: Sequence[Event], there: Event, name: Name) -> str:
    """What has been done that was done in the recorded run too, but only after the event at which the runs part."""
    before, now = _by_device(_until(recorded, there)), _by_device(replayed[:-1])
    early = [(now[device][len(before[device])], device) for device in now if len(now[device]) > len(before[device])]
    if not early:
        return "other events than in the recorded run"
    event, device = min(early, key=lambda each: (each[0].round, each[1]))
    return f"{name(device)} {_did(event)}, which came later in the recorded run"


def _until(events: Sequence[Event], there: Event) -> Sequence[Event]:
    return events[: next(index for index, event in enumerate(events) if event is there)]


def _by_device(events: Sequence[Event]) -> defaultdict[int, list[Event]]:
    """What each device took part in, in order; an average counts by its round, not by who else was in it."""
    own: defaultdict[int, list[Event]] = defaultdict(list)
    for event in events:
        if event.kind != EVALUATION:
            for device in event.devices:
                own[device].append(Event(event.kind, event.round, (device,)))
    return own


def _told(first: _Difference, name: Name) -> str:
    who = name(first.device)
    if first.before is None:
        return f"{who} {_did(first.now)}, which it did not in the recorded run"
    if first.now is None:
        return f"{who} took part no longer; in the recorded run it {_did(first.before)}"
    return f"{who} {_did(first.now)}; in the recorded run it {_did(first.before)}"


def _did(event: Event | None) -> str:
    return f"{_DID[event.kind]} in round {event.round}" if event else ""


def _names(devices: Sequence[int] | set[int], name: Name) -> str:
    most = MOST_NAMES if len(devices) > MOST_NAMES + 1 else None
    told = [name(device) for device in sorted(devices)[:most]]
    more = len(devices) - len(told)
    return f"{', '.join(told)} and {more} more" if more else ", ".join(told)
