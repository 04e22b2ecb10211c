"""The folder of a study: one file for each cell that is done, written as it ends, and what is made of them all.

Cells are kept by content, so that a study that was killed goes on where it was, and one with another grid in the same
folder computes only what is new. Everything here is data: reading it executes nothing.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, product
from pathlib import Path
from typing import Any, Final

from simulator.run_folder import reported
from simulator.whatif.cells import TIMING_ONLY, TRAINED, Moment, Result

STUDY: Final = "study.json"
CELLS: Final = "cells"
TAPES: Final = "tapes"
LOCK: Final = ".lock"
SAME: Final = ("scenario", "changes", "axes")  # in two studies of one table


@dataclass(frozen=True, slots=True)
class StudyFolder:
    """A study's folder, opened by `open`. Methods raise `run_folder.RunFolderError` where the disk refuses."""

    path: Path
    lock: int | None = None
    version: str = ""  # of what trains: tapes of another one are not read

    @classmethod
    def open(cls, path: Path, version: str = "") -> StudyFolder:
        """Make the folder, or open that of a study that was begun.

        Raises ValueError if it holds anything else, or another process works in it.
        """
        with reported(path):
            if path.exists() and not path.is_dir():
                raise ValueError(f"{path} is a file; the results need a folder")
            held = sorted(entry.name for entry in path.iterdir()) if path.exists() else []
            if held and LOCK not in held:
                raise ValueError(f"{path} is no study's folder (it holds {held[0]!r}); name another one with --out")
            (path / CELLS).mkdir(parents=True, exist_ok=True)
            return cls(path, _locked(path), sha256(version.encode()).hexdigest()[:8])

    def close(self) -> None:
        """Let others in."""
        if self.lock is not None:
            os.close(self.lock)

    def describe(self, about: Mapping[str, Any], made: Sequence[str], *, replace: bool) -> None:
        """Write what is studied: ``scenario``, ``changes`` to it, and ``axes``, among others.

        What was made of another study, tables first, is removed, so that tables are always those of what is written.
        Raises ValueError where that would lose cells from a table, unless ``replace``.
        """
        if (self.path / made[0]).exists():
            before: dict[str, Any] = {}
            with suppress(OSError, ValueError):
                before = json.loads((self.path / STUDY).read_text("utf-8"))
            lost = _lost(before, about)
            if lost is not None and not replace:
                raise ValueError(
                    f"{self.path} has the table of another study{lost}; --yes puts this one's in its place (what was "
                    f"computed stays), or name another folder with --out"
                )
            if any(before.get(name) != about[name] for name in SAME):
                self.clear(made)
        self.write_json(STUDY, about)

    def held(self, key: str, *, trained: bool) -> Result | None:
        """The result of a cell that is done, with losses wherever there is one with, and else only if none are needed.

        None for a cell that is not done, or whose file is not whole.
        """
        for kind in (TRAINED, TIMING_ONLY)[: 1 if trained else 2]:
            with suppress(OSError, ValueError, KeyError, TypeError):
                found = json.loads((self.path / CELLS / f"{key}.{kind}.json").read_text("utf-8"))
                return Result(found["way"], found["summary"], [Moment(*moment) for moment in found["curve"]])
        return None

    def keep(self, key: str, result: Result) -> None:
        """Write a cell's result, in full or not at all."""
        found = {"way": result.way, "summary": result.summary, "curve": result.curve}
        kind = TIMING_ONLY if result.way == TIMING_ONLY else TRAINED
        self.write(f"{CELLS}/{key}.{kind}.json", json.dumps(found, allow_nan=False).encode())

    def keep_tape(self, training: str, key: str, tape: bytes) -> str:
        """Write the tape that a cell has recorded under the key of what it trained; returns the file."""
        with reported(self.path / TAPES):
            (self.path / TAPES).mkdir(exist_ok=True)
        name = f"{training}.{self.version}.{key}"
        self.write(f"{TAPES}/{name}", tape)
        return str(self.path / TAPES / name)

    def tapes(self, training: str) -> list[str]:
        """The tapes of that training, the oldest first."""
        found = (self.path / TAPES).glob(f"{training}.{self.version}.*")
        return [str(path) for path in sorted(found, key=lambda path: path.stat().st_mtime_ns)]

    def clear(self, names: Iterable[str]) -> None:
        """Remove what was made of the cells of an earlier study."""
        for name in names:
            with reported(self.path / name):
                (self.path / name).unlink(missing_ok=True)

    def write_json(self, name: str, mapping: Mapping[str, Any]) -> None:
        """Write a JSON file, in full or not at all."""
        self.write(name, (json.dumps(mapping, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode())

    def write(self, name: str, data: bytes) -> None:
        """Write a file, in full or not at all: beside its name first."""
        path = self.path / name
        part = path.with_name(f".{path.name}.part")
        with reported(path):
            part.write_bytes(data)
            part.replace(path)


def _lost(before: Mapping[str, Any], about: Mapping[str, Any]) -> str | None:
    """Which cells of the study before are not in this one, for a person; None where all are."""
    try:
        old, new = _cells(before), _cells(about)
        same = all(before[name] == about[name] for name in SAME if name != "axes")
        axes = " x ".join(str(axis["name"]) for axis in before["axes"])
    except (KeyError, TypeError, AttributeError):
        return ""
    if not same:
        return f" ({len(old):,} cells over {axes} of {before['scenario']} with other settings)"
    gone = len(old - new)
    return f" ({gone:,} of its {len(old):,} cells over {axes} are not in this one)" if gone else None


def _cells(about: Mapping[str, Any]) -> set[frozenset[tuple[str, str]]]:
    """What is varied in each cell."""
    axes = [[tuple(point.items()) for point in axis["points"]] for axis in about["axes"]]
    return {frozenset(chain(*points)) for points in product(*axes)}


def _locked(path: Path) -> int | None:
    """Claim the folder for as long as this process lives, however it ends; None where the system has no such locks."""
    if sys.platform == "win32":
        return None
    import fcntl  # noqa: PLC0415 -- not on every system

    lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise ValueError(f"{path} is being used by another study that is still going") from None
    return lock
