"""The queue before the server's GPUs: disciplines and the batching window, against sums on paper and theory."""

from __future__ import annotations

import asyncio
import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import clock, world
from simulator.queueing import DISCIPLINES, Queue
from simulator.scenario import load


def served(discipline, arrivals, *, gpus=1, window_s=0.0):
    """Batches as they are served: (when it began, who). ``arrivals`` are (when, device, seconds)."""
    log = []

    async def gpu(queue):
        while items := await queue.take():
            log.append((round(asyncio.get_running_loop().time(), 9), [device for device, _ in items]))
            await asyncio.sleep(sum(seconds for _, seconds in items))

    async def world():
        queue = Queue(DISCIPLINES[discipline], window_s)
        async with asyncio.TaskGroup() as group:
            for _ in range(gpus):
                group.create_task(gpu(queue))
            for when_s, device, seconds in arrivals:
                await asyncio.sleep(when_s - asyncio.get_running_loop().time())
                queue.put((device, seconds), device=device, seconds=seconds)
            queue.close()

    clock.run(world(), horizon_s=1e6)
    return log


THREE = [(0.0, 9, 10.0), (1.0, 3, 5.0), (2.0, 1, 7.0), (3.0, 2, 1.0)]  # the first is served at once, the rest wait


@pytest.mark.parametrize(
    ("discipline", "order", "begins_s"),
    [
        ("fifo", [9, 3, 1, 2], [0, 10, 15, 22]),
        ("shortest", [9, 2, 3, 1], [0, 10, 11, 16]),
        ("device", [9, 1, 2, 3], [0, 10, 17, 18]),
    ],
)
def test_who_waits_is_served_in_the_order_of_the_discipline(discipline, order, begins_s):
    log = served(discipline, THREE)
    assert [who for _, (who,) in log] == order
    assert [when for when, _ in log] == begins_s


def test_two_gpus_serve_two_at_a_time():
    assert served("fifo", THREE, gpus=2) == [(0, [9]), (1, [3]), (6, [1]), (10, [2])]


def test_a_window_lets_company_come_and_opens_with_the_first():
    assert served("device", THREE, window_s=1.5) == [(1.5, [3, 9]), (16.5, [1, 2])]


def test_a_window_is_not_waited_out_when_nobody_can_come_any_more():
    assert served("fifo", [(0.0, 1, 1.0), (2.0, 2, 1.0)], window_s=60.0) == [(2.0, [1, 2])]


def test_an_empty_queue_that_is_closed_gives_nothing():
    assert served("fifo", []) == []


def test_m_m_1_waits_as_long_as_queueing_theory_says():
    """Poisson arrivals at 0.7 a second, exponential service of mean 1 s: the mean wait is 0.7 / 0.3 s = 2.33 s."""
    rng, when_s, arrivals = random.Random(3), 0.0, []
    for device in range(20_000):
        when_s += rng.expovariate(0.7)
        arrivals.append((when_s, device, rng.expovariate(1.0)))
    came = {device: when for when, device, _ in arrivals}
    waits = [began - came[who] for began, (who,) in served("fifo", arrivals)]
    assert sum(waits) / len(waits) == pytest.approx(0.7 / 0.3, rel=0.12)


@given(
    st.lists(st.tuples(st.floats(0, 20), st.floats(0.01, 5)), min_size=1, max_size=25),
    st.sampled_from(sorted(DISCIPLINES)),
    st.integers(1, 4),
    st.sampled_from([0.0, 0.5, 3.0]),
)
def test_everything_that_comes_is_served_once_and_never_before_it_came(jobs, discipline, gpus, window_s):
    arrivals = sorted((when_s, device, seconds) for device, (when_s, seconds) in enumerate(jobs))
    log = served(discipline, arrivals, gpus=gpus, window_s=window_s)
    came = {device: when_s for when_s, device, _ in arrivals}
    began = {device: when_s for when_s, devices in log for device in devices}
    assert sorted(device for _, devices in log for device in devices) == sorted(came)
    assert all(began[device] >= came[device] - 1e-6 for device in came)


def run(scenarios, *overrides, train=False):
    return world.run(load(scenarios / "four_phones.yaml", overrides), timing_only=not train)


QUEUED = "algorithm=splitlora-queued"


def test_a_window_that_everybody_makes_is_the_barrier(scenarios):
    """With an hour to wait for company all batches are served in one pass, at the instant the last one arrives."""
    barrier = run(scenarios, train=True)
    queued = run(scenarios, QUEUED, "server.window=1 h", "server.queue=device", train=True)
    assert queued.summary["trace_hash"] == barrier.summary["trace_hash"]
    assert [row.loss for row in queued.record.rounds] == [row.loss for row in barrier.record.rounds]


@pytest.mark.parametrize("queue", sorted(DISCIPLINES))
def test_real_training_goes_on_batch_by_batch_and_is_the_same_twice(scenarios, queue):
    first, again = (run(scenarios, QUEUED, f"server.queue={queue}", train=True) for _ in range(2))
    assert first.summary["trace_hash"] == again.summary["trace_hash"]
    assert first.summary["loss"] == again.summary["loss"]
    assert first.summary["loss"] < first.record.rounds[0].loss
    steps = [row for row in first.record.computes if row.actor == "server"]
    assert len(steps) == 2 * 4, "a step for each batch"


def test_a_device_that_is_served_early_begins_its_next_round_early(scenarios):
    barrier, queued = run(scenarios), run(scenarios, QUEUED)

    def answered_s(outcome, device):
        return next(row.queued_s for row in outcome.record.messages if row.receiver == device)

    assert answered_s(queued, "high-2") < answered_s(barrier, "high-2") - 0.2
    assert sum(queued.summary["blame"].values()) == pytest.approx(queued.summary["virtual_s"], rel=1e-12)


def test_one_gpu_serves_one_at_a_time_and_two_serve_two(scenarios):
    def overlaps(*overrides):
        slow = ["server.profile=raspberry-pi-5", QUEUED, *overrides]
        rows = sorted(row[4:6] for row in run(scenarios, *slow).record.computes if row.actor == "server")
        return sum(later[0] < earlier[1] - 1e-9 for earlier, later in itertools.pairwise(rows))

    assert overlaps() == 0
    assert overlaps("server.count=2") > 0


def test_a_device_that_leaves_while_it_is_queued_is_not_served(scenarios):
    """A slow server, and phones that are given up after a while: nobody waits for ever, everybody is counted."""
    outcome = run(
        scenarios, QUEUED, "server.profile=raspberry-pi-3b-plus", "training.timeout=5 s", "training.rounds=3",
        "server.queue=shortest", "memory.attention=fused", "memory.gelu=fused", "memory.dtype=bfloat16",
    )  # fmt: skip
    rounds = outcome.record.rounds[1:]
    assert len(rounds) == 3
    steps = [row for row in outcome.record.computes if row.actor == "server"]
    assert len(steps) <= sum(row.participants for row in rounds)
    assert any(row.dropped for row in rounds)


@pytest.mark.parametrize("setting", ["server.queue=shortest", "server.window=1 s"])
def test_settings_of_a_queue_are_refused_where_there_is_none(scenarios, setting):
    with pytest.raises(ValueError, match=r"is read only with algorithm: splitlora-queued"):
        load(scenarios / "four_phones.yaml", [setting])
    load(scenarios / "four_phones.yaml", [setting, QUEUED])
