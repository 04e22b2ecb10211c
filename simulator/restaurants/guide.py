"""The style "guide": third-person prose of a printed guide-book.

A text is one opening sentence with a noun phrase that takes up some of the facts, sentences that say what is left
(joined by "and", "but", "although" or commas), and perhaps a remark about a dish or about the place.
"""

from typing import Final

from simulator.restaurants.draft import Draft, Facts
from simulator.restaurants.lexicon import FOODS
from simulator.restaurants.pen import Pen, tidy

_ADJECTIVES: Final = {
    "price cheap": "[affordable|inexpensive|low-priced]",
    "price moderate": "[moderately priced|mid-priced]",
    "price high": "[expensive|upmarket]",
    "rating low": "poorly rated",
    "rating high": "[highly rated|well-reviewed]",
    "rating stars": "{stars}-star",
    "family yes": "[family-friendly|child-friendly]",
    "family no": "adults-only",
}
_PLACES: Final = {
    "near": "[near|close to|opposite|beside|not far from] {near}",
    "area": "in [|the heart of] {area}",
}
_FRONTS: Final = {
    "near": "[Near|Close to|Opposite|Not far from|A short walk from] {near}",
    "area": "[In|Located in|Situated in|In the heart of] {area}",
}
_AFTER_NOUN: Final = {
    "food": "[serving|offering|that serves|that specialises in|known for] [|{taste}] {food}",
}
_AT_PRICES: Final = {
    "price cheap": "at [low|modest] prices",
    "price moderate": "at moderate prices",
    "price high": "at high prices",
    "price amount": "for {price}",
}
_VERBS: Final = {
    "type": "is ~a {type}",
    "food": "[serves|offers|prepares|specialises in] [|{taste}] {food}",
    "near": "[lies|stands|is located|can be found] [near|close to|opposite|beside] {near}",
    "area": "[lies|stands|is located|can be found] in {area}",
    "price cheap": "[keeps its prices low|charges modest prices|is inexpensive]",
    "price moderate": "[charges moderate prices|is moderately priced]",
    "price high": "[charges high prices|is expensive]",
    "price amount": "charges {price} [|per person]",
    "rating low": "[receives poor reviews|has a low rating]",
    "rating average": "[receives mixed reviews|has an average rating]",
    "rating high": "[receives excellent reviews|has a high rating]",
    "rating stars": "[is rated {stars} out of 5|has a rating of {stars} out of 5|holds {stars} of 5 stars]",
    "family yes": "[welcomes families|welcomes children|is suitable for families]",
    "family no": "[does not admit children|is not suitable for families|is reserved for adults]",
}
_SENTENCES: Final = {
    "price cheap": "Prices are low",
    "price moderate": "Prices are moderate",
    "price high": "Prices are high",
    "price amount": "[A meal costs|Expect to pay|Most dishes cost] {price}",
    "rating low": "Its reviews are poor",
    "rating average": "Its reviews are mixed",
    "rating high": "Its reviews are excellent",
    "rating stars": "[Customers rate it|Guests give it] {stars} out of 5",
    "family yes": "[Children are welcome|Families are welcome]",
    "family no": "Children are not admitted",
}
_NOUN: Final = "[establishment|venue|place|restaurant]"
_DISHES: Final = (
    "The {dish} is [recommended|particularly good|the speciality of the house|well worth ordering].",
    "Guests [praise|recommend] the {dish}.",
    "The menu [includes|features] ~a [fine|notable] {dish}.",
    "The kitchen is proud of its {dish}.",
)
_LONGEST_WITH_REMARK: Final = 4


def guide(facts: Facts, pen: Pen) -> str:
    """Formal guide-book prose that says every fact."""
    food = FOODS[facts["food"]]
    draft = Draft(facts, pen, {"taste": pen.pick(food.guide_tastes), "dish": pen.pick(food.guide_dishes)})
    sentences = [_opening(draft)]
    while draft.left:
        sentences.append(_follow_up(draft))
    if len(facts) <= _LONGEST_WITH_REMARK and pen.chance(0.5):
        sentences.append(draft.say(pen.pick(_DISHES)))
    return tidy(" ".join(sentences))


def _opening(draft: Draft) -> str:
    pen = draft.pen
    form = pen.pick(("plain", "front", "inverted", "aside", "advice", "verbs"))
    front = ""
    if form in ("front", "inverted"):
        front = "".join(draft.use_some(pen.shuffled(("near", "area")), _FRONTS, at_most=1))
    if form == "advice":
        draft.left.remove("food")
        front = draft.say("For [|{taste}] {food}, [visit|consider|choose] {name}")
        return f"{front}, {_noun_phrase(draft)}."
    if form == "verbs":
        return draft.say("{name} ") + _joined_verbs(draft, draft.left[: pen.pick((2, 2, 3))]) + "."
    name = draft.say("{name}")
    if form == "inverted" and front:
        return f"{front} {pen.pick(('stands', 'lies'))} {name}, {_noun_phrase(draft)}."
    start = f"{front}, {name}" if front else name
    noun = _noun_phrase(draft)
    if form == "aside" and draft.left:
        return f"{start}, {noun}, {draft.use(pen.pick(draft.left), _VERBS)}."
    return f"{start} is {noun}."


def _noun_phrase(draft: Draft) -> str:
    """A random part of what is left to say: "a highly rated, affordable pub serving pies near Marley Bridge"."""
    pen = draft.pen
    adjectives = draft.use_some(
        pen.shuffled(("rating", "price", "family")), _ADJECTIVES, at_most=pen.pick((0, 1, 1, 2))
    )
    parts = [
        "~a",
        ", ".join(adjectives),
        draft.use("type", {"type": "{type}"}) or _NOUN,
    ]
    if "food" in draft.left and pen.chance(0.8):
        parts.append(draft.use("food", _AFTER_NOUN))
        if pen.chance(0.4):
            parts.append(draft.use("price", _AT_PRICES))
    parts += [draft.use(key, _PLACES) for key in ("near", "area") if pen.chance(0.5)]
    return draft.say(" ".join(parts))


def _follow_up(draft: Draft) -> str:
    """One sentence that says one to three of the facts that are left."""
    pen = draft.pen
    keys = pen.shuffled(draft.left)[: pen.pick((1, 2, 2, 3))]
    alone = [key for key in keys if draft.can(key, _SENTENCES)]
    if len(keys) == 1 and alone:
        return draft.use(keys[0], _SENTENCES) + "."
    if "type" in draft.left and "type" not in keys:
        subject = draft.use("type", {"type": "[The|This] {type}"})
    else:
        subject = draft.say(pen.pick(("It", "It", "The " + _NOUN)))
    if draft.clash(keys) and pen.chance(0.5):
        first, second = draft.use(keys[0], _VERBS), draft.use(keys[1], _VERBS)
        return f"{pen.pick(('Although', 'While'))} {subject[0].lower()}{subject[1:]} {first}, it {second}."
    return f"{subject} {_joined_verbs(draft, keys)}."


def _joined_verbs(draft: Draft, keys: list[str]) -> str:
    """Verb phrases: "serves pies, welcomes children and is located in Ashford"; "but" where good and bad news meet."""
    joint = " but " if draft.clash(keys) else " and "
    said = [draft.use(key, _VERBS) for key in keys]
    return ", ".join(said[:-1]) + joint + said[-1] if len(said) > 1 else said[0]
