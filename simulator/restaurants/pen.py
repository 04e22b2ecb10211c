"""Random choices of words, and a small language for templates.

A template is text with ``[this|that|]`` (one of the alternatives, which may nest and may be empty), ``{slot}`` (a word
that the caller supplies) and ``~a`` (the article that fits the next word; see `articles`).
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final, TypeVar

import numpy as np

Item = TypeVar("Item")
Node = str | tuple["Node", ...] | list["Node"]  # a string, a sequence (tuple) or a choice (list)

_PIECE: Final = re.compile(r"([\[\]|])")
_ARTICLE: Final = re.compile(r"~a (\w)(\w*)")
_SPACES: Final = re.compile(r" {2,}")
_SPACE_BEFORE: Final = re.compile(r" ([.,?!])")
_LIKE_A_CONSONANT: Final = ("one", "uni", "use")


class Pen:
    """Makes every choice of a text from one random stream, so equal streams give equal texts."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._draw = rng.random

    def chance(self, probability: float) -> bool:
        """True with that probability."""
        return self._draw() < probability

    def pick(self, options: Sequence[Item]) -> Item:
        """One of the options, all equally likely."""
        return options[int(self._draw() * len(options))]

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        """The items in a random order."""
        left = list(items)
        return [left.pop(int(self._draw() * len(left))) for _ in items]

    def say(self, template: str, words: Mapping[str, str]) -> str:
        """The template with its alternatives drawn and its slots filled; articles and spaces are left to `tidy`."""
        return self._drawn(_tree(template)).format_map(words)

    def _drawn(self, node: Node) -> str:
        if isinstance(node, str):
            return node
        if isinstance(node, list):
            return self._drawn(self.pick(node))
        return "".join([self._drawn(part) for part in node])


@cache
def _tree(template: str) -> Node:
    pieces = [piece for piece in _PIECE.split(template) if piece]
    alternatives, used = _alternatives(pieces, 0)
    if used != len(pieces) or len(alternatives) != 1:
        raise ValueError(f"brackets do not match in the template {template!r}")
    return alternatives[0]


def _alternatives(pieces: Sequence[str], at: int) -> tuple[list[Node], int]:
    """The alternatives that start at a piece, and the index of the bracket that closes them."""
    found: list[list[Node]] = [[]]
    while at < len(pieces) and pieces[at] != "]":
        if pieces[at] == "|":
            found.append([])
        elif pieces[at] == "[":
            inner, at = _alternatives(pieces, at + 1)
            found[-1].append(inner)
        else:
            found[-1].append(pieces[at])
        at += 1
    return [tuple(parts) for parts in found], at


def articles(text: str) -> str:
    """Every ``~a`` becomes "a" or "an" by the letter after it; "one-star" and "unique" sound like consonants."""

    def fitting(match: re.Match[str]) -> str:
        word = match[1] + match[2]
        vowel = match[1] in "aeiouAEIOU" and not word.lower().startswith(_LIKE_A_CONSONANT)
        return f"{'an' if vowel else 'a'} {word}"

    return _ARTICLE.sub(fitting, text)


def tidy(text: str) -> str:
    """Articles resolved, runs of spaces closed, no space before punctuation."""
    return articles(_SPACE_BEFORE.sub(r"\1", _SPACES.sub(" ", text)).strip())
