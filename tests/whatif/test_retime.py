"""A retimed run is the run that real training with those settings gives: times, losses, trace hash."""

from __future__ import annotations

from itertools import chain

import pytest

from simulator import world
from simulator.algorithms import ALGORITHMS
from simulator.scenario import load
from simulator.scenario.code import allowed
from simulator.whatif.retime import Diverged, retime_scenario
from simulator.whatif.tape import Recorder, training_key

CHANGES: dict[str, list[str]] = {
    "links": ["network.access.lte.up=2 Mbit/s", "network.cells.tower.capacity=3 Mbit/s"],
    "latency": ["network.access.wifi.latency=400 ms"],
    "devices": ["devices.0.profile=phone-mid", "devices.2.profile=raspberry-pi-5", "devices.1.jitter=0.4"],
    "server": ["server.profile=laptop", "server.speed=0.3", "server.count=2"],
    "aggregator": ["aggregator.profile=raspberry-pi-4"],
    "pure": ["network.model=pure"],
    "weighed as itself": ["model.timed_as=null"],
    "availability": [  # all come at six and stay: the first round opens later
        "availability={late: {charging: {start: 6 h, end: 5 h}}}", "starts_at=5 h",
        *(f"devices.{group}.availability=late" for group in range(3)),
    ],
}  # fmt: skip
QUICK = (
    "training.rounds=3",
    "training.aggregate_every=2",
    "training.tokens=32",
    "data.labels=all",
    "data.validation_samples=8",
)
FIRST_COME = "splitlora-queued"  # the order in which batches come decides what is learned


def rows(outcome: world.Outcome) -> list[tuple[object, ...]]:
    """The rounds with every bit of their losses and times; nan is equal to nan in a text."""
    return [tuple(map(repr, row)) for row in outcome.record.rounds]


def assert_exact(trained, scenario_of, settings: tuple[str, ...], changes: list[str]) -> None:
    """Retimed with these changes and trained anew with them are one and the same."""
    before, tape = trained(*settings)
    real, _ = trained(*settings, *changes)
    retimed = retime_scenario(scenario_of(*settings, *changes), tape)
    assert retimed.summary["trace_hash"] == real.summary["trace_hash"] != before.summary["trace_hash"]
    assert rows(retimed) == rows(real)
    assert retimed.summary["perplexity"] == real.summary["perplexity"] == before.summary["perplexity"]
    assert retimed.summary["blame"] == real.summary["blame"]


@pytest.mark.parametrize("change", CHANGES)
def test_a_retimed_run_is_the_run_that_training_would_have_been(change, trained, scenario_of):
    assert_exact(trained, scenario_of, QUICK, CHANGES[change])


@pytest.mark.parametrize("algorithm", sorted(set(ALGORITHMS) - {FIRST_COME, "splitlora"}))
def test_whatever_the_synchronous_algorithm_a_retimed_run_is_exact(algorithm, trained, scenario_of):
    """Links, devices, machines, the network's model and availability, all changed at once."""
    assert_exact(trained, scenario_of, (f"algorithm={algorithm}", *QUICK), [*chain(*CHANGES.values())])


HARSH = {
    "dropouts": [
        "availability={weak: {dropouts_per_hour: 1200}}", *(f"devices.{group}.availability=weak" for group in range(3)),
    ],
    "drawn": ["training.participants=2"],
    "first": ["training.wait=first", "training.first=3"],
}  # fmt: skip


def test_batches_that_are_as_long_as_the_data_are_replayed_without_the_data(trained, scenario_of, monkeypatch):
    settings = (*QUICK, "data.padding=longest", "training.batch=2")
    trained(*settings, *CHANGES["links"])
    trained(*settings)
    monkeypatch.setattr("simulator.training.crowd.data_of", None)
    assert_exact(trained, scenario_of, settings, CHANGES["links"])


