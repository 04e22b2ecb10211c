"""Who is drawn for a round: the rules by themselves, in a run, and what a step is expected to take."""

from __future__ import annotations

import time
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import fleet, links, pace, world
from simulator.scenario import load
from simulator.selection import SELECTIONS, Population, fastest, random, round_robin
from simulator.streams import stream

SCENARIOS = Path(__file__).parents[1] / "scenarios"


def population(size, wanted=1, rounds_a_draw=1, step_s=None):
    seconds = np.arange(size, 0, -1.0) if step_s is None else np.array(step_s)
    return Population(size, wanted, rounds_a_draw, {"all": range(size)}, lambda: seconds)


@given(
    st.sampled_from(sorted(SELECTIONS)), st.integers(1, 40), st.integers(1, 40), st.integers(1, 5), st.integers(1, 99)
)
def test_every_selection_names_every_device_once(name, size, wanted, rounds_a_draw, round):
    crowd = population(size, min(size, wanted), rounds_a_draw)
    order = SELECTIONS[name](round, crowd, np.random.default_rng(round))
    assert sorted(map(int, order)) == list(range(size))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 5), st.integers(0, 50))
def test_round_robin_has_drawn_everybody_equally_often_give_or_take_once(size, wanted, rounds_a_draw, draws):
    wanted = min(size, wanted)
    crowd = population(size, wanted, rounds_a_draw)
    rounds = (1 + draw * rounds_a_draw for draw in range(draws))
    drawn = chain.from_iterable(round_robin(round, crowd, np.random.default_rng(0))[:wanted] for round in rounds)
    times = np.bincount(np.fromiter(drawn, int), minlength=size)
    assert times.max() - times.min() <= 1


def test_round_robin_begins_alike_in_the_rounds_of_one_draw():
    crowd = population(10, wanted=3, rounds_a_draw=5)
    first = [int(round_robin(round, crowd, np.random.default_rng(0))[0]) for round in (1, 2, 5, 6, 10, 11)]
    assert first == [0, 0, 0, 3, 3, 6]


def test_the_fastest_come_first_and_equal_ones_in_the_order_of_the_fleet():
    crowd = population(5, step_s=[3.0, 1.0, np.inf, 1.0, 2.0])
    assert list(fastest(7, crowd, np.random.default_rng(0))) == [1, 3, 4, 0, 2]


@given(st.integers(2, 1000), st.integers(1, 9), st.integers(0, 99))
def test_chance_is_that_of_the_round_and_of_nothing_else(size, round, seed):
    one, again = (random(round, population(size), stream(seed, "participants", round)) for _ in range(2))
    assert list(one) == list(again)


# --- in a run


def who(outcome, phones=("low", "mid", "high-1", "high-2")):
    rounds = outcome.summary["rounds"]
    return [
        sorted({row.actor for row in outcome.record.computes if row.round == round and row.actor in phones})
        for round in range(1, rounds + 1)
    ]


def run(*overrides, name="four_phones"):
    return world.run(load(SCENARIOS / f"{name}.yaml", overrides), timing_only=True)


def test_round_robin_takes_turns_in_a_run_and_keeps_devices_until_the_average():
    outcome = run("training.select=round-robin", "training.participants=3", "training.rounds=6")
    assert who(outcome) == [
        *[["high-1", "low", "mid"]] * 2,
        *[["high-2", "low", "mid"]] * 2,
        *[["high-1", "high-2", "low"]] * 2,
    ]


def test_the_fastest_are_drawn_in_every_round_and_make_the_run_shorter():
    outcome = run("training.select=fastest", "training.participants=2", "training.rounds=6")
    assert who(outcome) == [["high-1", "high-2"]] * 6
    drawn = run("training.participants=2", "training.rounds=6")
    assert outcome.summary["virtual_s"] < drawn.summary["virtual_s"]


def test_who_is_not_there_is_passed_over(tmp_path):
    trace = tmp_path / "later.csv"
    trace.write_text("device,from_s,to_s\nd,1e6,2e6\n")
    gone = [f"availability={{later: {{trace: {trace}}}}}", "devices.1.availability=later"]
    outcome = run(*gone, "training.select=round-robin", "training.participants=2", "training.rounds=2")
    assert who(outcome) == [["high-1", "low"]] * 2


def test_a_random_selection_is_the_default():
    drawn = ["training.participants=2", "training.rounds=6"]
    assert run(*drawn, "training.select=random").summary["trace_hash"] == run(*drawn).summary["trace_hash"]


# --- what a step is expected to take


