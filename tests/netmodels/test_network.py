"""Transfers by hand, and lone ones against the closed form of slow start."""

import gc
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netmodels.capacity import Constant, Steps
from netmodels.link import Link
from netmodels.network import Completion, Network
from netmodels.tcp import MODELS, PURE, Tcp

TCP = MODELS["tcp"]
FAST = MODELS["tcp-fast"]
PLAIN = replace(PURE, latency_first=False)
HANDSHAKE = replace(PLAIN, handshake=True)
WINDOWS = replace(PLAIN, slow_start=True, initial_window_bytes=1000)
SETTINGS = settings(deadline=None)

UP = Link("up", Constant(8e6), 0.25)  # 1 MB a second
DOWN = Link("down", Constant(8e6), 0.5)
MB = 1_000_000


def play(network):
    """All completions by id, in order."""
    done = {}
    while (when_s := network.next_event_s()) < math.inf:
        done |= {completion.flow_id: completion for completion in network.advance(when_s)}
    return done


def lone_s(model, size_bytes, bps, latency_s=0.0):
    network = Network([Link("a", Constant(bps), latency_s)], model)
    network.start(0, "x", size_bytes, ("a",))
    return play(network)["x"].delivered_s


def closed_form_s(size_bytes, bps, rtt_s):
    """Handshake, stalled rounds, the rest at full rate, one-way latency: payload bytes and bytes per second."""
    rate, window, rounds = 0.9653 * bps / 8, 14480, 0
    while window * 2**rounds < rate * rtt_s and window * (2 ** (rounds + 1) - 1) < size_bytes:
        rounds += 1
    return rtt_s + rounds * rtt_s + (size_bytes - window * (2**rounds - 1)) / rate + rtt_s / 2


def test_one_megabyte_over_eight_megabits_leaves_in_a_second_and_arrives_one_latency_later():
    network = Network([UP], PLAIN)
    network.start(0, "x", MB, ("up",))
    assert play(network) == {"x": Completion("x", 1.0, 1.25)}


def test_a_transfer_is_told_when_its_last_bit_has_left():
    network = Network({"up": UP}, PLAIN)
    network.start(0, "x", MB, ("up",))
    assert network.advance(0.999) == []
    assert network.advance(1.0) == [Completion("x", 1.0, 1.25)]
    assert network.advance(1.25) == []


def test_the_latencies_of_a_route_add_up_and_its_narrowest_link_sets_the_pace():
    network = Network([UP, Link("nic", Constant(16e6), 0.125)], PLAIN)
    network.start(2, "x", MB, ("up", "nic"))
    assert play(network) == {"x": Completion("x", 3.0, 3.375)}


def test_with_latency_first_the_share_is_taken_one_latency_later():
    # The near flow has the link alone until the far one's bits get there at 0.5 s: 0.5 MB, then half a link each.
    links = [Link("near", Constant(1e9)), Link("far", Constant(1e9), 0.5), Link("nic", Constant(8e6))]
    network = Network(links, PURE)
    network.start(0, "x", MB, ("near", "nic"))
    network.start(0, "y", MB, ("far", "nic"))
    assert play(network) == {"x": Completion("x", 1.5, 1.5), "y": Completion("y", 1.5, 2.0)}


def test_the_handshake_of_a_cold_connection_takes_one_round_trip():
    network = Network([UP, DOWN], HANDSHAKE)
    network.start(0, "x", MB, ("up",), ack_route=("down",))
    assert play(network)["x"].sent_s == 0.25 + 0.5 + 1
    network.start(5, "y", MB, ("up",))
    assert play(network)["y"].sent_s == 5 + 0.5 + 1


def test_a_named_connection_shakes_hands_once_for_both_directions():
    network = Network([UP, DOWN], HANDSHAKE)
    network.start(0, "x", MB, ("up",), connection=("phone", "server"), ack_route=("down",))
    assert play(network)["x"].sent_s == 1.75
    network.start(100, "y", MB, ("down",), connection=("server", "phone"), ack_route=("up",))
    network.start(100, "z", MB, ("up",), connection=("pad", "server"), ack_route=("down",))
    assert [done.sent_s for done in play(network).values()] == [101, 101.75]


def test_a_second_transfer_waits_for_the_handshake_under_way():
    network = Network([UP, DOWN], HANDSHAKE)
    network.start(0, "x", 0, ("up",), connection=("phone", "server"), ack_route=("down",))
    network.start(0.5, "y", 0, ("down",), connection=("server", "phone"), ack_route=("up",))
    assert [done.sent_s for done in play(network).values()] == [0.75, 0.75]


