"""Which settings change what is trained, for a person: the keys that were set, both values, and the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

from simulator.scenario import Scenario, load
from simulator.scenario.values import flow
from simulator.scenario.words import MAX_SHOWN
from simulator.whatif.tape import training_settings

DEVICES: Final = "devices"  # of `training_settings`
MOST_KEYS: Final = 4
MOST_KINDS: Final = 2  # of devices


def key_of(override: str) -> str:
    """The key of ``key.path=value``, as it was said."""
    return override.partition("=")[0].strip()


def changes(resolved: Path, before: Scenario, after: Scenario, overrides: Sequence[str]) -> list[str]:
    """Keys with another value, those that were set first, and both values; none where the same is trained.

    ``after`` is ``before``, the scenario of the file ``resolved``, with these overrides. Where they change what the
    devices train (their split, how many there are), those keys are named that do so alone, then what the devices train.
    """
    old, new = training_settings(before), training_settings(after)
    differ = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    said = [key_of(override) for override in overrides]
    plain = sorted((key for key in differ if key != DEVICES), key=lambda key: not _within(key, said))
    told = [_told(key, old.get(key), new.get(key)) for key in plain]
    if DEVICES in differ:
        causes = [key_of(override) for override in overrides if _changes_devices(resolved, override, old[DEVICES])]
        unnamed = [key for key in dict.fromkeys(causes) if not any(_within(each, [key]) for each in plain)]
        values = [scenario.model_dump(mode="json", by_alias=True) for scenario in (before, after)]
        told = [_told(key, *(_at(each, key) for each in values)) for key in unnamed] + told
        if unnamed or not causes:
            told.append(_told_devices(old[DEVICES], new[DEVICES]))
    more = len(told) - MOST_KEYS
    return [*told[:MOST_KEYS], f"{more} more"] if more > 0 else told


def _within(key: str, sections: Sequence[str]) -> bool:
    return any(f"{key}.".startswith(f"{section}.") for section in sections)


def _changes_devices(resolved: Path, override: str, old: object) -> bool:
    """Whether this one override changes what the devices train; not known where it is unsound without the others."""
    try:
        return bool(training_settings(load(resolved, [override]))[DEVICES] != old)
    except ValueError:
        return False


def _at(values: Any, key: str) -> Any:  # noqa: ANN401 -- whatever a scenario holds
    """The value at a key path such as ``devices.2.count`` or ``devices[2].count``; None where a section is absent."""
    for part in key.replace("[", ".").replace("]", "").split("."):
        values = values[int(part)] if isinstance(values, list) else values.get(part) if values else None
    return values


def _told(key: str, old: Any, new: Any) -> str:  # noqa: ANN401 -- as above
    if isinstance(new, Mapping):
        return key
    return f"{key}: {_shown(old)}, now {_shown(new)}"


def _shown(value: Any) -> str:  # noqa: ANN401 -- as above
    text = flow(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _told_devices(old: list[list[int]], new: list[list[int]]) -> str:
    """What the devices that are not as before had to train, and what they have."""
    same = _agreeing(old, new)
    old, new = old[same:], new[same:]
    same = _agreeing(old[::-1], new[::-1])
    return f"{DEVICES}: {_kinds(old[: len(old) - same])}, now {_kinds(new[: len(new) - same])}"


def _agreeing(old: list[list[int]], new: list[list[int]]) -> int:
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False))))


def _kinds(kinds: list[list[int]]) -> str:
    told = [f"{count} x {blocks} blocks of rank {rank}" for blocks, rank, count in kinds[:MOST_KINDS]]
    more = len(kinds) - MOST_KINDS
    return " + ".join([*told, f"{more} more"] if more > 0 else told) or "none"
