"""Bytes over links: how long transfers take on shared links, as pure data structures without a clock.

The inner loop may stand beside its sources compiled to C (`netmodels/compile.py`): the same, up to four times as fast.
Once a source has been edited it is out of date; then all of it runs from the sources.
"""

import sys
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent


def _compiled() -> dict[Path, Path]:
    """The sources of what is compiled, and the files that it is compiled to."""
    files = [file for file in _FOLDER.iterdir() if file.name.endswith(tuple(EXTENSION_SUFFIXES))]
    return {_FOLDER / f"{file.name.partition('.')[0]}.py": file for file in files}


class _Sources:
    """Finds the sources of this package's modules where the import system would take what is compiled."""

    @staticmethod
    def find_spec(name: str, path: object, target: object = None) -> ModuleSpec | None:
        package, _, module = name.rpartition(".")
        source = _FOLDER / f"{module}.py"
        return spec_from_file_location(name, source) if package == __name__ and source.exists() else None


COMPILED: Final = bool(_compiled()) and all(
    source.exists() and source.stat().st_mtime <= file.stat().st_mtime for source, file in _compiled().items()
)
"""Whether the inner loop runs compiled."""

if not COMPILED:
    sys.meta_path.insert(0, _Sources)
