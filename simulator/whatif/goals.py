"""Perplexities to come down to, and when a run did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from simulator.views.summary_sections import SHARES
from simulator.whatif.cells import Moment


@dataclass(frozen=True, slots=True)
class Curve:
    """How the perplexity of one cell, or run, fell; ``columns`` tell it from the others."""

    columns: Mapping[str, str]
    moments: Sequence[Moment]  # those after which it was taken; at least one


def taken(moments: Iterable[Moment]) -> list[Moment]:
    """The moments after which the perplexity was taken."""
    return [moment for moment in moments if moment.perplexity is not None]


def reached(curve: Sequence[Moment], goal: float | None) -> Moment | None:
    """The first evaluation at or below a perplexity. Nothing is interpolated; None where it was never seen."""
    if goal is None:
        return None
    return next((moment for moment in taken(curve) if (moment.perplexity or 0.0) <= goal), None)


def lowest(curve: Sequence[Moment]) -> float | None:
    """The lowest perplexity that was seen; None where none was taken."""
    return min((moment.perplexity for moment in curve if moment.perplexity is not None), default=None)


def common_target(curves: Iterable[Sequence[Moment]]) -> float | None:
    """The lowest perplexity that every one of these runs came down to; None where none was trained."""
    best = [low for each in curves if (low := lowest(each)) is not None]
    return max(best) if best else None


def goals(curves: Sequence[Curve], target: float | None) -> list[float]:
    """Perplexities by which to compare, the highest first.

    They are parts of the highest before training, as far as anybody came down to them, and the target. None for none.
    """
    if not curves:
        return []
    before = max(curve.moments[0].perplexity or 0.0 for curve in curves)
    best = min((low for curve in curves if (low := lowest(curve.moments)) is not None), default=before)
    found = {share * before for share in SHARES if share * before >= best}
    return sorted(found | ({target} if target is not None else set()), reverse=True)
