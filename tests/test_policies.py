"""Whom a round waits for: the rules by themselves, and what they do to a run."""

from __future__ import annotations

import math
import pickle
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import world
from simulator.policies import Barrier, everybody, first, sooner, to_draw, until
from simulator.scenario import ScenarioError, load

SCENARIOS = Path(__file__).parents[1] / "scenarios"
PHONES = ("low", "mid", "high-1", "high-2")


def run(*overrides, name="four_phones", timing_only=True):
    return world.run(load(SCENARIOS / f"{name}.yaml", overrides), timing_only=timing_only)


def passes_at(rule, arrivals):
    """When a rule goes on, and with how many, if devices arrive at these times and none leaves: asked as it is used."""
    there, now_s = len(arrivals), 0.0
    for sent, at_s in enumerate([*sorted(arrivals), math.inf]):
        until_s = max(rule(Barrier(there, sent)), now_s)
        if until_s <= at_s:
            return until_s, sent
        now_s = at_s
    raise AssertionError("nobody is waited for for ever")


ARRIVALS = st.lists(st.floats(0.001, 1e6), min_size=1, max_size=12)


@given(ARRIVALS, st.floats(0.001, 1e6), st.floats(0.001, 1e6))
def test_a_later_deadline_never_gives_up_more_devices(arrivals, one_s, other_s):
    (early_s, few), (late_s, more) = (passes_at(until(each), arrivals) for each in sorted((one_s, other_s)))
    assert few <= more
    assert early_s <= late_s


@given(ARRIVALS, st.integers(1, 20))
def test_exactly_the_first_of_them_are_kept_or_all_if_they_are_fewer(arrivals, count):
    when_s, kept = passes_at(first(count), arrivals)
    assert kept == min(count, len(arrivals))
    assert when_s == sorted(arrivals)[kept - 1]


@given(ARRIVALS, st.integers(1, 20), st.floats(0.001, 1e6))
def test_of_two_rules_the_less_patient_decides(arrivals, count, deadline_s):
    both = passes_at(sooner(first(count), until(deadline_s)), arrivals)
    assert both == min(passes_at(first(count), arrivals), passes_at(until(deadline_s), arrivals))


@given(st.integers(0, 50), st.integers(0, 50))
def test_no_deadline_and_as_many_as_there_are_are_both_waiting_for_all(there, gone):
    barrier = Barrier(there + gone, there)
    assert until(math.inf)(barrier) == first(there + gone)(barrier) == everybody(barrier)


@given(st.integers(1, 10**6), st.integers(0, 1000))
def test_over_selection_draws_the_least_number_that_is_so_much_more(wanted, permille):
    drawn = to_draw(wanted, permille / 1000)
    exact = wanted * (1 + Fraction(permille, 1000))
    assert drawn - 1 < exact <= drawn


def test_thirteen_are_drawn_for_ten_and_28_where_a_float_says_a_little_above_28():
    assert 25 * 1.12 > 28
    assert [to_draw(10, 0.3), to_draw(25, 0.12), to_draw(10, 0.0)] == [13, 28, 10]


# --- equivalences of whole runs: the trace, and what is learned


def same(one, other):
    return (one.summary["trace_hash"], [row.train_loss for row in one.record.rounds[1:]], one.summary["loss"]) == (
        other.summary["trace_hash"],
        [row.train_loss for row in other.record.rounds[1:]],
        other.summary["loss"],
    )


@pytest.fixture(scope="module")
def plain():
    return run(timing_only=False)


@pytest.mark.parametrize("algorithm", ["sequential", "splitfed-v1", "splitfed-v2", "fedlora", "centralized"])
def test_in_every_algorithm_a_rule_for_everybody_is_the_run_without_a_rule(algorithm):
    few = (f"algorithm={algorithm}", "training.rounds=6", "training.aggregate_every=3")
    plain = run(*few).summary["trace_hash"]
    assert run(*few, "training.wait=first", "training.first=4").summary["trace_hash"] == plain
    assert run(*few, "training.wait=deadline", "training.deadline=1000 h").summary["trace_hash"] == plain


