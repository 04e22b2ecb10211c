"""A scenario written out in full is the same scenario."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator.scenario import Scenario, dump, loads
from simulator.scenario.fields import Surroundings


def no_check(name: str) -> None:
    """Every profile exists."""


def reread(scenario: Scenario) -> Scenario:
    return loads(dump(scenario), find_profile=no_check)


def test_the_dump_shows_every_default_with_its_unit(door, plain):
    text = dump(door.load(plain))
    for line in (
        "horizon: 365 d",
        "  timed_as: null",
        "  targets: [c_attn]",
        "  alpha: 16",
        "  learning_rate: 0.002",
        "  betas: [0.9, 0.999]",
        "  epsilon: 1e-06",
        "  memory: 1 GiB",
        "      up: 20 Mbit/s",
        "      latency: 25 ms",
        "      loss: 1 %",
        "      capacity: 100 Mbit/s",
        "    capacity: 10 Gbit/s",
        "  backhaul: null",
        "    speed_spread: 0.3",
    ):
        assert line in text.splitlines()


def test_the_dump_of_a_dump_is_the_same_text(door, plain):
    text = dump(door.load(plain))
    assert dump(loads(text, find_profile=no_check)) == text


def test_a_dump_names_only_the_alternative_that_was_chosen(door, plain):
    text = dump(door.load(plain, "network.cells.mast={up: 1 Mbit/s, down: 2 Mbit/s}"))
    cell = text[text.index("  cells:") : text.index("  backhaul:")]
    assert "capacity" not in cell
    assert "share" not in text


def test_a_dump_can_be_read_from_another_folder(door, plain, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    scenario = door.load(plain, "data.source=e2e", "data.path=data")
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path / "runs")
    assert reread(scenario) == scenario


floats = st.floats(1e-9, 1e12)
nonnegative = st.one_of(st.just(0.0), floats)
words = st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True)
texts = st.one_of(
    st.sampled_from(
        ["null", "~", "no", "1e6", "12:30", "", " ", "#", "- a", "a: b", "'", '"', "é\u2028", "*x", "<<", "="]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)
access = st.fixed_dictionaries(
    {"up": floats, "down": floats, "latency": nonnegative, "loss": st.floats(0, 0.999), "spread": nonnegative}
)
rates = st.one_of(st.fixed_dictionaries({"capacity": floats}), st.fixed_dictionaries({"up": floats, "down": floats}))
pairs = st.builds(lambda rate, latency: {**rate, "latency": latency}, rates, nonnegative)
cells = st.builds(lambda pair, count: {**pair, "count": count}, pairs, st.integers(1, 2**40))


@st.composite
def scenarios(draw) -> Scenario:
    links = draw(st.dictionaries(words, access, min_size=1, max_size=3))
    radio = draw(st.dictionaries(words.filter(lambda name: "-" not in name), cells, max_size=3))
    group_names = draw(st.lists(st.from_regex(r"[a-z]{1,5}x", fullmatch=True), min_size=1, max_size=4, unique=True))
    groups = [
        {
            "name": name,
            "profile": draw(words),
            "count": draw(st.integers(1, 2**40)),
            "access": draw(st.sampled_from(sorted(links))),
            "cell": draw(st.sampled_from([None, *sorted(radio)])),
            "split": draw(st.none() | st.integers(0, 12)),
            "rank": draw(st.none() | st.integers(1, 96)),
            "speed_spread": draw(nonnegative),
            "jitter": draw(nonnegative),
            "background": draw(st.floats(0, 0.999)),
            "backend": draw(st.sampled_from([None, "cpu"])),
            "heat": draw(st.sampled_from(["on", "off"])),
        }
        for name in group_names
    ]
    return Scenario.model_validate(
        {
            "name": draw(st.sampled_from(["plain", "100 phones", "null", "1e6", "no", "é: x", "#1", "12:30", "- a"])),
            "seed": draw(st.integers(0, 2**63 - 1)),
            "horizon": draw(floats),
            "model": {"split": draw(st.integers(0, 12)), "timed_as": draw(st.sampled_from([None, "gpt2"]))},
            "lora": {"alpha": draw(floats), "targets": draw(st.sampled_from([["c_attn"], ["v", "q"]]))},
            "data": {"slot": draw(texts), "alpha": draw(floats), "samples_per_device": draw(st.integers(1, 2**60))},
            "training": {
                "betas": [draw(st.floats(0, 0.999)), draw(st.floats(0, 0.999))],
                "learning_rate": draw(floats),
                "memory": draw(floats),
                "threads": draw(st.none() | st.integers(1, 64)),
            },
            "devices": groups,
            "network": {
                "model": draw(st.sampled_from(["pure", "tcp"])),
                "access": links,
                "cells": radio,
                "backhaul": draw(st.none() | pairs),
                "server": draw(pairs),
            },
            "server": {"speed": draw(floats)},
        },
        context=Surroundings(Path.cwd(), no_check),
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scenario=scenarios())
def test_every_scenario_survives_writing_and_reading(scenario):
    again = reread(scenario)
    assert again == scenario
    assert hash(again) == hash(scenario)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=st.integers(1, 99), total=st.integers(200, 10**6))
def test_shares_survive_writing_and_reading(door, first, total):
    text = door.changed(
        ("count: 3", f"share: {first} %"), ("count: 1", f"share: {100 - first} %"), ("seed: 7", f"num_devices: {total}")
    )
    scenario = loads(text, find_profile=no_check)
    assert reread(scenario) == scenario
    assert scenario.fleet_size == total


@pytest.mark.parametrize("text", ["null", "", "~", "yes", "a: b", "# c", "'quoted'", "two\nlines", "tab\there", "\x85"])
def test_a_text_that_looks_like_something_else_stays_a_text(door, plain, text):
    scenario = door.load(plain)
    data = scenario.data.model_copy(update={"slot": text})
    assert reread(scenario.model_copy(update={"data": data})).data.slot == text
