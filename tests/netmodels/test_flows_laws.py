"""The laws of max-min sharing on random networks, and the core against a naive solver of the whole network."""

import math
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmodels.capacity import Constant, Steps
from netmodels.flows import Flows, slack_s
from netmodels.link import AIRTIME, Link

HORIZON_S = 250  # a staircase goes on for ever, even if a cap of 0 stalls the flow that looks at it


@dataclass(frozen=True)
class Plan:
    """A flow: what, where and when; at `turn_s` it is cancelled, or gets another cap."""

    name: str
    start_s: float
    size_bits: float
    route: tuple[str, ...]
    weight: float = 1.0
    cap_bps: float = math.inf
    turn_s: float = math.inf
    turn_cap_bps: float | None = None  # None: cancel


# Whole and simple numbers: many events of one instant, many exact ties between links, flows and caps.
bandwidths = st.sampled_from([1, 2, 3, 4, 5, 6, 8, 10, 13, 20, 40])
instants_s = st.sampled_from([0, 0, 0, 0.5, 1, 2, 2.25, 3, 5, 8])
staircases = st.builds(
    lambda values, wraps: Steps([0, 1, 2.5, 4][: len(values)], values, 6 if wraps else None),
    st.lists(st.sampled_from([0, 1, 4, 10, 20]), min_size=1, max_size=3).map(lambda values: [*values, 7]),
    st.booleans(),
)
capacities = st.one_of(bandwidths.map(Constant), bandwidths.map(Constant), staircases)
shares = st.sampled_from(
    [Constant(1), Constant(1), Constant(0.5), Steps([0, 2.25], [1, 0.25], 4), Steps([0, 3], [0, 1])]
)


def cells(draw, capacity, shares):
    """None, one or two radio cells with up to three radio links each, and the ways over them."""
    links, ways = {}, []
    for cell in ["cell", "wifi"][: draw(st.integers(0, 2))]:
        links[cell] = Link(cell, draw(shares), airtime=draw(st.sampled_from(AIRTIME)))
        for radio in [f"{cell}{index}" for index in range(draw(st.integers(1, 3)))]:
            links[radio] = Link(radio, draw(capacity), radio_in=cell)
            ways += [(radio, cell), (cell, radio)]
    return links, ways


@st.composite
def scenes(draw, capacity=capacities, shares=shares, turns=True):
    """Links by name, and flows on them."""
    links = {name: Link(name, draw(capacity)) for name in "abcde"[: draw(st.integers(1, 5))]}
    radios, ways = cells(draw, capacity, shares)
    plans = []
    for index in range(draw(st.integers(1, 9))):
        route = draw(st.lists(st.sampled_from(sorted(links)), min_size=1, max_size=4, unique=True))
        if ways and draw(st.booleans()):
            route = [*draw(st.sampled_from(ways)), *route][: draw(st.integers(2, 6))]
        plan = Plan(
            f"f{index}",
            draw(instants_s),
            draw(st.sampled_from([0, 1, 5, 10, 12.5, 40, 100])),
            tuple(route),
            draw(st.sampled_from([1, 1, 1, 2, 0.25, 1000])),
            draw(st.sampled_from([math.inf, math.inf, 0.5, 1, 3, 10])),
        )
        if turns and draw(st.booleans()):
            cap_bps = draw(st.sampled_from([None, 0, 1, 2, 5, math.inf]))
            plan = replace(plan, turn_s=plan.start_s + draw(st.sampled_from([0.25, 1, 3])), turn_cap_bps=cap_bps)
        plans.append(plan)
    return links | radios, plans


def play(links, plans, watch=None, until_s=HORIZON_S):
    """When each flow ends according to the core; `watch(flows, from_s, to_s)` sees every span between two events."""
    flows, ends_s, now_s = Flows(links), {}, 0.0
    pending = sorted(
        [(plan.start_s, index, plan, "start") for index, plan in enumerate(plans)]
        + [(plan.turn_s, index, plan, "turn") for index, plan in enumerate(plans) if plan.turn_s < math.inf],
        key=lambda entry: entry[:2],
    )
    while True:
        when_s = min(flows.next_event_s(), pending[0][0] if pending else math.inf)
        if when_s == math.inf or when_s > until_s:
            return ends_s
        if watch and when_s > now_s:
            watch(flows, now_s, when_s)
        now_s = when_s
        ends_s |= dict.fromkeys(flows.advance(when_s), when_s)
        while pending and pending[0][0] <= when_s:
            _, _, plan, act = pending.pop(0)
            if act == "start":
                flows.add(when_s, plan.name, plan.size_bits, plan.route, weight=plan.weight, cap_bps=plan.cap_bps)
            elif plan.name in flows and plan.turn_cap_bps is None:
                flows.remove(when_s, plan.name)
            elif plan.name in flows:
                flows.set_cap(when_s, plan.name, plan.turn_cap_bps)


