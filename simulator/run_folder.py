"""The folder of a run: scenario, manifest, rounds, tables and, last of all, the summary.

`summary.json` is written when everything else is there: a folder without it is that of a run still going or broken off.
Files are written beside their name and then renamed, so none is ever half there; `rounds.csv` grows by whole lines. A
run killed at any moment leaves a readable folder. Two processes that write into one folder are refused at the start, by
`RunFolder.create`; later on nothing is locked.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import math
import os
import platform
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path
from typing import Any, Final, get_type_hints

import numpy as np

from simulator.record import ComputeRow, DeviceRow, MessageRow, Observer, RoundRow
from simulator.versions import PROJECT, installed, own_version

SCENARIO: Final = "scenario.yaml"
MANIFEST: Final = "manifest.json"
ROUNDS: Final = "rounds.csv"
MESSAGES: Final = "messages.parquet"
COMPUTE: Final = "compute.parquet"
DEVICES: Final = "devices.csv"
TAPE: Final = "tape.msgpack"
SUMMARY: Final = "summary.json"
ADAPTER: Final = "adapter"
ADAPTERS: Final = "adapters"

_REASONS: Final = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would exceed the size limit of this process or file system",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
}
_LONGEST_NAME: Final = 100  # characters of a folder's name; most file systems allow 255 bytes


class RunFolderError(OSError):
    """A file of the run's folder cannot be written; the message is one sentence with its name and the reason."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One run's folder, made by `create`. Every method raises `RunFolderError` where the disk does not play along."""

    path: Path

    @classmethod
    def create(cls, path: Path) -> RunFolder:
        """Make the folder, and its parents, and claim it with an empty rounds.csv; an empty folder is taken as it is.

        Raises ValueError if it holds anything, be it a finished run, an interrupted one or files of somebody else.
        """
        with reported(path):
            if path.exists() and not path.is_dir():
                raise ValueError(f"{path} is a file; the results need a folder")
            path.mkdir(parents=True, exist_ok=True)
            _refuse_unless_empty(path)
        try:
            with reported(path / ROUNDS), (path / ROUNDS).open("xb", buffering=0) as file:
                _append(file, _csv_line(RoundRow._fields))
        except RunFolderError as error:
            if error.errno == errno.EEXIST:
                raise ValueError(f"{path} is being used by another run that has just begun") from error
            with suppress(OSError):
                (path / ROUNDS).unlink()
            raise
        return cls(path)

    @property
    def finished(self) -> bool:
        """True once the summary is written."""
        return (self.path / SUMMARY).exists()

    def write_scenario(self, text: str) -> None:
        """Write the resolved scenario."""
        self._replace(SCENARIO, text.encode())

    def write_manifest(self, mapping: Mapping[str, object]) -> None:
        """Write the manifest, or write it anew once more is known (such as torch's version)."""
        self._replace(MANIFEST, _json(mapping))

    def append_round(self, row: RoundRow) -> None:
        """Add a line to rounds.csv; it is out of this process when this returns. Numbers not taken (nan) stay empty."""
        path = self.path / ROUNDS
        with reported(path), path.open("r+b", buffering=0) as file:
            _append(file, _csv_line(row))

    def write_tables(self, messages: Sequence[MessageRow], computes: Sequence[ComputeRow]) -> None:
        """Write both tables as Parquet, columns named as the rows' fields; nan becomes null, strings a dictionary."""
        self._replace(MESSAGES, _parquet(messages, MessageRow))
        self._replace(COMPUTE, _parquet(computes, ComputeRow))

    def write_devices(self, rows: Sequence[DeviceRow]) -> None:
        """Write what each device has used; what is unknown (nan) stays empty."""
        self._replace(DEVICES, b"".join(map(_csv_line, [DeviceRow._fields, *rows])))

    def write_adapter(self, files: Mapping[str, bytes], *, device: str | None = None) -> None:
        """Write learned adapters into ``adapter``, or a device's into ``adapters/DEVICE``; nothing for no files."""
        folder = ADAPTER if device is None else f"{ADAPTERS}/{device}"
        if files:
            with reported(self.path / folder):
                (self.path / folder).mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            self._replace(f"{folder}/{name}", data)

    def write_tape(self, data: bytes) -> None:
        """Write what the run has computed, as `simulator.numerics.tape` packs it."""
        self._replace(TAPE, data)

    def write_texts(self, name: str, data: bytes) -> None:
        """Write what a model has written after the run, as JSON lines; see `simulator.whatif.score`."""
        self._replace(name, data)

    def write_summary(self, mapping: Mapping[str, object]) -> None:
        """Write the summary, last of all: with it the run is finished."""
        with reported(self.path / ROUNDS), (self.path / ROUNDS).open("r+b") as rounds:
            os.fsync(rounds.fileno())
        self._replace(SUMMARY, _json(mapping))

    @property
    def has_rounds(self) -> bool:
        """True once a round is in rounds.csv, be it round 0: how things stand before the first one."""
        return self._num_rows > 0

    @property
    def has_ended_rounds(self) -> bool:
        """True once a round has ended; round 0 is none of them."""
        return self._num_rows > 1

    @property
    def _num_rows(self) -> int:
        return (self.path / ROUNDS).read_bytes().count(b"\n") - 1

    def discard(self) -> None:
        """Take back what was written before the first round, so that the same path can be used again."""
        for name in (SCENARIO, MANIFEST, ROUNDS):
            (self.path / name).unlink(missing_ok=True)
        with suppress(OSError):  # somebody else's file in it: leave the folder
            self.path.rmdir()

    def _replace(self, name: str, data: bytes) -> None:
        """Write a file in full or not at all; it is on the disk before it has its name."""
        path = self.path / name
        part = path.with_name(f".{path.name}.part")
        with reported(path):
            try:
                with part.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                part.replace(path)
            except BaseException:
                with suppress(OSError):
                    part.unlink()
                raise


class FolderObserver(Observer):
    """Adds every round to the folder as it ends. A `RunFolderError` ends the run."""

    def __init__(self, folder: RunFolder) -> None:
        """Take the folder of the run."""
        self._folder = folder

    def on_round(self, row: RoundRow) -> None:
        """Add the round to rounds.csv."""
        self._folder.append_round(row)


def default_path(scenario_name: str, seed: int, now: datetime, *, root: Path = Path("runs")) -> Path:
    """Return ROOT/NAME/TIMESTAMP-SEED, with -2, -3, ... where that exists. Letters a file name may lack become "-"."""
    plain = unicodedata.normalize("NFKD", scenario_name).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", plain)[:_LONGEST_NAME].strip("-.") or "run"
    first = root / name / f"{now:%Y%m%d-%H%M%S}-{seed}"
    others = (first.with_name(f"{first.name}-{number}") for number in count(2))
    with reported(first):
        return next(path for path in chain([first], others) if not path.exists())


def manifest(
    *, seed: int, started: datetime, command: Sequence[str], provenance: Mapping[str, object]
) -> dict[str, Any]:
    """Return what one needs to know in order to repeat a run: versions, seed, host, command line, origin of the costs.

    ``started`` without a time zone is local time. ``provenance`` says of every cost where its figure comes from. Torch
    and its kin are listed if they are loaded already; they are never loaded for this. What is not known is None.
    """
    return {
        "versions": _versions(),
        "git_commit": _git_commit(),
        "seed": seed,
        "started_utc": started.astimezone(UTC).isoformat(timespec="seconds"),
        "command": list(command),
        "host": {"platform": platform.platform(), "cpu": _cpu_model(), "cores": os.cpu_count()},
        "provenance": dict(provenance),
    }


def _refuse_unless_empty(path: Path) -> None:
    held = sorted(entry.name for entry in path.iterdir())
    if not held:
        return
    if SUMMARY in held:
        what = "holds a finished run"
    elif ROUNDS in held:
        what = "holds a run that is still going or was interrupted"
    else:
        what = f"is not empty (it holds {held[0]!r}{' and more' if len(held) > 1 else ''})"
    raise ValueError(f"{path} {what}; name another folder with --out, or remove this one first")


@contextmanager
def reported(path: Path) -> Iterator[None]:
    """Turn what the operating system says into one sentence about this path."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0) or (error.strerror or str(error)).lower()
        failure = RunFolderError(f"{path} cannot be written: {reason}")
        failure.errno = error.errno
        raise failure from error


def _append(file: io.FileIO, data: bytes) -> None:
    """Add bytes at the end, all of them or none."""
    size_bytes = file.seek(0, os.SEEK_END)
    try:
        written_bytes = 0
        while written_bytes < len(data):  # a disk that fills up takes a part first and fails at the next attempt
            written_bytes += file.write(data[written_bytes:])
    except BaseException:
        with suppress(OSError):
            file.truncate(size_bytes)
        raise


def _csv_line(values: Sequence[object]) -> bytes:
    line = io.StringIO()
    written = ["" if isinstance(value, float) and math.isnan(value) else value for value in values]
    csv.writer(line, lineterminator="\n").writerow(written)
    return line.getvalue().encode()


def _json(mapping: Mapping[str, object]) -> bytes:
    return (json.dumps(plain(mapping), indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode()


def plain(value: object) -> object:
    """The same in JSON's own types; numbers that JSON lacks (nan, infinity) become None."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return {str(key): plain(held) for key, held in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(held) for held in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _parquet(rows: Sequence[MessageRow] | Sequence[ComputeRow], row_type: type[MessageRow | ComputeRow]) -> bytes:
    """The table in memory, so that it is written, and fails, like every other file."""
    import pyarrow as pa  # noqa: PLC0415 -- 0.3 s that --help and a refused scenario need not wait for
    from pyarrow import parquet  # noqa: PLC0415

    numbers = {int: pa.int64(), float: pa.float64()}
    columns: Sequence[Sequence[object]] = list(zip(*rows, strict=True)) or [()] * len(row_type._fields)
    arrays: dict[str, Any] = {}
    for (name, kind), values in zip(get_type_hints(row_type).items(), columns, strict=True):
        if kind in numbers:
            arrays[name] = pa.array(values, numbers[kind], from_pandas=True)  # from_pandas: nan becomes null
        else:
            arrays[name] = pa.array(values, pa.string()).dictionary_encode()
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table(arrays), sink, compression="zstd")
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _versions() -> dict[str, str | None]:
    """Versions of what decides about results; see `manifest`."""
    loaded = [name for name in ("torch", "transformers", "peft") if name in sys.modules]
    versions: dict[str, str | None] = {"python": platform.python_version(), "splitwire": own_version()}
    for name in ["numpy", "simpy", *loaded]:
        found = getattr(sys.modules.get(name), "__version__", None)  # torch's own word names its build, as in 2.9.0+cpu
        versions[name] = str(found) if found else installed(name)
    return versions


def _git_commit() -> str | None:
    """The checkout's commit, with "-dirty" if tracked files differ from it; None outside a checkout."""
    if not (PROJECT / ".git").exists():  # installed: git would answer for a repository around it, somebody else's
        return None
    command = ["git", "--no-optional-locks", "-C", str(PROJECT)]
    command += ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}  # a hook's GIT_DIR
    with suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True, env=plain)
        return said.stdout.strip() or None
    return None


def _cpu_model() -> str | None:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or None
