"""Whole runs: golden traces, determinism, equal times with and without training, refusals before the start."""

from __future__ import annotations

import math

import pytest

from devices.memory import DoesNotFit
from simulator import world
from simulator.clock import HorizonReached
from simulator.failure import RunFailed
from simulator.fleet import members
from simulator.record import Record
from simulator.scenario import load


def sentences(record: Record) -> str:
    """A trace that a person can read: virtual time, actor, sentence; in order of time."""
    lines = []
    for row in record.computes:
        lines.append((row.start_s, row.actor, f"begins {row.what} of round {row.round} ({row.flops:.0f} FLOP)"))
        lines.append((row.end_s, row.actor, f"has done {row.what} of round {row.round}"))
    for row in record.messages:
        what = f"{row.kind} of round {row.round}"
        lines.append((row.queued_s, row.sender, f"sends {what} to {row.receiver} ({row.size_bytes} bytes)"))
        lines.append((row.delivered_s, row.receiver, f"has {what} from {row.sender}"))
    lines += [(row.end_s, row.slowest, f"closes round {row.round}") for row in record.rounds[1:]]
    lines.sort(key=lambda line: (line[0], not line[2].startswith("has")))  # what arrives comes before what it starts
    return "".join(f"{time_s:11.6f}  {actor:10}  {sentence}\n" for time_s, actor, sentence in lines)


@pytest.mark.parametrize("name", ["two_devices", "four_phones"])
def test_what_happens_is_what_happened_before(name, scenarios, assert_golden):
    outcome = world.run(load(scenarios / f"{name}.yaml"), timing_only=True)
    assert_golden(f"{name}.trace", sentences(outcome.record))


def digest(record: Record) -> str:
    """Of a large fleet: each round in a line, and what the first device of each group does in the first round."""
    phones = sorted({row.actor for row in record.computes} - {"server", "aggregator"}, reverse=True)
    firsts = set({phone.rpartition("-")[0]: phone for phone in phones}.values())
    small = Record()
    small.computes += [row for row in record.computes if row.round == 1 and row.actor in firsts]
    small.messages += [row for row in record.messages if row.round == 1 and firsts & {row.sender, row.receiver}]
    rounds = [
        f"{row.end_s:11.6f}  {row.slowest:10}  closes round {row.round}, {row.bytes_up} B up, {row.bytes_down} B down\n"
        for row in record.rounds[1:]
    ]
    return "".join(rounds) + sentences(small)


@pytest.mark.parametrize("name", ["100_phones", "stadium_cell", "commuters", "mixed_lab"])
def test_what_happens_in_a_large_fleet_is_what_happened_before(name, scenarios, assert_golden):
    outcome = world.run(load(scenarios / f"{name}.yaml"), timing_only=True)
    assert_golden(f"{name}.trace", digest(outcome.record))


def comings_and_goings(record: Record) -> str:
    """Every tenth round with who took part who dropped out, and what was waited for."""
    told = [row for row in record.rounds[1:] if row.round % 10 == 1 or row.round == len(record.rounds) - 1]
    lines = [
        (row.end_s, row.slowest, f"closes round {row.round}, {row.participants} took part, {row.dropped} dropped")
        for row in told
    ]
    lines += [
        (row.start_s, "nobody", f"is available for round {row.round} until {row.end_s:.6f}") for row in record.waits
    ]
    return "".join(f"{time_s:12.6f}  {who:11}  {what}\n" for time_s, who, what in sorted(lines))


def test_who_comes_and_goes_overnight_is_who_came_and_went_before(scenarios, assert_golden):
    outcome = world.run(load(scenarios / "overnight.yaml"), timing_only=True)
    assert_golden("overnight.trace", comings_and_goings(outcome.record))
    assert sum(outcome.summary["blame"].values()) == pytest.approx(outcome.summary["virtual_s"], abs=1e-9)


def train(scenarios, *overrides):
    return world.run(load(scenarios / "four_phones.yaml", overrides))


def test_two_runs_with_one_seed_have_equal_traces_and_equal_losses(scenarios):
    first, second = train(scenarios), train(scenarios)
    assert first.summary["trace_hash"] == second.summary["trace_hash"]
    assert [row.train_loss for row in first.record.rounds[1:]] == [row.train_loss for row in second.record.rounds[1:]]
    assert [row.loss for row in first.record.rounds] == [row.loss for row in second.record.rounds]
    assert first.summary["perplexity"] == pytest.approx(math.exp(first.summary["loss"]))


def test_another_seed_is_another_run(scenarios):
    first, second = train(scenarios), train(scenarios, "seed=5")
    assert first.summary["trace_hash"] != second.summary["trace_hash"]
    assert first.summary["loss"] != second.summary["loss"]


def test_training_takes_no_virtual_time(scenarios):
    """A run that trains nothing has the trace of the run that does."""
    trained = train(scenarios)
    timed = world.run(load(scenarios / "four_phones.yaml"), timing_only=True)
    assert timed.summary["trace_hash"] == trained.summary["trace_hash"]
    assert timed.summary["perplexity"] is None


