"""Water levels against sharing anew: stars, nested cells and tangles, with everything that can happen to a flow."""

import inspect
import math
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmodels.capacity import Constant, Steps
from netmodels.flows import Flows
from netmodels.forest import Forest
from netmodels.link import Link

HORIZON_S = 250


@dataclass(frozen=True)
class Plan:
    """A flow; each turn is (when, what, with what): "cap", "extend" or "remove"."""

    name: str
    start_s: float
    size_bits: float
    route: tuple[str, ...]
    weight: float
    cap_bps: float
    turns: tuple[tuple[float, str, float], ...]


# Whole and simple numbers for ties, and any number against luck.
bandwidths = st.one_of(st.sampled_from([1, 2, 3, 4, 5, 6, 8, 10, 13, 20, 40]), st.floats(0.3, 40))
# Whether an end a tenth of a nanosecond before an outage is an end is a matter of rounding: no such dates.
instants_s = st.one_of(st.sampled_from([0, 0, 0.5, 1, 2, 3]), st.integers(0, 10**7).map(lambda steps: steps * 1e-6))
staircases = st.builds(
    lambda values, period_s: Steps([0, 1, 2.5, 4][: len(values) + 1], [*values, 7], period_s),
    st.lists(st.sampled_from([0, 1, 4, 10, 20]), min_size=1, max_size=3),
    st.sampled_from([None, 6]),
)
capacities = st.one_of(bandwidths.map(Constant), bandwidths.map(Constant), bandwidths.map(Constant), staircases)
turns = st.one_of(
    st.tuples(instants_s, st.just("cap"), st.sampled_from([0, 1, 2.5, 5, math.inf])),
    st.tuples(instants_s, st.just("extend"), st.sampled_from([0, 1, 7.5])),
    st.tuples(instants_s, st.just("remove"), st.just(0)),
)


@st.composite
def scenes(draw):
    """Phones in cells behind a backhaul and a server; now and then one roams or talks to another server."""
    num_phones, num_cells = draw(st.integers(1, 16)), draw(st.integers(0, 3))
    with_backhaul, tangled = draw(st.booleans()), draw(st.sampled_from([False, False, True]))
    names = ["server", "other", "backhaul", *(f"c{i}" for i in range(num_cells)), *(f"p{i}" for i in range(num_phones))]
    links = {name: Link(name, draw(capacities)) for name in names}
    plans = []
    for index in range(num_phones + draw(st.integers(0, 4))):
        phone = index % num_phones
        route = [f"p{phone}"]
        if num_cells:
            route.append(f"c{draw(st.integers(0, num_cells - 1)) if tangled else phone % num_cells}")
        if with_backhaul:
            route.append("backhaul")
        route.append(draw(st.sampled_from(["server", "server", "other"])) if tangled else "server")
        plans.append(
            Plan(
                f"f{index}",
                draw(instants_s),
                draw(st.one_of(st.sampled_from([0, 1, 10, 12.5, 40]), st.floats(0.1, 100))),
                tuple(route[draw(st.integers(0, 1)) :] if tangled and len(route) > 1 else route),
                draw(st.sampled_from([1, 1, 1, 2, 0.25, 0.7, 1000])),
                draw(st.one_of(st.just(math.inf), st.just(math.inf), st.sampled_from([0.5, 1, 3]), st.floats(0.1, 10))),
                tuple(draw(st.lists(turns, max_size=2))),
            )
        )
    return links, plans


def play(links, plans, smallest_tree, watch=None, until_s=HORIZON_S):
    """When each flow ends, and what removed ones had left; `watch(flows, now_s)` looks at every instant."""
    flows, ends = Flows(links, smallest_tree=smallest_tree), {}
    pending = [(plan.start_s, 0, plan, "add", 0) for plan in plans]
    pending += [(plan.start_s + after_s, 1, plan, act, by) for plan in plans for after_s, act, by in plan.turns]
    pending.sort(key=lambda entry: entry[:2])
    while True:
        when_s = min(flows.next_event_s(), pending[0][0] if pending else math.inf)
        if when_s > until_s:
            return ends
        ends |= dict.fromkeys(flows.advance(when_s), when_s)
        while pending and pending[0][0] <= when_s:
            _, _, plan, act, by = pending.pop(0)
            if act == "add":
                flows.add(when_s, plan.name, plan.size_bits, plan.route, weight=plan.weight, cap_bps=plan.cap_bps)
            elif plan.name not in flows:
                continue
            elif act == "cap":
                flows.set_cap(when_s, plan.name, by)
            elif act == "extend":
                flows.extend(when_s, plan.name, by)
            else:
                ends[plan.name, "left"] = flows.remove(when_s, plan.name)
        if watch:
            watch(flows, when_s)


