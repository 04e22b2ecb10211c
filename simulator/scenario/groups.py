"""Groups of equal devices: their default names, and how many whole devices a share is."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from devices.profile import Backend


@dataclass(frozen=True, slots=True)
class Group:
    """A group of devices with nothing left open."""

    name: str
    profile: str
    count: int
    access: str
    cell: str | None  # None: no shared cell between the access link and the backhaul
    split: int  # blocks on the device
    rank: int  # LoRA rank
    speed_spread: float  # lognormal sigma of the devices' speed factors
    speed: float = 1.0  # factor on the profile's
    jitter: float = 0.0  # lognormal sigma of each computation's time
    background: float = 0.0  # share of the speed that other programs take
    availability: str | None = None  # None: always there
    heat: bool = True  # do they slow down as they work?
    backend: Backend | None = None  # None: the profile's own


def apportion(shares: Sequence[float], total: int) -> list[int]:
    """Whole numbers in the proportion of ``shares`` that sum to ``total``, by largest remainder (Hamilton's method).

    Equal remainders go to the earlier share. ``shares`` need not sum to exactly 1.
    """
    whole = sum(shares)
    quotas = [round(total * share / whole, 9) for share in shares]  # 29 % of 100 is 29, not 28.999999999999996
    counts = [int(quota) for quota in quotas]
    by_remainder = sorted(range(len(shares)), key=lambda i: counts[i] - quotas[i])
    for i in by_remainder[: total - sum(counts)]:
        counts[i] += 1
    return counts


def default_names(names: Sequence[str | None], profiles: Sequence[str]) -> list[str]:
    """A name for every group: its own, else its profile's with -2, -3, ... where that is taken."""
    taken = {name for name in names if name is not None}
    result = []
    for name, profile in zip(names, profiles, strict=True):
        if name is not None:
            result.append(name)
            continue
        stem = re.sub("[^a-z0-9]+", "-", profile.lower()).strip("-") or "group"
        numbered = (stem if number == 1 else f"{stem}-{number}" for number in count(1))
        result.append(next(candidate for candidate in numbered if candidate not in taken))
        taken.add(result[-1])
    return result
