"""The tape: keys that know no clock, a file that is nothing but data."""

from __future__ import annotations

import dataclasses
import math

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.numerics import Loss, Ticket
from simulator.numerics.divergence import reason
from simulator.numerics.history import History
from simulator.numerics.tape import Diverged, Recording, Replay, Tape
from simulator.whatif.tape import read_tape, training_key, training_settings


def ticket(device: int, round: int = 1) -> Ticket:
    return Ticket(device, round, 1, 8)


class Counting:
    """Numerics whose every loss is another number."""

    def __init__(self):
        self.asked = 0

    def __getattr__(self, verb):
        return lambda *_: None

    def forward(self, device, round) -> Ticket:
        return Ticket(device, round, 1, 8 + device)

    def _next(self) -> Loss:
        self.asked += 1
        return Loss(1 / self.asked, 7)

    def server_step(self, tickets) -> Loss:
        return self._next()

    def evaluate(self) -> Loss:
        return self._next()


def play(numerics, *, order=(0, 1, 2), leaves=None, rounds=2) -> list[Loss]:
    """Rounds of three devices; their tickets and gradients come in that order."""
    losses = [numerics.evaluate()]
    for device in order:
        numerics.join(device)
    for round in range(1, rounds + 1):
        here = [device for device in order if (device, round) != leaves]
        for device in order:
            numerics.forward(device, round)
        if len(here) < len(order):
            numerics.leave(leaves[0])
        losses.append(numerics.server_step([ticket(device, round) for device in here]))
        for device in here:
            numerics.backward(ticket(device, round))
        numerics.aggregate(here, [1.0 + device for device in here])
        losses.append(numerics.evaluate())
    return losses


def tape_of(**how) -> Tape:
    recording = Recording(Counting(), "this", [1.0, 2.0, 3.0])
    play(recording, **how)
    return recording.tape


def replay(tape: Tape, **how) -> list[Loss]:
    replayed = Replay(tape, sequences=1, tokens=None, name=lambda device: f"phone-{device}")
    return play(replayed, **how)


def test_a_replay_gives_the_recorded_losses_to_the_last_bit():
    recording = Recording(Counting(), "this", [1.0, 2.0, 3.0])
    losses = play(recording)
    assert replay(Tape.from_bytes(recording.tape.to_bytes())) == losses
    assert len(set(losses)) == 5


@given(st.permutations([0, 1, 2]))
def test_the_order_in_which_devices_come_and_go_within_a_round_is_no_part_of_a_key(order):
    assert replay(tape_of(), order=order) == replay(tape_of())


def test_the_order_of_server_steps_is_part_of_their_keys():
    first, second = History(b"root"), History(b"root")
    keys = [first.server_step([ticket(0)]), first.server_step([ticket(1)])]
    assert not {second.server_step([ticket(1)]), second.server_step([ticket(0)])} & set(keys)


def test_what_follows_from_another_history_has_another_key():
    """One by one: a round more, another device, gradients that came back, a weight, a device that has left."""

    def last(*, lost: bool = False, weight: float = 1.0, again: bool = False, who: int = 0) -> bytes:
        history = History(b"root")
        history.join(who)
        history.server_step([ticket(who)])
        if not lost:
            history.backward(ticket(who))
        history.aggregate([who], [weight])
        if again:
            history.leave(who)
            history.join(who)
        return history.evaluate()

    keys = {last(), last(lost=True), last(weight=2.0), last(again=True), last(who=1)}
    assert len(keys) == 5


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        (
            {"leaves": (2, 2)},
            "round 2: the server's step is without phone-2, which the recorded run had: dropped out in round 2",
        ),
        (
            {"rounds": 3},
            "round 3: phone-0 takes part, which it did not in the recorded run; so how long its batch is was not "
            "recorded",
        ),
        ({"order": (0, 1)}, "round 1: the server's step is without phone-2, which the recorded run had"),
        (
            {"order": (0, 1, 2, 3)},
            "round 1: phone-3 takes part, which it did not in the recorded run; so how long its batch is was not "
            "recorded",
        ),
    ],
)
def test_a_replay_that_leaves_the_tape_says_where_and_why(how, sentence):
    with pytest.raises(Diverged) as told:
        replay(tape_of(), **how)
    assert str(told.value) == sentence


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"rounds": 3}, "round 3: the server's step is not in the recorded run, which ended before it"),
        ({"order": (0, 1, 2, 3)}, "round 1: the server's step is with phone-3, which the recorded run did not have"),
    ],
)
def test_where_all_batches_are_of_one_length_the_first_step_tells(how, sentence):
    with pytest.raises(Diverged) as told:
        play(Replay(tape_of(), sequences=1, tokens=8, name=lambda device: f"phone-{device}"), **how)
    assert str(told.value) == sentence


