"""Words of a scenario file, and the sentences that refuse them."""

from collections.abc import Iterable
from difflib import get_close_matches

MAX_SHOWN = 60  # characters of a refused value that an error quotes
MAX_LISTED = 30  # allowed names that an error lists


class Word(str):
    """A plain scalar exactly as it stands in the file; a quoted scalar is an ordinary ``str``, null is ``None``."""

    __slots__ = ()


def show(value: object) -> str:
    """How an error message quotes a refused value: in one line, and not too long."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, str):
        text = repr(str(value))
    elif isinstance(value, dict):
        return "a mapping"
    elif isinstance(value, list | tuple):
        return "a list"
    else:
        text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def guess(given: str, allowed: Iterable[str]) -> str | None:
    """The allowed word that was probably meant; None when none is near. Case alone never hides a match."""
    by_lower = {word.lower(): word for word in reversed(list(allowed))}
    near = get_close_matches(given.lower(), by_lower, n=1)
    return by_lower[near[0]] if near else None


def alternatives(given: str, allowed: Iterable[str]) -> str:
    """The end of a refusal: a guess where there is one, and what is allowed."""
    names = list(allowed)
    meant = guess(given, names)
    listed = ", ".join(names[:MAX_LISTED]) + (", ..." if len(names) > MAX_LISTED else "")
    return (f"; did you mean {meant!r}?" if meant is not None else "") + f" (allowed: {listed or 'none'})"


def unknown(what: str, given: str, allowed: Iterable[str]) -> str:
    """Return "unknown access class 'ltee'; did you mean 'lte'? (allowed: lte, wifi)"."""
    return f"unknown {what} {show(given)}{alternatives(given, allowed)}"