@pytest.mark.parametrize(
    "overrides",
    [
        ("training.wait=first", "training.first=4"),
        ("training.wait=deadline", "training.deadline=8760 h"),
        ("training.participants=4", "training.over_selection=0"),
        ("training.participants=4", "training.over_selection=0 %", "training.wait=first", "training.first=4"),
    ],
)
def test_a_rule_that_waits_for_everybody_is_the_run_without_a_rule(overrides, plain):
    assert same(run(*overrides, timing_only=False), plain)


@settings(max_examples=12)
@given(st.integers(1, 500), st.floats(0.2, 20), st.floats(0.2, 20), st.sampled_from([2, 3, 4]))
def test_the_rules_for_everybody_are_equal_also_where_devices_come_and_go(seed, on_s, off_s, participants):
    overrides = [
        f"seed={seed}",
        "training.rounds=5",
        f"training.participants={participants}",
        f"availability={{a: {{sessions: {{on: {on_s} s, off: {off_s} s}}, dropouts_per_hour: 1000}}}}",
        *(f"devices.{group}.availability=a" for group in range(3)),
    ]
    hashes = {
        run(*overrides, *rule).summary["trace_hash"]
        for rule in (
            [],
            ["training.wait=first", f"training.first={participants}"],
            ["training.wait=deadline", "training.deadline=1000 h"],
        )
    }
    assert len(hashes) == 1


# --- what a rule does


def actors(record, what, round):
    return {row.actor for row in record.computes if row.round == round and row.what == what} & set(PHONES)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_first_of_them_are_trained_and_the_round_is_that_of_their_uploads(count):
    whole, outcome = (
        run("training.rounds=1"),
        run("training.rounds=1", "training.wait=first", f"training.first={count}"),
    )
    record = outcome.record
    assert len(actors(record, "client backward", 1)) == count
    arrived = sorted(
        row.delivered_s for row in record.messages if row.kind == "activations" and row.outcome == "delivered"
    )
    step = next(row for row in record.computes if row.actor == "server")
    assert step.start_s == arrived[count - 1]
    assert len(arrived) == count
    assert (outcome.summary["dropped"], outcome.summary["late"]) == (4 - count, 4 - count)
    assert outcome.summary["virtual_s"] < whole.summary["virtual_s"]


@pytest.mark.parametrize("algorithm", ["splitlora", "splitlora-queued"])
def test_of_uploads_that_arrive_at_one_instant_those_beyond_the_first_are_given_up_and_count_for_nothing(algorithm):
    """Four equal devices and one behind a slow link: two are waited for."""
    rule = ("training.wait=first", "training.first=2", "devices.0.count=4", f"algorithm={algorithm}")
    record = run(*rule, name="two_devices").record
    uploads = [row for row in record.messages if row.round == 1 and row.kind == "activations"]
    assert sorted(row.outcome for row in uploads) == ["cancelled"] * 3 + ["delivered"] * 2
    assert len({row.sent_s for row in uploads if row.sender != "far"}) == 1


def test_who_is_too_late_for_a_deadline_is_given_up_at_that_instant_and_may_come_back():
    """Its way back begins with the adapter of the average, which takes it so long that it is given up once more."""
    uploads = {row.sender: row.delivered_s for row in run("training.rounds=1", name="two_devices").record.messages[:2]}
    deadline_s = (uploads["near"] + uploads["far"]) / 2
    outcome = run("training.wait=deadline", f"training.deadline={deadline_s} s", name="two_devices")
    one, two = outcome.record.rounds[1:]
    assert [(row.participants, row.dropped, row.late) for row in (one, two)] == [(2, 1, 1), (2, 1, 1)]
    steps = [row for row in outcome.record.computes if row.actor == "server"]
    assert steps[0].start_s == deadline_s
    assert steps[1].start_s == one.end_s + deadline_s
    lost = [row for row in outcome.record.messages if row.outcome == "cancelled"]
    assert [(row.sender, row.round, row.sent_s) for row in lost] == [
        ("far", 1, deadline_s),
        ("aggregator", 2, one.end_s + deadline_s),
    ]
    assert lost[1].queued_s == one.end_s


