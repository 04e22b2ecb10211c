"""Several values in one text, and the section that varies them."""

import pytest

from simulator.scenario import dump, loads
from simulator.scenario.values import interval, measured, values


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1,5,20,100Mbit/s", ["1 Mbit/s", "5 Mbit/s", "20 Mbit/s", "100 Mbit/s"]),
        ("500 kbit/s, 1, 5 Mbit/s", ["500 kbit/s", "1 Mbit/s", "5 Mbit/s"]),  # the next unit counts
        ("5 Mbit/s,1", ["5 Mbit/s", "1"]),  # none comes after it
        ("1..4", ["1", "2", "3", "4"]),
        ("-1..1", ["-1", "0", "1"]),
        ("1..3 Mbit/s", ["1 Mbit/s", "2 Mbit/s", "3 Mbit/s"]),
        ("1,3..5,9", ["1", "3", "4", "5", "9"]),
        ("10,20 %", ["10 %", "20 %"]),
        ("1e-3,2e-3", ["1e-3", "2e-3"]),
        ("lte,5g", ["lte", "5g"]),  # a name that begins with a digit keeps its letters
        ("[c_attn],[q, v]", ["[c_attn]", "[q, v]"]),
        ("{class: lte-driving},{up: 1 bit/s, loss: 0}", ["{class: lte-driving}", "{up: 1 bit/s, loss: 0}"]),
        ("'a,b',c", ["'a,b'", "c"]),
    ],
)  # fmt: skip
def test_values_are_parted_by_commas_and_share_the_last_unit(text, found):
    assert list(values(text)) == found


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "a value is missing in ''; write values as in 1,5,20,100 Mbit/s or 1..11"),
        ("1,,2", "a value is missing in '1,,2'"),
        ("1,2,", "a value is missing in '1,2,'"),
        ("1,2,1", "the value '1' is given twice"),
        ("5..2", "a range goes from its smaller to its greater end, got '5..2'"),
        ("0.5..2", "a range of values has whole numbers at its ends, got '0.5..2'"),
        ("1..1000000", "a range has at most 100,000 values, got '1..1000000'"),
        ("[a,b", "] is missing at the end of '[a,b'"),
    ],
)
def test_what_are_no_values_is_refused(text, reason):
    with pytest.raises(ValueError, match="^[^\n]+$") as caught:
        values(text)
    assert str(caught.value).startswith(reason)


def test_a_value_is_known_as_a_number_in_its_si_unit():
    assert measured("5 Mbit/s") == (5e6, "bit/s")
    assert measured("50ms") == (0.05, "s")
    assert measured("40 %") == (0.4, "")
    assert measured("11") == (11.0, "")
    assert measured("phone-low") is None


def test_an_interval_of_whole_numbers_without_a_unit_stays_whole():
    assert interval("1..11") == (1.0, 11.0, "", True)
    assert interval("1..100 Mbit/s") == (1.0, 100.0, "Mbit/s", False)
    assert interval("0.5..1") == (0.5, 1.0, "", False)
    assert interval("phone-low") is None


STUDY = """
study:
  grid: {model.split: 1..3, network.cells.mast.capacity: [1, 5, 20 Mbit/s], lora.targets: [[c_attn], [q, v]]}
  random:
    draws: 3
    ranges: {network.access.lte.up: {range: 1..100 Mbit/s, scale: log}, devices.0.profile: [phone-low, laptop]}
  variants: {as it is: {}, cheap: {model.split: 1, lora.targets: [q, v]}}
  seeds: 1..3
"""


def test_a_section_of_a_study_is_read_and_written_back(door, plain):
    scenario = door.load(plain + STUDY)
    assert scenario.study is not None
    assert scenario.study.grid["network.cells.mast.capacity"] == ("1 Mbit/s", "5 Mbit/s", "20 Mbit/s")
    assert scenario.study.grid["lora.targets"] == ("[c_attn]", "[q, v]")
    assert scenario.study.variants["cheap"] == {"model.split": "1", "lora.targets": "[q, v]"}
    assert scenario.study.seeds == (1, 2, 3)
    assert loads(dump(scenario), find_profile=lambda name: None) == scenario


@pytest.mark.parametrize(
    ("section", "refusal"),
    [
        ("{gird: {}}", "s.yaml:24: study.gird: unknown key 'gird'; did you mean 'grid'? "
         "(allowed: grid, random, variants, seeds, train, target)"),
        ("{grid: {model.split: [1, 1]}}", "s.yaml:24: study.grid.model.split: the value '1' is given twice"),
        ("{grid: {model.split: []}}", "s.yaml:24: study.grid.model.split: must have at least one entry"),
        ("{grid: {model.split: {a: 1}}}", "s.yaml:24: study.grid.model.split: must be a list of values, or a text "
         "such as 1,5,20 Mbit/s or 1..11, got a mapping"),
        ("{random: {draws: 2, ranges: {model.split: 5}}}",
         "s.yaml:24: study.random.ranges.model.split: is not a range such as 1..100 Mbit/s or 1..11: '5'"),
        ("{random: {draws: 2, ranges: {model.split: {range: 0..5, scale: log}}}}",
         "s.yaml:24: study.random.ranges.model.split: a log scale needs a range above 0, got '0..5'"),
        ("{variants: {a: 1}}", "s.yaml:24: study.variants.a: must be a mapping, got '1'"),
        ("{seeds: [1, x]}", "s.yaml:24: study.seeds: must be a whole number, got 'x'"),
    ],
)  # fmt: skip
def test_a_section_that_cannot_be_right_is_refused_also_by_a_run(door, plain, section, refusal):
    assert door.refused(f"{plain}study: {section}\n") == [refusal]


def test_several_algorithms_are_refused_by_a_run_in_a_sentence_that_names_the_study(door, plain):
    assert door.refused(f"{plain}algorithm: [splitlora, splitlora-queued]\n") == [
        "s.yaml:24: algorithm: a run has one algorithm, got a list of 2: compare them with `splitwire study`"
    ]
