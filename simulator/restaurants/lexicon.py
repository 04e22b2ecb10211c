"""The invented town: foods, names, districts, landmarks, prices and ratings.

Everything here is made up for Splitwire. Values that a model can only copy (names, districts, landmarks) are composed
of parts, so there are hundreds or thousands; values that it must put into words (price, rating, family) are few.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from simulator.restaurants.pen import Pen


@dataclass(frozen=True, slots=True)
class Food:
    """One kind of food: its form before a noun, and the words that each style has for its taste and its dishes."""

    before_noun: str
    guide_tastes: tuple[str, ...]
    guide_dishes: tuple[str, ...]
    chat_tastes: tuple[str, ...]
    chat_dishes: tuple[str, ...]


FOODS: Final[dict[str, Food]] = {
    "noodles": Food("noodle", ("fragrant", "silky"), ("miso udon", "duck ramen", "sesame soba"),
                    ("slurpy", "mad spicy"), ("fire ramen", "garlic pho", "peanut udon")),
    "seafood": Food("seafood", ("delicate", "fresh"), ("grilled turbot", "dressed crab", "oyster platter"),
                    ("salty", "buttery"), ("prawn bucket", "crab roll", "calamari")),
    "curry": Food("curry", ("aromatic", "fiery"), ("lamb korma", "lentil dal", "saffron chicken"),
                  ("face melting", "creamy"), ("chicken tikka", "veg balti", "goat vindaloo")),
    "dumplings": Food("dumpling", ("steamed", "handmade"), ("crab wonton", "chive parcel", "leek gyoza"),
                      ("juicy", "squishy"), ("gyoza box", "soup bao", "chilli wonton")),
    "pies": Food("pie", ("golden", "hearty"), ("venison pie", "mushroom pie", "apple tart"),
                 ("flaky", "stodgy"), ("steak slice", "cheese pasty", "pork pie")),
    "flatbreads": Food("flatbread", ("rustic", "stone-baked"), ("olive focaccia", "fig flatbread", "herb focaccia"),
                       ("doughy", "garlicky"), ("garlic naan", "cheesy pide", "lamb wrap")),
    "pancakes": Food("pancake", ("light", "airy"), ("buckwheat galette", "lemon crepe", "berry galette"),
                     ("fluffy", "syrupy"), ("choc stack", "banana crepe", "bacon stack")),
    "soups": Food("soup", ("nourishing", "clear"), ("barley broth", "onion soup", "chestnut soup"),
                  ("chunky", "steamy"), ("pea soup", "tomato mug", "corn chowder")),
    "barbecue": Food("barbecue", ("smoked", "tender"), ("smoked brisket", "glazed rib", "cedar chicken"),
                     ("sticky", "charred"), ("rib tray", "pulled pork", "brisket bap")),
    "tacos": Food("taco", ("crisp", "zesty"), ("fish taco", "cactus taco", "braised beef taco"),
                  ("messy", "limey"), ("pork taco", "bean burrito", "nacho pile")),
    "salads": Food("salad", ("seasonal", "colourful"), ("beetroot salad", "walnut salad", "fennel salad"),
                   ("crunchy", "leafy"), ("kale bowl", "halloumi box", "rainbow bowl")),
    "sushi": Food("sushi", ("refined", "precise"), ("eel nigiri", "tuna sashimi", "salmon nigiri"),
                  ("fishy", "teeny"), ("dragon roll", "salmon box", "avo maki")),
    "burgers": Food("burger", ("generous", "succulent"), ("aged beef burger", "mushroom burger", "lamb burger"),
                    ("greasy", "drippy"), ("double smash", "chicken stacker", "bean patty")),
    "desserts": Food("dessert", ("elegant", "sweet"), ("almond torte", "rhubarb fool", "honey parfait"),
                     ("gooey", "sugary"), ("fudge brownie", "toffee pudding", "sundae")),
}  # fmt: skip

TYPES: Final = ("pub", "bistro", "cafe", "tavern", "diner", "canteen", "inn", "wine bar", "tea house", "eatery")

_ADJECTIVES: Final = (
    "Copper",
    "Golden",
    "Silver",
    "Crooked",
    "Quiet",
    "Velvet",
    "Amber",
    "Hidden",
    "Rusty",
    "Painted",
    "Winter",
    "Lucky",
    "Iron",
    "Scarlet",
    "Wandering",
)
_NOUNS: Final = (
    "Heron",
    "Fox",
    "Kettle",
    "Lantern",
    "Anchor",
    "Barrel",
    "Orchard",
    "Badger",
    "Compass",
    "Thistle",
    "Sparrow",
    "Ladle",
    "Otter",
    "Acorn",
    "Raven",
    "Mill",
)
_SURNAME_STARTS: Final = ("Tol", "Mar", "Hal", "Bren", "Cor", "Dun", "Fen", "Gar", "Kes", "Lor", "Pel", "Wil")
_SURNAME_ENDS: Final = ("wick", "den", "ley", "mont", "ster", "by", "ton", "combe")
_SYLLABLES: Final = ("va", "lo", "ri", "ne", "ta", "ku", "mi", "so", "ze", "ba", "do", "fi", "ga", "pe", "ru", "na")
_KITCHENS: Final = ("Kitchen", "Table", "Larder", "Corner")
_TOWN_STARTS: Final = ("Ash", "Old", "Stone", "Elm", "Fair", "Green", "Wood", "Clay")
_TOWN_ENDS: Final = ("brook", "grove", "haven", "worth", "ford", "side")
_QUARTERS: Final = ("Quarter", "Docks", "Market", "Gardens", "District")
_LANDMARKS: Final = ("Station", "Bridge", "Library", "Theatre", "Museum", "Park")

_PRICE_WORDS: Final = ("cheap", "moderate", "high")
_PRICE_STEPS: Final = (8, 10, 12, 15, 18, 20, 25, 30, 35, 40)
_RATING_WORDS: Final = ("low", "average", "high")


def draw_name(pen: Pen) -> str:
    """The name of a place: "The Copper Heron", "Fox and Kettle", "Marley's Table" or a made-up word like "Zeruta"."""
    kind = pen.pick(("inn sign", "pair", "owner", "word", "word"))
    if kind == "inn sign":
        return f"The {pen.pick(_ADJECTIVES)} {pen.pick(_NOUNS)}"
    if kind == "pair":
        first, second = pen.shuffled(_NOUNS)[:2]
        return f"{first} and {second}"
    if kind == "owner":
        return f"{_surname(pen)}'s {pen.pick(_KITCHENS)}"
    return "".join(pen.pick(_SYLLABLES) for _ in range(2 + pen.chance(0.5))).capitalize()


def draw_area(pen: Pen) -> str:
    """A district: "Lantern Quarter" (takes "the") or "Ashford" (does not)."""
    if pen.chance(0.5):
        return f"{pen.pick(_NOUNS)} {pen.pick(_QUARTERS)}"
    return pen.pick(_TOWN_STARTS) + pen.pick(_TOWN_ENDS)


def draw_landmark(pen: Pen) -> str:
    """A landmark: "Marley Station"; it takes no article."""
    return f"{_surname(pen)} {pen.pick(_LANDMARKS)}"


def draw_price(pen: Pen) -> str:
    """A price: a word, "under 12 crowns" or "20 to 30 crowns"."""
    kind = pen.pick(("word", "word", "under", "range"))
    if kind == "word":
        return pen.pick(_PRICE_WORDS)
    if kind == "under":
        return f"under {pen.pick(_PRICE_STEPS)} crowns"
    low, high = pen.pick(tuple(pairwise(_PRICE_STEPS)))
    return f"{low} to {high} crowns"


def draw_rating(pen: Pen) -> str:
    """A rating: a word or "4 of 5"."""
    if pen.chance(0.4):
        return pen.pick(_RATING_WORDS)
    return f"{pen.pick((1, 2, 3, 4, 5))} of 5"


def in_words(area: str) -> str:
    """The district as a sentence says it: "the Lantern Quarter", "Ashford"."""
    return f"the {area}" if area.endswith(_QUARTERS) else area


def _surname(pen: Pen) -> str:
    return pen.pick(_SURNAME_STARTS) + pen.pick(_SURNAME_ENDS)
