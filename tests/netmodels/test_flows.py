"""The core by hand: links of 8 or 10 bit/s, sums that can be done in the head."""

import math

import pytest

from netmodels.capacity import Constant, Steps
from netmodels.flows import Flows
from netmodels.link import Link


def flows_over(**capacities):
    steps = {name: Constant(value) if isinstance(value, int) else value for name, value in capacities.items()}
    return Flows({name: Link(name, capacity) for name, capacity in steps.items()})


def play(flows, until_s=math.inf):
    """When each flow ends."""
    ends_s = {}
    while (when_s := flows.next_event_s()) <= until_s and when_s < math.inf:
        ends_s |= dict.fromkeys(flows.advance(when_s), when_s)
    return ends_s


def test_a_lone_flow_gets_the_whole_link():
    flows = flows_over(a=10)
    flows.add(2, "x", 40, ("a",))
    assert flows.rate_bps("x") == 10
    assert flows.next_event_s() == 6
    assert flows.advance(5) == []
    assert flows.remaining_bits("x") == 10
    assert flows.advance(6) == ["x"]
    assert flows.next_event_s() == math.inf
    assert "x" not in flows
    assert len(flows) == 0


def test_two_flows_halve_a_link_and_the_longer_one_has_it_alone_at_the_end():
    flows = flows_over(a=10)
    flows.add(0, "short", 10, ("a",))
    flows.add(0, "long", 30, ("a",))
    assert play(flows) == {"short": 2, "long": 4}


def test_shares_are_in_proportion_to_weights():
    flows = flows_over(a=8)
    flows.add(0, "x", 30, ("a",), weight=3)
    flows.add(0, "y", 30, ("a",), weight=1)
    assert (flows.rate_bps("x"), flows.rate_bps("y")) == (6, 2)


def test_light_flows_get_what_a_very_heavy_one_leaves_though_rounding_cannot_tell_them_beside_it():
    """heavy takes its 40 of a; both light ones could have 30 of the rest, but of b they get 20, beside a capped one."""
    flows = flows_over(a=100, b=90)
    flows.add(0, "heavy", 1e6, ("a",), weight=1e20, cap_bps=40)
    flows.add(0, "capped", 1e6, ("b",), weight=1e14, cap_bps=50)
    for light in ("x", "y"):
        flows.add(0, light, 1e6, ("a", "b"), weight=1e-3)
    assert [flows.rate_bps(name) for name in ("heavy", "capped", "x", "y")] == [40, 50, 20, 20]


def test_what_a_capped_flow_leaves_goes_to_the_others():
    flows = flows_over(a=10)
    flows.add(0, "capped", 30, ("a",), cap_bps=2)
    flows.add(0, "free", 30, ("a",))
    assert (flows.rate_bps("capped"), flows.rate_bps("free")) == (2, 8)
    flows.set_cap(0, "capped", math.inf)
    assert (flows.rate_bps("capped"), flows.rate_bps("free")) == (5, 5)
    flows.set_cap(0, "capped", 0)
    assert (flows.rate_bps("capped"), flows.rate_bps("free")) == (0, 10)


def test_a_long_route_gets_what_its_narrowest_shared_link_leaves():
    # Three links in a row, one flow over all and one over each: 10 halves to 5 and 5, the others take the rest.
    flows = flows_over(a=10, b=20, c=16)
    flows.add(0, "long", 50, ("a", "b", "c"))
    for link in "abc":
        flows.add(0, link, 1000, (link,))
    assert [flows.rate_bps(flow) for flow in ("long", "a", "b", "c")] == [5, 5, 15, 11]


def test_a_wide_link_joins_nothing():
    flows = flows_over(a=10, b=10, server=100)
    flows.add(0, "x", 20, ("a", "server"))
    flows.add(0, "y", 20, ("b", "server"))
    flows.add(1, "z", 20, ("b", "server"))
    assert play(flows) == {"x": 2, "y": 3, "z": 4}