def test_where_nobody_has_come_by_the_deadline_the_round_ends_with_nobody_trained():
    """The handshake and slow start of TCP make an upload take longer than the least possible time."""
    outcome = run("training.wait=deadline", "training.deadline=0.1 s")
    assert [(row.end_s, row.dropped, row.late) for row in outcome.record.rounds[1:]] == [(0.1, 4, 4), (0.2, 4, 4)]
    assert outcome.summary["tokens"] == 0
    assert sum(outcome.summary["blame"].values()) == pytest.approx(0.2, abs=1e-12)


def test_what_is_given_up_is_never_trained(plain):
    """Only the two that come first are in the loss of the round: those of the run in which nobody else is."""
    late = run("training.rounds=1", "training.wait=first", "training.first=2", timing_only=False)
    kept = actors(late.record, "client backward", 1)
    assert kept == {"high-1", "high-2"}
    alone = run(
        "training.rounds=1",
        "availability={never: {dropouts_per_hour: 1e9}}",
        "devices.0.availability=never",
        "devices.1.availability=never",
        timing_only=False,
    )
    assert actors(alone.record, "client backward", 1) == kept
    assert late.record.rounds[1].train_loss == alone.record.rounds[1].train_loss
    assert late.summary["loss"] == alone.summary["loss"]


@settings(max_examples=15)
@given(st.integers(1, 1000), st.floats(0.8, 3), st.floats(0.8, 3), st.sampled_from(["splitlora", "fedlora"]))
def test_in_a_run_a_later_deadline_never_gives_up_more_of_the_same_arrivals(seed, one_s, other_s, algorithm):
    few = [f"seed={seed}", f"algorithm={algorithm}", "training.rounds=1", "training.aggregate_every=1"]
    late = [
        run(*few, "training.wait=deadline", f"training.deadline={deadline_s} s").summary["late"]
        for deadline_s in sorted((one_s, other_s))
    ]
    assert late[0] >= late[1]


def test_in_rounds_without_a_message_those_who_are_too_late_for_the_next_average_are_given_up():
    """FedLoRA with three local steps: the average is that of the two whose adapters come first, at that instant."""
    few = ["algorithm=fedlora", "training.rounds=6", "training.aggregate_every=3"]
    plain, outcome = run(*few), run(*few, "training.wait=first", "training.first=2")
    sent = [row for row in plain.record.messages if row.kind == "adapter" and row.receiver == "aggregator"]
    first_two = sorted(row.delivered_s for row in sent)[:2]
    average, *_ = (row for row in outcome.record.computes if row.actor == "aggregator")
    assert average.start_s == first_two[1]
    rows = outcome.record.rounds[1:]
    assert sum(row.late for row in rows[:3]) == 2
    assert rows[3].participants == 4
    assert sum(row.late for row in rows[3:]) == 2
    assert outcome.summary["virtual_s"] < plain.summary["virtual_s"]


def test_with_over_selection_more_are_drawn_and_as_many_as_wanted_are_trained():
    overrides = ["training.participants=2", "training.over_selection=50 %", "training.rounds=10"]
    record = run(*overrides).record
    assert [(row.participants, row.dropped, row.late) for row in record.rounds[1:]] == [(3, 1, 1)] * 10
    for round in range(1, 11):
        assert len(actors(record, "client backward", round)) == 2


def test_with_over_selection_and_a_deadline_the_round_goes_on_at_whichever_comes_first():
    overrides = ["training.participants=2", "training.over_selection=1", "training.wait=deadline", "training.rounds=1"]
    two_s = run(*overrides, "training.deadline=1 h").record.rounds[1]
    none = run(*overrides, "training.deadline=0.1 s").record.rounds[1]
    assert (two_s.late, none.late, none.end_s) == (2, 4, 0.1)


def test_a_device_that_leaves_is_not_waited_for_and_not_too_late(tmp_path):
    """Of two devices one is enough; it leaves, so the round waits for the other."""
    trace = tmp_path / "near.csv"
    trace.write_text("device,from_s,to_s\nnear,0,0.01\nnear,1e6,2e6\n")
    gone = [f"availability={{n: {{trace: {trace}}}}}", "devices.0.availability=n", "training.rounds=1"]
    outcome = run(*gone, "training.wait=first", "training.first=1", name="two_devices")
    assert (outcome.summary["dropped"], outcome.summary["late"]) == (1, 0)
    assert actors_of(outcome.record, "client backward") == {"far"}


