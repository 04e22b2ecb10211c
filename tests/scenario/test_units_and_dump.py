"""Quantities with units, and scenarios written out in full."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from simulator.scenario import dump, load
from simulator.scenario.model import group_counts, group_names
from simulator.scenario.units import DURATION, KINDS, POWER, RATE, SIZE, format_share, parse_share

SCENARIOS = Path(__file__).parents[2] / "scenarios"


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (RATE, "20 Mbit/s", 20e6), (RATE, "20Mbit/s", 20e6), (RATE, "20 Mbps", 20e6), (RATE, "1.5 Gbit/s", 1.5e9),
        (RATE, "800 kbit/s", 8e5), (RATE, "2 MB/s", 16e6), (RATE, "1e3 bit/s", 1e3),
        (DURATION, "50 ms", 0.05), (DURATION, "2 s", 2.0), (DURATION, "3 min", 180.0), (DURATION, "1 h", 3600.0),
        (DURATION, "7 d", 604800.0), (DURATION, "0 s", 0.0),
        (SIZE, "4 GiB", 2**32), (SIZE, "500 MB", 5e8), (SIZE, "12 kB", 12e3), (POWER, "5 W", 5.0),
    ],
)  # fmt: skip
def test_units_mean_what_they_say(kind, text, value):
    assert kind.parse(text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [(RATE, "20"), (RATE, "20 ms"), (RATE, "20 mbit/s"), (DURATION, "5 GiB"), (SIZE, "fast"), (RATE, "")],
)
def test_what_is_no_such_quantity_is_refused(kind, text):
    with pytest.raises(ValueError, match=r"unit|not a|unknown"):
        kind.parse(text)


@given(st.sampled_from(KINDS), st.floats(min_value=0, max_value=1e18, allow_subnormal=False))
@settings(max_examples=200, deadline=None)
def test_a_quantity_that_is_written_reads_back_as_itself(kind, value):
    assert kind.parse(kind.format(value)) == value


@given(st.floats(min_value=0, max_value=1))
@settings(max_examples=200, deadline=None)
def test_a_share_that_is_written_reads_back_as_itself(value):
    assert parse_share(format_share(value)) == value


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_scenario_that_is_written_out_reads_back_as_itself(path, tmp_path):
    scenario = load(path)
    (tmp_path / path.name).write_text(dump(scenario))
    assert load(tmp_path / path.name) == scenario


@given(
    rounds=st.integers(1, 10**6),
    rate=st.floats(1e-3, 1e13),
    latency=st.floats(0, 1e6, allow_subnormal=False),
    spread=st.floats(0, 3, allow_subnormal=False),
    name=st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1).filter(str.strip),
    split=st.integers(0, 12),
)
@settings(max_examples=50, deadline=None)
def test_any_scenario_that_is_written_out_reads_back_as_itself(rounds, rate, latency, spread, name, split):
    base = load(SCENARIOS / "four_phones.yaml")
    access = base.network.access["lte"].model_copy(update={"up": rate, "latency": latency, "spread": spread})
    scenario = base.model_copy(
        update={
            "name": name,
            "training": base.training.model_copy(update={"rounds": rounds}),
            "model": base.model.model_copy(update={"split": split}),
            "network": base.network.model_copy(update={"access": {**base.network.access, "lte": access}}),
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.yaml"
        path.write_text(dump(scenario), encoding="utf-8")
        assert load(path) == scenario


def test_a_scenario_cannot_be_changed():
    scenario = load(SCENARIOS / "four_phones.yaml")
    with pytest.raises(ValidationError):
        scenario.seed = 7


def test_yaml_traps_are_read_as_written(tmp_path):
    """1e3 is a number though YAML 1.1 calls it text, 010 is ten, and no is a word."""
    text = (SCENARIOS / "four_phones.yaml").read_text()
    text = (
        text.replace("seed: 4", "seed: 1e3")
        .replace("rounds: 2", "rounds: 010")
        .replace("name: four phones", "name: no")
    )
    (tmp_path / "s.yaml").write_text(text)
    scenario = load(tmp_path / "s.yaml")
    assert (scenario.seed, scenario.training.rounds, scenario.name) == (1000, 10, "no")


def test_shares_become_whole_phones_by_the_largest_remainder():
    assert group_counts([None] * 3, [0.5, 0.3, 0.2], 10) == [5, 3, 2]
    assert group_counts([None] * 3, [1 / 3, 1 / 3, 1 / 3], 10) == [4, 3, 3]
    assert group_counts([None] * 2, [0.999, 0.001], 10) == [10, 0]
    assert group_counts([3, 4], [0.0, 0.0], None) == [3, 4]


def test_groups_without_a_name_are_called_as_their_profile():
    given_names = [(None, "phone-low"), ("x", "phone-low"), (None, "phone-low"), (None, "h100")]
    assert group_names(given_names) == ["phone-low", "x", "phone-low-2", "h100"]


def test_paths_are_relative_to_the_scenario(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.txt").write_text("name : A | food : b||text")
    text = (SCENARIOS / "four_phones.yaml").read_text().replace("data: {", "data: {source: e2e, path: data, ")
    (tmp_path / "s.yaml").write_text(text)
    assert load(tmp_path / "s.yaml").data.path == str(tmp_path / "data")
