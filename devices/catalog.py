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
from dataclasses import fields
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
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
COLUMNS: Final = tuple(field.name for field in fields(Profile))
REQUIRED: Final = ("id", "name", "device_class", "backend", "efficiency", "efficiency_source")
_COUNTS: Final = frozenset({"year", "ram_bytes", "usable_ram_bytes"})


@cache
def catalogue() -> Mapping[str, Profile]:
    """All devices by id, in the order of the table; read once."""
    return read(files("devices").joinpath("catalog.csv").read_text(encoding="utf-8").splitlines(), "catalog.csv")


def extended(path: Path) -> Mapping[str, Profile]:
    """The shipped devices and those of a user's own table, which wins where both have an id.

    The table has the columns of ``catalog.csv``, of which only those of `REQUIRED` are needed: what is left out is
    unknown. Raises `ValueError` naming file, line and column.
    """
    try:
        stat = path.stat()
        return _extended(path, (stat.st_mtime_ns, stat.st_size))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as a table of devices: {error}") from None


@lru_cache(maxsize=16)
def _extended(path: Path, _state: tuple[int, int]) -> Mapping[str, Profile]:
    own = read(path.read_text("utf-8").splitlines(), str(path))
    return MappingProxyType({**catalogue(), **own})


def read(lines: Iterable[str], file: str) -> Mapping[str, Profile]:
    """Devices by id from the lines of a table whose columns are the fields of `Profile`.

    Raises `ValueError` naming file, line and column for an unknown or missing column, a line of another length, an id
    that comes twice, and a cell that holds something that is no figure or cannot be one.
    """
    table = csv.DictReader(lines)
    given = [str(column) for column in table.fieldnames or ()]
    for column in given:
        if column not in COLUMNS:
            close = difflib.get_close_matches(column, COLUMNS, n=1)
            guess = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"{file}:1: unknown column {column!r}{guess} (allowed: {', '.join(COLUMNS)})")
    for column in REQUIRED:
        if column not in given:
            raise ValueError(f"{file}:1: the column {column!r} is missing; needed are {', '.join(REQUIRED)}")
    profiles: dict[str, Profile] = {}
    for row in table:
        where = f"{file}:{table.line_num}"
        if None in row or None in row.values():
            raise ValueError(f"{where}: must have {len(given)} columns, as the first line says")
        profile = _profile(row, where)
        if profile.id in profiles:
            raise ValueError(f"{where}: id: {profile.id!r} is listed twice")
        profiles[profile.id] = profile
    if not profiles:
        raise ValueError(f"{file}: holds no device; it needs a first line of columns, and a line for each device")
    return MappingProxyType(profiles)


def _profile(row: Mapping[str, str], where: str) -> Profile:
    for column in REQUIRED:
        if not row[column].strip():
            raise ValueError(f"{where}: {column}: missing")
    try:
        return Profile(**{column: _cell(column, text.strip()) for column, text in row.items()})
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def names(devices: Mapping[str, Profile] | None = None) -> tuple[str, ...]:
    """Every name `find` takes: aliases first, then ids."""
    return (*ALIASES, *(catalogue() if devices is None else devices))


def find(name: str, devices: Mapping[str, Profile] | None = None) -> Profile:
    """The device of that id or alias, among the shipped ones unless others are given; `ValueError` with a guess."""
    known = catalogue() if devices is None else devices
    profile = known.get(name) or known.get(ALIASES.get(name, name))
    if profile is None:
        raise ValueError(_unknown(name, known))
    return profile


def _cell(column: str, text: str) -> Any:  # noqa: ANN401 - str, int, float or None, by column
    if column in _TEXTS:
        return text
    if not text:
        return None
    try:
        return int(text) if column in _COUNTS else float(text)
    except ValueError:
        kind = "whole number" if column in _COUNTS else "number"
        raise ValueError(f"{column}: must be a {kind} or empty, got {text!r}") from None


def _unknown(name: str, known: Mapping[str, Profile]) -> str:
    slug = "-".join(name.lower().split())
    if slug in LEFT_OUT:
        return f"device profile {name!r} is not in the catalogue: {LEFT_OUT[slug]}"
    close = difflib.get_close_matches(slug, names(known), n=1, cutoff=0.5)
    guess = f"; did you mean {close[0]!r}?" if close else ";"
    return (
        f"unknown device profile {name!r}{guess} allowed: {', '.join(ALIASES)}, "
        f"or one of {len(known)} devices such as {', '.join(list(known)[:3])}"
    )
