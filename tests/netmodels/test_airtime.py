"""Cells shared by time, by hand: phones at 10 and 2 Mbit/s, and what happens when one of them moves."""

import math

import pytest

from netmodels.capacity import Constant, Steps
from netmodels.flows import Flows
from netmodels.link import Link

MBPS = 1e6


def cell(airtime, share=1.0, wire_mbps=1000, **radios):
    """A cell, its radio links by name (Mbit/s or a capacity), and a wire behind it."""
    links = [Link("cell", Constant(share), airtime=airtime), Link("wire", Constant(wire_mbps * MBPS))]
    for name, rate in radios.items():
        capacity = Constant(rate * MBPS) if isinstance(rate, int) else rate
        links.append(Link(name, capacity, radio_in="cell"))
    return Flows({link.name: link for link in links})


def rates_mbps(flows, *names):
    return [flows.rate_bps(name) / MBPS for name in names]


def test_equal_rates_let_a_far_phone_slow_down_the_near_one():
    # Each bit costs 1/10 + 1/2 of a microsecond for the two of them.
    flows = cell("equal-rates", near=10, far=2)
    flows.add(0, "near", 1e7, ("near", "cell", "wire"))
    assert rates_mbps(flows, "near") == [10]
    flows.add(0, "far", 1e7, ("far", "cell", "wire"))
    assert rates_mbps(flows, "near", "far") == pytest.approx([1 / 0.6, 1 / 0.6])


def test_equal_times_give_each_phone_its_part_of_its_own_rate():
    flows = cell("equal-times", near=10, far=2)
    flows.add(0, "near", 1e7, ("near", "cell", "wire"))
    flows.add(0, "far", 1e7, ("far", "cell", "wire"))
    assert rates_mbps(flows, "near", "far") == pytest.approx([5, 1])
    flows.remove(0, "near")
    assert rates_mbps(flows, "far") == pytest.approx([2])


@pytest.mark.parametrize("airtime", ["equal-rates", "equal-times"])
def test_phones_of_one_rate_get_equal_parts_of_it(airtime):
    flows = cell(airtime, a=12, b=12, c=12)
    for name in "abc":
        flows.add(0, name, 1e7, ("wire", "cell", name))
    assert rates_mbps(flows, *"abc") == pytest.approx([4, 4, 4])


@pytest.mark.parametrize(("airtime", "then"), [("equal-rates", [1 / 1.1, 1 / 1.1]), ("equal-times", [5, 0.5])])
def test_when_a_phone_moves_away_its_bits_cost_more_from_then_on(airtime, then):
    flows = cell(airtime, still=10, walker=Steps([0, 1], [10e6, 1e6]))
    flows.add(0, "still", 1e9, ("still", "cell"))
    flows.add(0, "walker", 1e9, ("walker", "cell"))
    assert rates_mbps(flows, "still", "walker") == pytest.approx([5, 5])
    flows.advance(1)
    assert rates_mbps(flows, "still", "walker") == pytest.approx(then)


def test_a_phone_without_signal_takes_no_time_from_the_others_and_goes_on_later():
    flows = cell("equal-times", a=10, b=Steps([0, 1, 2], [10e6, 0, 10e6]))
    flows.add(0, "a", 15e6, ("a", "cell"))
    flows.add(0, "b", 10e6, ("b", "cell"))
    flows.advance(1)
    assert rates_mbps(flows, "a", "b") == [10, 0]
    assert flows.advance(2) == ["a"]
    assert flows.next_event_s() == pytest.approx(2.5)


def test_others_may_take_a_part_of_the_time():
    flows = cell("equal-rates", share=0.25, a=8, b=8)
    flows.add(0, "a", 1e6, ("a", "cell"))
    assert rates_mbps(flows, "a") == [2]
    flows.add(0, "b", 1e6, ("b", "cell"))
    assert rates_mbps(flows, "a", "b") == [1, 1]


def test_one_cell_may_serve_both_ways():
    # Wi-Fi has one channel for up and down: 20 down and 5 up leave 1 / (1/20 + 1/5) = 4 each way.
    flows = cell("equal-rates", up=5, down=20)
    flows.add(0, "up", 1e6, ("up", "cell"))
    flows.add(0, "down", 1e6, ("cell", "down"))
    assert rates_mbps(flows, "up", "down") == pytest.approx([4, 4])


def test_time_that_a_capped_flow_leaves_goes_to_the_others():
    flows = cell("equal-times", a=10, b=10, c=2)
    flows.add(0, "a", 1e7, ("a", "cell"), cap_bps=1e6)  # a tenth of the time
    flows.add(0, "b", 1e7, ("b", "cell"))
    flows.add(0, "c", 1e7, ("c", "cell"))
    assert rates_mbps(flows, "a", "b", "c") == pytest.approx([1, 4.5, 0.9])


def test_behind_a_cell_of_equal_times_its_phones_weigh_together_as_many_as_they_are():
    # The wire of 4 is the bottleneck: two phones of the cell (10 and 2 Mbit/s) get half of it, two on wires the rest.
    flows = cell("equal-times", wire_mbps=4, near=10, far=2)
    for name, route in (("near", ("near", "cell", "wire")), ("far", ("far", "cell", "wire"))):
        flows.add(0, name, 1e7, route)
    for name in ("c", "d"):
        flows.add(0, name, 1e7, ("wire",))
    assert rates_mbps(flows, "near", "far", "c", "d") == pytest.approx([2 * 10 / 12, 2 * 2 / 12, 1, 1])


def test_a_busy_cell_is_busy_all_the_time():
    radios = {f"p{rate}": rate for rate in range(1, 40)}
    flows = cell("equal-rates", **radios)
    for name, rate in radios.items():
        flows.add(0, name, 1e6 * rate, (name, "cell", "wire"))
    finish_s, ended = 0.0, []
    while (when_s := flows.next_event_s()) < math.inf:
        finish_s = when_s
        ended += flows.advance(when_s)
    assert finish_s == pytest.approx(39)  # a second of the cell's time for each of them, whatever the order
    assert ended == list(radios)


@pytest.mark.parametrize(
    ("route", "message"),
    [
        (("cell",), r"route over the airtime of 'cell' must cross exactly one radio link .* got none"),
        (("a", "b", "cell"), r"exactly one radio link .* got \['a', 'b'\]"),
        (("a", "wire"), "'a' is a radio link in 'cell', so a route over it must cross that cell"),
    ],
)
def test_a_route_that_leaves_open_what_a_bit_costs_is_refused(route, message):
    with pytest.raises(ValueError, match=message):
        cell("equal-rates", a=1, b=1).add(0, "x", 1, route)


def test_a_radio_link_in_something_that_is_no_cell_is_refused():
    flows = Flows({"a": Link("a", Constant(1), radio_in="wire"), "wire": Link("wire", Constant(1))})
    with pytest.raises(ValueError, match="'a': radio_in must name a link with airtime, got 'wire'"):
        flows.add(0, "x", 1, ("a", "wire"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"capacity": Constant(150e6)}, "capacity of airtime is a share of time, at most 1"),
        ({"airtime": "fair"}, "airtime must be one of equal-rates, equal-times, got 'fair'"),
        ({"radio_in": "other"}, "airtime cannot be a radio link"),
    ],
)
def test_airtime_that_makes_no_sense_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Link(**{"name": "cell", "capacity": Constant(1), "airtime": "equal-rates"} | changes)
