"""Two scenarios made so that one thing holds everybody up, against sums done on paper; and laws for many others."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import world
from simulator.scenario import load, loads
from simulator.scenario.algorithms import ALGORITHMS

# The embedded model: 12 blocks, width 96, 1280 tokens; here 64 positions, one sequence, rank 8 on c_attn, split 3.
D, T, R, V = 96, 64, 8, 1280
PI4 = 0.4 * 57.6e9  # FLOP/s: 4 cores x 1.8 GHz x 8, 40 % of it reached
ADAPTER = 2 * R * 4 * D  # FLOPs a token
BLOCK, BLOCK_BACK = 24 * D * D + 4 * T * D + ADAPTER, 24 * D * D + 8 * T * D + 2 * ADAPTER
FORWARD_S = T * 3 * BLOCK / PI4
BACKWARD_S = T * (3 * BLOCK_BACK - 6 * D * D - 2 * R * D) / PI4  # nobody needs the gradient of the embedding
BATCH_S = T * 9 * (BLOCK + BLOCK_BACK) / PI4 + T * 2 * 2 * D * V / PI4  # the server, for one batch
ADAPTERS_BYTES = 4 * 3 * R * 4 * D

SCENARIO = """
name: on paper
model: {name: mini, split: 3}
training: {batch: 1, tokens: 64}
devices: [{name: pi, profile: raspberry-pi-4, count: COUNT, access: own, cell: cell, speed_spread: 0, heat: off}]
network:
  model: pure
  access: {own: {up: UP, down: 1 Gbit/s, latency: 0 s}}
  cells: {cell: {up: CELL_UP, down: 1 Gbit/s, latency: 0 s}}
  server: {capacity: 100 Gbit/s, latency: 0 s}
  aggregator: {capacity: 100 Gbit/s, latency: 0 s}
