"""The style "chat": first-person messages between friends, elliptic, in lower case.

A text is an opening that names the place and takes up some facts, then fragments for the facts that are left, then
perhaps a closing remark. Words, word order and dishes are mostly not those of the style "guide".
"""

from typing import Final

from simulator.restaurants.draft import Draft, Facts
from simulator.restaurants.lexicon import FOODS
from simulator.restaurants.pen import Pen, tidy

_WHERE: Final = {
    "near": "[right by|round the corner from|just past|across from|next to] {near}",
    "area": "[over in|down in|up in|out in] {area}",
}
_FRAGMENTS: Final = {
    "type": "[it's just ~a {type}|~a {type} btw]",
    "food": "[they do|loads of|all about the] {food}",
    "near": "[it's|you'll find it] [right by|just past|across from] {near}",
    "area": "[it's|that's] [over in|down in|up in] {area}",
    "price cheap": "[dirt cheap|super cheap|barely costs a thing|cheap too]",
    "price moderate": "[not too pricey|prices are alright|costs about the usual]",
    "price high": "[costs a bomb|proper pricey|bring your savings]",
    "price amount": "[we paid|it was|think] {price} [each|a head|all in]",
    "rating low": "[people moan about it|everyone slags it off]",
    "rating average": "[it's alright|folks say it's ok|nothing mind blowing]",
    "rating high": "[everyone raves about it|people go nuts for it]",
    "rating stars": "[i'd give it|gave it|gets] {stars} of 5",
    "family yes": "[bring the kids|kids loved it|fine with little ones]",
    "family no": "[no kids tho|leave the kids at home|grown ups only]",
}
_PLACE: Final = {"type": "{type}"}
_NOUN: Final = "[spot|joint|hole in the wall]"
_STARTS: Final = "[ok so|right|guys|hey|so|omg|]"
_WHEN: Final = "[last night|yesterday|on friday|at lunch|again|]"
_OPENINGS: Final = (
    f"{_STARTS} [we|i] [went to|tried|hit] {{name}} {_WHEN}, [this|that] {{place}}",
    "just [had|smashed] [the|a massive] {dish} at {name}, [this|that] {place}",
    "anyone [fancy|want|up for] {food}? [try|hit up] {name}, [this|that] {place}",
    "if you're after {food}, {name} is the one, [lovely|little|tiny|proper] {place}",
    "{name}? [yeah|oh yeah|yep] [that|the] [little|tiny|] {place}",
    f"{_STARTS} there's this {{place}} called {{name}}",
    "meet [me|us] at {name}? it's that {place}",
    "been to {name} yet? [lovely|little|tiny|proper] {place}",
)
_DISHES: Final = (
    "get the {dish}",
    "the {dish} was [unreal|so good|massive]",
    "still dreaming about that {dish}",
    "[had|smashed] the {dish}, {taste} [as anything|but good]",
)
_CLOSERS: Final = ("trust me", "would go again", "you in?", "my treat", "see you there", "lol", "so yeah")
_LONGEST_WITH_REMARK: Final = 4


def chat(facts: Facts, pen: Pen) -> str:
    """A message to friends that says every fact."""
    food = FOODS[facts["food"]]
    draft = Draft(facts, pen, {"taste": pen.pick(food.chat_tastes), "dish": pen.pick(food.chat_dishes)})
    text = _opening(draft)
    while draft.left:
        text += _fragments(draft)
    if len(facts) <= _LONGEST_WITH_REMARK:
        if draft.say("{dish}") not in text and pen.chance(0.6):
            text += pen.pick((", ", ". ")) + draft.say(pen.pick(_DISHES))
        if pen.chance(0.3):
            text += pen.pick((", ", ". ")) + pen.pick(_CLOSERS)
    return tidy(text)


def _opening(draft: Draft) -> str:
    pen = draft.pen
    opening = pen.pick(_OPENINGS)
    text = draft.say(opening.replace("{place}", _place(draft, says_food="{food}" in opening)))
    if pen.chance(0.7):
        text += " " + " ".join(draft.use_some(pen.shuffled(("near", "area")), _WHERE, at_most=1))
    return text


def _place(draft: Draft, *, says_food: bool) -> str:
    """The template of "noodle bistro", "noodle spot" or, where the opening names the food itself, "bistro"."""
    draft.left.remove("food")
    noun = draft.use("type", _PLACE) or _NOUN
    return noun if says_food else f"{{before_noun}} {noun}"


def _fragments(draft: Draft) -> str:
    """One or two fragments with the mark that joins them to the text."""
    pen = draft.pen
    keys = pen.shuffled(draft.left)[: pen.pick((1, 2))]
    joint = " but " if draft.clash(keys) else pen.pick((", ", " and ", ", "))
    return pen.pick((", ", ". ", ", ")) + joint.join([draft.use(key, _FRAGMENTS) for key in keys])
