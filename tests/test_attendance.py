"""Devices that come and go: what it does to messages, to training, to rounds and to the clock."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netmodels.capacity import Constant, Steps
from netmodels.network import Network
from netmodels.tcp import MODELS
from netmodels.topology import Pipe, Topology
from simulator import clock, fleet, world
from simulator.clock import Deadlock
from simulator.messages import Message
from simulator.numerics import TimingOnly
from simulator.presence import Habits, Presence
from simulator.record import Record
from simulator.scenario import ScenarioError, load
from simulator.transport import HUNG_UP, SimulatedTransport

SCENARIOS = Path(__file__).parents[1] / "scenarios"
PHONES = ("low", "mid", "high-1", "high-2")


def run(scenarios, *overrides, name="four_phones", timing_only=True):
    return world.run(load(scenarios / f"{name}.yaml", overrides), timing_only=timing_only)


def there(tmp_path, name, *spans):
    """Overrides of two_devices.yaml: the second device is there in these spans only."""
    path = tmp_path / f"{name}.csv"
    path.write_text("device,from_s,to_s\n" + "".join(f"{name},{a},{b}\n" for a, b in spans))
    return [f"availability={{{name}: {{trace: {path}}}}}", f"devices.1.availability={name}"]


def parts_sum(outcome):
    return sum(outcome.summary["blame"].values())


# --- a phone that leaves in the middle of an upload, on paper: two_devices.yaml, where ``far`` sends from 2 to 300 ms


def test_a_phone_that_leaves_in_the_middle_of_an_upload_stops_sending_at_that_instant(scenarios, tmp_path):
    outcome = run(scenarios, *there(tmp_path, "far", (0, 0.15), (1e6, 2e6)), name="two_devices")
    cut = [row for row in outcome.record.messages if row.outcome == "cancelled"]
    assert [(row.sender, row.kind, row.sent_s) for row in cut] == [("far", "activations", 0.15)]
    assert math.isnan(cut[0].delivered_s)
    assert outcome.summary["bytes_up"] == sum(
        row.size_bytes for row in outcome.record.messages if row.sender == "near" and row.outcome == "delivered"
    )


def test_the_server_goes_on_at_that_instant_with_those_who_are_there(scenarios, tmp_path):
    whole = run(scenarios, name="two_devices")
    outcome = run(scenarios, *there(tmp_path, "far", (0, 0.15), (1e6, 2e6)), name="two_devices")
    step = next(row for row in outcome.record.computes if row.actor == "server")
    of_both = next(row for row in whole.record.computes if row.actor == "server")
    assert step.start_s == 0.15
    assert step.flops == of_both.flops / 2
    first, second = outcome.record.rounds[1:]
    assert (first.participants, first.dropped, first.slowest) == (2, 1, "near")
    assert (second.participants, second.dropped) == (1, 0)
    assert parts_sum(outcome) == pytest.approx(outcome.summary["virtual_s"], rel=1e-12)


def test_a_phone_that_comes_back_takes_the_global_adapter_first(scenarios, tmp_path):
    """It is back at 0.16 s, in the middle of round 1, and joins when round 2 opens; two averages follow."""
    overrides = ["training.rounds=4", "training.aggregate_every=2"]
    outcome = run(scenarios, *there(tmp_path, "far", (0, 0.15), (0.16, 1e6)), *overrides, name="two_devices")
    record, opened_s = outcome.record, outcome.record.rounds[2].start_s
    taken = [row for row in record.messages if row.sender == "aggregator" and row.receiver == "far" and row.round == 2]
    sizes = {row.size_bytes for row in record.messages if row.kind == "adapter"}
    assert len(sizes) == 1
    assert taken[0].queued_s == opened_s
    forward = next(row for row in record.computes if row.actor == "far" and row.round == 2)
    assert forward.start_s == taken[0].delivered_s
    assert len(taken) == 2  # and the average of round 2 like everybody else
    assert [row.participants for row in record.rounds[1:]] == [2, 2, 2, 2]
    assert [row.dropped for row in record.rounds[1:]] == [1, 0, 0, 0]


def test_a_computation_that_is_broken_off_counts_for_as_long_as_it_took(scenarios, tmp_path):
    outcome = run(scenarios, *there(tmp_path, "far", (0, 0.001), (1e6, 2e6)), name="two_devices")
    whole = run(scenarios, name="two_devices")
    broken, done = (next(row for row in each.record.computes if row.actor == "far") for each in (outcome, whole))
    assert (broken.start_s, broken.end_s) == (0.0, 0.001)
    assert broken.flops == pytest.approx(done.flops * 0.001 / done.end_s, rel=1e-12)


# --- nobody there


def test_when_nobody_is_there_the_round_waits_for_the_next_device_and_blames_availability(scenarios, tmp_path):
    path = tmp_path / "both.csv"
    path.write_text("device,from_s,to_s\na,0,0.2\na,7,1e6\n")
    both = [f"availability={{x: {{trace: {path}}}}}", "devices.0.availability=x", "devices.1.availability=x"]
    outcome = run(scenarios, *both, name="two_devices")
    assert [(row.round, row.start_s, row.end_s) for row in outcome.record.waits] == [(2, 0.2, 7.0)]
    assert [row.dropped for row in outcome.record.rounds[1:]] == [2, 0]
    blame = outcome.summary["blame"]
    assert blame["availability"] == pytest.approx(6.8, abs=1e-12)
    assert parts_sum(outcome) == pytest.approx(outcome.summary["virtual_s"], abs=1e-9)


def test_when_nobody_will_ever_be_there_again_the_run_ends_and_names_who_waits(scenarios, tmp_path):
    path = tmp_path / "both.csv"
    path.write_text("device,from_s,to_s\na,0,0.2\n")
    both = [f"availability={{x: {{trace: {path}}}}}", "devices.0.availability=x", "devices.1.availability=x"]
    with pytest.raises(Deadlock, match=r"aggregator on aggregator\.adapter, server on server\.activations"):
        run(scenarios, *both, name="two_devices")


# --- time-outs


def test_a_round_that_takes_too_long_goes_on_without_those_who_have_not_finished(scenarios):
    """far needs 463 ms, near about 50 ms: with a second of uploads for far, the round ends at its time-out of 0.4 s."""
    overrides = ["training.timeout=400 ms", "network.access.slow.up=100 kbit/s"]
    outcome = run(scenarios, *overrides, name="two_devices")
    first, second = outcome.record.rounds[1:]
    assert (first.end_s, first.participants, first.dropped) == (0.4, 2, 2)
    assert first.slowest == "far"
    assert (second.end_s, second.dropped) == (0.8, 2)
    assert math.isnan(first.train_loss)
    assert parts_sum(outcome) == pytest.approx(0.8, abs=1e-9)


def test_a_time_out_that_nobody_reaches_changes_nothing(scenarios):
    assert run(scenarios, "training.timeout=1 h").summary["trace_hash"] == run(scenarios).summary["trace_hash"]


def dies_at(when_s, scenarios, monkeypatch, *overrides):
    """two_devices.yaml, where the far device's uplink has no capacity from an instant on, for ever."""
    real = fleet.access_pipes

    def pipes(scenario, group):
        make = real(scenario, group)
        if group.name != "far":
            return make
        return lambda number: replace(make(number), up=Steps((0.0, when_s), (1e6, 0.0)))

    monkeypatch.setattr(fleet, "access_pipes", pipes)
    return run(scenarios, *overrides, name="two_devices")


