"""One run from the command line's point of view: scenario file, view, results folder, summary, errors in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
