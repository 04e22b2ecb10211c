"""Data files and folders of them: which file is for what, and what is written in it, compressed or not."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

HELD_OUT: Final = ("valid", "dev")
"""How the names of files of held-out examples begin (the official E2E files are called devset and valid)."""

APART: Final = (*HELD_OUT, "test")
"""How names begin that are no client's."""


def read_text(path: Path) -> str:
    """What is written in a file, in UTF-8, gzipped or not; raises ValueError, with its name, where that fails."""
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise ValueError(f"data file {path} cannot be read: {error}") from error


def part_of(folder: Path, part: str, suffixes: Sequence[str]) -> Path | None:
    """The first file of a folder, by name, whose name begins with ``part`` ("train", "valid"); None where none does."""
    for stem in HELD_OUT if part == "valid" else (part,):
        for path in in_order(folder, suffixes):
            if path.name.startswith(stem):
                return path
    return None


def in_order(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """The files of a folder with one of these endings, by name, numbers in names as numbers: part2 before part10."""
    found = (path for path in folder.iterdir() if path.is_file() and path.name.endswith(tuple(suffixes)))
    return sorted(found, key=_natural)


def one_each(folder: Path, suffixes: Sequence[str], devices: int) -> list[Path]:
    """One file for each device, in order; files called valid, dev or test are nobody's.

    Raises ValueError where there are more or fewer files than devices.
    """
    if not folder.is_dir():
        raise ValueError(f"data.path must be a folder with a file for each device (data.partition files), got {folder}")
    files = [path for path in in_order(folder, suffixes) if not path.name.startswith(APART)]
    if len(files) != devices:
        some = ", ".join(path.name for path in files[:6]) + (", ..." if len(files) > 6 else "")
        raise ValueError(
            f"data.partition files: {folder} has {len(files)} files for {devices} device{'s' * (devices != 1)}, each "
            f"of which needs one ({some or 'none that ends in ' + ', '.join(suffixes)}); names that begin with "
            f"{', '.join(APART)} do not count"
        )
    return files


def listing(folder: Path) -> str:
    """The first names in a folder, for a refusal."""
    return ", ".join(sorted(entry.name for entry in folder.iterdir())[:8]) or "nothing"


def _natural(path: Path) -> list[tuple[int, int, str]]:
    parts = re.split(r"([0-9]+)", path.name)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part]
