"""Algorithms side by side: where they must agree, what each sends, how long a round is, and who may go at any time.

`tests/training/test_copies.py` holds the numerics of the new verbs against the unsplit model with PEFT.
"""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.memory import DoesNotFit
from simulator import checking, world
from simulator.algorithms import ALGORITHMS
from simulator.failure import RunFailed
from simulator.fleet import members
from simulator.record import Record
from simulator.scenario import ALGORITHMS as KNOWN
from simulator.scenario import load

NAMES = sorted(ALGORITHMS)
SCENARIOS = Path(__file__).parents[1] / "scenarios"
LATENCY_S = 0.005 + 0.001
RATES = {"up": 50e6, "down": 90e6}
ONE_PHONE = """
seed: 4
model: {name: mini, split: 5}
data: {samples_per_device: 8, validation_samples: 6}
training: {rounds: 4, batch: 2, tokens: 48, aggregate_every: 2, evaluate_every: 1, dtype: float64}
devices:
  - {name: phone, profile: phone-high, count: 1, access: wifi, speed_spread: 0, heat: off}
network:
  model: pure
  access: {wifi: {up: 50 Mbit/s, down: 90 Mbit/s, latency: 5 ms}}
  server: {capacity: 10 Gbit/s, latency: 1 ms}
  aggregator: {capacity: 1 Gbit/s, latency: 1 ms}
"""


def run(scenarios, algorithm, *overrides, train=False, name="four_phones"):
    overrides = [f"algorithm={algorithm}", *overrides]
    return world.run(load(scenarios / f"{name}.yaml", overrides), timing_only=not train)


@pytest.fixture(scope="module")
def one_phone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    (folder / "one.yaml").write_text(ONE_PHONE)
    return folder


@pytest.fixture(scope="module")
def alone(one_phone):
    """The losses of one client that learns with splitlora."""
    return losses(run(one_phone, "splitlora", train=True, name="one"))


def losses(outcome) -> list[float]:
    return [value for row in outcome.record.rounds[1:] for value in (row.train_loss, row.loss)]


def by_kind(record: Record, kind: str) -> list[int]:
    return [row.size_bytes for row in record.messages if row.kind == kind]


def test_every_algorithm_that_a_scenario_can_name_is_there():
    assert set(ALGORITHMS) == set(KNOWN)


@pytest.mark.parametrize("algorithm", [name for name in NAMES if name != "splitlora"])
def test_with_one_client_every_algorithm_learns_what_splitlora_does(one_phone, alone, algorithm):
    """Whoever holds which block, one client's batches in their order are one training."""
    other = run(one_phone, algorithm, train=True, name="one")
    assert losses(other) == pytest.approx(alone, rel=1e-12)
    assert losses(other)[-1] < losses(other)[1]


def test_splitfed_v1_learns_what_fedlora_learns_in_the_time_that_splitlora_takes(scenarios):
    equal = ["devices.0.rank=8"]
    copies, whole, split = (
        run(scenarios, name, *equal, train=True) for name in ("splitfed-v1", "fedlora", "splitlora")
    )
    assert losses(copies) == pytest.approx(losses(whole), rel=1e-6)
    assert copies.summary["virtual_s"] == pytest.approx(split.summary["virtual_s"], rel=1e-3)
    assert copies.summary["bytes_by_kind"] == split.summary["bytes_by_kind"]


def test_steps_apart_in_a_fixed_order_are_those_of_the_published_code(scenarios):
    """Four clients, two rounds: the server's GPU is busy eight times instead of twice, in the order of the fleet."""
    record = run(scenarios, "splitlora", "training.server_steps=each").record
    assert len([row for row in record.computes if row.actor == "server"]) == 8
    replies = [row for row in record.messages if row.kind == "gradients" and row.round == 1]
    assert [row.receiver for row in sorted(replies, key=lambda row: row.queued_s)] == ["low", "mid", "high-1", "high-2"]


def test_steps_apart_in_random_order_differ_between_rounds_and_seeds_but_not_with_the_network(scenarios):
    def orders(*overrides):
        record = run(scenarios, "splitfed-v2", "training.rounds=6", *overrides).record
        replies = sorted((row for row in record.messages if row.kind == "gradients"), key=lambda row: row.queued_s)
        return [[row.receiver for row in replies if row.round == number] for number in range(1, 7)]

    assert len({tuple(order) for order in orders()}) > 1
    assert all(sorted(order) == ["high-1", "high-2", "low", "mid"] for order in orders())
    assert orders() == orders("network.access.wifi.up=1 Mbit/s")
    assert orders() != orders("seed=5")


