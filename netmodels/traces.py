"""Recordings of capacity over time, read from files: Mahimahi's format and tables of seconds and rates; also gzipped.

* **Mahimahi** (Netravali et al., USENIX ATC 2015): one integer of milliseconds a line, never decreasing; each line is
  an opportunity to send 1500 bytes. At its end a trace starts again, so its last stamp is its period. Opportunities are
  spread evenly over the 100 ms in which they lie; one at t counts for the millisecond before t (0: after), so every lap
  carries exactly 1500 bytes a line. ``NAME.up`` and ``NAME.down`` are the two directions of one recording.
* **Two columns without a heading**, by spaces, tabs or a comma: seconds and Mbit/s (the form of Pensieve's traces).
* **CSV with a heading** that names units: a time (``t_s``, ``time_ms``, ...) and rates (``mbps`` or ``rate_kbps`` for
  both directions, ``down_mbps``, ``dl_mbps``, ``up_bps``, ...); other columns are left alone. In a log of downloads
  with a column ``state`` (UCC's 5G data set) only rows in state D tell a capacity, and its uplink column holds
  acknowledgements, not capacity.

In tables a rate holds from its time until that of the next row (Pensieve's own simulator lets it hold up to its time),
the last one as long as the one before it; then the table starts again. The first row is time 0, whatever its stamp.

Not modelled: the single packets of a Mahimahi trace, queues.
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from netmodels.capacity import Steps

Way = Literal["up", "down"]

INTERVAL_MS: Final = 100
PACKET_BITS: Final = 1500 * 8
MAX_BYTES: Final = 256 << 20  # unpacked
_STAMPS: Final = re.compile("(?:[0-9]{1,12}\n)*[0-9]{1,12}\n?")
_NOT_TRACES: Final = (".md", ".json", ".py", ".yaml", ".yml")
_WAYS: Final[dict[str, tuple[Way, ...]]] = {
    **dict.fromkeys(("up", "ul", "uplink", "upload"), ("up",)),
    **dict.fromkeys(("down", "dl", "downlink", "download"), ("down",)),
    **dict.fromkeys(("", "rate", "bandwidth", "throughput", "capacity"), ("up", "down")),
}
_TIMES: Final = ("t", "time", "timestamp", "elapsed")
_TIME_UNITS: Final = {"s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e-3}
_RATE_UNITS: Final = {"bps": 1.0, "kbps": 1e3, "mbps": 1e6, "gbps": 1e9}


@dataclass(frozen=True, slots=True)
class Trace:
    """A recording: the capacities of the directions it has, and why it lacks the other."""

    file: Path
    up: Steps | None
    down: Steps | None
    why: str = ""  # a direction is missing

    def way(self, way: Way) -> Steps:
        """The capacity of a direction; ValueError with the reason where the recording has none."""
        steps = self.up if way == "up" else self.down
        if steps is None:
            raise ValueError(f"{self.file} has no {way}link: {self.why}")
        return steps


def open_traces(path: Path) -> tuple[Trace, ...]:
    """The recordings of a file or a folder, by name; ``NAME.up`` and ``NAME.down`` are one.

    A file ``NAME.down`` brings the ``NAME.up`` beside it. Of a folder, hidden files, folders and .md, .json, .py and
    .yaml files are left out. Raises ValueError naming file, line and reason for whatever cannot be read.
    """
    if not path.is_dir():
        partner = _partner(path)
        return (_joined([path, partner] if partner else [path]),)
    files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    named: dict[str, list[Path]] = {}
    for file in files:
        if _bare(file).suffix not in _NOT_TRACES:
            named.setdefault(_recording(file), []).append(file)
    if not named:
        raise ValueError(f"{path}: holds no trace")
    return tuple(_joined(group) for group in named.values())


def read(file: Path) -> Trace:
    """The recording of one file, without the other direction beside it; read once as long as the file stays as it is.

    Raises ValueError naming file, line and reason.
    """
    try:
        about = file.stat()
    except OSError as error:
        raise ValueError(f"{file}: cannot be read: {error.strerror}") from None
    if not file.is_file():
        raise ValueError(f"{file}: is not a regular file")
    return _read(file, about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=1024)
def _read(file: Path, _changed_ns: int, _size_bytes: int) -> Trace:
    text = _text(file).replace("\r\n", "\n")
    if not text:
        raise ValueError(f"{file}: is empty; a trace needs at least one line")
    way = _way_of(file)
    if _STAMPS.fullmatch(text):
        return _one_way(file, _mahimahi(file, np.fromstring(text, dtype=np.int64, sep="\n")), way)
    lines = text.removesuffix("\n").split("\n")
    if way is None and re.search("[A-Za-z]", lines[0]) and not _is_number(lines[0].split(",")[0]):
        return _with_heading(file, lines)
    if way is not None or len(_parts(lines[0])) == 1:
        raise _no_stamp(file, lines)
    return _one_way(file, _steps(file, _rows(file, lines), len(lines)), None)


def _one_way(file: Path, steps: Steps, way: Way | None) -> Trace:
    """The recording of a file with one series, which counts for both directions unless its name says for which."""
    if way is None:
        return Trace(file, steps, steps)
    other = _bare(file).with_suffix(".up" if way == "down" else ".down").name
    up, down = (steps, None) if way == "up" else (None, steps)
    return Trace(file, up, down, why=f"{other} is not beside it")


def _joined(files: Sequence[Path]) -> Trace:
    """One recording from the files of its directions."""
    traces = [read(file) for file in files]
    first = traces[0]
    if len(traces) == 1:
        return first
    ways = {way: trace for trace in traces if (way := _way_of(trace.file)) is not None}
    if len(traces) != 2 or len(ways) != 2:
        raise ValueError(f"{files[1]}: is the same recording as {files[0].name}; leave one of them out")
    return Trace(first.file, ways["up"].up, ways["down"].down)


def _bare(file: Path) -> Path:
    return file.with_suffix("") if file.suffix == ".gz" else file


def _way_of(file: Path) -> Way | None:
    """The direction of a file called ``NAME.up`` or ``NAME.down``, gzipped or not."""
    match _bare(file).suffix:
        case ".up":
            return "up"
        case ".down":
            return "down"
        case _:
            return None


def _recording(file: Path) -> str:
    """The name of a recording without its direction."""
    return _bare(file).stem if _way_of(file) else file.name


def _partner(file: Path) -> Path | None:
    """The other direction of a recording, if it is beside it."""
    way = _way_of(file)
    if way is None:
        return None
    other = _bare(file).with_suffix(".up" if way == "down" else ".down")
    return next((each for each in (other, other.with_name(f"{other.name}.gz")) if each.is_file()), None)


def _text(file: Path) -> str:
    try:
        with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > MAX_BYTES:
        raise ValueError(f"{file}: is larger than {MAX_BYTES >> 20} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{file}:{line}: is not text") from None


def _no_stamp(file: Path, lines: Sequence[str]) -> ValueError:
    """Say which line is no stamp of Mahimahi's."""
    number, line = next(each for each in enumerate(lines, start=1) if not _STAMPS.fullmatch(each[1]))
    what = repr(line[:40]) if line else "an empty line"
    return ValueError(f"{file}:{number}: must be a whole number of milliseconds >= 0, got {what}")


