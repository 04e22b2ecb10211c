"""What a metric needs and does not find."""

from __future__ import annotations

import importlib
from typing import Any, Final

EXTRA: Final = "pip install 'splitwire[metrics]'"


class MissingError(Exception):
    """A library or program that a metric needs is not installed; the message says how to get it."""


def library(name: str) -> Any:  # noqa: ANN401 -- an untyped library
    """A module of an optional library; raises `MissingError` where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingError(f"needs the package {name.partition('.')[0]}: {EXTRA}") from error
