"""What an event loop is told of a network: arrivals, and what has left if it asks; against the network by itself."""

import math
from itertools import count

from netmodels.arrivals import Arrivals
from netmodels.capacity import Constant, Steps
from netmodels.link import Link
from netmodels.network import Network
from netmodels.tcp import MODELS, PURE, Tcp

MB = 1_000_000
TCP = Tcp()
LINKS = [Link("a", Constant(8e6), 0.01), Link("b", Constant(4e6), 0.2)]


def played(network: Network) -> dict:
    """The completions of a network that is played to its end without an event loop."""
    done = {}
    while (next_s := network.next_event_s()) < math.inf:
        done |= {each.flow_id: each for each in network.advance(next_s)}
    return done


def test_a_transfer_is_told_of_at_the_very_time_at_which_it_arrives():
    """A megabyte at 8 Mbit/s takes a second, and 10 ms to get there: pure shares links one latency late."""
    network = Network(LINKS, PURE)
    arrivals = Arrivals(network)
    network.start(0, "x", MB, ("a",))
    (told,) = until_told(arrivals)
    assert (told.flow_id, told.delivered_s, arrivals.now_s) == ("x", arrivals.now_s, 1.01)


def test_of_what_is_watched_one_hears_when_it_has_left_and_when_it_arrives():
    network = Network(LINKS, TCP)
    arrivals = Arrivals(network)
    network.start(0, "watched", MB, ("b",))
    arrivals.watched.add("watched")
    left = until_told(arrivals)
    left_s = arrivals.now_s
    assert left == [played(started("watched"))["watched"]]
    assert left[0].sent_s == left_s < left[0].delivered_s
    assert until_told(arrivals) == left
    assert arrivals.now_s == left[0].delivered_s == left_s + 0.2
    assert arrivals.next_event_s() == math.inf


def test_what_arrives_as_it_leaves_is_told_of_once_though_it_is_watched():
    """Pure shares know that something has left when it arrives."""
    network = Network(LINKS, PURE)
    arrivals = Arrivals(network)
    network.start(0, "x", MB, ("a",))
    arrivals.watched.add("x")
    assert [each.flow_id for each in until_told(arrivals)] == ["x"]
    assert not arrivals.watched
    assert arrivals.next_event_s() == math.inf


def test_arrivals_are_told_in_their_order_not_in_that_of_leaving():
    """The later one, over the short link, overtakes the earlier one, over the long one."""
    network = Network(LINKS, MODELS["tcp-fast"])
    arrivals = Arrivals(network)
    network.start(0, "long", 1000, ("b",))
    network.start(0, "short", 380_000, ("a",))
    alone = played(started("long", 1000))["long"], played(started("short", 380_000, "a"))["short"]
    assert alone[0].sent_s < alone[1].sent_s < alone[1].delivered_s < alone[0].delivered_s
    assert [until_told(arrivals), until_told(arrivals)] == [[alone[1]], [alone[0]]]


def test_arrivals_at_one_instant_are_told_one_by_one_in_the_order_of_leaving():
    network = Network(LINKS, PURE)
    arrivals = Arrivals(network)
    for name in ("x", "y", "z"):
        network.start(0, name, MB, ("a",))
    told = [until_told(arrivals) for _ in range(3)]
    assert [[each.flow_id for each in turn] for turn in told] == [["x"], ["y"], ["z"]]
    assert len({turn[0].delivered_s for turn in told} | {arrivals.now_s}) == 1


def test_nothing_is_told_before_its_time_and_no_turn_goes_beyond_the_next_timer():
    """Timers every 3 ms: the network is played up to each, and says nothing until something has arrived."""
    network = Network(LINKS, TCP)
    arrivals = Arrivals(network)
    network.start(0, "x", MB, ("a",))
    for until_s in (0.003 * turn for turn in count(1)):
        told = []
        while not told and arrivals.next_event_s() < until_s:
            told = arrivals.run(until_s)
            assert arrivals.now_s < until_s
        if told:
            break
    assert told == [played(started("x", MB, "a"))["x"]]
    assert arrivals.now_s == told[0].delivered_s


def test_playing_on_stops_now_and_then_even_where_nobody_is_concerned_and_changes_nothing():
    """A link that changes 2,000 times a second for 100 s: whoever plays it has to be able to listen to Ctrl-C."""
    link = Link("a", Steps((0.0, 0.0005), (1e6, 3e6), period_s=0.001), 0.25)
    at_once, by_turns = (Network([link], TCP) for _ in range(2))
    for network in (at_once, by_turns):
        network.start(0, "x", 20 * MB, ("a",))
    arrivals = Arrivals(by_turns)
    turns, done = 0, []
    while not done:
        done = arrivals.run(math.inf)
        turns += 1
    assert played(at_once) == {"x": done[0]}
    assert turns > 20


def started(name: str, size_bytes: int = MB, link: str = "b") -> Network:
    """Another network with that one transfer."""
    network = Network(LINKS, TCP if size_bytes == MB else MODELS["tcp-fast"])
    network.start(0, name, size_bytes, (link,))
    return network


def until_told(arrivals: Arrivals) -> list:
    """What is told of next."""
    while not (told := arrivals.run(math.inf)):
        pass
    return told
