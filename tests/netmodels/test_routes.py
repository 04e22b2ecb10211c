"""Routes: what is forgotten on the way changes nothing for those who are under way."""

import pytest

from netmodels.capacity import Constant
from netmodels.flows import Flows
from netmodels.link import Link

LINKS = {name: Link(name, Constant(bps), latency_s=0.0) for name, bps in [("a", 80.0), ("b", 100.0), ("c", 60.0)]}


def ends(forget: bool) -> dict[str, float]:
    """When each of five flows ends: lone, then shared, then lone again on links of which everything was forgotten."""
    flows = Flows(LINKS)
    early = flows.route(("a", "b"))
    done: dict[str, float] = {}
    arrivals = [(0.0, "x", early), (0.5, "y", ("b", "c")), (1.0, "z", early), (1.5, "u", ("c",)), (30.0, "v", early)]
    for start_s, name, route in arrivals:
        while (next_s := flows.next_event_s()) <= start_s:
            done |= dict.fromkeys(flows.advance(next_s), next_s)
        if forget:
            flows._routes._forget()
        flows.add(start_s, name, 200.0, route)
    while (next_s := flows.next_event_s()) < float("inf"):
        done |= dict.fromkeys(flows.advance(next_s), next_s)
    return done


def test_routes_that_are_forgotten_and_found_again_share_their_links_as_ever():
    """On paper: v comes when all others are gone and has a to itself, 200 bits at 80 bit/s."""
    assert ends(forget=True) == ends(forget=False)
    assert ends(forget=True)["v"] == pytest.approx(30 + 200 / 80)
