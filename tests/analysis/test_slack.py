"""Slack against really slower devices: at their slack the run ends when it did, a little beyond it ends later.

Links are such that transfers keep their durations: the pure model, and shared links too wide to matter.
"""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import world
from simulator.analysis.events import graph
from simulator.analysis.slack import least_s, slack
from simulator.record import ComputeRow, MessageRow, RoundRow
from simulator.scenario import load, loads
from simulator.scenario.algorithms import ALGORITHMS

NAN = math.nan

SCENARIO = """
model: {name: mini}
training: {rounds: 4, batch: 1, tokens: 64, aggregate_every: 2}
devices:
  - {name: a, profile: raspberry-pi-4, count: 1, access: a, speed_spread: 0, heat: off}
  - {name: b, profile: raspberry-pi-5, count: 1, access: b, speed_spread: 0, heat: off}
  - {name: c, profile: phone-mid, count: 1, access: c, speed_spread: 0, heat: off}
network:
  model: pure
  access:
    a: {up: 8 Mbit/s, down: 8 Mbit/s, latency: 10 ms}
    b: {up: 1 Mbit/s, down: 4 Mbit/s, latency: 100 ms}
    c: {up: 4 Mbit/s, down: 2 Mbit/s, latency: 50 ms}
  server: {capacity: 100 Tbit/s, latency: 0 s}
  aggregator: {capacity: 100 Tbit/s, latency: 0 s}
"""


def run(*overrides):
    return world.run(loads(SCENARIO, overrides), timing_only=True)


def slacks(outcome):
    record = outcome.record
    return {each.device: each for each in slack(record.messages, record.computes, record.rounds)}


def slowed(device, way, factor, *overrides):
    """The end of the run if a device takes ``factor`` times as long for one thing."""
    group = "abc".index(device)
    if way == "compute":
        return run(f"devices.{group}.background={1 - 1 / factor!r}", *overrides).summary["virtual_s"]
    scenario = loads(SCENARIO)
    access = scenario.network.access[device]
    rate = {"uplink": "up", "downlink": "down"}[way]
    return run(f"network.access.{device}.{rate}={getattr(access, rate) / factor!r} bit/s", *overrides).summary[
        "virtual_s"
    ]


@pytest.mark.parametrize("algorithm", ["splitlora", "splitfed-v1", "splitfed-v2", "fedlora", "sequential"])
@pytest.mark.parametrize("device", ["a", "b", "c"])
@pytest.mark.parametrize("way", ["compute", "uplink", "downlink"])
def test_a_device_may_be_slower_by_its_slack_and_no_more(algorithm, device, way):
    overrides = [f"algorithm={algorithm}", *(f"network.access.{each}.latency=0 s" for each in "abc")]
    outcome = run(*overrides)
    end_s = outcome.summary["virtual_s"]
    factor = getattr(slacks(outcome)[device], f"{way}_factor")
    if algorithm == "sequential":
        assert factor == 1.0, "one after another: everybody is waited for"
    assert slowed(device, way, factor, *overrides) == pytest.approx(end_s, rel=1e-9)
    assert slowed(device, way, 1 + 0.999 * (factor - 1), *overrides) == pytest.approx(end_s, rel=1e-9)
    assert slowed(device, way, factor * 1.001, *overrides) > end_s * (1 + 1e-9)


def test_the_slack_of_two_devices_on_paper():
    """The server waits for far, which needs 3 s up; near needs 2 s, and may take 1 s more: 1.5 times as long."""
    messages = [
        _message("near", "server", 1, 3),
        _message("far", "server", 1, 4),
        _message("server", "near", 5, 6),
        _message("server", "far", 5, 6),
    ]
    computes = [_computed("near", 0, 1), _computed("far", 0, 1), _computed("server", 4, 5)]
    computes += [_computed("near", 6, 6.5), _computed("far", 6, 7)]
    found = {each.device: each for each in slack(messages, computes, _rounds(7))}
    assert found["far"][1:] == (1.0, 0.0, 1.0, 0.0, 1.0, 0.0)
    assert found["near"].uplink_factor == pytest.approx(1.5)
    assert found["near"].uplink_s == pytest.approx(1.0)
    # 1 s before the barrier and 0.5 s after: both may be 1.5 + 0.5 times as long, 1 more second and 0.5 more seconds
    assert found["near"].compute_factor == pytest.approx(2.0)
    assert found["near"].compute_s == pytest.approx(1.5)
    assert found["near"].downlink_factor == pytest.approx(1.5)