def test_a_link_that_wakes_and_sleeps_again_gives_everybody_his_due():
    # The server (10) is filled by two access links of 8 only while both send: 5 each from 1 s to 3 s, then 8 again.
    flows = flows_over(a=8, b=8, server=10)
    flows.add(0, "x", 26, ("a", "server"))
    flows.add(1, "y", 10, ("b", "server"))
    assert play(flows) == {"y": 3, "x": 4}


def test_cancelling_a_flow_frees_its_share_at_that_instant():
    flows = flows_over(a=10)
    flows.add(0, "x", 40, ("a",))
    flows.add(0, "y", 40, ("a",))
    assert flows.remove(2, "y") == 30
    assert flows.rate_bps("x") == 10
    assert play(flows) == {"x": 5}


def test_changes_of_one_instant_count_together_whatever_their_order():
    flows = flows_over(a=10)
    flows.add(0, "x", 100, ("a",))
    flows.advance(1)
    flows.remove(1, "x")
    flows.add(1, "x", 30, ("a",))
    flows.add(1, "y", 20, ("a",))
    assert play(flows) == {"y": 5, "x": 6}


def test_a_flow_can_be_given_more_to_send_on_the_way():
    flows = flows_over(a=10)
    flows.add(0, "x", 20, ("a",))
    flows.add(0, "y", 40, ("a",))
    assert flows.next_event_s() == 4
    flows.extend(1, "x", 20)
    assert play(flows) == {"x": 8, "y": 8}


def test_a_flow_that_was_the_first_to_end_and_got_more_is_not_ended_early():
    flows = flows_over(a=10)
    flows.add(0, "x", 20, ("a",))
    flows.add(0, "y", 30, ("a",))
    flows.next_event_s()
    flows.extend(0, "x", 100)
    assert play(flows) == {"y": 6, "x": 15}


def test_flows_follow_a_capacity_that_changes():
    flows = flows_over(a=Steps([0, 1, 3], [20, 5, 10]))
    flows.add(0, "x", 50, ("a",))
    assert [flows.next_event_s()] == [1]
    assert play(flows) == {"x": 5}  # 20 + 2 x 5 + 2 x 10


def test_a_flow_stalls_where_there_is_no_capacity_and_goes_on_after():
    flows = flows_over(a=Steps([0, 1, 3], [10, 0, 10]))
    flows.add(0, "x", 20, ("a",))
    assert flows.advance(2) == []
    assert flows.rate_bps("x") == 0
    assert play(flows) == {"x": 4}


def test_a_flow_that_can_never_go_on_has_no_next_event():
    flows = flows_over(a=Steps([0, 1], [10, 0]))
    flows.add(0, "x", 20, ("a",))
    assert play(flows) == {}
    assert flows.next_event_s() == math.inf
    assert flows.remaining_bits("x") == 10


def test_an_idle_link_announces_no_changes():
    flows = flows_over(a=Steps([0, 1], [10, 20], period_s=2))
    assert flows.next_event_s() == math.inf
    flows.add(0.5, "x", 10, ("a",))
    assert play(flows) == {"x": 1.25}
    assert flows.next_event_s() == math.inf
    flows.add(2.5, "y", 10, ("a",))
    assert play(flows) == {"y": 3.25}


def test_no_bits_take_no_time():
    flows = flows_over(a=Steps([0, 1], [0, 10]))
    flows.add(0.5, "x", 0, ("a",))
    assert flows.next_event_s() == 0.5
    assert flows.advance(0.5) == ["x"]


def test_an_empty_route_has_no_limit_but_the_cap():
    flows = flows_over(a=10)
    flows.add(1, "free", 100, ())
    flows.add(1, "capped", 100, (), cap_bps=50)
    assert play(flows) == {"free": 1, "capped": 3}


def test_flows_that_end_together_are_told_in_order_of_arrival():
    flows = flows_over(a=10, b=10, c=30)
    flows.add(0, "late", 20, ("c",), cap_bps=10)
    flows.add(0, "b", 10, ("b",))
    flows.add(0, "a", 10, ("a",))
    assert flows.advance(9) == ["b", "a", "late"]