def names(flows, plans):
    return [plan.name for plan in plans if plan.name in flows]


def radio_bps(links, cell, plan, now_s):
    """The rate of the plan's radio link in that cell now; 0 if it has none."""
    return sum(links[name].capacity.at(now_s) for name in plan.route if links[name].radio_in == cell)


def use(links, link, plan, now_s):
    """What a flow takes of a link per bit per second: nothing, all, or the time that its radio link needs."""
    if link not in plan.route:
        return 0.0
    if links[link].airtime is None:
        return 1.0
    rate_bps = radio_bps(links, link, plan, now_s)
    return 1 / rate_bps if rate_bps else 0.0


def weights(links, plans, now_s):
    """The weights of flows: in a cell of equal times in proportion to their radio rates, on the average as without."""
    found = {plan.name: plan.weight for plan in plans}
    for cell, spec in links.items():
        if spec.airtime == "equal-times":
            rates = {plan.name: radio_bps(links, cell, plan, now_s) for plan in plans}
            total = math.fsum(found[name] for name, rate in rates.items() if rate)
            sum_of_rates = math.fsum(found[name] * rate for name, rate in rates.items())
            found |= {name: found[name] * rate * total / sum_of_rates for name, rate in rates.items() if rate}
    return found


def naive_rates(links, active, now_s):
    """Textbook progressive filling: raise everybody together until a link or a cap stops somebody; again."""
    rates = dict.fromkeys(active, 0.0)
    capacity = {name: link.capacity.at(now_s) for name, link in links.items()}
    rising = {name for name, (plan, _, _) in active.items() if all(capacity[link] > 0 for link in plan.route)}
    plans = [plan for plan, _, _ in active.values()]
    weight = weights(links, plans, now_s)
    uses = {(link, plan.name): use(links, link, plan, now_s) for link in links for plan in plans}
    left = dict(capacity)
    while rising:
        room = [(active[name][1] - rates[name]) / weight[name] for name in rising]
        for link in links:
            pace = math.fsum(weight[name] * uses[link, name] for name in rising)
            if pace:
                room.append(left[link] / pace)
        step = max(min(room), 0.0)
        for name in rising:
            rates[name] += step * weight[name]
        for link in links:
            left[link] = max(capacity[link] - math.fsum(rates[name] * uses[link, name] for name in active), 0.0)
        full = {link for link in links if left[link] <= 1e-12 * links[link].capacity.peak_bps}
        rising -= {name for name in rising if rates[name] >= active[name][1] * (1 - 1e-12)}
        rising -= {name for name in rising if full & set(active[name][0].route)}
    return rates


def naive_play(links, plans):
    """When each flow ends, from event to event, with all rates worked out anew each time."""
    ends_s, now_s = {}, 0.0
    active = {}  # name: plan, cap, bits left
    while now_s <= HORIZON_S:
        ends_s |= {name: now_s for name, (_, _, bits) in active.items() if bits <= 1e-9}
        for plan in plans:
            if plan.start_s == now_s:
                active[plan.name] = (plan, plan.cap_bps, plan.size_bits)
            if plan.turn_s == now_s and plan.name in active and plan.name not in ends_s:
                if plan.turn_cap_bps is None:
                    del active[plan.name]
                else:
                    active[plan.name] = (plan, plan.turn_cap_bps, active[plan.name][2])
        ends_s |= {name: now_s for name, (_, _, bits) in active.items() if bits <= 1e-9}
        active = {name: state for name, state in active.items() if name not in ends_s}
        rates = naive_rates(links, active, now_s)
        dates = [date_s for plan in plans for date_s in (plan.start_s, plan.turn_s) if date_s > now_s]
        dates += [link.capacity.next_change_s(now_s) for link in links.values()]
        dates += [now_s + bits / rates[name] for name, (_, _, bits) in active.items() if rates[name] > 0]
        next_s = min(dates, default=math.inf)
        if next_s == math.inf:
            break
        active = {
            name: (plan, cap, bits - rates[name] * (next_s - now_s)) for name, (plan, cap, bits) in active.items()
        }
        now_s = next_s
    return ends_s


def same(times_s):
    return pytest.approx(times_s, rel=1e-9, abs=2e-9)


