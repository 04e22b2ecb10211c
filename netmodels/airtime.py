"""The time of a radio cell as something that flows share: what a bit costs there, and what equal times weigh.

A flow over a radio link of R bit/s takes 1 / R of the cell's time for each bit per second, and more when R falls. The
cell is then a link like any other to the solvers, with a use per flow; see `netmodels.link.Link` for the two ways to
share it.
"""

import math
from collections.abc import Mapping, Sequence

from netmodels.link import Link
from netmodels.sharing import FlowState, LinkState


def check_route(links: Sequence[Link], specs: Mapping[str, Link]) -> None:
    """Refuse a route with a cell but not one radio link in it, or with a radio link without its cell (ValueError)."""
    for link in links:
        if link.airtime is None and link.radio_in is None:
            continue
        names = [each.name for each in links]
        if link.radio_in is not None:
            if link.radio_in not in specs or specs[link.radio_in].airtime is None:
                raise ValueError(f"link {link.name!r}: radio_in must name a link with airtime, got {link.radio_in!r}")
            if link.radio_in not in names:
                raise ValueError(
                    f"link {link.name!r} is a radio link in {link.radio_in!r}, so a route over it must cross that "
                    f"cell as well, got {names}"
                )
        if link.airtime is not None:
            radios = [radio.name for radio in links if radio.radio_in == link.name]
            if len(radios) != 1:
                raise ValueError(
                    f"a route over the airtime of {link.name!r} must cross exactly one radio link in it (one whose "
                    f"radio_in names it), got {radios or 'none'} in {names}"
                )


def peak_bps(links: Sequence[Link], specs: Mapping[str, Link]) -> float:
    """The most that any flow can ever get over `links`, infinity if there are none."""
    peak = math.inf
    for link in links:
        if link.airtime is None:
            own = link.capacity.peak_bps
            if link.radio_in is not None:
                own *= specs[link.radio_in].capacity.peak_bps
            peak = min(peak, own)
    return peak


def use_of(link: LinkState, route: Sequence[LinkState]) -> float:
    """What each bit per second of a flow over `route` takes of `link` now: its time per bit in a cell, otherwise 1.

    0 while the radio link has no capacity: nothing is sent then.
    """
    if link.airtime is None:
        return 1.0
    rate_bps = next(radio.limit_bps for radio in route if radio.cell is link)
    return 1 / rate_bps if rate_bps > 0 else 0.0


def demand(link: LinkState, use: float, bound_bps: float) -> float:
    """The most that a flow can take of a link: its bound, or of a cell its part of the time, at most all of it."""
    return bound_bps if link.airtime is None else min(use * bound_bps, 1.0)


def change_uses(radio: LinkState, cell: LinkState) -> None:
    """The flows of a radio link whose rate has changed take another part of their cell's time."""
    for flow in radio.flows:
        before, use = cell.flows[flow], use_of(cell, flow.links)
        cell.flows[flow] = use
        cell.demand_bps += demand(cell, use, flow.bound_bps) - demand(cell, before, flow.bound_bps)


def reweigh(cell: LinkState) -> list[FlowState]:
    """Weigh the flows of a cell of equal times by their radio rates; return those whose weight differs now.

    Rates in proportion to radio rates are equal times. Together the flows weigh what they would without (their mean
    radio rate counts as 1), so that a link beyond the cell is not taken over by those with fast radios.
    """
    total = sum(flow.wish for flow, use in cell.flows.items() if use > 0)
    if not total:
        return []
    mean_bps = sum(flow.wish / use for flow, use in cell.flows.items() if use > 0) / total
    changed = []
    for flow, use in cell.flows.items():
        weight = flow.wish / (use * mean_bps) if use > 0 else flow.wish
        if weight != flow.weight:
            flow.weight = weight
            flow.key = flow.bound_bps / weight
            changed.append(flow)
    return changed
