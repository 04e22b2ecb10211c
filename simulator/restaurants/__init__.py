"""Invented restaurants put into words: data-to-text examples in several styles, as many as one wants, from a seed."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Final

import numpy as np

from simulator.restaurants.chat import chat
from simulator.restaurants.draft import Facts
from simulator.restaurants.guide import guide
from simulator.restaurants.lexicon import (
    FOODS,
    TYPES,
    draw_area,
    draw_landmark,
    draw_name,
    draw_price,
    draw_rating,
)
from simulator.restaurants.pen import Pen
from simulator.sequences import Example

__all__ = ["FOODS", "SLOTS", "STYLES", "Example", "write"]

STYLES: Final[Mapping[str, Callable[[Facts, Pen], str]]] = {"guide": guide, "chat": chat}

SLOTS: Final[Mapping[str, Callable[[Pen], str]]] = {
    "name": draw_name,
    "type": lambda pen: pen.pick(TYPES),
    "food": lambda pen: pen.pick(tuple(FOODS)),
    "price": draw_price,
    "rating": draw_rating,
    "area": draw_area,
    "family": lambda pen: pen.pick(("yes", "no")),
    "near": draw_landmark,
}
_ALWAYS: Final = ("name", "food")
_HOW_MANY: Final = (3,) * 18 + (4,) * 19 + (5,) * 10 + (6, 7, 8)
"""Numbers of slots, drawn evenly: few are large, so that most sequences of the embedded tokenizer fit 64 tokens."""


def write(rng: np.random.Generator, style: str, count: int) -> list[Example]:
    """That many examples in a style: "guide" (formal prose) or "chat" (messages between friends).

    Every example has a name and a food, drawn evenly, and 1 to 6 of the other slots. Raises ValueError for an unknown
    style. Not modelled: relations between slots (a wine bar may welcome children), misspellings, facts left unsaid.
    """
    if style not in STYLES:
        guess = get_close_matches(style, STYLES, n=1)
        hint = f"; did you mean {guess[0]!r}?" if guess else ""
        raise ValueError(f"style must be one of {', '.join(STYLES)}, got {style!r}{hint}")
    pen = Pen(rng)
    return [_example(pen, STYLES[style]) for _ in range(count)]


def _example(pen: Pen, put_into_words: Callable[[Facts, Pen], str]) -> Example:
    optional = [key for key in SLOTS if key not in _ALWAYS]
    chosen = {*_ALWAYS, *pen.shuffled(optional)[: pen.pick(_HOW_MANY) - len(_ALWAYS)]}
    facts = {key: draw(pen) for key, draw in SLOTS.items() if key in chosen}
    return Example(tuple(facts.items()), put_into_words(facts, pen))