server: {profile: raspberry-pi-4}
aggregator: {profile: raspberry-pi-4}
"""


def run(*overrides, **values):
    text = SCENARIO
    for name in sorted(values, key=len, reverse=True):
        text = text.replace(name, values[name])
    return world.run(loads(text, overrides), timing_only=True)


def frames(outcome):
    """Bytes of the three kinds of frames."""
    sizes = {row.kind: row.size_bytes for row in outcome.record.messages}
    assert 4 * T * D < sizes["gradients"] < sizes["activations"] < 4 * T * D + 2 * T + 300
    assert ADAPTERS_BYTES < sizes["adapter"] < ADAPTERS_BYTES + 300
    return sizes["activations"], sizes["gradients"], sizes["adapter"]


def test_a_scenario_that_is_bound_by_the_uplink_agrees_with_the_sum_on_paper():
    """Two equal devices of 1 Mbit/s each share a cell of 1.5 Mbit/s: they send at 0.75 Mbit/s at the same time."""
    outcome = run("training.rounds=2", "training.aggregate_every=2", COUNT="2", UP="1 Mbit/s", CELL_UP="1.5 Mbit/s")
    up_bytes, down_bytes, adapter_bytes = frames(outcome)
    up_bits = 8 * (2 * up_bytes + adapter_bytes)  # of one device: two rounds and one average
    down_bits = 8 * (2 * down_bytes + adapter_bytes)
    paper = {
        "device compute": 2 * (FORWARD_S + BACKWARD_S),
        "uplink": up_bits / 1e6,  # what 1 Mbit/s alone needs
        "downlink": down_bits / 1e9,
        "cell": up_bits / 0.75e6 - up_bits / 1e6 + down_bits / 0.5e9 - down_bits / 1e9,  # what the other one costs
        "server": 2 * 2 * BATCH_S,  # both batches in one pass
        "aggregation": 4 * 3 * 3 * R * 4 * D / (0.6 * 12.8e9),  # read two, write one, 60 % of 12.8 GB/s
    }
    assert {part: seconds for part, seconds in outcome.summary["blame"].items() if seconds} == pytest.approx(paper)
    assert max(paper, key=paper.get) == "uplink"
    assert outcome.summary["virtual_s"] == pytest.approx(sum(paper.values()), rel=1e-9)
    links = outcome.summary["blame_links"]["cell"]
    assert links["cell.cell.up"] == pytest.approx(up_bits / 3e6, rel=1e-9)
    assert links["cell.cell.down"] == pytest.approx(down_bits / 1e9, rel=1e-9)


def test_a_scenario_that_is_bound_by_the_server_agrees_with_the_sum_on_paper():
    """Three batches come at one instant to a server that takes one at a time; the last one waits for two others."""
    outcome = run(
        "algorithm=splitlora-queued", "training.rounds=1", "training.aggregate_every=1",
        COUNT="3", UP="1 Gbit/s", CELL_UP="100 Gbit/s",
    )  # fmt: skip
    up_bytes, down_bytes, adapter_bytes = frames(outcome)
    paper = {
        "device compute": FORWARD_S + BACKWARD_S,
        "uplink": 8 * (up_bytes + adapter_bytes) / 1e9,
        "downlink": 8 * (down_bytes + adapter_bytes) / 1e9,  # nobody else gets gradients or adapters while it does ...
        "queue": 2 * BATCH_S,
        "server": BATCH_S,
        "cell": 2 * 8 * adapter_bytes / 1e9,  # ... no: all three get the average at once over 1 Gbit/s
        "aggregation": 4 * 4 * 3 * R * 4 * D / (0.6 * 12.8e9),
    }
    assert {part: seconds for part, seconds in outcome.summary["blame"].items() if seconds} == pytest.approx(paper)
    assert max(paper, key=paper.get) == "queue"
    assert outcome.summary["virtual_s"] == pytest.approx(sum(paper.values()), rel=1e-9)
    ((waited, seconds),) = outcome.summary["blame_devices"]["queue"].items()
    assert (waited, seconds) == (outcome.summary["slowest"][0]["device"], pytest.approx(2 * BATCH_S))


TUNNEL = """t_s,up_mbps,down_mbps
0,1,1000
0.125,0,0
64.125,1,1000
1000,1,1000
"""


@pytest.mark.parametrize("model", ["pure", "tcp", "tcp-fast"])
def test_an_outage_in_the_middle_of_an_upload_agrees_with_the_sum_on_paper(tmp_path, model):
    """One device of 1 Mbit/s begins its first upload after some ms; from 0.125 s to 64.125 s its link is dead."""
    (tmp_path / "line.csv").write_text(TUNNEL)
    access = f"{{trace: {tmp_path / 'line.csv'}, latency: 0 s, offset: 0 s}}"
    outcome = run(
        f"network.model={model}", f"network.access.own={access}", "training.rounds=2", "training.aggregate_every=2",
        COUNT="1", UP="1 Mbit/s", CELL_UP="1 Gbit/s",
    )  # fmt: skip
    up_bytes, down_bytes, adapter_bytes = frames(outcome)
    assert FORWARD_S < 0.125 < FORWARD_S + 8 * up_bytes / 1e6  # it is on its way when the link goes dead
    blamed, (device,) = outcome.summary["blame"], outcome.summary["blame_devices"]["outage"]
    assert blamed["outage"] == pytest.approx(64.0, rel=1e-12)
    assert outcome.summary["blame_links"]["outage"] == {f"{device}.up": blamed["outage"]}
    assert math.fsum(blamed.values()) == pytest.approx(outcome.summary["virtual_s"], rel=1e-12)
    if model == "pure":
        assert blamed["uplink"] == pytest.approx(8 * (2 * up_bytes + adapter_bytes) / 1e6, rel=1e-9)
        assert blamed["downlink"] == pytest.approx(8 * (2 * down_bytes + adapter_bytes) / 1e9, rel=1e-9)
        computed_s = 2 * (FORWARD_S + BACKWARD_S) + 2 * BATCH_S + blamed["aggregation"]
        moved_s = blamed["uplink"] + blamed["downlink"]
        assert outcome.summary["virtual_s"] == pytest.approx(computed_s + moved_s + 64.0, rel=1e-9)


# --- laws


def check(outcome):
    """The parts sum to the virtual time, those of a round to its length, and devices have no more than their part."""
    summary, record = outcome.summary, outcome.record
    assert math.fsum(summary["blame"].values()) == pytest.approx(summary["virtual_s"], rel=1e-12, abs=1e-9)
    assert all(seconds >= 0 for seconds in summary["blame"].values())
    for names in (summary["blame_devices"], summary["blame_links"]):
        for part, each in names.items():
            assert math.fsum(each.values()) <= summary["blame"][part] * (1 + 1e-9)
    assert max(row.end_s for row in record.rounds) == summary["virtual_s"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("name", ["two_devices", "four_phones"])
def test_the_parts_sum_to_the_virtual_time_under_every_algorithm(scenarios, name, algorithm):
    overrides = [f"algorithm={algorithm}", "training.rounds=3", "training.aggregate_every=2"]
    check(world.run(load(scenarios / f"{name}.yaml", overrides), timing_only=True))


LINE = Path(__file__).parents[2] / "scenarios" / "commuter_line.csv"  # with two tunnels
RATES = st.sampled_from(["0.3 Mbit/s", "2 Mbit/s", "40 Mbit/s"])


@given(
    model=st.sampled_from(["pure", "tcp", "tcp-fast"]),
    algorithm=st.sampled_from(sorted(ALGORITHMS)),
    counts=st.lists(st.integers(1, 3), min_size=2, max_size=2),
    rates=st.tuples(RATES, RATES, RATES, RATES),
    every=st.integers(1, 3),
    more=st.sets(
        st.sampled_from(
            ["server.speed=0.001", "server.count=2", "network.access.b.class=lte-driving", "training.participants=2",
             "network.backhaul={capacity: 1 Mbit/s}", "network.cells.c={airtime: equal-times}", "devices.0.jitter=0.5",
             "network.access.a.loss=0.02", f"network.access.a={{trace: {LINE}, latency: 20 ms}}"]
        )
    ),
)  # fmt: skip
@settings(max_examples=40)
def test_the_parts_sum_to_the_virtual_time_of_any_small_scenario(model, algorithm, counts, rates, every, more):
    text = f"""
        algorithm: {algorithm}
        model: {{name: mini}}
        training: {{rounds: 3, batch: 1, tokens: 32, aggregate_every: {every}}}
        devices:
          - {{name: x, profile: raspberry-pi-4, count: {counts[0]}, access: a, cell: c}}
          - {{name: y, profile: phone-mid, count: {counts[1]}, access: b}}
        network:
          model: {model}
          access:
            a: {{up: {rates[0]}, down: {rates[1]}, latency: 20 ms, spread: 0.3}}
            b: {{up: 5 Mbit/s, down: {rates[2]}, latency: 60 ms}}
          cells: {{c: {{capacity: {rates[3]}}}}}
    """
    overrides = sorted(more)
    if "network.access.b.class=lte-driving" in more:
        overrides += ["network.access.b.up=null", "network.access.b.down=null"]
    check(world.run(loads(text, overrides), timing_only=True))
