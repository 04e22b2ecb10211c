"""Models and tokenizers as folders: a local one as it is, a hub name from the local cache, else downloaded into it.

What is in the cache is taken without asking the hub, so a run that has run once does not depend on the network. A hub
that cannot be reached is noticed in one request: the client's own downloads try again for most of a minute.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from huggingface_hub import constants, get_session, snapshot_download, try_to_load_from_cache

CONFIG: Final = "config.json"
WEIGHTS: Final = "model.safetensors"
SHARDS: Final = "model.safetensors.index.json"
TOKENIZER: Final = "tokenizer.json"

PROBE_S: Final = 5.0
"""How long the hub may take to answer anything at all."""


def folder_of(name: str, wanted: tuple[str, ...], *, key: str) -> Path:
    """The folder that holds the ``wanted`` files of a model, of which `WEIGHTS` may be in several parts.

    ``key`` is the scenario's key that named it. Raises ValueError, with the file that is missing and what to do.
    """
    local = Path(name)
    if local.is_dir():
        gap = missing(local, wanted)
        if gap:
            raise ValueError(f"{key}: the folder {local} has no {gap}; it needs {', '.join(wanted)}")
        return local
    cached = try_to_load_from_cache(name, wanted[0])
    if isinstance(cached, str) and not missing(Path(cached).parent, wanted):
        return Path(cached).parent
    gap = missing(Path(cached).parent, wanted) if isinstance(cached, str) else wanted[0]
    return _downloaded(name, wanted, f"{gap} of {name!r}", key)


def missing(folder: Path, wanted: tuple[str, ...]) -> str | None:
    """The first of some files that a folder does not have; None where it has all."""
    for file in wanted:
        if file == WEIGHTS and (folder / SHARDS).is_file():
            parts: set[str] = set(json.loads((folder / SHARDS).read_text(encoding="utf-8"))["weight_map"].values())
            absent = sorted(part for part in parts if not (folder / part).is_file())
            if absent:
                return absent[0]
        elif not (folder / file).is_file():
            return file
    return None


def unreachable() -> str | None:
    """Why the hub does not answer; None where it does."""
    try:
        get_session().head(constants.ENDPOINT, timeout=PROBE_S)
    except Exception as error:  # the client's many kinds of "no network", and of "offline on purpose"
        return _first_line(error)
    return None


def _downloaded(name: str, wanted: tuple[str, ...], gap: str, key: str) -> Path:
    patterns = [*wanted, *(["*.safetensors", SHARDS] if WEIGHTS in wanted else [])]
    needed = (CONFIG, WEIGHTS, TOKENIZER) if key == "model.name" else wanted
    advice = f"copy {', '.join(needed)} into a folder and set {key} to it, or use model.name mini"
    silent = unreachable()
    if silent:
        raise ValueError(
            f"{gap} is neither in a folder of that name nor in the local cache, and the hub at {constants.ENDPOINT} "
            f"cannot be reached ({silent}); {advice}"
        )
    try:
        folder = Path(snapshot_download(name, allow_patterns=patterns, etag_timeout=PROBE_S))
    except Exception as error:  # unknown, gated, a broken download: the client's own words say which
        raise ValueError(f"{key}: {name!r} cannot be taken from the hub ({_first_line(error)}); {advice}") from error
    still = missing(folder, wanted)
    if still:
        raise ValueError(f"{key}: {name!r} on the hub has no {still}; {advice}")
    return folder


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