def test_a_permanent_outage_ends_in_the_time_out(scenarios, monkeypatch):
    outcome = dies_at(0.2, scenarios, monkeypatch, "training.timeout=5 s", "training.rounds=3")
    assert [row.end_s for row in outcome.record.rounds[1:]] == [5.0, 10.0, 15.0]
    assert [row.dropped for row in outcome.record.rounds[1:]] == [2, 2, 2]  # near waits for the server in vain
    assert parts_sum(outcome) == pytest.approx(15.0, abs=1e-9)


def test_a_permanent_outage_without_a_time_out_is_a_deadlock_that_names_who_waits(scenarios, monkeypatch):
    with pytest.raises(Deadlock, match=r"near on near\.gradients, server on server\.activations"):
        dies_at(0.2, scenarios, monkeypatch)


# --- dropouts


OFTEN = ["training.rounds=6", "availability={a: {dropouts_per_hour: 3000}}"]
OFTEN += [f"devices.{group}.availability=a" for group in range(3)]


class Watched(TimingOnly):
    """Checks what the engine is told: whoever has left is neither stepped, nor updated, nor averaged."""

    def __init__(self, **shape):
        super().__init__(**shape)
        self.here, self.stepped, self.left = set(), set(), 0

    def join(self, device):
        assert device not in self.here
        self.here.add(device)

    def leave(self, device):
        self.here.remove(device)
        self.stepped = {each for each in self.stepped if each[0] != device}
        self.left += 1

    def server_step(self, tickets):
        assert tickets
        assert {ticket.device for ticket in tickets} <= self.here
        self.stepped |= {(ticket.device, ticket.round) for ticket in tickets}
        return super().server_step(tickets)

    def backward(self, ticket):
        assert ticket.device in self.here
        self.stepped.remove((ticket.device, ticket.round))

    def aggregate(self, devices, weights):
        assert devices
        assert set(devices) <= self.here
        assert len(devices) == len(weights)


