"""Data-parallel passes of the server's GPUs, against sums on paper and Graham's bound."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import world
from simulator.scenario import load
from simulator.serving import deal, exchange_bytes
from simulator.session import describe
from simulator.workload import SHAPES, Lora, SplitWorkload

LORA = Lora(("c_attn",), 8, 16.0)


def costs(*splits: int) -> list[SplitWorkload]:
    return [SplitWorkload(SHAPES["gpt2"], LORA, split, 2, 64) for split in splits]


def test_equal_batches_are_dealt_out_evenly_and_no_gpu_more_than_there_are_batches_is_used():
    assert [len(hand) for hand in deal(costs(*[3] * 10), 4)] == [3, 3, 2, 2]
    assert [len(hand) for hand in deal(costs(3, 3), 8)] == [1, 1]


def test_the_largest_batches_go_first_to_the_gpu_with_the_least_work():
    """A split of 12 leaves the server the head alone, a split of 0 everything."""
    hands = deal(costs(12, 12, 12, 0), 2)
    assert [[each.split for each in hand] for hand in hands] == [[0], [12, 12, 12]]


def load_of(each: SplitWorkload) -> float:
    return each.server_forward.flops + each.server_backward.flops


@given(st.lists(st.integers(0, 12), min_size=1, max_size=40), st.integers(1, 8))
def test_dealing_keeps_every_batch_and_no_gpu_is_a_whole_batch_behind_the_mean(splits, gpus):
    hands = deal(costs(*splits), gpus)
    assert sorted(each.split for hand in hands for each in hand) == sorted(splits)
    loads = [sum(map(load_of, hand)) for hand in hands]
    assert max(loads) <= sum(loads) / len(loads) + max(load_of(each) for hand in hands for each in hand)


@given(st.lists(st.integers(0, 12), min_size=1, max_size=7), st.integers(1, 3))
def test_dealing_is_at_most_a_third_worse_than_the_best_of_all_ways(splits, gpus):
    """Graham, "Bounds on multiprocessing timing anomalies" (1969): the largest first, 4/3 - 1/(3 G) at most."""
    batches = costs(*splits)
    used = min(gpus, len(batches))
    best = min(
        max(
            sum(load_of(each) for each, gpu in zip(batches, way, strict=True) if gpu == number)
            for number in range(used)
        )
        for way in itertools.product(range(used), repeat=len(batches))
    )
    assert max(sum(map(load_of, hand)) for hand in deal(batches, gpus)) <= (4 / 3 - 1 / (3 * used)) * best * (1 + 1e-12)


def test_a_ring_of_four_sends_one_and_a_half_times_the_adapters():
    hands = deal(costs(*[3] * 8), 4)
    adapters = 9 * 24_576  # nine blocks of rank 8 on c_attn
    assert exchange_bytes(hands) == 1.5 * 4 * adapters
    assert exchange_bytes(hands[:1]) == 0.0


def run(scenarios, *overrides):
    """Four phones with equal splits, and a server of Raspberry Pis, which have no launch overhead."""
    equal = ["devices.0.rank=8", "devices.0.split=3", "devices.2.split=3", "server.profile=raspberry-pi-5"]
    return world.run(load(scenarios / "four_phones.yaml", [*equal, *overrides]), timing_only=True)


def steps(outcome) -> list[float]:
    return [row.end_s - row.start_s for row in outcome.record.computes if row.actor == "server"]


def test_two_machines_take_half_as_long_and_the_time_of_the_exchange(scenarios):
    """Each gets two of four equal batches, all arithmetic on a Pi; they exchange 884,736 bytes once over 1 Gbit/s."""
    one, two = (steps(run(scenarios, f"server.count={count}", "server.interconnect=1 Gbit/s")) for count in (1, 2))
    assert (len(one), len(two)) == (2, 4), "a row for each machine"
    adapters_bytes = 4 * 9 * 8 * (768 + 3 * 768)  # float32, nine blocks, rank 8, c_attn
    assert adapters_bytes == 884_736
    assert two[0] == pytest.approx(one[0] / 2 + 8 * adapters_bytes / 1e9, rel=1e-9)


def test_several_machines_end_a_step_together_and_all_their_joules_count(scenarios):
    outcome = run(scenarios, "server.count=3")
    rows = [row for row in outcome.record.computes if row.actor == "server" and row.round == 1]
    assert len({(row.start_s, row.end_s) for row in rows}) == 1
    flops = {row.flops for row in rows}
    assert len(flops) == 2, "two batches for one of them, one for each of the others"
    whole_s = outcome.record.rounds[-1].end_s
    busy_s = sum(steps(outcome))
    expected_j = 12.7 * busy_s + 2.8 * (3 * whole_s - busy_s)
    assert outcome.summary["energy_j"]["server"]["total"] == pytest.approx(expected_j, rel=1e-9)


def test_the_critical_path_still_sums_to_the_virtual_time(scenarios):
    outcome = run(scenarios, "server.count=4")
    assert sum(outcome.summary["blame"].values()) == pytest.approx(outcome.summary["virtual_s"], rel=1e-12)


def test_more_machines_than_batches_change_nothing(scenarios):
    assert (
        run(scenarios, "server.count=4").summary["virtual_s"] == run(scenarios, "server.count=9").summary["virtual_s"]
    )


def test_the_views_say_how_many_machines_serve(scenarios):
    scenario = load(scenarios / "four_phones.yaml", ["server.count=4", "server.speed=0.5"])
    assert describe(scenario, timing_only=True).server == "4 x A100 SXM 80GB at 0.5 x its speed"
