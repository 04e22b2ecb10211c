"""The critical path on paper: traces of a few rows, whose path a person sees at once, and laws for random ones."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.analysis.blame import PARTS, Shared, Step, blame
from simulator.analysis.outages import Outage
from simulator.record import ComputeRow, MessageRow, RoundRow, WaitRow

NAN = math.nan
INFRASTRUCTURE = ("server", "aggregator")


def computed(actor, start_s, end_s, round=0, what="work"):
    return ComputeRow(actor, round, what, 1.0, start_s, end_s)


def message(sender, receiver, queued_s, delivered_s, round=0, **other):
    row = MessageRow(
        id=0,
        round=round,
        kind="news",
        sender=sender,
        receiver=receiver,
        direction="up" if receiver in INFRASTRUCTURE else "down",
        size_bytes=1,
        wire_bytes=1,
        queued_s=queued_s,
        sent_s=delivered_s,
        delivered_s=delivered_s,
        outcome="delivered",
    )
    return row._replace(**other)


def parts(**seconds):
    return {part: seconds.get(part.replace(" ", "_"), 0.0) for part in PARTS}


def test_the_slow_uplink_of_one_device_takes_most_of_a_round():
    computes = [
        computed("near", 0, 2),
        computed("far", 0, 1),
        computed("server", 9, 10),
        computed("near", 11, 12),
        computed("far", 11, 13),
    ]
    messages = [
        message("near", "server", 2, 4),
        message("far", "server", 1, 9),
        message("server", "near", 10, 11),
        message("server", "far", 10, 11),
    ]
    found = blame(messages, computes, 13.0, "far")
    # far computes 1 s, uploads 8 s, the server takes 1 s, the gradients 1 s, far's backward 2 s: 13 s
    assert found.parts == parts(device_compute=1 + 2, uplink=8, server=1, downlink=1)
    assert found.by_device == {"far": 12.0}
    assert found.steps == [
        Step("device compute", 0, 1, "far", "work"),
        Step("uplink", 1, 9, "far", "news"),
        Step("server", 9, 10, "", "work"),
        Step("downlink", 10, 11, "far", "news"),
        Step("device compute", 11, 13, "far", "work"),
    ]


def test_a_server_that_takes_clients_one_after_another_takes_most_of_a_round():
    computes = [
        computed("a", 0, 1),
        computed("b", 0, 1),
        computed("server", 2, 7, what="for a"),
        computed("server", 7, 12, what="for b"),
        computed("a", 8, 9),
        computed("b", 13, 14),
    ]
    messages = [
        message("a", "server", 1, 2),
        message("b", "server", 1, 2.5),  # waits 4.5 s for the server, which is busy with a's batch
        message("server", "a", 7, 8),
        message("server", "b", 12, 13),
    ]
    found = blame(messages, computes, 14.0, "b")
    # a's forward 1 s, its upload 1 s, the server 0.5 s for a until b's batch comes; b waits 4.5 s, the server takes
    # 5 s, b's gradients 1 s, its backward 1 s: 14 s. b's own forward and upload could have taken longer at no cost.
    assert found.parts == parts(device_compute=1 + 1, uplink=1, server=0.5 + 5, queue=4.5, downlink=1)
    assert found.by_device == {"b": 6.5, "a": 2.0}
    assert found.devices == {
        "device compute": {"a": 1.0, "b": 1.0},
        "uplink": {"a": 1.0},
        "downlink": {"b": 1.0},
        "queue": {"b": 4.5},
    }


def test_a_batch_that_waits_for_several_others_is_in_the_queue_until_its_own_turn():
    computes = [computed("server", at, at + 2, what=f"for {name}") for at, name in ((1, "a"), (3, "b"), (5, "c"))]
    messages = [message(name, "server", 0, 1) for name in "abc"]
    messages += [message("server", name, at, at + 1) for at, name in ((3, "a"), (5, "b"), (7, "c"))]
    found = blame(messages, computes, 8.0, "c")
    assert found.parts == parts(uplink=1, queue=2 + 2, server=2, downlink=1)
    assert found.devices["queue"] == {"c": 4.0}


def test_a_server_that_waits_for_everybody_before_it_takes_one_after_another_has_a_queue_too():
    # a's batch comes at 1 s, b's at 4 s; then the server takes b's, then a's
    computes = [computed("server", 4, 6, what="for b"), computed("server", 6, 8, what="for a")]
    messages = [
        message("a", "server", 0, 1),
        message("b", "server", 0, 4),
        message("server", "b", 6, 7),
        message("server", "a", 8, 9),
    ]
    found = blame(messages, computes, 9.0, "a")
    assert found.parts == parts(uplink=4, queue=2, server=2, downlink=1)
    assert found.devices["uplink"] == {"b": 4.0}


def test_a_shared_link_has_what_it_added_to_a_message():
    sharing = {"a": Shared(3.0, "cell.lte.up"), "b": Shared(1.0, "")}
    messages = [message("a", "server", 0, 5), message("server", "b", 6, 7)]
    computes = [computed("server", 5, 6)]
    found = blame(messages, computes, 7.0, "b", sharing=lambda row: sharing["a" if row.sender == "a" else "b"])
    # alone on its own link a would have taken 3 s of the 5 s
    assert found.parts == parts(uplink=3, cell=2, server=1, downlink=1)
    assert found.links == {"cell": {"cell.lte.up": 2.0}}
    assert found.devices["cell"] == {"a": 2.0}


@pytest.mark.parametrize(
    ("link", "part"),
    [
        ("cell.a.down", "cell"),
        ("backhaul.up", "backhaul"),
        ("server.up", "server link"),
        ("aggregator.down", "server link"),
    ],
)
def test_each_shared_link_is_of_a_part(link, part):
    found = blame([message("a", "server", 0, 5)], [], 5.0, "server", sharing=lambda _: Shared(1.0, link))
    assert found.parts == parts(uplink=1, **{part.replace(" ", "_"): 4})


def test_outages_lie_where_they_were_and_what_moved_is_first_the_devices_own_then_the_cells():
    # of 12 s a link was dead for 2 to 5 s and 8 to 9 s; alone it would have moved for 4 s: 0 to 2 s and 5 to 7 s
    gaps = [Outage(2, 5, "a.up"), Outage(8, 9, "cell.lte.up")]
    found = blame(
        [message("a", "server", 0, 12)], [], 12.0, "server", sharing=lambda _: Shared(4.0, "cell.lte.up", gaps)
    )
    assert found.parts == parts(uplink=4, outage=3 + 1, cell=4)
    assert [(step.part, step.start_s, step.end_s, step.link) for step in found.steps] == [
        ("uplink", 0, 2, ""),
        ("outage", 2, 5, "a.up"),
        ("uplink", 5, 7, ""),
        ("cell", 7, 8, "cell.lte.up"),
        ("outage", 8, 9, "cell.lte.up"),
        ("cell", 9, 12, "cell.lte.up"),
    ]
    assert found.links["outage"] == {"a.up": 3.0, "cell.lte.up": 1.0}
    assert found.devices["outage"] == {"a": 4.0}


def test_a_message_that_is_given_up_in_an_outage_was_held_up_by_it():
    lost = message("a", "server", 0, NAN, sent_s=6.0, outcome="cancelled")
    found = blame([lost], [], 6.0, "a", sharing=lambda _: Shared(math.inf, "", [Outage(2, 6, "a.up")]))
    assert found.parts == parts(uplink=2, outage=4)


def test_adapters_travel_up_and_down_around_the_aggregation():
    computes = [
        computed("a", 0, 2),
        computed("b", 0, 1),
        computed("aggregator", 6, 9),
        computed("a", 10, 11, round=1),
        computed("b", 11, 12, round=1),
    ]
    messages = [
        message("b", "aggregator", 1, 2),
        message("a", "aggregator", 2, 6),
        message("aggregator", "a", 9, 10),
        message("aggregator", "b", 9, 11),
    ]
    found = blame(messages, computes, 12.0, "b")
    # a computes 2 s and uploads 4 s, the aggregation takes 3 s, b downloads 2 s and computes 1 s: 12 s
    assert found.parts == parts(device_compute=2 + 1, uplink=4, aggregation=3, downlink=2)


def test_a_device_that_does_nothing_for_a_while_is_waiting():
    computes = [computed("phone", 1, 3), computed("phone", 8, 10, round=1)]
    found = blame([], computes, 12.0, "phone")
    # 1 s before it begins, 2 s of work, 5 s asleep, 2 s of work, 2 s until the run ends
    assert found.parts == parts(device_compute=2 + 2, waiting=1 + 5 + 2)
    assert [step.part for step in found.steps] == ["waiting", "device compute"] * 2 + ["waiting"]
    assert found.by_device == {"phone": 12.0}


def test_the_time_an_idle_server_waits_is_no_devices():
    found = blame([message("a", "server", 0, 1)], [computed("server", 3, 4)], 4.0, "server")
    assert found.parts == parts(uplink=1, waiting=2, server=1)
    assert found.by_device == {"a": 1.0}


def test_a_device_may_overtake_and_the_path_stays_with_the_slow_one():
    computes = [
        computed("hare", 0, 1),
        computed("tortoise", 0, 4),
        computed("server", 5, 6),
        computed("hare", 7, 8),
        computed("hare", 8, 9, round=1),  # next round, while the tortoise is still in this one
        computed("tortoise", 7, 15),
        computed("tortoise", 15, 19, round=1),
        computed("server", 20, 21, round=1),
        computed("hare", 22, 23, round=1),
    ]
    messages = [
        message("hare", "server", 1, 2),
        message("tortoise", "server", 4, 5),
        message("server", "hare", 6, 7),
        message("server", "tortoise", 6, 7),
        message("hare", "server", 9, 10, round=1),
        message("tortoise", "server", 19, 20, round=1),
        message("server", "hare", 21, 22, round=1),
    ]
    found = blame(messages, computes, 23.0, "hare")
    # tortoise 4, up 1, server 1, down 1, tortoise 8 + 4, up 1, server 1, down 1, hare 1: 23 s
    assert found.parts == parts(device_compute=4 + 8 + 4 + 1, uplink=1 + 1, server=1 + 1, downlink=1 + 1)
    assert found.by_device == {"tortoise": 19.0, "hare": 2.0}


def test_of_two_messages_of_one_instant_the_one_of_the_round_that_begins_counts():
    messages = [message("slow", "server", 0, 4), message("fast", "server", 3, 4, round=1)]
    computes = [computed("fast", 0, 3), computed("server", 4, 5)]
    assert blame(messages, computes, 5.0, "server").parts == parts(uplink=4, server=1)


def test_of_two_messages_of_one_instant_and_round_the_one_recorded_last_counts():
    messages = [message("a", "server", 1, 4), message("b", "server", 3, 4)]
    computes = [computed("a", 0, 1), computed("b", 0, 3), computed("server", 4, 5)]
    assert blame(messages, computes, 5.0, "server").by_device == {"b": 4.0}
    assert blame(messages[::-1], computes, 5.0, "server").by_device == {"a": 4.0}


def test_a_computation_was_started_by_the_message_of_its_instant_and_a_message_sent_by_the_computation():
    # at 4 s the server ends one work, receives a message, begins another work and sends a message, all in one round
    computes = [computed("server", 1, 4), computed("server", 4, 6)]
    messages = [
        message("a", "server", 0, 1),
        message("b", "server", 2, 4),
        message("server", "c", 4, 5),
    ]
    assert blame(messages, computes, 6.0, "server").parts == parts(server=2, uplink=2, waiting=2)
    assert blame(messages, computes, 5.0, "c").parts == parts(downlink=1, server=3, uplink=1)


def test_a_device_that_computes_as_soon_as_its_link_is_free_waited_for_its_uplink():
    sent = message("phone", "server", 1, 3.5, sent_s=3)
    computes = [computed("phone", 0, 1), computed("phone", 3, 5, round=1)]
    assert blame([sent], computes, 5.0, "phone").parts == parts(device_compute=1 + 2, uplink=2)


def test_a_message_that_was_given_up_delays_its_sender_and_nobody_else():
    lost = message("phone", "server", 1, NAN, sent_s=3, outcome="cancelled")
    computes = [computed("phone", 0, 1), computed("phone", 3, 5, round=1), computed("server", 3, 4)]
    assert blame([lost], computes, 5.0, "phone").parts == parts(device_compute=1 + 2, uplink=2)
    assert blame([lost], computes, 4.0, "server").parts == parts(server=1, waiting=3)


def test_things_that_take_no_time_are_passed_over_and_the_walk_ends():
    computes = [computed("a", 0, 1), computed("a", 1, 1), computed("server", 1, 1), computed("a", 1, 2)]
    messages = [message("a", "server", 1, 1), message("server", "a", 1, 1)]
    assert blame(messages, computes, 2.0, "a").parts == parts(device_compute=2)


def test_a_rounding_error_of_the_clock_is_not_waiting():
    found = blame([message("server", "a", 0, 0.1 + 0.2)], [computed("a", math.nextafter(0.1 + 0.2, 1), 1)], 1.0, "a")
    assert found.parts["waiting"] == 0.0
    assert math.fsum(found.parts.values()) == pytest.approx(1.0, rel=1e-12)


def test_the_rounds_share_the_path_between_them():
    computes = [computed("a", 0, 4), computed("a", 4, 9, round=2)]
    rounds = [ended(0, 0, 0, ""), ended(1, 0, 3, "a"), ended(2, 3, 9, "a")]
    found = list(blame([], computes, 9.0, "a").rounds(rounds))
    assert [(row.round, [step[:3] for step in steps]) for row, steps in found] == [
        (1, [("device compute", 0, 3)]),
        (2, [("device compute", 3, 4), ("device compute", 4, 9)]),
    ]


def test_an_actor_that_never_did_anything_has_waited_all_the_time():
    assert blame([], [], 3.0, "a").parts == parts(waiting=3)


def test_a_run_of_no_rounds_has_all_parts_at_zero():
    found = blame([], [], 0.0, "")
    assert found.parts == parts()
    assert tuple(found.parts) == PARTS
    assert not found.by_device
    assert not found.steps


@pytest.mark.parametrize("end_s", [NAN, math.inf, -1.0])
def test_a_path_without_an_end_is_refused(end_s):
    with pytest.raises(ValueError, match="an end >= 0 s that is finite"):
        blame([], [], end_s, "a")


# --- devices that come and go


def ended(round, start_s, end_s, slowest):
    return RoundRow(round, start_s, end_s, 2, 0, NAN, NAN, NAN, 0, 0, slowest)


def test_a_device_that_joins_was_waiting_for_the_round_before_to_end():
    computes = [computed("early", 0, 1), computed("slow", 0, 6), computed("early", 6, 8, round=2)]
    rounds = [ended(1, 0, 6, "slow"), ended(2, 6, 8, "early")]
    # without the rounds, early would have waited 5 s for nobody; in truth slow computed for 6 s
    assert blame([], computes, 8.0, "early").parts == parts(device_compute=1 + 2, waiting=5)
    found = blame([], computes, 8.0, "early", rounds=rounds)
    assert found.parts == parts(device_compute=6 + 2)
    assert found.by_device == {"slow": 6.0, "early": 2.0}


def test_time_in_which_nobody_was_available_is_availability_and_nobodys():
    computes = [computed("a", 0, 2), computed("a", 9, 10, round=2)]
    rounds = [ended(1, 0, 3, "b"), WaitRow(2, 3, 8), ended(2, 3, 10, "a")]
    # a works 2 s, the round ends at 3 s with b, nobody is there until 8 s, a begins at 9 s
    found = blame([], computes, 10.0, "a", rounds=rounds)
    assert found.parts == parts(device_compute=1, waiting=1 + 3, availability=5)
    assert found.by_device == {"b": 3.0, "a": 2.0}


def test_a_wait_that_never_ended_reaches_to_the_end_of_what_is_asked():
    assert blame([], [], 5.0, "a", rounds=[WaitRow(1, 2, math.inf)]).parts == parts(waiting=2, availability=3)


# --- laws, on random runs of split learning with a barrier at the server and at the aggregator every second round


def split_learning(draws, num_devices, rounds, scale):
    """Rows, end and last device; every duration is the next of the draws times the scale of its part."""
    messages, computes, free_s = [], [], [0.0] * num_devices
    names = [f"d{index}" for index in range(num_devices)]
    draws = iter(draws)

    def works(actor, part, start_s, round):
        computes.append(computed(actor, start_s, start_s + next(draws) * scale.get(part, 1), round))
        return computes[-1].end_s

    def travels(sender, receiver, part, start_s, round):
        messages.append(message(sender, receiver, start_s, start_s + next(draws) * scale.get(part, 1), round))
        return messages[-1].delivered_s

    def meet(place, part, starts_s, round):
        arrivals_s = [travels(name, place, "uplink", at, round) for name, at in zip(names, starts_s, strict=True)]
        done_s = works(place, part, max(arrivals_s), round)
        return [travels(place, name, "downlink", done_s, round) for name in names]

    def all_work(starts_s, round):
        return [works(name, "device compute", at, round) for name, at in zip(names, starts_s, strict=True)]

    for round in range(rounds):
        free_s = all_work(meet("server", "server", all_work(free_s, round), round), round)
        if round % 2:
            free_s = meet("aggregator", "aggregation", free_s, round)
    return messages, computes, max(free_s), names[free_s.index(max(free_s))]


MANY_TIES = [st.integers(0, 3), st.integers(1, 9)]
NO_ZEROS = [st.integers(1, 9), st.floats(0.001, 1000)]


@st.composite
def split_runs(draw, durations=(*MANY_TIES, *NO_ZEROS)):
    num_devices, rounds = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    count = rounds * (4 * num_devices + 1) + (rounds // 2) * (2 * num_devices + 1)
    numbers = draw(st.sampled_from(durations))
    return draw(st.lists(numbers, min_size=count, max_size=count)), num_devices, rounds


@given(split_runs())
def test_the_parts_sum_to_the_end_and_nobody_waits_where_every_start_has_a_cause(run):
    messages, computes, end_s, last = split_learning(*run, {})
    found = blame(messages, computes, end_s, last)
    assert math.fsum(found.parts.values()) == pytest.approx(end_s, rel=1e-9)
    assert found.parts["waiting"] == 0.0
    edges_s = [0.0, *(step.end_s for step in found.steps)]
    assert [step.start_s for step in found.steps] == edges_s[:-1]
    assert edges_s[-1] == end_s
    of_devices_s = end_s - found.parts["server"] - found.parts["aggregation"]
    assert math.fsum(found.by_device.values()) == pytest.approx(of_devices_s, rel=1e-9, abs=1e-9)


@given(
    split_runs(),
    st.sampled_from(["device compute", "uplink", "downlink", "server", "aggregation"]),
    st.sampled_from([0.5, 2, 5]),
)
def test_a_part_k_times_as_long_costs_at_least_k_minus_one_times_its_share(run, part, factor):
    messages, computes, end_s, last = split_learning(*run, {})
    share_s = blame(messages, computes, end_s, last).parts[part]
    other_end_s = split_learning(*run, {part: factor})[2]
    assert other_end_s >= end_s + (factor - 1) * share_s - 1e-9 * end_s


@given(split_runs(NO_ZEROS))
@settings(max_examples=50, deadline=None)
def test_every_step_continues_where_a_row_of_the_trace_ends(run):
    messages, computes, end_s, last = split_learning(*run, {})
    spans = {(row.start_s, row.end_s) for row in computes} | {(row.queued_s, row.delivered_s) for row in messages}
    found = blame(messages, computes, end_s, last)
    assert {(step.start_s, step.end_s) for step in found.steps} <= spans
    for before, after in pairwise(found.steps):  # a path crosses from one device to another only at a server
        assert before.device == after.device or "" in {before.device, after.device} or before.part == "uplink"


SPANS = st.tuples(st.floats(0, 100), st.floats(0, 100))  # some end before they start
ACTORS = st.sampled_from(["a", "b", "server", "aggregator"])


@given(
    st.lists(st.tuples(ACTORS, ACTORS, SPANS, st.integers(0, 2)), max_size=30),
    st.lists(st.tuples(ACTORS, SPANS, st.integers(0, 2)), max_size=30),
    st.floats(0, 120),
    ACTORS,
)
def test_the_parts_sum_to_the_end_even_of_rows_without_rhyme_or_reason(news, works, end_s, last):
    messages = [message(sender, receiver, *span, round) for sender, receiver, span, round in news]
    computes = [computed(actor, *span, round) for actor, span, round in works]
    found = blame(messages, computes, end_s, last)
    assert math.fsum(found.parts.values()) == pytest.approx(end_s, rel=1e-9)
    assert all(seconds >= 0 for seconds in found.parts.values())