def test_updates_that_were_dropped_are_never_trained(scenarios, monkeypatch):
    made = []
    monkeypatch.setattr(world, "TimingOnly", lambda **shape: made.append(Watched(**shape)) or made[-1])
    outcome = run(scenarios, *OFTEN, "training.rounds=40", "training.timeout=1.5 s")
    assert made[0].left == outcome.summary["dropped"] > 20


def test_rounds_count_those_who_began_them_and_those_who_did_not_finish(scenarios):
    record = run(scenarios, *OFTEN).record
    for row in record.rounds[1:]:
        began = {each.actor for each in record.computes if each.round == row.round and each.actor in PHONES}
        assert row.participants >= len(began)  # one may have gone while it was taking the adapter
        updated = [each for each in record.computes if each.round == row.round and each.what == "client backward"]
        assert row.participants - row.dropped <= len(updated)
    assert record.rounds[-1].dropped == record.rounds[-1].participants - 1


def test_training_takes_no_virtual_time_when_devices_drop_out(scenarios):
    short = [*OFTEN, "training.rounds=5", "training.participants=3", "data.validation_samples=8"]
    timed, trained = run(scenarios, *short), run(scenarios, *short, timing_only=False)
    assert timed.summary["trace_hash"] == trained.summary["trace_hash"]
    assert trained.summary["loss"] < trained.record.rounds[0].loss


def test_when_a_device_drops_out_of_a_round_depends_on_nobody_else_and_on_no_other_round():
    small, large = (Presence(size, Habits(dropouts_per_hour=lambda _: 2.0), seed=3) for size in (3, 1000))
    large.leaves_s(7, 1, 0.0)
    assert small.leaves_s(2, 5, 100.0) == large.leaves_s(2, 5, 100.0)
    assert small.leaves_s(2, 5, 100.0) - 100.0 == pytest.approx(small.leaves_s(2, 5, 0.0), rel=1e-9)
    assert small.leaves_s(2, 6, 0.0) != small.leaves_s(2, 5, 0.0)


