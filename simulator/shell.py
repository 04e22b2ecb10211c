"""What a shell makes of a command line before we read it."""

from collections.abc import Container, Sequence
from itertools import takewhile
from pathlib import Path
from shlex import quote
from typing import Final

KEYED: Final = ("--set", "--vary")  # what they take has a key


def torn_value(words: Sequence[str], options: Container[str]) -> str | None:
    """One sentence on the first of these options behind whose value stand words that may be the rest of it.

    None where there are none. Other options and what exists as a file or folder are no such words.
    """
    for place, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option not in options:
            continue
        begin = [value] if equals else [*words[place + 1 : place + 2]]
        behind = words[place + (1 if equals else 2) :]
        rest = [*takewhile(lambda each: not (each.startswith("-") or Path(each).exists()), behind)]
        if rest and option in KEYED and "=" not in begin[0]:
            whole = f"{begin[0]}={' '.join(rest).lstrip('= ')}"
            return f"{option} takes key=value, without blanks around the sign; write {option} {quote(whole)}"
        if rest:
            return (
                f"the shell parts words at blanks, so {option} got {begin[0]!r} alone, and {' '.join(rest)!r} was left "
                f"over; write it in quotes: {option} {quote(' '.join([*begin, *rest]))}"
            )
    return None