def actors_of(record, what):
    return {row.actor for row in record.computes if row.what == what}


def test_a_time_out_limits_the_whole_round_and_counts_as_too_late():
    outcome = run("training.timeout=400 ms", "network.access.slow.up=100 kbit/s", name="two_devices")
    assert [(row.dropped, row.late) for row in outcome.record.rounds[1:]] == [(2, 2), (2, 2)]


RULES = [
    [],
    ["training.wait=deadline", "training.deadline=700 ms"],
    ["training.wait=deadline", "training.deadline=2 s", "training.timeout=3 s"],
    ["training.wait=first", "training.first=1"],
    ["training.wait=first", "training.first=2", "training.participants=3"],
    ["training.participants=2", "training.over_selection=50 %"],
    ["training.participants=2", "training.over_selection=1", "training.wait=deadline", "training.deadline=1 s"],
]


@settings(max_examples=25)
@given(
    st.integers(1, 1000),
    st.sampled_from(RULES),
    st.floats(0, 3000),
    st.sampled_from(["splitlora", "splitlora-queued", "sequential", "splitfed-v2", "fedlora"]),
    st.sampled_from(["random", "round-robin", "fastest"]),
)
def test_whatever_the_rule_a_run_ends_and_its_parts_sum_to_its_time(seed, rule, per_hour, algorithm, select):
    overrides = [
        f"seed={seed}",
        f"algorithm={algorithm}",
        "training.rounds=6",
        f"availability={{a: {{sessions: {{on: 9 s, off: 2 s}}, dropouts_per_hour: {per_hour}}}}}",
        *(f"devices.{group}.availability=a" for group in range(3)),
        *rule,
    ]
    overrides += [f"training.select={select}"] if any("participants" in each for each in rule) else []
    outcome = run(*overrides)
    rows = outcome.record.rounds[1:]
    assert len(rows) == 6
    assert all(0 <= row.late <= row.dropped <= row.participants for row in rows)
    assert sum(outcome.summary["blame"].values()) == pytest.approx(outcome.summary["virtual_s"], abs=1e-9)
    trained = [row.participants - row.dropped for row in rows]
    most = next((int(each[-1]) for each in rule if "first=" in each), 2 if "training.participants=2" in rule else 4)
    assert max(trained[1::2] if algorithm == "fedlora" else trained) <= most
    assert run(*overrides).summary["trace_hash"] == outcome.summary["trace_hash"]


# --- bad input


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["wait=first", "first=5"], r"training\.first: must be at most the number of devices, 4, got 5"),
        (
            ["wait=first", "first=3", "participants=2"],
            r"training\.first: must be at most training\.participants, 2, got 3",
        ),
        (
            ["first=3"],
            r"training\.first: is read only with wait: first, and wait is all; leave it out or set it to null",
        ),
        (["wait=deadline", "deadline=3 s", "first=3"], r"first: is read only with wait: first, and wait is deadline"),
        (["wait=deadline"], r"training\.deadline: missing: how long after it opened a round waits"),
        (["wait=first"], r"training\.first: missing: how many are waited for"),
        (["wait=deadline", "deadline=3 s", "timeout=3 s"], r"timeout: must be later than the deadline, 3 s, got 3 s"),
        (["over_selection=30 %"], r"over_selection: is read only with training\.participants"),
        (["select=fastest"], r"select: is read only with training\.participants"),
        (["select=fast", "participants=2"], r"unknown selection 'fast'; did you mean 'fastest'\?"),
        (
            ["participants=4", "over_selection=30 %"],
            r"over_selection: 4 participants and 30 % more are 6 devices, and there are 4",
        ),
        (["participants=2", "over_selection=0.5", "wait=first", "first=1"], r"over_selection: says .* leave out one"),
        (["wait=frist"], r"unknown rule 'frist'; did you mean 'first'\? \(allowed: all, deadline, first\)"),
    ],
)
def test_what_contradicts_itself_is_refused_with_the_numbers(overrides, message):
    with pytest.raises(ScenarioError, match=message):
        load(SCENARIOS / "four_phones.yaml", [f"training.{each}" for each in overrides])


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [("splitlora", "activations"), ("splitfed-v1", "activations"), ("fedlora", "adapter"), ("centralized", "data")],
)
def test_a_deadline_before_which_nobody_could_arrive_is_refused_with_what_the_first_needs(tmp_path, algorithm, kind):
    """In two_devices.yaml, near: the network is pure, so the least possible time is that of its very first upload."""
    settings = [f"algorithm={algorithm}", "training.aggregate_every=1", "data.samples_per_device=1"]
    rows = run(*settings, name="two_devices").record.messages
    first_s = min(row.delivered_s for row in rows if row.sender == "near" and row.kind == kind)
    text = (
        (SCENARIOS / "two_devices.yaml")
        .read_text()
        .replace("training: {", "training: {wait: deadline, deadline: X s, ")
    )

    def check(deadline_s):
        path = tmp_path / "mine.yaml"
        path.write_text(text.replace("X", repr(deadline_s)))
        world.check_feasible(load(path, settings))

    check(first_s * (1 + 1e-12))
    with pytest.raises(
        ValueError, match=r"mine\.yaml:\d+: training\.deadline: .* a device of near, computes for .* s and"
    ):
        check(first_s * (1 - 1e-9))


