"""The tokenizer of a model, which needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tokenizers import Tokenizer

from simulator.training.hub import TOKENIZER, folder_of

MINI: Final = Path(__file__).parent / "mini"
"""The embedded 12-block model; see the README in that folder."""


def place_of(name: str) -> str:
    """Where a model is: a folder, or a name of the hub."""
    return str(MINI) if name == "mini" else name


def tokenizer_of(model: str, folder: str | None = None) -> Tokenizer:
    """A model's tokenizer, or the one in a folder of its own.

    Raises ValueError where it is out of reach or cannot be read.
    """
    key = "model.tokenizer" if folder else "model.name"
    file = folder_of(place_of(folder or model), (TOKENIZER,), key=key) / TOKENIZER
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:
        raise ValueError(f"{file} cannot be read as a tokenizer: {error}") from error
