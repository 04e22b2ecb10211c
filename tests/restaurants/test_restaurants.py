"""The generated texts: deterministic, true to their facts, grammatical where a pattern can tell, and of two styles."""

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.restaurants import FOODS, SLOTS, STYLES, write
from simulator.restaurants.pen import Pen, articles, tidy
from simulator.sequences import Example

COUNT = 2000
VERBATIM = ("name", "type", "area", "near")


@pytest.fixture(scope="module", params=sorted(STYLES))
def style(request):
    return request.param


@pytest.fixture(scope="module")
def examples(style):
    return write(np.random.default_rng(3), style, COUNT)


def words(examples: list[Example]) -> Counter[str]:
    return Counter(re.findall(r"[a-z']+", " ".join(example.text for example in examples).lower()))


def test_equal_streams_give_equal_texts(style):
    assert write(np.random.default_rng(5), style, 50) == write(np.random.default_rng(5), style, 50)


def test_other_streams_give_other_texts(style):
    first = {example.text for example in write(np.random.default_rng(5), style, 200)}
    second = {example.text for example in write(np.random.default_rng(6), style, 200)}
    assert len(first & second) <= 2


def test_a_longer_list_begins_with_the_shorter_one(style):
    assert write(np.random.default_rng(5), style, 60)[:20] == write(np.random.default_rng(5), style, 20)


def test_nearly_every_text_is_different(examples):
    assert len({example.text for example in examples}) >= 0.99 * COUNT


def test_each_example_has_a_name_a_food_and_three_to_eight_slots_in_order(examples):
    order = list(SLOTS)
    for example in examples:
        keys = [key for key, _ in example.slots]
        assert {"name", "food"} <= set(keys)
        assert 3 <= len(keys) <= 8
        assert keys == sorted(keys, key=order.index)


def test_names_and_places_appear_in_the_text_as_the_context_has_them(examples):
    for example in examples:
        for key in VERBATIM:
            value = example.value(key)
            assert value is None or value in example.text, (key, example.line)


def test_the_food_appears_in_the_text_and_every_food_occurs(examples):
    seen = Counter()
    for example in examples:
        food = example.value("food")
        assert food in example.text or FOODS[food].before_noun in example.text, example.line
        seen[food] += 1
    assert len(seen) == len(FOODS) >= 10
    assert min(seen.values()) > COUNT / len(FOODS) / 2  # drawn evenly, so a Dirichlet partition has material


def test_amounts_and_stars_appear_in_the_text(examples):
    for example in examples:
        price, rating = example.value("price"), example.value("rating")
        if price and price.endswith("crowns"):
            assert price in example.text, example.line
        if rating and rating.endswith("of 5"):
            assert re.search(rf"\b{rating[0]}(-star| of 5| out of 5)", example.text), example.line


def test_children_are_mentioned_where_and_only_where_the_facts_mention_them(examples):
    for example in examples:
        says = re.search(r"[Ff]amil|[Cc]hild|adult|kids|little ones|grown ups", example.text)
        assert bool(says) == (example.value("family") is not None), example.line


def test_a_text_never_says_an_amount_that_is_not_a_fact(examples):
    for example in examples:
        assert ("crowns" in example.text) == ("crowns" in example.context), example.line


def test_articles_fit_the_next_word(examples):
    text = " ".join(example.text for example in examples)
    assert re.findall(r"\ba [aeiouAEIOU]\w*", text) == []
    assert re.findall(r"\b[Aa]n [^aeiouAEIOU\W]\w*", text) == []


def test_no_text_keeps_marks_of_its_template(examples):
    for example in examples:
        assert not re.search(r"[\[\]{}~|]|  | [.,?!]|^\W|[.,?!]{2}", example.text), example.text


def test_guide_sentences_begin_with_a_capital_and_end_with_a_full_stop():
    for example in write(np.random.default_rng(4), "guide", 500):
        assert example.text.endswith(".")
        assert all(sentence[0].isupper() for sentence in re.split(r"(?<=\.) ", example.text))


def test_the_subject_it_takes_a_verb_in_the_singular():
    text = " ".join(example.text for example in write(np.random.default_rng(4), "guide", 2000))
    verbs = Counter(re.findall(r"\b[Ii]t (\w+)", text))
    verbs.subtract(re.findall(r"rate it (\d)", text) + re.findall(r"give it (\d)", text))
    assert [verb for verb, count in verbs.items() if count > 0 and verb != "can" and not verb.endswith("s")] == []


def test_the_two_styles_share_few_of_their_common_words():
    common = {
        style: {word for word, _ in words(write(np.random.default_rng(3), style, COUNT)).most_common(150)}
        for style in ("guide", "chat")
    }
    values = {word for food in FOODS for word in food.split()}
    shared = (common["guide"] & common["chat"]) - values
    assert len(shared) < 0.5 * 150


def test_foods_differ_in_the_words_that_a_phone_would_see():
    chat = write(np.random.default_rng(3), "chat", COUNT)
    for food, other in (("curry", "pies"), ("sushi", "soups")):
        mine = words([example for example in chat if example.value("food") == food])
        theirs = words([example for example in chat if example.value("food") == other])
        assert sum(count for word, count in mine.items() if word not in theirs) > 0.02 * mine.total()


def test_a_misspelt_style_is_answered_with_a_guess():
    with pytest.raises(ValueError, match="one of guide, chat, got 'chatt'; did you mean 'chat'"):
        write(np.random.default_rng(0), "chatt", 1)


def test_alternatives_are_drawn_evenly_and_slots_are_filled():
    pen = Pen(np.random.default_rng(0))
    said = Counter(pen.say("[a|b[c|d]|]{x}", {"x": "!"}) for _ in range(6000))
    assert set(said) == {"a!", "bc!", "bd!", "!"}
    assert said["a!"] == pytest.approx(2000, abs=200)
    assert said["bc!"] == pytest.approx(1000, abs=150)


@pytest.mark.parametrize("template", ["[a|b", "a]b", "[[a|b]"])
def test_a_template_with_loose_brackets_is_refused(template):
    with pytest.raises(ValueError, match="brackets do not match"):
        Pen(np.random.default_rng(0)).say(template, {})


def test_articles_follow_the_sound():
    assert articles("~a inn, ~a pub, ~a one-star inn, ~a unique pub") == "an inn, a pub, a one-star inn, a unique pub"


def test_tidy_closes_gaps():
    assert tidy(" ~a  eatery , in  Ashford . ") == "an eatery, in Ashford."


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(), max_size=12), st.integers(0, 2**32))
def test_shuffling_keeps_every_item(items, seed):
    assert sorted(Pen(np.random.default_rng(seed)).shuffled(items)) == sorted(items)
