"""What a scenario names outside itself: files, folders and models."""

import re
from pathlib import Path
from typing import Final

from simulator.scenario.words import alternatives, show
from simulator.workload import SHAPES, outline_of

MODELS: Final = ("mini", *SHAPES)
HUB_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def find_path(name: str, base_folder: Path) -> Path | None:
    """The existing file or folder of that name, absolute: below ``base_folder`` first, then the working directory."""
    for base in (base_folder, Path.cwd()):
        try:
            path = (base / Path(name).expanduser()).resolve()
            if path.exists():
                return path
        except (OSError, RuntimeError, ValueError):  # a name too long, a home that is not known, a NUL
            return None
    return None


def resolve_model(name: str, base_folder: Path) -> str:
    """Return a known or hub name unchanged, a folder's absolute path.

    Raises ``ValueError`` for what is none of them, and for a folder whose config.json is of no known family.
    A hub name ``owner/name`` is not looked up.
    """
    if name in MODELS:
        return name
    folder = find_path(name, base_folder)
    if folder is not None:
        outline_of(folder)
        return str(folder)
    if HUB_NAME.fullmatch(name):
        return name
    choices = [*MODELS, "a hub name owner/name", "an existing folder"]
    raise ValueError(f"unknown model {show(name)}{alternatives(name, choices)}")
