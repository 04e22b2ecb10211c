"""A text in the making: the facts it must still say, and the words to say them with."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from simulator.restaurants.lexicon import FOODS, in_words
from simulator.restaurants.pen import Pen

Facts = Mapping[str, str]
Phrases = Mapping[str, str]

_MOODS: Final = {
    "price cheap": 1,
    "price high": -1,
    "rating high": 1,
    "rating low": -1,
    "family yes": 1,
    "family no": -1,
}


def kind_of(key: str, value: str) -> str:
    """Which phrase says this fact: "price cheap", "price amount", "rating stars", "family no" or the key alone."""
    if key == "price":
        return "price amount" if value.endswith("crowns") else f"price {value}"
    if key == "rating":
        return "rating stars" if value.endswith("of 5") else f"rating {value}"
    return f"family {value}" if key == "family" else key


class Draft:
    """Facts that a text has not said yet, struck off as phrases use them.

    A phrase table maps kinds of facts (see `kind_of`) to templates; a kind that is absent cannot be said that way.
    """

    def __init__(self, facts: Facts, pen: Pen, words: Mapping[str, str]) -> None:
        self.pen = pen
        self.left = [key for key in facts if key != "name"]
        self._kinds = {key: kind_of(key, value) for key, value in facts.items()}
        self._words = {**facts, **words}
        if "area" in facts:
            self._words["area"] = in_words(facts["area"])
        if "rating" in facts:
            self._words["stars"] = facts["rating"].split()[0]
        self._words["before_noun"] = FOODS[facts["food"]].before_noun

    def say(self, template: str) -> str:
        """The template in the words of this draft; strikes nothing off."""
        return self.pen.say(template, self._words)

    def can(self, key: str, phrases: Phrases) -> bool:
        """Whether the fact is still to be said and the table has a phrase for it."""
        return key in self.left and self._kinds[key] in phrases

    def use(self, key: str, phrases: Phrases) -> str:
        """The phrase for one fact, which is struck off; empty where `can` is false."""
        if not self.can(key, phrases):
            return ""
        self.left.remove(key)
        return self.say(phrases[self._kinds[key]])

    def use_some(self, keys: Iterable[str], phrases: Phrases, *, at_most: int) -> list[str]:
        """The phrases for the first facts among the keys that can be said."""
        able = [key for key in keys if self.can(key, phrases)]
        return [self.use(key, phrases) for key in able[:at_most]]

    def mood(self, key: str) -> int:
        """+1 for good news, -1 for bad, 0 for neither."""
        if self._kinds[key] == "rating stars":
            stars = int(self._words["stars"])
            return (stars > 3) - (stars < 3)
        return _MOODS.get(self._kinds[key], 0)

    def clash(self, keys: Sequence[str]) -> bool:
        """Whether two facts are good and bad news, so that "but" joins them."""
        return len(keys) == 2 and self.mood(keys[0]) * self.mood(keys[1]) < 0