@settings(max_examples=25)
@given(
    st.integers(1, 1000),
    st.floats(0.2, 20),
    st.floats(0.2, 20),
    st.floats(0, 3000),
    st.sampled_from(["null", "0.7 s", "3 s"]),
    st.sampled_from(["null", "1", "3"]),
)
def test_whatever_comes_and_goes_the_parts_sum_to_the_time_and_equal_seeds_give_equal_traces(
    seed, on_s, off_s, per_hour, timeout, participants
):
    scenarios = SCENARIOS
    overrides = [
        f"seed={seed}",
        "training.rounds=6",
        f"training.timeout={timeout}",
        f"training.participants={participants}",
        f"availability={{a: {{sessions: {{on: {on_s} s, off: {off_s} s}}, dropouts_per_hour: {per_hour}}}}}",
        *(f"devices.{group}.availability=a" for group in range(3)),
    ]
    outcome = run(scenarios, *overrides)
    assert parts_sum(outcome) == pytest.approx(outcome.summary["virtual_s"], abs=1e-9)
    assert all(seconds >= 0 for seconds in outcome.summary["blame"].values())
    rows = outcome.record.rounds
    assert [row.round for row in rows] == list(range(7))
    assert all(0 <= row.dropped <= row.participants >= 1 for row in rows[1:])
    assert all(before.end_s == after.start_s for before, after in pairwise(rows))
    waited = sum(row.end_s - row.start_s for row in outcome.record.waits)
    assert outcome.summary["blame"]["availability"] == pytest.approx(waited, abs=1e-9)
    assert run(scenarios, *overrides).summary["trace_hash"] == outcome.summary["trace_hash"]


# --- partial participation


def test_devices_are_drawn_anew_after_each_average_and_stay_until_then(scenarios):
    record = run(scenarios, "training.rounds=12", "training.participants=2", "training.aggregate_every=3").record
    who = [
        {row.actor for row in record.computes if row.round == round and row.actor in PHONES} for round in range(1, 13)
    ]
    assert all(len(each) == 2 for each in who)
    cohorts = [who[at] for at in range(0, 12, 3)]
    assert who == [cohort for cohort in cohorts for _ in range(3)]
    assert len({frozenset(cohort) for cohort in cohorts}) > 1
    assert [row.participants for row in record.rounds[1:]] == [2] * 12


def test_an_average_goes_to_those_who_are_drawn_next_and_not_to_those_who_leave(scenarios):
    record = run(scenarios, "training.rounds=12", "training.participants=2", "training.aggregate_every=3").record
    whole = max(row.size_bytes for row in record.messages if row.kind == "adapter")
    for opening in (1, 4, 7, 10):
        members = {row.actor for row in record.computes if row.round == opening and row.actor in PHONES}
        taken = {row.receiver for row in record.messages if row.sender == "aggregator" and row.round == opening}
        assert taken == (set() if opening == 1 else members)
        thanks = [row for row in record.messages if row.sender == "aggregator" and row.round == opening + 2]
        assert {row.receiver for row in thanks} == members
        assert all(row.size_bytes < 100 < whole for row in thanks)


def test_everybody_drawn_is_the_run_without_a_draw(scenarios):
    assert run(scenarios, "training.participants=4").summary["trace_hash"] == run(scenarios).summary["trace_hash"]


def test_more_participants_than_devices_are_refused(scenarios):
    with pytest.raises(ScenarioError, match=r"training.participants: must be at most the number of devices, 4, got 5"):
        load(scenarios / "four_phones.yaml", ["training.participants=5"])


# --- connections


def small_network():
    pipe = Pipe(Constant(8e6), Constant(8e6), 0.25)
    wide = Pipe(Constant(1e12), Constant(1e12), 0.0)
    routes = Topology({"a": pipe, "b": pipe}, {}, {}, None, wide, wide)
    record = Record()
    return SimulatedTransport(Network(routes.links, MODELS["tcp"]), routes, record), record


def message(sender, receiver, kind="activations"):
    return Message(sender=sender, receiver=receiver, kind=kind, round=1, size_bytes=1_000_000)


def test_what_is_under_way_is_lost_when_a_device_hangs_up_and_its_peers_are_told():
    transport, record = small_network()

    async def main():
        sending = asyncio.create_task(transport.send(message("a", "server")))
        reply = asyncio.create_task(transport.send(message("server", "a", "gradients")))
        waiting = asyncio.create_task(transport.receive("server", "activations"))
        await asyncio.sleep(0.9)
        transport.hang_up("a")
        sending.cancel()
        await reply  # returns at once
        assert (await waiting).payload is HUNG_UP
        await transport.send(message("server", "a", "gradients"))  # to nobody: takes no time
        return clock.now()

    assert clock.run(main()) == 0.9
    assert [(row.sender, row.sent_s, row.outcome) for row in record.messages] == [
        ("a", 0.9, "cancelled"),
        ("server", 0.9, "cancelled"),
    ]