def test_the_network_changes_the_time_but_not_what_is_learned(scenarios):
    fast, slow = train(scenarios), train(scenarios, "network.access.lte.up=1 Mbit/s")
    assert slow.summary["virtual_s"] > fast.summary["virtual_s"] + 1
    assert slow.summary["loss"] == fast.summary["loss"]
    assert slow.summary["bytes_up"] == fast.summary["bytes_up"]


def test_grouping_for_memory_does_not_change_what_is_learned(scenarios):
    whole, groups = train(scenarios), train(scenarios, "training.memory=4 MiB")
    assert groups.summary["loss"] == pytest.approx(whole.summary["loss"], rel=1e-5)


def test_a_budget_that_one_device_s_batch_exceeds_is_refused_with_what_it_needs(scenarios):
    with pytest.raises(ValueError, match=r"training.memory must be at least 3.* MiB here.*1 x 64 needs, got 1 MiB"):
        train(scenarios, "training.memory=1 MiB")


def test_the_order_of_arrival_does_not_change_what_is_learned(scenarios):
    """The far phone's adapters come first or last; four averages in between."""
    overrides = ["training.rounds=4", "training.aggregate_every=1"]
    first = train(scenarios, *overrides)
    second = train(scenarios, *overrides, "network.access.wifi.up=200 kbit/s", "network.access.lte.up=90 Mbit/s")
    arrivals = [[row.sender for row in run.record.messages if row.kind == "adapter"] for run in (first, second)]
    assert arrivals[0] != arrivals[1]
    assert [row.loss for row in first.record.rounds] == [row.loss for row in second.record.rounds]


def test_a_run_that_diverges_says_so_and_does_not_end_well(scenarios):
    with pytest.raises(RunFailed, match=r"training diverged: .* lower training\.learning_rate"):
        train(scenarios, "training.learning_rate=1e6", "training.rounds=6")


def test_the_bytes_of_a_round_are_those_of_its_messages(scenarios):
    record = train(scenarios).record
    for row in record.rounds[1:]:
        mine = [message for message in record.messages if message.round == row.round]
        assert row.bytes_up == sum(message.size_bytes for message in mine if message.direction == "up")
        assert row.bytes_down == sum(message.size_bytes for message in mine if message.direction == "down")


def test_a_server_that_cannot_hold_its_part_is_refused_too(scenarios):
    with pytest.raises(DoesNotFit, match=r"server.*needs .* usable"):
        world.run(load(scenarios / "four_phones.yaml", ["server.profile=raspberry-pi-3b-plus"]), timing_only=True)


def test_equal_cells_are_dealt_out_in_turn_over_all_groups(scenarios):
    crew = members(load(scenarios / "100_phones.yaml"))
    cells = [member.cell for member in crew if member.cell and member.cell.startswith("lte")]
    assert sorted(cells.count(name) for name in set(cells)) == [15] * 5
    one_each = ["network.cells.tower.count=2", "devices.0.count=1", "devices.1.count=1"]
    crew = members(load(scenarios / "four_phones.yaml", one_each))
    assert [member.cell for member in crew if member.cell] == ["tower-1", "tower-2"]


def test_every_message_arrives_after_its_latency_and_its_bytes(scenarios):
    record = train(scenarios).record
    assert record.messages
    for row in record.messages:
        latency_s = 0.030 if row.sender in {"low", "mid"} or row.receiver in {"low", "mid"} else 0.005
        fastest_bps = {"up": 24e6, "down": 60e6}[row.direction] if latency_s == 0.030 else 300e6
        assert row.delivered_s - row.queued_s >= latency_s + 8 * row.size_bytes / fastest_bps
        assert row.wire_bytes >= row.size_bytes / 0.97
    assert sum(record.bytes_by_kind.values()) == record.bytes_up + record.bytes_down


def test_a_device_that_cannot_hold_its_part_is_refused_with_both_byte_counts(scenarios):
    """Pi 3B+ with 1 GB and 11 blocks of GPT-2 at 8 x 1024 positions."""
    overrides = ["devices.0.profile=raspberry-pi-3b-plus", "devices.0.split=11", "training.batch=8"]
    with pytest.raises(DoesNotFit, match=r"low.*needs .* bytes\).*usable .* bytes\)"):
        world.run(load(scenarios / "four_phones.yaml", overrides), timing_only=True)


def test_a_run_ends_at_its_horizon_and_says_who_waited(scenarios):
    with pytest.raises(HorizonReached, match="server on server.activations"):
        world.run(load(scenarios / "four_phones.yaml", ["horizon=100 ms"]), timing_only=True)


def test_a_single_device_waits_for_nobody(scenarios):
    """With one device, the server never waits for anybody else: the run is the sum of its parts."""
    overrides = ["devices=[{name: only, profile: phone-mid, count: 1, access: wifi, speed_spread: 0}]"]
    outcome = world.run(load(scenarios / "four_phones.yaml", overrides), timing_only=True)
    assert outcome.summary["blame"]["waiting"] == pytest.approx(0.0, abs=1e-9)
    assert sum(outcome.summary["blame"].values()) == pytest.approx(outcome.summary["virtual_s"], rel=1e-9)
