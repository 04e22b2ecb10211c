"""At which line of a JSON text a value stands; Python's parser keeps no positions."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

_BLANK = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


def line_of(text: str, steps: Sequence[str | int]) -> int:
    """The line, from 1, at which the value begins that lies so many keys and indices deep in a JSON text.

    Where a key is there twice the last one counts, as for the parser. Raises LookupError for a value that is not there.
    """
    at = _skip(text, 0)
    for step in steps:
        at = _inside(text, at, step)
    return text.count("\n", 0, at) + 1


def _inside(text: str, at: int, step: str | int) -> int:
    """Where in the list or object that begins there the value of that key or index begins."""
    found, index, is_object = None, 0, text[at] == "{"
    at = _skip(text, at + 1)
    while text[at] not in "]}":
        key: str | int = index
        if is_object:
            key, at = _DECODER.raw_decode(text, at)
            at = _skip(text, _skip(text, at) + 1)  # the colon and what is blank around it
        if key == step:
            found = at
        at = _skip(text, _DECODER.raw_decode(text, at)[1])
        if text[at] == ",":
            at = _skip(text, at + 1)
        index += 1
    if found is None:
        raise LookupError(f"no {step!r} in there")
    return found


def _skip(text: str, at: int) -> int:
    blank = _BLANK.match(text, at)
    assert blank is not None
    return blank.end()
