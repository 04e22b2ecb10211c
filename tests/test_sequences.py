"""One example and its line in a file."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.sequences import Example, join, parse

PUB = Example((("name", "The Copper Heron"), ("food", "pies")), "The Copper Heron serves pies.")
words = st.text("abc XY'é", min_size=1).map(str.strip).filter(bool)


def test_a_line_of_a_file_is_slots_then_text():
    line = "name : The Copper Heron | food : pies||The Copper Heron serves pies. "
    assert parse(line) == PUB
    assert PUB.line == line.strip()


def test_prompt_and_reference_meet_at_one_space():
    assert join(PUB) == ("name : The Copper Heron | food : pies ||", " The Copper Heron serves pies.")


def test_a_slot_that_is_not_mentioned_has_no_value():
    assert PUB.value("food") == "pies"
    assert PUB.value("area") is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(words, words), min_size=1, max_size=8), words)
def test_every_example_survives_its_line(slots, text):
    example = Example(tuple(slots), text)
    assert parse(example.line) == example


@pytest.mark.parametrize("line", ["name : X | food : Y", "name X||text", "name : ||text", "||text"])
def test_a_line_without_separator_or_value_is_refused(line):
    with pytest.raises(ValueError, match="must be"):
        parse(line)