def test_slow_start_sends_a_window_a_round_trip_and_doubles_it():
    # 1000, 2000, 4000 bytes at 0, 0.5 and 1 s; 8 Mbit/s sends the last 500 in 0.5 ms.
    network = Network([UP], WINDOWS)
    network.start(0, "x", 7500, ("up",))
    assert play(network)["x"].sent_s == pytest.approx(1.5 + 0.0005)


def test_slow_start_is_over_once_a_window_lasts_a_round_trip():
    # 8 kbit/s send 1000 bytes in a second, two round trips: no wait at all.
    assert lone_s(WINDOWS, 7500, 8000, 0.25) == pytest.approx(7.5 + 0.25)


def test_a_window_that_outlasts_its_round_trip_because_of_others_ends_slow_start():
    # 0.125 MB/s would leave the window of 50,000 bytes a gap of 0.1 s; shared by two it lasts 0.8 s of the 0.5 s round.
    network = Network([Link("a", Constant(1e6), 0.25)], replace(WINDOWS, initial_window_bytes=50_000))
    network.start(0, "x", 125_000, ("a",))
    network.start(0, "y", 125_000, ("a",))
    assert [done.sent_s for done in play(network).values()] == pytest.approx([2, 2])


def test_a_warm_connection_keeps_its_window_and_an_idle_one_starts_again():
    network = Network([UP], WINDOWS)

    def took_s(start_s):
        network.start(start_s, start_s, 3000, ("up",), connection=("phone", "server"))
        return play(network)[start_s].sent_s - start_s

    assert took_s(0) == pytest.approx(0.502)  # 1000, then 2000 a round trip later
    assert took_s(0.502 + 0.69) == pytest.approx(0.501)  # within 0.5 + 0.2 s: 2000 at once
    assert took_s(10) == pytest.approx(0.502)


@pytest.mark.parametrize("bps", [1e6, 10e6, 100e6])
@pytest.mark.parametrize("latency_s", [0.005, 0.02, 0.1])
@pytest.mark.parametrize("size_bytes", [1, 1000, 14480, 100_000, 1_000_000, 3_145_728, 100_000_000])
def test_a_lone_tcp_transfer_takes_what_the_closed_form_says(bps, latency_s, size_bytes):
    expected_s = closed_form_s(size_bytes, bps, 2 * latency_s)
    assert lone_s(TCP, size_bytes, bps, latency_s) == pytest.approx(expected_s, rel=1e-12)


@SETTINGS
@given(st.floats(1, 1e9), st.floats(1e4, 1e10), st.floats(1e-4, 1))
def test_any_lone_tcp_transfer_takes_what_the_closed_form_says(size_bytes, bps, latency_s):
    expected_s = closed_form_s(size_bytes, bps, 2 * latency_s)
    assert lone_s(TCP, size_bytes, bps, latency_s) == pytest.approx(expected_s, rel=1e-9)


@SETTINGS
@given(st.sampled_from([PURE, PLAIN, TCP]), st.floats(0, 1e8), st.floats(1e4, 1e9), st.floats(1, 10), st.floats(0, 0.5))
def test_more_bandwidth_never_delays_a_lone_transfer(model, size_bytes, bps, factor, latency_s):
    assert lone_s(model, size_bytes, bps * factor, latency_s) <= lone_s(model, size_bytes, bps, latency_s) * (1 + 1e-9)


def test_equal_shares_become_shares_by_round_trip():
    # Round trips of 0.1 and 0.3 s: three quarters and one quarter of 8 Mbit/s.
    links = [Link("near", Constant(1e9), 0.05), Link("far", Constant(1e9), 0.15), Link("nic", Constant(8e6))]
    network = Network(links, replace(PLAIN, rtt_weights=True))
    network.start(0, "near", 750_000, ("near", "nic"))
    network.start(0, "far", 250_000, ("far", "nic"))
    assert [done.sent_s for done in play(network).values()] == pytest.approx([1, 1])


def test_packet_loss_caps_the_rate_after_the_first_loss():
    # 100 segments go free at 100 Mbit/s; then what loss allows, whatever the link could carry.
    link = Link("a", Constant(100e6), 0.05, 0.015)
    model = replace(PLAIN, loss_cap=True)
    network = Network([link], model)
    network.start(0, "x", 2 * MB, ("a",))
    free_bytes = 1448 / 0.015
    assert model.loss_free_bytes(2 * MB, 0.015) == pytest.approx(free_bytes)
    assert play(network)["x"].sent_s == pytest.approx(
        free_bytes / 12.5e6 + (2 * MB - free_bytes) / (model.loss_rate_bps(0.1, 0.015) / 8)
    )


