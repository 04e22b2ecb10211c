"""Real devices by name, read from ``catalog.csv``, with a source for every figure.

How to read the table (SI units; an empty cell means that no source was found):

* ``source`` says where a figure was seen, ``derived_fields`` gives the formula of a computed one, and ``note`` marks
  general knowledge, that is, figures not read again anywhere. Comparison sites are secondary sources.
* CPU peak = sum over cores of GHz x FLOP per cycle in single precision: 8 for Cortex-A53, A55, A510, A72, A73, A75;
  16 for A76, A77, A78, A710, A715, A720 and Apple's efficiency cores; 32 for Cortex-X1 to X4, Oryon and Apple's
  performance cores (general knowledge; Apple's matrix unit is not counted).
* ``gpu_fp16`` is the dense tensor-core peak on NVIDIA from Volta on, and twice ``gpu_fp32`` on most phones.
* Usable RAM of phones is 0.40 of RAM: an assumption for an app in the foreground (Android documents no fixed limit).
* ``active_power_w`` is what ``note`` says: a chip's TDP, power measured at the wall, or a power mode. Energy is counted
  with ``training_power_w`` and ``resting_power_w``, whose ``power_source`` says how far they are measured or assumed.
* ``efficiency`` belongs to ``backend``. Phones train on their CPU. Its source begins with ``measured:`` (training on
  this device), ``derived:`` (from a measurement of something close) or ``assumed:``.
* ``half_efficiency_tokens`` says how many tokens a pass a GPU needs for half of its efficiency; CPUs need none.
* ``kernel_overhead_s`` of phones is one Mali's figure, there for those who set a GPU backend themselves.

Memory bandwidth and RAM are the device's; GPUs in desktops and servers list their own memory.
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

from devices.profile import Profile

ALIASES: Final[Mapping[str, str]] = MappingProxyType(
    {
        # the only low phone here whose training was measured: 1.9-2.6x slower than a Galaxy Note10, whose chip is
        # the Snapdragon 855 of our Galaxy S10 (2.4x by this table)
        "phone-low": "redmi-note-8",
        # the only mid phone with measured power; its chip's CPU and GPU throughput were measured too
        "phone-mid": "realme-gt-master",
        # CPU peak nearest to the 350 GFLOP/s behind the efficiency figure; battery and stability known
        "phone-high": "galaxy-s23-ultra",
        # the only laptop with a known battery; its GPU's efficiency was measured on language models
        "laptop": "macbook-air-m1",
        # the only desktop GPU whose GPT-2 training throughput was measured
        "desktop-gpu": "rtx-4090",
        # the card most often rented and reported
        "server": "a100",
        # the module form, which is what clusters are built of
        "v100": "v100-sxm",
        "h100": "h100-sxm",
        "h200": "h200-sxm",
    }
)

LEFT_OUT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "galaxy-a07": "neither CPU peak nor memory bandwidth found (its training speed was measured)",
        "iphone-16": "CPU peak not found",
        "orange-pi-5": "memory bandwidth not found",
        "lattepanda-mu": "neither CPU peak nor memory bandwidth found",
        "mac-mini-m4": "neither peaks nor memory bandwidth found",
        "framework-13": "neither peaks nor memory bandwidth found",
        "laptop-rtx-4050": "neither peaks nor memory bandwidth found",
        "rtx-3060": "memory bandwidth not found",
        "h100-pcie": "memory bandwidth not found",
    }
)
"""Devices somebody may look for, and the figure whose absence keeps them out (unknown is never taken as zero)."""

_TEXTS: Final = frozenset(
    {"id", "name", "device_class", "soc", "backend", "source", "derived_fields", "note"}
    | {"efficiency_source", "kernel_overhead_source", "half_efficiency_source", "power_source"}
)
_COUNTS: Final = frozenset({"year", "ram_bytes", "usable_ram_bytes"})


@cache
def catalogue() -> Mapping[str, Profile]:
    """All devices by id, in the order of the table; read once."""
    return read(files("devices").joinpath("catalog.csv").read_text(encoding="utf-8").splitlines())


def read(lines: Iterable[str]) -> Mapping[str, Profile]:
    """Devices by id from the lines of a table whose columns are the fields of `Profile`.

    Raises `ValueError` naming the line when an id comes twice, or a cell holds something that is no figure.
    """
    profiles: dict[str, Profile] = {}
    for number, row in enumerate(csv.DictReader(lines), start=2):
        profile = Profile(**{column: _cell(column, text, number) for column, text in row.items()})
        if profile.id in profiles:
            raise ValueError(f"catalog.csv:{number}: the id {profile.id!r} is listed twice")
        profiles[profile.id] = profile
    return MappingProxyType(profiles)


def names() -> tuple[str, ...]:
    """Every name `find` takes: aliases first, then ids."""
    return (*ALIASES, *catalogue())


def find(name: str) -> Profile:
    """The device of that id or alias; `ValueError` with a guess when there is none."""
    profile = catalogue().get(ALIASES.get(name, name))
    if profile is None:
        raise ValueError(_unknown(name))
    return profile


def _cell(column: str, text: str, line: int) -> Any:  # noqa: ANN401 - str, int, float or None, by column
    if column in _TEXTS:
        return text
    if not text:
        return None
    try:
        return int(text) if column in _COUNTS else float(text)
    except ValueError:
        raise ValueError(f"catalog.csv:{line}: {column} must be a number or empty, got {text!r}") from None


def _unknown(name: str) -> str:
    slug = "-".join(name.lower().split())
    if slug in LEFT_OUT:
        return f"device profile {name!r} is not in the catalogue: {LEFT_OUT[slug]}"
    close = difflib.get_close_matches(slug, names(), n=1, cutoff=0.5)
    guess = f"; did you mean {close[0]!r}?" if close else ";"
    return (
        f"unknown device profile {name!r}{guess} allowed: {', '.join(ALIASES)}, "
        f"or one of {len(catalogue())} devices such as {', '.join(list(catalogue())[:3])}"
    )
