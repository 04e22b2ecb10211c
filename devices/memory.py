"""Does it fit? Bytes a device must hold against the bytes it has.

Not modelled: memory that other apps take while training, the risk of being killed below the limit, swap, fragmentation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from devices.format import exact_bytes, short_bytes
from devices.profile import Profile

_LARGEST_SHOWN: Final = 3
_NAMES_SHOWN: Final = 3


class DoesNotFit(ValueError):  # noqa: N818 - reads as the fact it states
    """A device must hold more than it has; the sentence names the device, both byte counts and the largest parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What `count` equal devices must hold at once: `need` maps each part (weights, activations, ...) to bytes."""

    name: str  # as the scenario calls the device or the group
    profile: Profile
    need: Mapping[str, float]
    count: int = 1


def available_bytes(profile: Profile) -> int:
    """Bytes one training process may hold on that device; `ValueError` when unknown.

    Phones: 0.40 of RAM, an assumption for an app in the foreground; boards: 0.7-0.87 of RAM; Jetson Orin Nano 8 GB:
    measured; GPUs: their memory less about 1 GiB. See the profile's `provenance`.
    """
    return int(profile.known("usable_ram_bytes"))


def check_fits(device_name: str, profile: Profile, need: Mapping[str, float]) -> None:
    """Raise `DoesNotFit` when the parts of `need` (bytes each) add up to more than the device has."""
    check_fleet([Demand(name=device_name, profile=profile, need=need)])


def check_fleet(demands: Iterable[Demand]) -> None:
    """Check every device, and raise one `DoesNotFit` with a line for each group that has one profile and one need.

    Raises `ValueError` when a need is negative or not finite, or usable RAM is unknown.
    """
    too_big: dict[tuple[str, frozenset[tuple[str, float]]], list[Demand]] = {}
    for demand in demands:
        if _total(demand) > available_bytes(demand.profile):
            too_big.setdefault((demand.profile.id, frozenset(demand.need.items())), []).append(demand)
    if too_big:
        raise DoesNotFit("\n".join(_sentence(group) for group in too_big.values()))


def _total(demand: Demand) -> float:
    for part, size_bytes in demand.need.items():
        if not 0 <= size_bytes < math.inf:
            raise ValueError(f"{demand.name}: need of {part} must be finite and at least 0 bytes, got {size_bytes}")
    return math.fsum(demand.need.values())


def _sentence(group: list[Demand]) -> str:
    first = group[0]
    parts = sorted(first.need.items(), key=lambda part: -part[1])
    shown = ", ".join(f"{part} {short_bytes(size_bytes)}" for part, size_bytes in parts[:_LARGEST_SHOWN])
    others = math.fsum(size_bytes for _, size_bytes in parts[_LARGEST_SHOWN:])
    rest = f", others {short_bytes(others)}" if others else ""
    return (
        f"{_who(group)}: needs {exact_bytes(_total(first))}: {shown}{rest}; "
        f"usable {exact_bytes(available_bytes(first.profile))}"
    )


def _who(group: list[Demand]) -> str:
    count = sum(demand.count for demand in group)
    different = list(dict.fromkeys(demand.name for demand in group))
    profile = group[0].profile
    if len(different) > 1:
        more = ", ..." if len(different) > _NAMES_SHOWN else ""
        return f"{count} x {profile.id} ({', '.join(different[:_NAMES_SHOWN])}{more})"
    called = different[0] if different[0] == profile.id else f"{different[0]} ({profile.id})"
    return called if count == 1 else f"{count} x {called}"