def test_a_connection_that_has_met_loss_gets_no_second_free_start():
    network = Network([Link("a", Constant(100e6), 0.05, 0.015)], replace(PLAIN, loss_cap=True))
    network.start(0, "x", MB, ("a",), connection=("phone", "server"))
    play(network)
    size_bytes = TCP.loss_rate_bps(0.1, 0.015) / 8
    network.start(100, "y", size_bytes, ("a",), connection=("phone", "server"))
    assert play(network)["y"].sent_s == pytest.approx(101)


def test_cancelling_hands_back_the_unsent_bytes_and_frees_the_link_at_that_instant():
    network = Network([UP], PLAIN)
    network.start(0, "x", MB, ("up",))
    network.start(0, "y", MB, ("up",))
    assert network.advance(1) == []
    assert network.cancel(1, "y") == pytest.approx(MB / 2)
    assert play(network) == {"x": Completion("x", 1.5, 1.75)}


def test_a_transfer_cancelled_before_its_handshake_is_over_has_sent_nothing():
    network = Network([UP], TCP)
    network.start(0, "x", MB, ("up",))
    network.advance(0.25)
    assert network.cancel(0.25, "x") == pytest.approx(MB)
    assert network.next_event_s() == math.inf


def test_a_transfer_cancelled_between_two_windows_has_sent_the_first():
    network = Network([UP], WINDOWS)
    network.start(0, "x", 7500, ("up",))
    network.advance(0.25)
    assert network.cancel(0.25, "x") == pytest.approx(6500)
    assert network.next_event_s() == math.inf
    network.start(0.25, "x", 1000, ("up",))  # the name is free again, and the old timer is dead
    assert play(network)["x"].sent_s == pytest.approx(0.251)


@pytest.mark.parametrize(("model", "sent_s"), [(PURE, 2), (PLAIN, 2), (TCP, 2.5)])
def test_no_bytes_take_no_time_beyond_handshake_and_latency(model, sent_s):
    network = Network([UP], model)
    network.start(2, "x", 0, ("up",))
    assert play(network) == {"x": Completion("x", sent_s, sent_s + 0.25)}


@pytest.mark.parametrize("model", [PURE, PLAIN, TCP])
def test_an_empty_route_takes_no_time(model):
    network = Network([UP], model)
    network.start(2, "x", MB, ())
    assert play(network) == {"x": Completion("x", 2, 2)}


def test_a_transfer_goes_on_after_an_outage_and_never_over_a_dead_link():
    network = Network([Link("a", Steps([0, 1, 3], [8e6, 0, 8e6])), Link("dead", Steps([0, 1], [8e6, 0]))], PLAIN)
    network.start(0, "x", 2 * MB, ("a",))
    network.start(0, "y", 2 * MB, ("dead",))
    assert play(network) == {"x": Completion("x", 4, 4)}
    assert network.cancel(9, "y") == pytest.approx(MB)


def test_a_transfer_weighs_whole_bytes_on_the_wire():
    network = Network([UP], TCP)
    assert [network.wire_bytes(size) for size in (0, 1, 9653)] == [0, 2, 10_000]
    assert Network([UP], PURE).wire_bytes(1234) == 1234


@SETTINGS
@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 400_000), st.booleans()), min_size=1, max_size=12),
    st.sampled_from([PURE, PLAIN, TCP, replace(TCP, rtt_weights=False), replace(TCP, latency_first=True)]),
)
def test_every_transfer_is_delivered_once_in_order_of_time_and_not_before_light_could(starts, model):
    links = [UP, DOWN, Link("nic", Constant(10e6), 0.01)]
    network = Network(links, model)
    done = []
    for index, (tenth, size_bytes, up) in sorted(enumerate(starts), key=lambda entry: entry[1][0]):
        done += network.advance(tenth / 10)
        network.start(tenth / 10, index, size_bytes, ("up", "nic") if up else ("nic", "down"))
    done += play(network).values()
    assert sorted(completion.flow_id for completion in done) == list(range(len(starts)))
    for completion in done:
        tenth, size_bytes, up = starts[completion.flow_id]
        latency_s = 0.26 if up else 0.51
        assert completion.delivered_s - completion.sent_s == pytest.approx(latency_s)
        assert completion.sent_s >= tenth / 10 + size_bytes / 1e6 * (1 - 1e-9) - 1e-9
    if not model.latency_first:
        assert [completion.sent_s for completion in done] == sorted(completion.sent_s for completion in done)