@pytest.mark.parametrize(
    ("algorithm", "hardship"),
    [("splitlora", "drawn"), ("splitlora", "dropouts"), ("fedlora", "dropouts"), ("sequential", "first")],
)
def test_devices_that_come_and_go_are_replayed_too(algorithm, hardship, trained, scenario_of):
    """Where the change leaves alone who comes and goes: here it is the horizon."""
    settings = (f"algorithm={algorithm}", *QUICK, "training.rounds=6", *HARSH[hardship])
    real, tape = trained(*settings)
    retimed = retime_scenario(scenario_of(*settings, "horizon=100 h"), tape)
    assert any(row.participants < 4 or row.dropped for row in real.record.rounds[1:])
    assert retimed.summary["trace_hash"] == real.summary["trace_hash"]
    assert rows(retimed) == rows(real)


def test_an_algorithm_of_one_s_own_is_retimed_and_its_file_counts_by_its_content(scenarios, tmp_path):
    settings = ["training.rounds=3", "training.participants=3", "data.validation_samples=8"]
    with allowed(lambda _: None):
        path = scenarios / "extending" / "frozen.yaml"
        recorder = Recorder()
        world.run(load(path, settings), learner=recorder)
        faster = [*settings, "network.cells.lte.capacity=20 Mbit/s", "server.profile=laptop"]
        real, retimed = world.run(load(path, faster)), retime_scenario(load(path, faster), recorder.tape)
        assert retimed.summary["trace_hash"] == real.summary["trace_hash"]
        assert rows(retimed) == rows(real)
        other = tmp_path / "frozen.py"
        other.write_text((path.parent / "frozen.py").read_text())
        assert training_key(load(path, [*settings, f"algorithm={other}"])) == training_key(load(path, settings))
        other.write_text(other.read_text() + "# changed")
        assert training_key(load(path, [*settings, f"algorithm={other}"])) != training_key(load(path, settings))


def test_a_queue_that_keeps_its_order_is_retimed_exactly(trained, scenario_of):
    settings = (f"algorithm={FIRST_COME}", *QUICK, "server.queue=device", "server.window=20 s")
    assert_exact(trained, scenario_of, settings, CHANGES["server"])


def test_a_device_that_is_given_up_stops_the_replay_at_the_first_evaluation_without_it(trained, scenario_of):
    before, tape = trained(*QUICK)
    first = before.record.rounds[1]
    late = f"training.timeout={first.end_s - 0.001:.6f} s"
    with pytest.raises(Diverged) as told:
        retime_scenario(scenario_of(*QUICK, late), tape)
    who = first.slowest
    assert str(told.value) == (
        f"round 1: the evaluation is without {who}, which the recorded run had: dropped out in round 1"
    )


def test_what_came_first_is_told_where_the_difference_is_felt_only_later(trained, scenario_of):
    """Nobody evaluates before the last round, and nobody keeps the time in the rounds between."""
    settings = (*QUICK, "training.evaluate_every=3")
    before, tape = trained(*settings)
    first = before.record.rounds[1]
    late = f"training.timeout={first.end_s - 0.001:.6f} s"
    with pytest.raises(Diverged) as told:
        retime_scenario(scenario_of(*settings, late), tape)
    who = first.slowest
    assert str(told.value) == (
        f"round 3: the evaluation is without low, mid, high-1, high-2, which the recorded run had: {who} dropped out "
        f"in round 1; in the recorded run it had its gradients back in round 1"
    )


def test_a_queue_in_another_order_stops_the_replay(trained, scenario_of):
    settings = (f"algorithm={FIRST_COME}", *QUICK)
    _, tape = trained(*settings)
    with pytest.raises(Diverged, match=r"round 1: the server's step is with .* where the recorded run had "):
        retime_scenario(scenario_of(*settings, "network.access.wifi.up=100 kbit/s"), tape)


def test_a_tape_of_other_training_is_refused_before_anything_runs(trained, scenario_of):
    _, tape = trained(*QUICK)
    with pytest.raises(ValueError, match="the tape is that of other training"):
        retime_scenario(scenario_of(*QUICK, "training.learning_rate=1e-4"), tape)