def test_fedlora_sends_adapters_of_all_blocks_and_nothing_else(scenarios):
    """Four devices, two rounds, one average: 12 blocks x 4 d r float32 for d = 768, up and down."""
    record = run(scenarios, "fedlora").record
    assert {row.kind for row in record.messages} == {"adapter"}
    assert len(record.messages) == 2 * 4
    numbers = {
        row.sender: 12 * 4 * 768 * (4 if row.sender == "low" else 8) for row in record.messages if row.direction == "up"
    }
    for row in record.messages:
        if row.direction == "up":
            assert 0 < row.size_bytes - 4 * numbers[row.sender] < 24 * 60  # names and shapes of 24 matrices


def test_centralised_training_collects_all_data_once_and_then_sends_nothing(scenarios):
    """Eight examples of 64 positions, ids and labels in 2 bytes each: 2,048 bytes and a header from every device."""
    outcome = run(scenarios, "centralized", "training.rounds=5")
    sizes = by_kind(outcome.record, "data")
    assert len(sizes) == 4
    assert {row.kind for row in outcome.record.messages} == {"data", "control"}  # the receipts
    assert all(0 < size - 8 * 64 * 2 * 2 < 100 for size in sizes)
    assert {row.round for row in outcome.record.messages} == {1}
    assert [row.round for row in outcome.record.rounds] == [0, 1, 2, 3, 4, 5]
    assert {row.actor for row in outcome.record.computes} == {"server"}
    assert outcome.summary["blame"]["server"] > 0


def test_in_sequential_training_one_works_at_a_time_and_the_adapters_go_from_hand_to_hand(scenarios):
    record = run(scenarios, "sequential").record
    busy = sorted((row.start_s, row.end_s) for row in record.computes)
    assert all(later[0] >= earlier[1] - 1e-9 for earlier, later in pairwise(busy))
    adapters = sorted((row for row in record.messages if row.kind == "adapter"), key=lambda row: row.queued_s)
    hands = [row.receiver if row.direction == "down" else row.sender for row in adapters]
    assert hands == [name for _ in range(2) for name in ("low", "mid", "high-1", "high-2") for _ in range(2)]


def seconds_of(outcome, what: str) -> float:
    return sum(row.end_s - row.start_s for row in outcome.record.computes if row.what == what and row.round == 1)


def wire_s(outcome, kind: str, direction: str) -> float:
    """What one message of a kind takes alone: latency, and its bits over the access link."""
    (size,) = {row.size_bytes for row in outcome.record.messages if (row.kind, row.direction) == (kind, direction)}
    return LATENCY_S + 8 * size / RATES[direction]


def test_a_round_of_one_phone_takes_the_sum_of_its_parts_in_each_algorithm(one_phone):
    """Without contention a round is a chain, written out here; computing times are those of the rows."""

    def chain(algorithm, *messages):
        outcome = run(one_phone, algorithm, "training.aggregate_every=1", name="one")
        busy_s = sum(row.end_s - row.start_s for row in outcome.record.computes if row.round == 1)
        expected_s = busy_s + sum(wire_s(outcome, kind, way) for kind, way in messages)
        assert outcome.record.rounds[1].end_s == pytest.approx(expected_s, rel=1e-9), algorithm
        return outcome

    exchange = [("adapter", "up"), ("adapter", "down")]
    split = chain("splitlora", ("activations", "up"), ("gradients", "down"), *exchange)
    for name in ("splitfed-v2", "splitlora-queued"):
        chain(name, ("activations", "up"), ("gradients", "down"), *exchange)
    whole = chain("fedlora", *exchange)
    chain("sequential", ("adapter", "down"), ("activations", "up"), ("gradients", "down"), ("adapter", "up"),
          ("control", "down"))  # fmt: skip
    central = chain("centralized", ("data", "up"))  # the receipt comes while the server computes
    flops = [sum(row.flops for row in each.record.computes if row.what != "adapter aggregation")
             for each in (split, whole, central)]  # fmt: skip
    assert flops[1] == pytest.approx(flops[0], rel=1e-12)  # the same products, wherever they are computed
    assert flops[2] == pytest.approx(flops[0], rel=1e-12)


def test_a_phone_too_small_for_the_whole_model_can_still_hold_its_blocks(scenarios):
    """GPT-2 small with its logits in plain float32 needs more than three blocks do."""

    long = ["model.name=gpt2", "model.timed_as=null", "training.tokens=256", "training.batch=8", "training.rounds=2"]
    assert run(scenarios, "splitlora", *long).summary["out_of_memory"] == []
    assert run(scenarios, "centralized", *long).summary["out_of_memory"] == []
    logits = 2 * 4 * 8 * 256 * 50257  # and their gradient
    with pytest.raises(DoesNotFit, match=rf"low .*logits {logits / 2**20:.0f} MiB"):
        run(scenarios, "fedlora", *long)