def test_time_scales_when_rates_and_latencies_do():
    def ends_s(pace):
        network = Network([Link(name, Constant(2e7 / pace), 0.02 * pace) for name in "ab"], FAST)
        for index, size_bytes in enumerate((100_000, 1_000_000, 300_000)):
            network.start(index * 0.05 * pace, index, size_bytes, ("a", "b")[: 1 + index % 2])
        return [done.delivered_s / pace for done in play(network).values()]

    assert ends_s(4) == pytest.approx(ends_s(1), rel=1e-9)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda network: network.start(1, "x", 1, ("up",)), "'x' is already under way"),
        (lambda network: network.start(1, "y", -1, ("up",)), "size_bytes must be finite and >= 0, got -1"),
        (lambda network: network.start(1, "y", math.nan, ("up",)), "size_bytes"),
        (lambda network: network.start(1, "y", 1, ("upp",)), "unknown link 'upp' in a route; did you mean 'up'?"),
        (lambda network: network.start(1, "y", 1, ("up",), ack_route=("dwn",)), "unknown link 'dwn'"),
        (lambda network: network.start(0.5, "y", 1, ("up",)), "time must not go back: 0.5 s after 0.75 s"),
        (lambda network: network.start(math.nan, "y", 1, ("up",)), "time must not go back: nan"),
        (lambda network: network.advance(0.5), "time must not go back"),
        (lambda network: network.advance(math.nan), "time must not go back"),
        (lambda network: network.cancel(1, "y"), "no transfer 'y' is under way"),
    ],
)
def test_impossible_calls_are_refused_and_change_nothing(act, message):
    network = Network([UP], PLAIN)
    network.start(0, "x", MB, ("up",))
    network.advance(0.75)
    with pytest.raises(ValueError, match=message):
        act(network)
    assert play(network) == {"x": Completion("x", 1.0, 1.25)}


def test_at_ten_million_seconds_transfers_still_end():
    network = Network([UP, DOWN], TCP)
    for index in range(20):
        network.start(1e7, index, 1000 * index, (("up", "down")[index % 2],))
    steps, done = 0, []
    while (when_s := network.next_event_s()) < math.inf and steps < 1000:
        done += network.advance(when_s)
        steps += 1
    assert sorted(completion.flow_id for completion in done) == list(range(20))
    assert network.next_event_s() == math.inf


def test_a_network_tells_its_size():
    assert repr(Network([UP, DOWN], Tcp())) == "<Network 2 links, 0 transfers>"


def exchange_s(network, start_s, size_bytes, ends, route, ack_route):
    """When a message over a connection of two ends is delivered."""
    network.start(start_s, start_s, size_bytes, route, connection=ends, ack_route=ack_route)
    return play(network)[start_s].delivered_s


# 8 Mbit/s and 0.25 s each way: 1 MB a second, a round trip of 0.5 s, a timeout of 0.7 s; windows of 100,000 bytes.
PHONE = [Link("up", Constant(8e6), 0.25), Link("down", Constant(8e6), 0.25)]
RHYTHM = replace(PLAIN, slow_start=True, handshake=True, initial_window_bytes=100_000)
UPLOAD = (("phone", "server"), ("up",), ("down",))
DOWNLOAD = (("server", "phone"), ("down",), ("up",))


@pytest.mark.parametrize("model", [RHYTHM, replace(RHYTHM, congestion=True)])
def test_the_rhythm_of_split_learning_on_a_warm_connection(model):
    network = Network(PHONE, model)
    # Handshake 0.5; 100 kB, 200 kB half a second each; the third window could be 400 kB: 0.1 s for the last 100 kB.
    up_s = exchange_s(network, 0, 400_000, *UPLOAD)
    assert up_s == pytest.approx(0.5 + 0.5 + 0.5 + 0.1 + 0.25)
    # The server answers at once: no handshake, but its direction of the connection has a window of its own to open.
    down_s = exchange_s(network, up_s, 400_000, *DOWNLOAD)
    assert down_s == pytest.approx(up_s + 0.5 + 0.5 + 0.1 + 0.25)
    # The phone computes for 0.2 s. It has been silent for 1.8 s, more than two timeouts: first window again.
    again_s = exchange_s(network, down_s + 0.2, 400_000, *UPLOAD)
    assert again_s == pytest.approx(down_s + 0.2 + 0.5 + 0.5 + 0.1 + 0.25)


