"""Words of English text as COCO's caption evaluation takes them: lower case, contractions apart, no punctuation.

It runs Stanford's PTB tokenizer, a Java program, and drops punctuation. This does the same for the text of restaurants
without Java: equal words for 99.9 % of the 17,801 different references of E2E's development and test sets
(`tests/metrics`). The rest are slips of the pen such as "center.," and "hors d'oeuvre".
"""

from __future__ import annotations

import re
from typing import Final

_WORD: Final = re.compile(
    r"""
    \w+(?=n't\b)                               # is, of isn't
    | n't\b | '(?:s|re|ve|ll|d|m)\b            # contractions are words of their own
    | [0-9]+(?:[.,][0-9]+)+                    # 10.50
    | [^\W_]+(?:[-./&_][^\W_]+)*               # family-friendly
    | \S
    """,
    re.VERBOSE,
)
_SPELLED: Final = {"£": "#", "€": "$"}  # as that tokenizer does
_DROPPED: Final = frozenset([*"'`.?!,:-;\"(){}[]…–—‘“”", "''", "``", "--", "..."])


def words(text: str) -> list[str]:
    """The words of a text, in lower case; punctuation and brackets are none."""
    found = _WORD.findall(text.lower().replace("’", "'"))
    return [_SPELLED.get(word, word) for word in found if word not in _DROPPED]
