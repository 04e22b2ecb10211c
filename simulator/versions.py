"""What computes here: versions, and hashes over the sources, which a checkout and an installed copy have alike."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from importlib import metadata
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[1]
PROGRAM: Final = ("simulator", "devices", "netmodels")
NOT_OF_RESULTS: Final = PROJECT / "simulator" / "views"
TRAINING: Final = tuple(
    f"simulator/{name}"
    for name in ("training", "numerics", "algorithms", "restaurants", "workload", "streams.py", "sequences.py")
)
KINDS: Final = frozenset({".py", ".csv", ".json", ".safetensors"})  # catalogues and the embedded model decide too
_HASH_BYTES: Final = 4


@cache
def trainers() -> str:
    """What computes losses here, for a person: ``splitwire 0.1.0 (training code 1f0a9c3e), torch 2.9.0``.

    Equal texts stand for equal losses on one machine. Torch is not loaded.
    """
    own = f"{own_version()} (training code {digest([PROJECT / name for name in TRAINING])})"
    return ", ".join(
        f"{name} {version}" for name, version in (("splitwire", own), ("torch", installed("torch"))) if version
    )


@cache
def program() -> str:
    """What computes times, costs and losses here; the views do not."""
    return f"{trainers()}, program {digest([PROJECT / name for name in PROGRAM], without=NOT_OF_RESULTS)}"


def digest(places: Sequence[Path], *, without: Path | None = None) -> str:
    """A hash over these sources, catalogues and models, and all in these folders: their names, and what is in them."""
    found = blake2b(digest_size=_HASH_BYTES)
    for place in places:
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.suffix in KINDS and not (without and path.is_relative_to(without)):
                found.update(f"{path.relative_to(place.parent).as_posix()} {path.stat().st_size} ".encode())
                found.update(path.read_bytes())
    return found.hexdigest()


def installed(name: str) -> str | None:
    """The version of an installed package; None where there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def own_version() -> str | None:
    """A checkout's pyproject.toml beside this package, else the installed version."""
    with suppress(OSError, KeyError, tomllib.TOMLDecodeError):
        project: Mapping[str, str] = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
        if project["name"] == "splitwire":
            return project["version"]
    return installed("splitwire")
