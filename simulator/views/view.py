"""What the command line expects of a view: an observer that is also a context manager."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from simulator.record import Observer


class View(Observer):
    """Entered before anything is loaded, left when the run is over or has failed. This one shows nothing."""

    def __enter__(self) -> Self:
        """Begin to show the run."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; ``kind`` is None if all went well."""


class SilentView(View):
    """For ``--json``: nothing on standard output, nothing on standard error."""