def test_a_posted_message_leaves_and_arrives_as_one_that_is_sent_but_nobody_waits():
    """The row is the same; the sender of the one has gone on at once, that of the other when its last bit had left."""

    def rows(how):
        transport, record = small_network()

        async def main():
            waiting = asyncio.create_task(transport.receive("server", "activations"))
            await how(transport)
            gone_on_s = clock.now()
            await waiting
            return gone_on_s

        return clock.run(main()), record.messages

    async def post(transport):
        transport.post(message("a", "server"))

    gone_on_s, posted = rows(post)
    left_s, sent = rows(lambda transport: transport.send(message("a", "server")))
    assert posted == sent
    assert (gone_on_s, left_s) == (0.0, sent[0].sent_s)


def test_what_is_posted_is_lost_when_its_receiver_hangs_up_or_has_done_so_before():
    transport, record = small_network()

    async def main():
        transport.post(message("server", "a", "gradients"))
        await asyncio.sleep(0.9)
        transport.hang_up("a")
        transport.post(message("server", "a", "gradients"))
        await asyncio.sleep(10)

    clock.run(main())
    assert [(row.receiver, row.sent_s, row.outcome) for row in record.messages] == [("a", 0.9, "cancelled")]


def test_a_sender_may_give_up_at_the_instant_at_which_its_receiver_hangs_up():
    transport, record = small_network()

    async def main():
        sending = asyncio.create_task(transport.send(message("server", "a", "gradients")))
        await asyncio.sleep(0.9)
        sending.cancel()
        transport.hang_up("a")
        await asyncio.wait([sending])
        assert sending.cancelled()

    clock.run(main())
    assert [(row.receiver, row.sent_s, row.outcome) for row in record.messages] == [("a", 0.9, "cancelled")]


def test_sends_that_are_cut_off_leave_nothing_behind():
    """Whoever hangs up often, in a long run, must not fill the memory."""
    transport, record = small_network()

    async def main():
        for way in (("a", "server"), ("server", "a")) * 3:
            sending = asyncio.create_task(transport.send(message(*way)))
            await asyncio.sleep(0.9)
            transport.hang_up("a")
            sending.cancel()
            await asyncio.sleep(10)
            transport.connect("a")

    clock.run(main())
    assert [row.outcome for row in record.messages] == ["cancelled"] * 6
    assert not transport._arrivals.watched
    assert not transport._under_way


def test_a_message_whose_last_bit_has_left_is_lost_too_if_an_end_hangs_up_before_it_arrives():
    transport, record = small_network()

    async def main():
        await transport.send(message("a", "server"))
        transport.hang_up("a")
        transport.connect("a")
        await transport.send(message("a", "server"))
        await transport.receive("server", "activations")

    clock.run(main())
    assert [row.outcome for row in record.messages] == ["cancelled", "delivered"]


def test_whoever_has_finished_goes_on_at_once_and_its_messages_count_in_the_next_round(scenarios):
    outcome = run(scenarios, "training.aggregate_every=2", "training.rounds=2")
    end_s = outcome.record.rounds[1].end_s
    up = [row for row in outcome.record.messages if row.direction == "up"]
    assert any(row.round == 2 and row.delivered_s < end_s for row in up)
    for number in (1, 2):
        assert outcome.record.rounds[number].bytes_up == sum(row.size_bytes for row in up if row.round == number)


def test_a_device_that_comes_back_shakes_hands_again():
    transport, record = small_network()

    async def main():
        for again in (False, False, True):
            if again:
                transport.hang_up("a")
                transport.connect("a")
            await transport.send(message("a", "server"))
            await asyncio.sleep(0.3)

    clock.run(main())
    first_s, warm_s, cold_s = (row.delivered_s - row.queued_s for row in record.messages)
    assert cold_s == pytest.approx(first_s, rel=1e-12)
    assert warm_s < cold_s - 0.5  # a round trip of hands and more of slow start