@pytest.mark.parametrize("model", [RHYTHM, replace(RHYTHM, congestion=True)])
def test_a_short_wait_for_the_server_keeps_the_window(model):
    network = Network(PHONE, model)
    up_s = exchange_s(network, 0, 300_000, *UPLOAD)
    # Sent until 1.2 s; 0.35 s later the window of 200 kB is still there: it takes a round of 0.5 s, then come 100 kB.
    assert up_s == pytest.approx(0.5 + 0.5 + 0.2 + 0.25)
    assert exchange_s(network, up_s + 0.1, 300_000, *UPLOAD) == pytest.approx(up_s + 0.1 + 0.5 + 0.1 + 0.25)


def test_each_timeout_of_silence_halves_the_window():
    network = Network(PHONE, RHYTHM)
    exchange_s(network, 0, 700_000, *UPLOAD)  # windows of 100, 200 and 400 kB; the last byte leaves at 1.9 s
    # Silent for 1.5 s, two timeouts: halved twice, to 100 kB; 200 kB in the second round, 100 kB in the third.
    assert exchange_s(network, 3.4, 400_000, *UPLOAD) == pytest.approx(3.4 + 0.5 + 0.5 + 0.1 + 0.25)


def test_acknowledgements_wait_in_the_queue_of_uploads():
    def took_s(model):
        links = [Link("up", Constant(2e6), 0.02), Link("down", Constant(50e6), 0.02)]
        network = Network(links, model)
        network.start(0, "up", 3 * MB, ("up",), ack_route=("down",))
        network.start(3, "down", 3 * MB, ("down",), ack_route=("up",))
        network.advance(2.9)
        return play(network)["down"].sent_s - 3

    # Alone: handshake and three rounds of 40 ms and 0.5 s of bits. The uplink's queue of 96 kB is 0.38 s at 2 Mbit/s.
    assert took_s(replace(TCP, ack_queues=False)) == pytest.approx(0.66, abs=0.05)
    assert took_s(TCP) > 2


def test_whoever_was_there_first_keeps_more_than_a_newcomer():
    links = [Link("a", Constant(20e6), 0.03)]
    ends = {}
    for model in (FAST, TCP):
        network = Network(links, model)
        network.start(0, "old", 5 * MB, ("a",))
        network.advance(1)
        network.start(1, "new", 5 * MB, ("a",))
        done = play(network)
        ends[model] = done["new"].sent_s - done["old"].sent_s
    assert ends[TCP] > ends[FAST] + 0.2


def test_no_link_carries_more_than_it_can_under_windows():
    network = Network([Link("a", Constant(8e6), 0.05)], TCP)
    for index in range(8):
        network.start(0.1 * index, index, 300_000, ("a",))
        network.advance(0.1 * index)
    assert max(done.sent_s for done in play(network).values()) >= 8 * TCP.wire_bytes(300_000) / MB


def test_an_outage_under_windows_stalls_and_goes_on_and_for_ever_it_ends_in_silence():
    stops = Link("stops", Steps([0, 1, 3], [8e6, 0, 8e6]), 0.05)
    dead = Link("dead", Steps([0, 1], [8e6, 0]), 0.05)
    network = Network([stops, dead], TCP)
    for index in range(3):
        network.start(0, ("stops", index), MB, ("stops",))
        network.start(0, ("dead", index), MB, ("dead",))
    done = play(network)
    assert set(done) == {("stops", 0), ("stops", 1), ("stops", 2)}
    assert 5 < max(each.sent_s for each in done.values()) < 6


def test_a_transfer_of_years_is_not_looked_at_every_round_trip():
    network = Network([Link("a", Constant(8e6), 0.01)], TCP)
    network.start(0, "x", 1e14, ("a",))
    steps = 0
    while (when_s := network.next_event_s()) < math.inf:
        network.advance(when_s)
        steps += 1
    assert steps < 60_000


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_transfers_leave_nothing_for_the_collector_of_cycles(model):
    network = Network([UP, DOWN, *(Link(f"p{index}", Constant(1e6 + index), 0.01) for index in range(300))], model)
    gc.collect()
    gc.disable()
    try:
        for index in range(300):
            network.start(0, index, 10_000, (f"p{index}", "up"))
        assert len(play(network)) == 300
        del network
        assert gc.collect() == 0
    finally:
        gc.enable()
