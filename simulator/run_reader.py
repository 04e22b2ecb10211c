"""Reads back what a finished run has left in its folder: rows as they were recorded, and the summary.

Everything in it is data; reading executes nothing.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from simulator.record import ComputeRow, MessageRow, RoundRow, WaitRow
from simulator.run_folder import COMPUTE, MESSAGES, ROUNDS, SCENARIO, SUMMARY

R = TypeVar("R", MessageRow, ComputeRow)


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """The rows of a run and its summary.json; what is empty or null in a table is nan."""

    path: Path
    summary: dict[str, Any]
    rounds: list[RoundRow]
    waits: list[WaitRow]
    messages: list[MessageRow]
    computes: list[ComputeRow]


def read_run(path: Path) -> FinishedRun:
    """Read a finished run's folder.

    Raises ValueError, in one sentence, for a folder that is none, or whose files are not those of a run.
    """
    summary, rounds = read_outcome(path)
    return FinishedRun(
        path,
        summary,
        rounds,
        [WaitRow(int(number), float(start_s), float(end_s)) for number, start_s, end_s in summary.get("waits", [])],
        _table(path / MESSAGES, MessageRow),
        _table(path / COMPUTE, ComputeRow),
    )


def read_outcome(path: Path) -> tuple[dict[str, Any], list[RoundRow]]:
    """The summary and the rounds of a finished run's folder, without its messages. Raises as `read_run`."""
    check_finished(path)
    return _summary(path / SUMMARY), _rounds(path / ROUNDS)


def check_finished(path: Path) -> None:
    """Refuse, in one sentence, a folder that is not that of a finished run; ValueError."""
    if not path.is_dir():
        raise ValueError(f"{path} is no folder; name the folder of a run, such as runs/NAME/TIME-SEED")
    if (path / SUMMARY).is_file():
        return
    if not ((path / ROUNDS).is_file() and (path / SCENARIO).is_file()):
        raise ValueError(f"{path} is not the folder of a finished run: it has no {SUMMARY}")
    raise ValueError(
        f"{path} has no {SUMMARY}: that run is still going, or was interrupted; its finished rounds can be read in "
        f"{path / ROUNDS}, and it cannot be resumed yet: `splitwire run {path / SCENARIO}` runs it again"
    )


def _summary(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(_bytes(path))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict) or "virtual_s" not in found:
        raise ValueError(f"{path} is not the summary of a run: it has no virtual_s")
    return found


def _rounds(path: Path) -> list[RoundRow]:
    kinds = get_type_hints(RoundRow)
    try:
        rows = csv.DictReader(io.StringIO(_bytes(path).decode()))
        needed = [name for name in kinds if name not in RoundRow._field_defaults]
        if missing := [name for name in needed if name not in (rows.fieldnames or ())]:
            raise ValueError(f"it has no column {missing[0]}")
        values: list[dict[str, Any]] = [
            {name: _value(kinds[name], text) for name, text in row.items() if name in kinds} for row in rows
        ]
        return [RoundRow(**each) for each in values]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is not the table of a run's rounds: {error}") from error


def _value(kind: type, text: str) -> object:
    return math.nan if kind is float and not text else kind(text)


def _table(path: Path, row_type: type[R]) -> list[R]:
    import pyarrow as pa  # noqa: PLC0415 -- 0.3 s that others need not wait for
    from pyarrow import parquet  # noqa: PLC0415

    kinds, data = get_type_hints(row_type), _bytes(path)
    try:
        table = parquet.read_table(io.BytesIO(data), columns=list(kinds))
        if missing := kinds.keys() - set(table.column_names):
            raise ValueError(f"it has no column {min(missing)}")
    except (pa.ArrowException, ValueError) as error:
        raise ValueError(f"{path} is not a table of this version's runs: {error}") from error
    columns = [_column(table.column(name).to_pylist(), kinds[name]) for name in kinds]
    return [row_type(*values) for values in zip(*columns, strict=True)]


def _column(values: Sequence[Any], kind: type) -> Sequence[Any]:
    return [math.nan if value is None else value for value in values] if kind is float else values


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ValueError(f"{path.parent} is not the folder of a finished run: it has no {path.name}") from error