def test_a_deadline_that_was_set_is_refused_as_such_and_not_at_a_line_of_the_file():
    rule = ["training.wait=deadline", "training.deadline=1 ms"]
    with pytest.raises(ValueError, match=r"^--set training\.deadline=1 ms: training\.deadline: 0\.001 s is shorter"):
        world.check_feasible(
            pickle.loads(pickle.dumps(load(SCENARIOS / "four_phones.yaml", rule)))
        )  # as a worker has it


def whole_round_s(outcome, algorithm: str) -> float:
    """What near, alone, computes and waits for messages in its first round, by the rows of a run."""
    record = outcome.record
    mine = [row for row in record.computes if row.actor == "near" and row.round == 1]
    sent = [row for row in record.messages if "near" in (row.sender, row.receiver) and row.round == 1]
    counted = ("adapter",) if algorithm == "fedlora" else ("activations", "gradients")
    return sum(row.end_s - row.start_s for row in mine) + sum(
        row.delivered_s - row.queued_s for row in sent if row.kind in counted
    )


@pytest.mark.parametrize("algorithm", ["splitlora", "splitlora-queued", "sequential", "splitfed-v1", "fedlora"])
def test_a_time_out_before_which_nobody_could_finish_a_round_is_refused_with_what_the_fastest_needs(algorithm):
    """In two_devices.yaml, near: the network is pure, so nothing is faster than what a run of near alone takes."""
    settings = [f"algorithm={algorithm}", "training.aggregate_every=1", "training.rounds=1"]
    alone = "availability={never: {dropouts_per_hour: 1e9}}", "devices.1.availability=never"
    least_s = whole_round_s(run(*settings, *alone, name="two_devices"), algorithm)

    def check(timeout_s):
        late = f"training.timeout={timeout_s!r} s"
        world.check_feasible(load(SCENARIOS / "two_devices.yaml", [*settings, late]))

    check(least_s * (1 + 1e-9))
    with pytest.raises(ValueError, match=r"training\.timeout: .* would give up everybody: a device of near alone comp"):
        check(least_s * (1 - 1e-6))


def test_what_short_texts_need_decides_where_nothing_is_padded_to_full_length():
    """The shortest batch is through the barrier before one of 128 positions could be."""
    short = ["data.padding=longest", "training.tokens=128", "training.rounds=1", "training.aggregate_every=1"]
    sent = [row.delivered_s for row in run(*short).record.messages if row.kind == "activations"]
    limits = ["training.wait=deadline", f"training.deadline={min(sent) + 1e-6} s"]
    assert run(*short, *limits).summary["dropped"] == 3
    with pytest.raises(ValueError, match=r"training\.deadline: .* is shorter than the fastest possible round"):
        run("data.padding=fixed", *short[1:], *limits)