def settled(looks):
    """The last look of each instant: what is one instant to one solver may be two to the other, an ulp apart."""
    instants_s = sorted(looks)
    later_s = [*instants_s[1:], math.inf]
    return {now_s: looks[now_s] for now_s, then_s in zip(instants_s, later_s, strict=True) if then_s - now_s > 1e-9}


def same(values):
    return pytest.approx(values, rel=1e-9, abs=2e-9)


@given(scenes(), st.sampled_from([1, 3]))
def test_trees_end_flows_when_sharing_anew_does(scene, smallest_tree):
    assert play(*scene, smallest_tree) == same(play(*scene, math.inf))


@given(scenes())
def test_trees_give_the_rates_and_leave_the_rests_of_sharing_anew(scene):
    links, plans = scene
    seen = {1: {}, math.inf: {}}
    for smallest_tree, looks in seen.items():

        def watch(flows, now_s, looks=looks):
            here = [plan.name for plan in plans if plan.name in flows]
            looks[now_s] = {name: (flows.rate_bps(name), flows.remaining_bits(name)) for name in here}

        play(links, plans, smallest_tree, watch)
    trees, anews = settled(seen[1]), settled(seen[math.inf])
    for now_s in trees.keys() & anews.keys():  # of the other instants some are the same but for rounding
        tree, anew = trees[now_s], anews[now_s]
        for name in tree.keys() | anew.keys():
            if name in tree and name in anew:
                assert tree[name] == pytest.approx(anew[name], rel=1e-7, abs=1e-7)
            else:  # at its end to one, a moment before it to the other
                assert (tree.get(name) or anew[name])[1] < 1e-6


@given(scenes())
def test_a_tree_tells_the_same_story_twice_to_the_last_bit(scene):
    assert list(play(*scene, 1).items()) == list(play(*scene, 1).items())


def star(num_phones, smallest_tree, num_cells=0, server_bps=1e4):
    """All phones send at once, at 2 to 50 bit/s each, 30 bits and a few more; when everybody is done."""
    links = {"server": Link("server", Constant(server_bps))}
    for cell in range(num_cells):
        links[f"c{cell}"] = Link(f"c{cell}", Constant(1.2 * server_bps / num_cells))
    links |= {f"p{i}": Link(f"p{i}", Constant(2 + 48 * i / num_phones)) for i in range(num_phones)}
    flows = Flows(links, smallest_tree=smallest_tree)
    for index in range(num_phones):
        cell = (f"c{index % num_cells}",) if num_cells else ()
        flows.add(0, index, 30 + 0.01 * (index * 7 % 100), (f"p{index}", *cell, "server"))
    ends_s = {}
    while (when_s := flows.next_event_s()) < math.inf:
        ends_s |= dict.fromkeys(flows.advance(when_s), when_s)
    return ends_s


@pytest.mark.parametrize("num_cells", [0, 7])
def test_a_thousand_phones_are_a_tree_and_it_makes_no_difference(num_cells, monkeypatch):
    if not inspect.isfunction(Forest.plant):
        pytest.skip("compiled: calls within the network cannot be listened to")
    planted = []
    plant = Forest.plant
    monkeypatch.setattr(Forest, "plant", lambda *args: planted.append(plant(*args)) or planted[-1])
    assert star(1000, 128, num_cells) == same(star(1000, math.inf, num_cells))
    assert any(planted)


@pytest.mark.parametrize("num_cells", [0, 4])
def test_hundreds_of_flows_end_at_one_instant_in_order_of_arrival(num_cells):
    # 400 bit/s for 600 phones, 2/3 bit/s each: 400 of them have 10 bits and end at 15 s, the others 10 bits more at
    # 2 bit/s. Cells of 150 bit/s could bind, but carry 100.
    links = {"server": Link("server", Constant(400))}
    links |= {f"c{cell}": Link(f"c{cell}", Constant(150)) for cell in range(num_cells)}
    links |= {f"p{i}": Link(f"p{i}", Constant(100)) for i in range(600)}
    flows = Flows(links, smallest_tree=128)
    for index in range(600):
        cell = (f"c{index % num_cells}",) if num_cells else ()
        flows.add(0, index, 10 if index % 3 else 20, (f"p{index}", *cell, "server"))
    assert flows.next_event_s() == pytest.approx(15)
    assert flows.advance(flows.next_event_s()) == [index for index in range(600) if index % 3]
    assert flows.next_event_s() == pytest.approx(20)
    assert flows.advance(flows.next_event_s()) == list(range(0, 600, 3))
    assert flows.next_event_s() == math.inf