def test_alone_in_a_network_without_tcp_a_step_takes_what_is_expected_and_the_servers_part():
    """Each of two_devices.yaml by itself: forward, up, server, down, backward, twice."""
    scenario = load(SCENARIOS / "two_devices.yaml")
    expected_s = dict(zip(("near", "far"), pace.step_s(scenario, fleet.members(scenario)), strict=True))
    devices = [
        "{name: near, profile: raspberry-pi-5, count: 1, access: fast, speed_spread: 0}",
        "{name: far, profile: raspberry-pi-4, count: 1, access: slow, speed_spread: 0}",
    ]
    for name, device in zip(("near", "far"), devices, strict=True):
        outcome = run(f"devices=[{device}]", "training.aggregate_every=3", name="two_devices")
        server_s = sum(row.end_s - row.start_s for row in outcome.record.computes if row.actor == "server")
        assert outcome.summary["virtual_s"] == pytest.approx(2 * expected_s[name] + server_s, rel=1e-12)


def test_a_step_of_a_whole_model_is_both_computations_and_its_part_of_the_adapters():
    """FedLoRA, alone in a network without TCP: two steps, then adapters up and down and their average between."""
    few = ["algorithm=fedlora", "training.aggregate_every=2"]
    device = "{name: near, profile: raspberry-pi-5, count: 1, access: fast, speed_spread: 0}"
    scenario = load(SCENARIOS / "two_devices.yaml", [f"devices=[{device}]", *few])
    (expected_s,) = pace.step_s(scenario, fleet.members(scenario))
    outcome = run(f"devices=[{device}]", *few, name="two_devices")
    average_s = sum(row.end_s - row.start_s for row in outcome.record.computes if row.actor == "aggregator")
    assert outcome.summary["virtual_s"] == pytest.approx(2 * expected_s + average_s, rel=1e-12)


ACCESS = [
    "{up: 5 Mbit/s, down: 20 Mbit/s, latency: 30 ms, spread: 0.4}",
    "{class: lte}",
    "{class: lte, vary: once}",
    "{class: lte, up: 3 Mbit/s, spread: 0.2}",
    "{class: 3g, vary: ar1, latency: 60 ms}",
    f"{{trace: {SCENARIOS / 'commuter_line.csv'}, latency: 30 ms}}",
    "{wireless: {bandwidth: 10 MHz, radius: 300 m}, latency: 10 ms}",
    "{wireless: {bandwidth: 10 MHz, radius: 300 m, coherence: 1 s}, latency: 10 ms}",
]


@pytest.mark.parametrize("access", ACCESS)
def test_expected_rates_are_those_of_the_links(access):
    scenario = load(
        SCENARIOS / "four_phones.yaml",
        [f"network.access={{l: {access}}}", "devices=[{profile: phone-mid, count: 6, access: l}]"],
    )
    (group,) = scenario.groups
    pipes = list(map(links.access_pipes(scenario, group), range(group.count)))
    assert links.latencies_s(scenario, group).tolist() == [pipe.latency_s for pipe in pipes]
    for way in ("up", "down"):
        capacities = [getattr(pipe, way) for pipe in pipes]
        typical_bps, peak_bps = links.rates(way, scenario, group)
        assert peak_bps.tolist() == pytest.approx([each.peak_bps for each in capacities], rel=1e-12)
        at_bps = np.array([[each.at(second + 0.5) for second in range(0, 20_000, 10)] for each in capacities])
        if np.ptp(at_bps, axis=1).max() == 0:  # constant
            assert typical_bps.tolist() == pytest.approx(at_bps[:, 0].tolist(), rel=1e-12)
        elif "trace" in access:
            assert typical_bps == pytest.approx(at_bps.mean(axis=1), rel=0.05)
        elif "class" in access:
            assert typical_bps == pytest.approx(np.median(at_bps, axis=1), rel=0.25)
        else:  # fading takes more than it gives
            assert (at_bps.mean(axis=1) <= typical_bps).all()
            assert (at_bps.mean(axis=1) > typical_bps / 2).all()


def test_shared_links_bound_what_a_device_is_expected_to_get_and_add_their_latency():
    def step_s(*overrides):
        scenario = load(SCENARIOS / "four_phones.yaml", overrides)
        return pace.step_s(scenario, fleet.members(scenario))

    free_s = step_s()
    slow_s = step_s("network.cells.tower.capacity=1 Mbit/s")
    late_s = step_s("network.backhaul={capacity: 10 Gbit/s, latency: 1 s}")
    assert (slow_s[:2] > free_s[:2]).all()
    assert slow_s[2:].tolist() == free_s[2:].tolist()
    assert late_s == pytest.approx(free_s + 2, rel=1e-9)


@pytest.mark.slow
def test_of_a_million_phones_the_fastest_are_known_in_seconds():
    scenario = load(SCENARIOS / "100_phones.yaml", ["devices.0.count=1000000", "training.participants=1000"])
    everybody = fleet.members(scenario)
    began_s = time.process_time()
    step_s = pace.step_s(scenario, everybody)
    crowd = Population(len(everybody), 1000, 5, everybody.ranges, lambda: step_s)
    order = fastest(1, crowd, np.random.default_rng(0))
    assert time.process_time() - began_s < 3
    assert (np.diff(step_s[order]) >= 0).all()