def _mahimahi(file: Path, stamps_ms: NDArray[np.int64]) -> Steps:
    back = np.flatnonzero(np.diff(stamps_ms) < 0)
    if back.size:
        before, after = stamps_ms[back[0] : back[0] + 2]
        raise ValueError(f"{file}:{back[0] + 2}: time must not go back, got {after} ms after {before} ms")
    period_ms = int(stamps_ms[-1])
    if period_ms == 0:
        raise ValueError(f"{file}:{len(stamps_ms)}: the last stamp is the period of the trace and must be above 0 ms")
    intervals, packets = np.unique(np.maximum(stamps_ms - 1, 0) // INTERVAL_MS, return_counts=True)
    return _staircase(_intervals(intervals.tolist(), packets.tolist(), period_ms), period_ms / 1e3)


def _intervals(intervals: list[int], packets: list[int], period_ms: int) -> Iterator[tuple[float, float]]:
    """When the rate changes and to what, from the packets of those intervals that have any."""
    expected = 0
    for interval, count in zip(intervals, packets, strict=True):
        if interval != expected:
            yield expected * INTERVAL_MS / 1e3, 0.0
        width_ms = min(INTERVAL_MS, period_ms - interval * INTERVAL_MS)
        yield interval * INTERVAL_MS / 1e3, count * PACKET_BITS * 1e3 / width_ms
        expected = interval + 1


def _staircase(points: Iterator[tuple[float, float]], period_s: float) -> Steps:
    """Steps from (time, rate), without those that change nothing."""
    times_s: list[float] = []
    values_bps: list[float] = []
    for time_s, value_bps in points:
        if not values_bps or value_bps != values_bps[-1]:
            times_s.append(time_s)
            values_bps.append(value_bps)
    return Steps(times_s, values_bps, period_s=period_s)


def _rows(file: Path, lines: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """Line, seconds and Mbit/s of a table without a heading."""
    for number, line in enumerate(lines, start=1):
        parts = _parts(line)
        if len(parts) != 2:
            raise ValueError(f"{file}:{number}: must be two numbers, seconds and Mbit/s, got {line[:40]!r}")
        yield number, parts[0], parts[1]


def _parts(line: str) -> list[str]:
    return [part.strip() for part in line.split(",")] if "," in line else line.split()


def _steps(
    file: Path, rows: Iterator[tuple[int, str, str]], num_lines: int, *, time_unit_s: float = 1.0, unit_bps: float = 1e6
) -> Steps:
    times_s: list[float] = []
    values_bps: list[float] = []
    for number, time_text, rate_text in rows:
        time_s, rate = (_number(file, number, text) for text in (time_text, rate_text))
        if rate < 0:
            raise ValueError(f"{file}:{number}: a rate must be >= 0, got {rate_text}")
        if times_s and time_s * time_unit_s <= times_s[-1]:
            before = f"{times_s[-1] / time_unit_s:g}"
            raise ValueError(f"{file}:{number}: time must increase from row to row, got {time_text} after {before}")
        times_s.append(time_s * time_unit_s)
        values_bps.append(rate * unit_bps)
    if not times_s:
        raise ValueError(f"{file}:{num_lines}: the table has no row of capacity")
    if not any(values_bps):
        raise ValueError(f"{file}: the rate is 0 in every row, so the link would carry nothing for ever")
    first_s, last_s = times_s[0], times_s[-1] - times_s[-2] if len(times_s) > 1 else 1.0
    beginnings = zip([time_s - first_s for time_s in times_s], values_bps, strict=True)
    try:
        return _staircase(iter(beginnings), times_s[-1] - first_s + last_s)
    except ValueError as error:  # numbers so large or so near that floats do not tell them apart
        raise ValueError(f"{file}: {error}") from None


def _number(file: Path, number: int, text: str) -> float:
    if not _is_number(text):
        raise ValueError(f"{file}:{number}: must be a number, got {text[:40]!r}")
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{file}:{number}: must be finite, got {text!r}")
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _with_heading(file: Path, lines: Sequence[str]) -> Trace:
    """A CSV whose first line names its columns and their units."""
    names = [name.strip().lower() for name in lines[0].split(",")]
    time_at, time_unit_s = _time_column(file, names)
    columns = _rate_columns(file, names)
    log = names.index("state") if "state" in names else None
    if log is not None:
        columns.pop("up", None)
    if not columns:
        raise ValueError(f"{file}:1: needs a column of rates such as down_mbps, got {', '.join(names)}")
    found: dict[Way, Steps] = {}
    for way, (at, unit_bps) in columns.items():
        rows = _cells(file, lines, len(names), (time_at, at), log)
        found[way] = _steps(file, rows, len(lines), time_unit_s=time_unit_s, unit_bps=unit_bps)
    why = "the uplink of a log of downloads is only acknowledgements" if log is not None else "no column names it"
    return Trace(file, found.get("up"), found.get("down"), why=why)


def _cells(
    file: Path, lines: Sequence[str], width: int, places: tuple[int, int], log: int | None
) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(lines[1:], start=2):
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != width:
            raise ValueError(f"{file}:{number}: must have {width} columns as the heading says, got {len(cells)}")
        if log is None or cells[log] == "D":
            yield number, cells[places[0]], cells[places[1]]


def _time_column(file: Path, names: Sequence[str]) -> tuple[int, float]:
    for at, name in enumerate(names):
        what, _, unit = name.rpartition("_")
        if (what in _TIMES and unit in _TIME_UNITS) or name in ("seconds", "s", "ms"):
            return at, _TIME_UNITS[unit if what else name]
        if name in _TIMES:
            raise ValueError(f"{file}:1: column {name!r} names no unit; call it {name}_s or {name}_ms")
    raise ValueError(f"{file}:1: needs a column of times such as t_s, got {', '.join(names)}")


def _rate_columns(file: Path, names: Sequence[str]) -> dict[Way, tuple[int, float]]:
    columns: dict[Way, tuple[int, float]] = {}
    for at, name in enumerate(names):
        what, _, unit = name.rpartition("_")
        if name and name in _WAYS:
            raise ValueError(f"{file}:1: column {name!r} names no unit; call it {name}_mbps, {name}_kbps or {name}_bps")
        if what not in _WAYS or unit not in _RATE_UNITS:
            continue
        for way in _WAYS[what]:
            if way in columns:
                raise ValueError(f"{file}:1: two columns give the {way}link: {names[columns[way][0]]} and {name}")
            columns[way] = (at, _RATE_UNITS[unit])
    return columns
