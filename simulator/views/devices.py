"""The devices as a table, and as JSON; every figure with its source."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from devices.catalog import ALIASES
from devices.heat import throttle_of
from devices.profile import Profile

UNKNOWN: Final = "?"
SOURCES_OF: Final = 4  # so many devices have their sources printed; of more there would be pages
HEADINGS: Final = (
    "trains\nGFLOP/s",
    "reads\nGB/s",
    "usable\nGiB",
    "busy\nW",
    "rest\nW",
    "battery\nWh",
    "hot\n%",
)


def matching(devices: Mapping[str, Profile], text: str | None) -> list[Profile]:
    """The devices in whose id, alias, name, class, chip or backend the text stands, whatever its case; all for none.

    An exact id or alias is that device alone. Raises ValueError with a guess where the text stands in none.
    """
    wanted = (text or "").lower()
    exact = devices.get(wanted) or devices.get(ALIASES.get(wanted, ""))
    if exact is not None:
        return [exact]
    found = [each for each in devices.values() if any(wanted in words.lower() for words in _words(each))]
    if not found:
        close = difflib.get_close_matches(wanted, [*ALIASES, *devices], n=1)
        guess = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"no device matches {text!r}{guess} (say nothing for all {len(devices)})")
    return found


def as_json(devices: Sequence[Profile]) -> dict[str, Any]:
    """One JSON object: SI units, unknown figures are null; what they are used as is beside what was found."""
    return {"devices": [{**asdict(each), "aliases": _aliases(each), "sustained": _sustained(each)} for each in devices]}


def show(devices: Sequence[Profile], console: Console) -> None:
    """Print the devices as a table and, where they are few, where their figures come from."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    table.add_column("device", no_wrap=True)
    for heading in HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    kind = ""
    for each in devices:
        if kind != (kind := f"{each.device_class}, {each.backend}"):
            table.add_row(f"[bold]{kind}[/bold]")
        table.add_row(f"  {each.id}", *_figures(each))
    console.print(table)
    used = [f"{alias} = {each.id}" for each in devices for alias in _aliases(each)]
    if used:
        console.print(f"\nOther names: {', '.join(used)}", highlight=False)
    console.print("\ntrains: efficiency x peak, many tokens a pass; hot: share of the speed kept in long work")
    console.print("? is unknown, not zero")
    if len(devices) > SOURCES_OF:
        console.print(f"Sources are shown for up to {SOURCES_OF} devices: name one, or use --json.")
        return
    for each in devices:
        _show_sources(each, console)


def _figures(each: Profile) -> list[str]:
    peak = each.training_flops_per_s
    return [
        _short(peak / 1e9),
        _scaled(each.memory_bandwidth_bytes_per_s, 1e9),
        _scaled(each.usable_ram_bytes, 2**30),
        _scaled(each.training_power_w, 1),
        _scaled(each.resting_power_w, 1),
        _scaled(each.battery_wh, 1),
        f"{100 * throttle_of(each).sustained:.0f}",
    ]


def _show_sources(each: Profile, console: Console) -> None:
    console.print(f"\n[bold]{each.id}[/bold]: {each.name}{f', {each.soc}' if each.soc else ''}", highlight=False)
    heat = throttle_of(each)
    stated = {**each.provenance, "heat": heat.source}
    if each.backend == "cpu":
        stated.pop("kernel_overhead", None)  # nothing is launched
    for what, source in stated.items():
        console.print(f"  {what.replace('_', ' ')}: {source}", highlight=False, markup=False)


def _words(each: Profile) -> list[str]:
    return [each.id, each.name, each.device_class, each.soc, each.backend, *_aliases(each)]


def _aliases(each: Profile) -> list[str]:
    return [alias for alias, device in ALIASES.items() if device == each.id]


def _sustained(each: Profile) -> dict[str, Any]:
    throttle = throttle_of(each)
    return {"ratio": throttle.sustained, "tau_s": throttle.heating_s, "source": throttle.source}


def _scaled(value: float | None, unit: float) -> str:
    return UNKNOWN if value is None else _short(value / unit)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
