"""Bytes over links: how long transfers take on shared links, as pure data structures without a clock.

The inner loop may stand beside its sources compiled to C (`netmodels/compile.py`): the same, up to four times as fast.
Once a source has been edited it is out of date; then all of it runs from the sources, as it does where the environment
says ``SPLITWIRE_NETWORK=sources``.
"""

import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent
_ENDING: Final = EXTENSION_SUFFIXES[0]  # of what is compiled for this very Python


def _compiled() -> bool:
    """Whether something is compiled, the part that all share is there, and no source is younger."""
    files = list(_FOLDER.glob(f"*{_ENDING}"))
    shared = _FOLDER.with_name(f"{__name__}__mypyc{_ENDING}")
    sources = {file: _FOLDER / f"{file.name.removesuffix(_ENDING)}.py" for file in files}
    return (
        bool(files)
        and shared.exists()
        and all(source.exists() and source.stat().st_mtime <= file.stat().st_mtime for file, source in sources.items())
    )


class _Sources:
    """Finds the sources of this package's modules where the import system would take what is compiled."""

    @staticmethod
    def find_spec(name: str, path: object, target: object = None) -> ModuleSpec | None:
        package, _, module = name.rpartition(".")
        source = _FOLDER / f"{module}.py"
        return spec_from_file_location(name, source) if package == __name__ and source.exists() else None


COMPILED: Final = os.environ.get("SPLITWIRE_NETWORK") != "sources" and _compiled()
"""Whether the inner loop runs compiled."""

if not COMPILED:
    sys.meta_path.insert(0, _Sources)