def test_one_flow_among_a_thousand_passing_ones_ends_when_all_the_bits_are_through():
    flows = flows_over(a=10)
    flows.add(0, "long", 5000, ("a",))
    for index in range(1000):
        flows.advance(index)
        flows.add(index, index, 5, ("a",))
    assert play(flows)["long"] == pytest.approx((5000 + 1000 * 5) / 10)


def test_a_thousand_changes_of_mind_about_one_flow_make_nobody_forget_the_other():
    flows = flows_over(a=10, b=10)
    flows.add(0, "fickle", 20_000, ("a",))
    flows.add(0, "steady", 20_000, ("b",))
    for second in range(1000):
        flows.advance(second)
        flows.set_cap(second, "fickle", 4 if second % 2 else 6)  # 5000 bits in all, then 4 a second
    assert play(flows) == {"steady": 2000, "fickle": pytest.approx(1000 + 15_000 / 4)}


def test_at_ten_million_seconds_flows_still_end():
    # One step of the clock is 2e-9 s there; these flows need a hundredth of that, or end between two steps.
    flows = flows_over(a=50_000_000)
    start_s = 1e7
    flows.add(start_s, "crumb", 1e-5, ("a",))
    for index in range(50):
        flows.add(start_s, index, 1e6 + index * 1e-5, ("a",))
    told = []
    for _ in range(500):
        if (when_s := flows.next_event_s()) == math.inf:
            break
        told += flows.advance(when_s)
    assert told[0] == "crumb"
    assert sorted(told[1:]) == list(range(50))
    assert when_s == math.inf
    flows.add(start_s + 2, "last", 50e6, ("a",))
    assert flows.next_event_s() == pytest.approx(start_s + 3, abs=1e-7)


def test_a_caller_whose_clock_rounds_down_is_not_sent_round_for_ever():
    flows = flows_over(a=10)
    flows.add(0, "x", 1, ("a",))
    early_s = math.nextafter(flows.next_event_s(), 0)
    assert flows.advance(early_s) == ["x"]
    flows.add(early_s, "y", 1, ("a",))
    assert play(flows) == {"y": pytest.approx(0.2)}


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda flows: flows.add(1, "x", 1, ("a",)), "'x' is already under way"),
        (lambda flows: flows.add(1, "y", -1, ("a",)), "size_bits must be finite and >= 0"),
        (lambda flows: flows.add(1, "y", math.nan, ("a",)), "size_bits must be finite and >= 0"),
        (lambda flows: flows.add(1, "y", 1, ("a",), weight=0), "weight finite and > 0"),
        (lambda flows: flows.add(1, "y", 1, ("a",), cap_bps=math.nan), "cap_bps >= 0"),
        (lambda flows: flows.add(1, "y", 1, ("phone.dwn",)), "unknown link 'phone.dwn' .* did you mean 'phone.down'?"),
        (lambda flows: flows.add(1, "y", 1, ("a", "a")), "cross a link at most once"),
        (lambda flows: flows.add(0, "y", 1, ("a",)), r"time must not go back: 0(\.0)? s after 1(\.0)? s"),
        (lambda flows: flows.add(math.nan, "y", 1, ("a",)), "time must not go back: nan"),
        (lambda flows: flows.add(11, "y", 1, ("a",)), "an event is due at 10.0 s"),
        (lambda flows: flows.set_cap(1, "x", -1), "cap_bps must be >= 0"),
        (lambda flows: flows.set_cap(1, "y", 1), "no flow 'y'"),
        (lambda flows: flows.extend(1, "x", math.inf), "more_bits must be finite"),
        (lambda flows: flows.remove(1, "y"), "no flow 'y'"),
        (lambda flows: flows.advance(0.5), "time must not go back"),
        (lambda flows: flows.advance(math.nan), "time must not go back"),
    ],
)
def test_impossible_calls_are_refused_and_change_nothing(act, message):
    flows = Flows({name: Link(name, Constant(10)) for name in ("a", "phone.down")})
    flows.add(0, "x", 100, ("a",))
    flows.advance(1)
    with pytest.raises(ValueError, match=message):
        act(flows)
    assert play(flows) == {"x": 10}
