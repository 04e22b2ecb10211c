"""Joules and batteries in the summary: one line each, of what is known, and who is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rich.console import RenderableType
from rich.text import Text

from simulator.views import format as f
from simulator.views.info import RunInfo
from simulator.views.palette import LABEL, STRONG
from simulator.views.pieces import wrapped

PARTS: Final = ("compute", "radio", "idle")


def energy(info: RunInfo, summary: Mapping[str, Any]) -> list[RenderableType]:
    """What the devices used, by part, and how much of their batteries; empty where nothing was counted."""
    groups = (summary.get("energy_j") or {}).get("by_group") or {}
    known = {name: parts for name, parts in groups.items() if parts["total"] is not None}
    lines: list[RenderableType] = []
    if known:
        lines.append(wrapped("energy", _used(info, known, len(groups))))
    unknown = [name for name in groups if name not in known]
    if unknown:
        reasons = summary.get("energy_unknown") or {}
        told = f.by_cause({name: reasons.get(name, ["?"]) for name in unknown})
        lines.append(wrapped("" if known else "energy", Text(f"unknown for {told}", LABEL)))
    batteries = summary.get("battery_percent") or {}
    if any(batteries.values()):
        lines.append(wrapped("battery", _batteries(batteries)))
    return lines


def _used(info: RunInfo, known: Mapping[str, Mapping[str, float]], num_groups: int) -> Text:
    sums = {part: sum(parts[part] for parts in known.values()) for part in (*PARTS, "total")}
    devices = sum(group.count for group in info.groups if group.name in known)
    whose = f"per {info.noun}" if len(known) == num_groups else f"per {info.noun} of {', '.join(known)}"
    shares = f.shares([max(0.0, sums[part]) for part in PARTS], digits=0)
    parts = ", ".join(f"{part} {share:.0f} %" for part, share in zip(PARTS, shares, strict=True))
    each = f.energy(sums["total"] / devices) if devices else f.UNKNOWN
    return Text.assemble((f.energy(sums["total"]), STRONG), (f"   {parts}; {each} {whose}", LABEL))


def _batteries(batteries: Mapping[str, Mapping[str, Any] | None]) -> Text:
    """The battery that was used most, and the mean of every group whose battery is known."""
    known = {name: battery for name, battery in batteries.items() if battery}
    most = max(known.values(), key=lambda battery: float(battery["most"]))
    text = Text.assemble((f"{most['most']:.2g} %", STRONG), (f" used by {most['device']}, the most; mean ", LABEL))
    text.append(", ".join(f"{name} {battery['mean']:.2g} %" for name, battery in known.items()), LABEL)
    silent = [name for name in batteries if name not in known]
    return text.append(f"; unknown: {', '.join(silent)}" if silent else "", LABEL)