@given(scenes())
def test_the_core_ends_flows_when_a_naive_solver_of_the_whole_network_does(scene):
    assert play(*scene) == same(naive_play(*scene))


@given(scenes())
def test_no_link_is_ever_over_capacity_and_every_flow_is_held_back_somewhere(scene):
    links, plans = scene
    caps = {plan.name: plan for plan in plans}

    def watch(flows, from_s, to_s):
        active = names(flows, plans)
        rates = {name: flows.rate_bps(name) for name in active}
        full = set()
        weight = weights(links, [caps[name] for name in active], from_s)
        for link, spec in links.items():
            used = math.fsum(rates[n] * use(links, link, caps[n], from_s) for n in active)
            limit = spec.capacity.at(from_s)
            assert used <= limit * (1 + 1e-9)
            if used >= limit * (1 - 1e-9):
                full.add(link)
        for name in active:
            plan = caps[name]
            cap_bps = plan.cap_bps if plan.turn_cap_bps is None or from_s < plan.turn_s else plan.turn_cap_bps
            level = rates[name] / weight[name] * (1 + 1e-9)
            held = [
                all(rates[other] / weight[other] <= level for other in active if link in caps[other].route)
                for link in full & set(plan.route)
            ]
            assert rates[name] >= cap_bps * (1 - 1e-9) or any(held)

    play(links, plans, watch)


@given(scenes())
def test_every_bit_that_a_flow_brought_is_sent_or_handed_back(scene):
    links, plans = scene
    sent = dict.fromkeys((plan.name for plan in plans), 0.0)

    def watch(flows, from_s, to_s):
        for name in names(flows, plans):
            assert flows.remaining_bits(name) + sent[name] == pytest.approx(sizes[name], rel=1e-9, abs=1e-7)
            sent[name] += flows.rate_bps(name) * (to_s - from_s)

    sizes = {plan.name: plan.size_bits for plan in plans}
    for name in play(links, plans, watch):
        assert sent[name] == pytest.approx(sizes[name], rel=1e-9, abs=1e-7)


@given(scenes(turns=False), st.randoms(use_true_random=False))
def test_names_and_the_order_of_simultaneous_starts_do_not_matter(scene, random):
    links, plans = scene
    shuffled = random.sample(plans, len(plans))
    renamed = [replace(plan, name=plan.name[::-1] + "!") for plan in shuffled]
    expected = {name[::-1] + "!": when_s for name, when_s in play(links, plans).items()}
    assert play(links, renamed) == same(expected)


@given(scenes(), st.randoms(use_true_random=False))
def test_a_link_cut_in_two_is_the_same_link(scene, random):
    links, plans = scene
    cut = random.choice(sorted(name for name, link in links.items() if link.airtime is None))
    second = {**links, "second": Link("second", links[cut].capacity)}
    longer = [
        replace(
            plan, route=tuple(part for link in plan.route for part in ((link, "second") if link == cut else (link,)))
        )
        for plan in plans
    ]
    assert play(second, longer) == same(play(links, plans))


@given(scenes(capacity=bandwidths.map(Constant), shares=st.just(Constant(1))), st.sampled_from([0.25, 4, 1000]))
def test_everything_faster_is_the_same_story_in_less_time(scene, pace):
    links, plans = scene
    faster = {
        name: link if link.airtime else replace(link, capacity=Constant(link.capacity.bps * pace))
        for name, link in links.items()
    }
    sooner = [
        replace(
            plan,
            start_s=plan.start_s / pace,
            turn_s=plan.turn_s / pace,
            cap_bps=plan.cap_bps * pace,
            turn_cap_bps=None if plan.turn_cap_bps is None else plan.turn_cap_bps * pace,
        )
        for plan in plans
    ]
    expected = {name: when_s / pace for name, when_s in play(links, plans, until_s=math.inf).items()}
    assert play(faster, sooner, until_s=math.inf) == same(expected)


@given(scenes())
def test_the_same_story_twice_is_the_same_to_the_last_bit_and_in_the_same_order(scene):
    assert list(play(*scene).items()) == list(play(*scene).items())


@given(scenes())
def test_looking_at_the_flows_in_between_changes_nothing(scene):
    links, plans = scene

    def watch(flows, from_s, to_s):
        middle_s = (from_s + to_s) / 2
        if to_s - middle_s > slack_s(to_s):  # dates closer than that are one instant
            assert flows.advance(middle_s) == []
        assert all(flows.remaining_bits(name) >= 0 for name in names(flows, plans))

    assert play(links, plans, watch) == same(play(links, plans))