def test_the_last_in_a_queue_could_have_come_as_late_as_its_turn():
    messages = [_message("a", "server", 0, 1), _message("b", "server", 0, 2)]
    messages += [_message("server", "a", 5, 6), _message("server", "b", 9, 10)]
    computes = [_computed("server", 1, 5), _computed("server", 5, 9)]
    found = {each.device: each for each in slack(messages, computes, _rounds(10))}
    assert found["a"].uplink_factor == 1.0, "the server waits for it"
    assert found["a"].downlink_factor == pytest.approx(5.0), "from 5 s to the end"
    assert found["b"].uplink_factor == pytest.approx(2.5), "from 0 s to its turn at 5 s"
    assert found["b"].downlink_factor == 1.0
    assert math.isnan(found["a"].compute_factor), "it computes nothing"


def test_a_receipt_that_comes_before_its_round_ends_may_come_as_late_as_that(scenarios):
    """Two of the four are of one length, so that two of the longest paths are."""
    overrides = ["algorithm=centralized", "training.rounds=3", "server.speed=0.01"]
    outcome = world.run(load(scenarios / "four_phones.yaml", overrides), timing_only=True)
    first = outcome.record.rounds[1].end_s
    found = slacks(outcome)
    receipts = [row for row in outcome.record.messages if row.kind == "control"]
    assert len(receipts) == 4
    for row in receipts:
        factor = (first - row.queued_s) / (row.delivered_s - row.queued_s)
        assert found[row.receiver].downlink_factor == pytest.approx(factor, rel=1e-6)


def test_who_is_not_waited_for_has_slack_without_end():
    """b's message comes when the server has gone on with a's; nobody ever asks for it."""
    messages = [_message("a", "server", 0, 1), _message("b", "server", 0, 1.5, round=9), _message("server", "a", 2, 3)]
    found = {each.device: each for each in slack(messages, [_computed("server", 1, 2)], _rounds(3))}
    assert found["b"].uplink_factor == math.inf
    assert least_s(found["b"]) == math.inf


@pytest.mark.parametrize("name", ["two_devices", "four_phones"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_graph_explains_when_everything_begins_and_the_critical_path_has_no_slack(scenarios, name, algorithm):
    overrides = [f"algorithm={algorithm}", "training.rounds=3", "training.aggregate_every=2"]
    outcome = world.run(load(scenarios / f"{name}.yaml", overrides), timing_only=True)
    record = outcome.record
    nodes = graph(record.messages, record.computes, record.rounds)
    assert len(nodes) >= len(record.messages) + len(record.computes)
    assert [node for node in nodes if node.clock_s > 0] == [], "nothing begins by the clock"
    for each in slacks(outcome).values():  # every round waits for its devices, but for the receipts of their data
        ways = (each.compute_factor, each.uplink_factor, 1.0 if algorithm == "centralized" else each.downlink_factor)
        assert math.inf not in ways, each.device
    parts = {"device compute": "compute_factor", "uplink": "uplink_factor", "downlink": "downlink_factor"}
    found = slacks(outcome)
    for part, field in parts.items():
        for device, seconds in outcome.summary["blame_devices"].get(part, {}).items():
            if seconds > 1e-6:
                assert getattr(found[device], field) == pytest.approx(1.0, abs=1e-6), (part, device)


@given(st.data())
@settings(max_examples=30)
def test_slack_is_never_negative_and_somebody_or_the_server_has_none(data):
    rates = data.draw(st.lists(st.sampled_from([0.5, 1, 3, 20]), min_size=6, max_size=6))
    names = [f"network.access.{device}.{way}={rate} Mbit/s" for rate, (device, way) in zip(
        rates, ((device, way) for device in "abc" for way in ("up", "down")), strict=True
    )]  # fmt: skip
    model = data.draw(st.sampled_from(["pure", "tcp", "tcp-fast"]))
    algorithm = data.draw(st.sampled_from(sorted(ALGORITHMS)))
    found = slacks(run(f"network.model={model}", f"algorithm={algorithm}", *names))
    assert set(found) == {"a", "b", "c"}
    for each in found.values():
        assert all(value >= 0 for value in each[1:] if not math.isnan(value))
    assert min(map(least_s, found.values())) == pytest.approx(0.0, abs=1e-9)


def _computed(actor, start_s, end_s, round=1):
    return ComputeRow(actor, round, "work", 1.0, start_s, end_s)


def _message(sender, receiver, queued_s, delivered_s, round=1):
    way = "up" if receiver == "server" else "down"
    return MessageRow(0, round, "news", sender, receiver, way, 1, 1, queued_s, delivered_s, delivered_s, "delivered")


def _rounds(end_s):
    return [RoundRow(1, 0, end_s, 2, 0, NAN, NAN, NAN, 0, 0, "far")]