def test_the_server_of_splitfed_v1_must_hold_a_copy_for_everybody(scenarios):
    """9 blocks x 4 d r numbers with gradient and two moments, of 4 bytes each, for all of 30,000 phones but one."""
    crowd = ["devices.1.count=29996", "data.samples_per_device=1"]
    run(scenarios, "splitlora", *crowd, "training.rounds=1", "training.participants=3")
    bytes_of_copies = 4 * 4 * (9 * 4 * 768 * 8) * 29_998
    with pytest.raises(DoesNotFit, match=rf"server .*copies of adapters {bytes_of_copies / 2**30:.3g} GiB"):
        run(scenarios, "splitfed-v1", *crowd)


@pytest.mark.parametrize(
    ("algorithm", "setting", "sentence"),
    [
        ("fedlora", "training.server_steps=each", "is read only with algorithm: splitlora"),
        ("centralized", "training.participants=2", "which collects everybody's data"),
        ("fedlora", "training.aggregate_every=3", "must be at most training.rounds, 2, with algorithm: fedlora, got 3"),
        ("splitfed-v1", "training.rounds=1", "every device would train a copy that is never averaged"),
    ],
)
def test_what_an_algorithm_does_not_read_or_cannot_do_is_refused(scenarios, algorithm, setting, sentence):
    with pytest.raises(ValueError, match=sentence):
        run(scenarios, algorithm, setting)


@pytest.mark.parametrize("algorithm", NAMES)
def test_training_takes_no_virtual_time_in_any_algorithm(scenarios, algorithm):
    trained, timed = (run(scenarios, algorithm, train=each) for each in (True, False))
    assert trained.summary["trace_hash"] == timed.summary["trace_hash"]
    assert trained.summary["perplexity"] < trained.summary["perplexity_before"]


def test_who_goes_before_its_data_have_arrived_is_left_out_of_centralised_training(scenarios):
    """LTE with its 30 ms each way takes longer than the 35 ms after which a device is given up; Wi-Fi does not."""
    outcome = run(scenarios, "centralized", "training.timeout=35 ms")
    data = [row for row in outcome.record.messages if row.kind == "data"]
    assert {row.sender for row in data if row.outcome == "delivered"} == {"high-1", "high-2"}
    assert [row.dropped for row in outcome.record.rounds[1:]] == [2, 0]
    assert [row.participants for row in outcome.record.rounds[1:]] == [4, 2]


def test_centralised_training_without_any_data_says_so(scenarios):
    with pytest.raises(RunFailed, match="every device went before its data had arrived"):
        run(scenarios, "centralized", "training.timeout=8 ms")  # one way would be 6 ms, TCP says hello first


@settings(max_examples=30)
@given(
    st.sampled_from([name for name in NAMES if name != "centralized"]),
    st.integers(1, 1000),
    st.floats(0.5, 20),
    st.floats(0, 3000),
    st.sampled_from(["null", "3 s"]),
    st.sampled_from(["null", "2"]),
)
def test_whoever_comes_and_goes_every_algorithm_ends_and_its_blame_sums_to_its_time(
    algorithm, seed, on_s, per_hour, timeout, participants
):
    overrides = [
        f"seed={seed}",
        "training.rounds=5",
        f"training.timeout={timeout}",
        f"training.participants={participants}",
        f"availability={{a: {{sessions: {{on: {on_s} s, off: 1 s}}, dropouts_per_hour: {per_hour}}}}}",
        *(f"devices.{group}.availability=a" for group in range(3)),
    ]
    outcome = run(SCENARIOS, algorithm, *overrides)
    rows = outcome.record.rounds
    assert [row.round for row in rows] == list(range(6))
    assert all(earlier.end_s <= later.end_s for earlier, later in pairwise(rows))
    assert math.fsum(outcome.summary["blame"].values()) == pytest.approx(outcome.summary["virtual_s"], abs=1e-9)
    assert run(SCENARIOS, algorithm, *overrides).summary["trace_hash"] == outcome.summary["trace_hash"]


def test_check_says_that_a_federated_device_holds_all_and_proves_it_at_that_split(scenarios):
    found = checking.check(scenarios / "two_devices.yaml", ["algorithm=fedlora"], lambda _: None)
    assert found["holds"]
    assert [(row["holder"], row["activation_bytes"]) for row in found["groups"]] == [("device", 0)] * 2
    scenario = load(scenarios / "two_devices.yaml", ["algorithm=fedlora"])
    assert world.trained_splits(scenario, members(scenario)) == [12, 12]
