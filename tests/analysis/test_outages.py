"""When links carried nothing: staircases on paper, and laws for random ones against a count of seconds."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmodels.capacity import Constant, Scaled, Shifted, Steps
from netmodels.link import Link
from simulator.analysis.outages import Outage, between, outages, seconds

OWN = Link("phone.up", Steps((0, 2, 5), (1, 0, 3), period_s=10))  # dead from 2 to 5, 12 to 15, ...
CELL = Link("cell.a.up", Steps((0, 4, 7), (1, 0, 1)))  # dead from 4 to 7
WIRE = Link("server.up", Constant(1))


def test_a_link_without_capacity_has_an_outage_each_time():
    assert outages([OWN, WIRE], 0, 20) == [Outage(2, 5, "phone.up"), Outage(12, 15, "phone.up")]


def test_only_what_lies_in_the_time_asked_for_counts():
    assert outages([OWN], 3, 13) == [Outage(3, 5, "phone.up"), Outage(12, 13, "phone.up")]
    assert outages([OWN], 5, 12) == []
    assert outages([WIRE], 0, 100) == []


def test_where_two_links_are_dead_the_first_one_is_named():
    assert outages([OWN, CELL], 0, 10) == [Outage(2, 5, "phone.up"), Outage(5, 7, "cell.a.up")]
    assert outages([CELL, OWN], 0, 10) == [Outage(2, 4, "phone.up"), Outage(4, 7, "cell.a.up")]


def test_steps_without_capacity_that_follow_each_other_are_one_outage():
    link = Link("x", Steps((0, 1, 2, 3), (1, 0, 0, 1)))
    assert outages([link], 0, 9) == [Outage(1, 3, "x")]


@pytest.mark.parametrize("capacity", [Scaled(OWN.capacity, 3.0), Shifted(OWN.capacity, 10.0)])
def test_a_multiple_of_a_link_and_one_a_lap_later_have_the_same_outages(capacity):
    assert outages([Link("phone.up", capacity)], 0, 9) == [Outage(2, 5, "phone.up")]


def test_what_is_left_between_outages():
    gaps = outages([OWN, CELL], 1, 20)
    assert between(gaps, 1, 20) == [(1, 2), (7, 12), (15, 20)]
    assert between([], 1, 2) == [(1, 2)]
    assert between([], 2, 2) == []
    assert seconds(gaps) == 3 + 2 + 3
    assert seconds(gaps, 6) == 3 + 1


LIVE = st.lists(st.booleans(), min_size=3, max_size=12).filter(any)


@given(st.lists(LIVE, min_size=1, max_size=3), st.integers(0, 20), st.integers(0, 20))
def test_outages_are_the_seconds_in_which_some_link_carries_nothing(lives, since_s, length_s):
    links = [
        Link(f"l{number}", Steps(range(len(each)), [float(alive) for alive in each], period_s=len(each)))
        for number, each in enumerate(lives)
    ]
    until_s = since_s + length_s
    gaps = outages(links, since_s, until_s)
    dead = [at_s for at_s in range(since_s, until_s) if not all(each[at_s % len(each)] for each in lives)]
    assert seconds(gaps) == len(dead)
    assert all(a.end_s <= b.start_s for a, b in pairwise(gaps))
    for gap in gaps:
        name = next(f"l{number}" for number, each in enumerate(lives) if not each[int(gap.start_s) % len(each)])
        assert gap.link == name
    left_s = math.fsum(end_s - start_s for start_s, end_s in between(gaps, since_s, until_s))
    assert left_s == length_s - len(dead)
