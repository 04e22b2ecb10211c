"""The table of a study: a row for each cell, and over several seeds a row for each variant."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

from simulator.scenario.values import measured
from simulator.whatif.cells import Failure, Result
from simulator.whatif.goals import Curve, reached
from simulator.whatif.grid import SEED
from simulator.whatif.stats import Estimate, estimate

Row = dict[str, Any]

NUMBERS: Final = (
    "virtual_s",
    "bytes_up",
    "bytes_down",
    "bytes",
    "energy_j",
    "loss",
    "perplexity",
    "target",
    "to_target_s",
    "to_target_bytes",
    "dropped",
)
LOWER_IS_BETTER: Final = ("virtual_s", "bytes", "energy_j", "perplexity", "to_target_s", "to_target_bytes", "dropped")

_OF_ALL: Final = ("to_target_s", "to_target_bytes")


def of_curves(curves: Sequence[Curve]) -> list[Row]:
    """A row for each evaluation of each cell."""
    return [{**curve.columns, **moment._asdict()} for curve in curves for moment in curve.moments]


def row_of(columns: Mapping[str, str], outcome: Result | Failure, target: float | None, key: str | None) -> Row:
    """One cell's row: what was varied, how its numbers were had, the numbers, and why there are none."""
    row: Row = {**columns, "way": "", "status": "done", **dict.fromkeys(NUMBERS)}
    if isinstance(outcome, Failure):
        return {**row, "status": outcome.kind, "reason": outcome.reason, "cell": key}
    summary, moment = outcome.summary, reached(outcome.curve, target)
    row |= {name: summary.get(name) for name in NUMBERS if name in summary}
    row |= {
        "way": outcome.way,
        "bytes": summary["bytes_up"] + summary["bytes_down"],
        "energy_j": (summary.get("energy_j") or {}).get("devices", {}).get("total"),
        "target": target if outcome.summary.get("perplexity") is not None else None,
        "to_target_s": moment and moment.virtual_s,
        "to_target_bytes": moment and moment.bytes_up + moment.bytes_down,
    }
    row |= {f"{part.replace(' ', '_')}_s": seconds for part, seconds in summary.get("blame", {}).items()}
    return {**row, "trace_hash": summary.get("trace_hash"), "reason": outcome.note, "cell": key}


def with_numbers(rows: Sequence[Row], columns: Sequence[str]) -> list[Row]:
    """The rows with every column that is a quantity also as a number, such as ``KEY [bit/s]`` beside ``KEY``."""
    wide: dict[str, str] = {}
    plain: set[str] = set()
    for name in columns:
        units = {None if (found := measured(row[name])) is None else found[1] for row in rows if name in row}
        unit = next(iter(units)) if len(units) == 1 else None
        if unit:
            wide[name] = f"{name} [{unit}]"
        elif unit == "":
            plain.add(name)
    return [_numbered(row, wide, plain) for row in rows]


def _numbered(row: Row, wide: Mapping[str, str], plain: set[str]) -> Row:
    changed: Row = {}
    for name, value in row.items():
        changed[name] = _number(value) if name in plain else value
        if name in wide:
            changed[wide[name]] = _number(value)
    return changed


def _number(text: str) -> float | int:
    found = measured(text)
    assert found is not None, "all values of the column are numbers"
    return int(found[0]) if text.lstrip("+-").isdigit() else found[0]


def over_seeds(rows: Sequence[Row], columns: Sequence[str]) -> list[Row]:
    """A row for each variant: means over its seeds, and their paired differences from the first variant.

    A difference is taken seed by seed, between runs of the same seed, and only then averaged: what a seed does to both
    falls out. ``NAME_half`` is the half-width of a 95 % t interval. Seeds that failed on either side are left out.
    What it takes to come to the target is known where every seed does: a mean without the slow ones would flatter.
    """
    names = [name for name in columns if name != SEED]
    variants: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in rows:
        if row["status"] == "done":
            variants.setdefault(tuple(row.get(name, "") for name in names), {})[row[SEED]] = row
    first = next(iter(variants.values()), {})
    found: list[Row] = []
    for columns_of, by_seed in variants.items():
        merged: Row = {**dict(zip(names, columns_of, strict=True)), "seeds": len(by_seed)}
        for number in LOWER_IS_BETTER:
            own = [row[number] for row in by_seed.values() if row[number] is not None]
            pairs = [(row[number], first[seed][number]) for seed, row in by_seed.items() if seed in first]
            apart = [mine - other for mine, other in pairs if mine is not None and other is not None]
            if number in _OF_ALL:
                own, apart = own if len(own) == len(by_seed) else [], apart if len(apart) == len(pairs) else []
            merged |= _spread(number, estimate(own) if own else None)
            merged |= _spread(f"{number}_less_first", estimate(apart) if apart else None)
        found.append(merged)
    return found


def _spread(name: str, found: Estimate | None) -> Row:
    return {name: found and found.mean, f"{name}_half": found and found.half}


def best(rows: Sequence[Row], *, targeted: bool) -> tuple[str, Row | None]:
    """By what is compared, and what is best by it: the time to the target where anything came to it, else virtual time.

    ``targeted``: a target was asked for, and perplexities are there. None is best where nothing came to it: to be the
    first to end is no merit then.
    """
    there = any(row.get("to_target_s") is not None for row in rows)
    name = "to_target_s" if there or targeted else "virtual_s"
    known = [row for row in rows if row.get(name) is not None]
    return name, min(known, key=lambda row: (row[name], row["bytes"]), default=None)


def as_csv(rows: Sequence[Row]) -> bytes:
    """The rows as CSV; what is not known is empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in rows)
    return text.getvalue().encode()


def as_parquet(rows: Sequence[Row]) -> bytes:
    """The rows as Parquet; what is not known is null."""
    import pyarrow as pa  # noqa: PLC0415 -- 0.3 s that a refused study need not wait for
    from pyarrow import parquet  # noqa: PLC0415

    names = list(dict.fromkeys(name for row in rows for name in row))
    table = pa.table({name: pa.array([row.get(name) for row in rows]) for name in names})
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd")
    data: bytes = sink.getvalue().to_pybytes()
    return data