def test_how_long_a_batch_is_is_recorded_where_that_depends_on_the_data():
    recording = Recording(Counting(), "this", [1.0, 2.0, 3.0])
    play(recording)
    lengths = Tape.from_bytes(recording.tape.to_bytes()).lengths
    assert lengths == {(device, round): 8 + device for device in range(3) for round in (1, 2)}
    known = Recording(Counting(), "this", [1.0, 2.0, 3.0], tokens=8)
    play(known)
    assert not known.tape.lengths


def test_a_device_that_lost_its_gradients_is_named_when_that_is_first_felt():
    """It was in the step of round 1, as recorded; only its adapters are not those of the recorded run."""
    recorded, now = History(b"root"), History(b"root")
    for history in (recorded, now):
        history.join(3)
        history.join(4)
        history.server_step([ticket(3), ticket(4)])
        history.backward(ticket(3))
    recorded.backward(ticket(4))
    now.forward(4, 1)
    now.leave(4)
    now.join(4)
    for history in (recorded, now):
        history.server_step([ticket(3, 2), ticket(4, 2)])
    assert reason(recorded.events, now.events, lambda device: f"phone-{device}") == (
        "round 2: the server's step is on other adapters: phone-4 dropped out in round 1; "
        "in the recorded run it had its gradients back in round 1"
    )


def test_a_queue_in_another_order_is_told_as_such():
    recorded, now = History(b"root"), History(b"root")
    recorded.server_step([ticket(0)])
    now.server_step([ticket(1)])
    assert reason(recorded.events, now.events, str) == (
        "round 1: the server's step is with 1 where the recorded run had 0"
    )


def test_whoever_has_gone_on_before_an_evaluation_that_came_first_is_named():
    recorded, now = History(b"root"), History(b"root")
    for history in (recorded, now):
        for device in (3, 4):
            history.forward(device, 1)
            history.server_step([ticket(device)])
            history.backward(ticket(device))
        if history is now:
            history.server_step([ticket(3, 2)])
        history.evaluate()
    recorded.server_step([ticket(3, 2)])
    assert reason(recorded.events, now.events, lambda device: f"phone-{device}") == (
        "round 1: the evaluation comes after phone-3 was in the server's step in round 2, which came later in the "
        "recorded run"
    )


def test_a_tape_of_another_version_is_refused():
    envelope = msgpack.unpackb(tape_of().to_bytes())
    with pytest.raises(ValueError, match="is a tape of version 3, and this splitwire reads version 2"):
        Tape.from_bytes(msgpack.packb({**envelope, "tape": 3}))


def test_a_tape_with_one_bit_changed_is_refused():
    envelope = msgpack.unpackb(tape_of().to_bytes())
    content = bytearray(envelope["content"])
    content[-1] ^= 1
    with pytest.raises(ValueError, match="is damaged: its hash is not that of its content"):
        Tape.from_bytes(msgpack.packb({**envelope, "content": bytes(content)}))