def test_a_star_by_hand():
    # 12 bit/s for phones of 2, 4 and 100: 2, 4 and 6; once the first is done (1 s) the last has 8, then all 12.
    flows = Flows(
        {name: Link(name, Constant(bps)) for name, bps in (("a", 2), ("b", 4), ("c", 100), ("server", 12))},
        smallest_tree=1,
    )
    for name, size_bits in (("a", 2), ("b", 8), ("c", 6 + 8 + 24)):
        flows.add(0, name, size_bits, (name, "server"))
    assert [flows.rate_bps(name) for name in "abc"] == [2, 4, 6]
    ends_s = {}
    while (when_s := flows.next_event_s()) < math.inf:
        ends_s |= dict.fromkeys(flows.advance(when_s), when_s)
    assert ends_s == same({"a": 1, "b": 2, "c": 4})


def test_nested_levels_by_hand():
    # A cell of 6 with two phones, a wire, a server of 12: 3 + 3 + 6. At 4 for everybody the cell would be too full.
    flows = Flows(
        {name: Link(name, Constant(bps)) for name, bps in (("cell", 6), ("wire", 100), ("server", 12))},
        smallest_tree=1,
    )
    for name, route in (("x", ("cell", "server")), ("y", ("cell", "server")), ("z", ("wire", "server"))):
        flows.add(0, name, 600, route)
    assert [flows.rate_bps(name) for name in "xyz"] == [3, 3, 6]
    flows.add(0, "u", 600, ("wire", "server"))  # 12 / 4 = 3 for everybody: the cell is just full
    flows.add(0, "v", 600, ("wire", "server"))
    assert [flows.rate_bps(name) for name in "xyzuv"] == pytest.approx([2.4] * 5)


def test_a_flow_goes_on_whose_tree_was_given_up_for_a_link_that_it_does_not_cross():
    """f8 and f9 share the server and end at 2 s. Their cell was f10's tree; f10 has 1 bit/s throughout, 10 s in all."""
    names = ["server", "other", "c0", *(f"p{index}" for index in range(11))]
    links = {"c1": Link("c1", Constant(2)), **{name: Link(name, Constant(1)) for name in names}}

    def plan(index, start_s, size_bits, cell, end):
        return Plan(f"f{index}", start_s, size_bits, (f"p{index}", cell, end), 1, math.inf, ())

    plans = [plan(index, 2 if index == 7 else 0, 0, "c0", "server") for index in range(8)]
    plans += [plan(8, 0, 1, "c1", "server"), plan(9, 0, 1, "c1", "server"), plan(10, 0, 10, "c1", "other")]
    ends = play(links, plans, 1)
    assert (ends["f8"], ends["f9"], ends["f10"]) == (2, 2, 10)


@given(scenes(), st.sampled_from([0.25, 4, 1000]))
def test_a_tree_at_another_pace_is_the_same_story(scene, pace):
    links, plans = scene
    links = {name: replace(link, capacity=Constant(link.capacity.peak_bps)) for name, link in links.items()}
    faster = {name: replace(link, capacity=Constant(link.capacity.bps * pace)) for name, link in links.items()}
    sooner = [
        replace(
            plan,
            start_s=plan.start_s / pace,
            cap_bps=plan.cap_bps * pace,
            turns=tuple((t / pace, act, by * pace if act == "cap" else by) for t, act, by in plan.turns),
        )
        for plan in plans
    ]
    expected = {key: value if isinstance(key, tuple) else value / pace for key, value in play(links, plans, 1).items()}
    assert play(faster, sooner, 1, until_s=HORIZON_S / pace) == same(expected)


def test_far_from_zero_small_messages_still_take_their_time():
    # An elephant keeps the service integral growing to 1e15 bits over 1e7 s; mice of 1 kbit pass now and then.
    links = {name: Link(name, Constant(1e8)) for name in ("a", "b", "server")}
    flows = Flows(links, smallest_tree=1)
    flows.add(0, "elephant", 1e16, ("a", "server"))
    for start_s in (0.0, 1e3, 1e5, 1e7):
        flows.advance(start_s)
        flows.add(start_s, "mouse", 1e3, ("b", "server"))
        took_s = flows.next_event_s() - start_s
        assert took_s == pytest.approx(2e-5, abs=max(1e-13, 2 * math.ulp(start_s)))
        assert flows.advance(flows.next_event_s()) == ["mouse"]


def test_a_horizon_of_ten_million_seconds_ends_every_flow_in_a_tree():
    links = {"server": Link("server", Constant(50e6))} | {f"p{i}": Link(f"p{i}", Constant(4e6)) for i in range(60)}
    flows = Flows(links, smallest_tree=1)
    flows.advance(1e7)
    for index in range(60):
        flows.add(1e7, index, 1e-5 if index % 7 == 0 else 1e6 + index * 1e-5, (f"p{index}", "server"))
    told, calls = [], 0
    while (when_s := flows.next_event_s()) < math.inf:
        told += flows.advance(when_s)
        calls += 1
        assert calls < 500, "the clock stands still"
    assert sorted(told) == list(range(60))
    assert when_s == math.inf