@given(st.data())
def test_corrupted_bytes_are_refused_or_change_nothing(data):
    """Bytes overwritten, cut off or added: ValueError, or the very same tape."""
    whole = tape_of()
    changed = bytearray(whole.to_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(changed[: data.draw(st.integers(0, len(changed)))]) + data.draw(st.binary(max_size=4))
    try:
        found = Tape.from_bytes(cut)
    except ValueError:
        return
    assert found == dataclasses.replace(whole, weights=list(whole.weights))


FIELDS = [
    "training",
    "made_by",
    "weights",
    "keys",
    "means",
    "positions",
    "kinds",
    "rounds",
    "counts",
    "devices",
    "batches",
]


def sealed(content: bytes) -> bytes:
    """A file whose hash is right, as somebody with bad intentions would make it."""
    from simulator.numerics.tape import VERSION, _digest

    return msgpack.packb({"tape": VERSION, "hash": _digest(content), "content": content})


@given(st.binary(max_size=200) | st.dictionaries(st.sampled_from(FIELDS), st.binary(max_size=40)).map(msgpack.packb))
def test_hostile_content_behind_a_right_hash_never_gives_anything_but_a_value_error(content):
    with pytest.raises(ValueError, match="is "):
        Tape.from_bytes(sealed(content))


@given(
    st.fixed_dictionaries(
        {name: st.text(max_size=4) if name in ("training", "made_by") else st.binary(max_size=48) for name in FIELDS}
    )
)
def test_parts_that_do_not_belong_together_are_refused_and_others_make_a_sound_tape(content):
    try:
        tape = Tape.from_bytes(sealed(msgpack.packb(content)))
    except ValueError:
        return
    assert tape.made_by.isprintable()
    assert all(0 <= device < len(tape.weights) for event in tape.events for device in event.devices)


def test_nested_lists_maps_and_extensions_are_no_tape():
    for content in ([[]] * 9, {"training": {"a": 1}}, msgpack.Timestamp(1), {"training": msgpack.ExtType(5, b"x")}):
        with pytest.raises(ValueError, match="is not a tape"):
            Tape.from_bytes(sealed(msgpack.packb(content)))
    with pytest.raises(ValueError, match="is not a tape"):
        Tape.from_bytes(b"\x91" * 100_000)


def test_a_loss_that_is_no_number_survives_the_file():
    recording = Recording(Counting(), "this", [1.0])
    recording._losses[b"k" * 16] = Loss(math.nan, 0)
    found = Tape.from_bytes(recording.tape.to_bytes()).losses[b"k" * 16]
    assert math.isnan(found.mean)
    assert found.positions == 0


def test_a_refused_file_is_named(tmp_path):
    path = tmp_path / "tape.msgpack"
    path.write_bytes(b"not a tape")
    with pytest.raises(ValueError, match=f"^{path} is not a tape"):
        read_tape(path)


SAME = [
    "network.access.lte.up=1 Mbit/s", "network.model=pure", "devices.1.profile=phone-low", "devices.1.jitter=0.5",
    "server.profile=laptop", "aggregator.profile=raspberry-pi-4", "training.timeout=1 h", "model.timed_as=null",
    "memory.attention=fused", "name=other", "study={seeds: [1, 2]}",
]  # fmt: skip
OTHER = [
    "training.learning_rate=1e-3", "lora.rank=4", "model.split=2", "devices.2.split=4", "devices.2.count=3", "seed=5",
    "data.samples_per_device=9", "training.batch=2", "algorithm=splitlora-queued", "training.threads=1",
    "training.rounds=3",
]  # fmt: skip


@pytest.mark.parametrize("override", SAME)
def test_what_decides_about_times_only_is_no_part_of_the_training_key(override, scenario_of):
    assert training_key(scenario_of(override)) == training_key(scenario_of())


def test_the_split_decides_about_times_only_where_every_device_trains_a_whole_copy(scenario_of):
    for algorithm, same in (("splitlora", False), ("splitfed-v1", True), ("fedlora", True), ("centralized", True)):
        keys = {training_key(scenario_of(f"algorithm={algorithm}", f"model.split={split}")) for split in (2, 4)}
        assert (len(keys) == 1) is same, algorithm


@pytest.mark.parametrize("override", OTHER)
def test_what_decides_about_training_is_part_of_the_training_key(override, scenario_of):
    assert training_key(scenario_of(override)) != training_key(scenario_of())


NO_LTE = ["network={access: {wifi: {up: 50 Mbit/s, down: 90 Mbit/s, latency: 5 ms}}}"]


def test_groups_of_one_kind_may_be_cut_anew(scenario_of):
    """Four phones of one kind, or two and two on other links: the same devices train the same."""
    whole = "devices=[{profile: phone-mid, count: 4, access: wifi}]"
    parts = "devices=[{profile: phone-low, count: 2, access: wifi}, {profile: phone-mid, count: 2, access: wifi}]"
    assert training_settings(scenario_of(whole, *NO_LTE))["devices"] == [[3, 8, 4]]
    assert training_key(scenario_of(whole, *NO_LTE)) == training_key(scenario_of(parts, *NO_LTE))


def test_a_file_counts_by_its_content_not_by_its_name(tmp_path, scenario_of):
    def key(folder: str, text: str) -> str:
        (tmp_path / folder).mkdir()
        for part in ("train", "valid"):
            (tmp_path / folder / f"{part}.csv").write_text(text)
        return training_key(scenario_of("data.source=e2e", f"data.path={tmp_path / folder}"))

    assert key("a", "mr,ref\n") == key("b", "mr,ref\n") != key("c", "mr,ref\nx,y\n")
