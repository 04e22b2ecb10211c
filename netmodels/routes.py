"""Routes by name: what is known of them, and which of their links are shared.

Most links of a large population carry one flow at a time. One of constant capacity can then bind nobody else, and the
flow is bounded by it anyway: it gets no state of its own until a second flow comes.
"""

import math
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

from netmodels.airtime import check_route, peak_bps
from netmodels.capacity import Constant
from netmodels.link import Link
from netmodels.sharing import FlowState, LinkState

_MOST: Final = 100_000  # so much is remembered beyond what is in use; a population may have millions of links


class Route:
    """The most that a flow can ever get over a route (infinity if it is empty), its one-way latency and packet loss.

    It is `plain` if all its links have a constant capacity and no part in the airtime of a cell, `timed` if it crosses
    the airtime of one.
    """

    __slots__ = ("latency_s", "line", "loss_probability", "names", "peak_bps", "plain", "timed")

    def __init__(self, names: tuple[str, ...], links: list[Link], specs: Mapping[str, Link]) -> None:
        self.names = names
        self.line: tuple[LinkState, ...] = ()  # the shared links that the last flow found
        self.plain = all(map(_is_plain, links))
        self.timed = any(link.airtime for link in links)
        if not self.plain:
            check_route(links, specs)
        self.peak_bps = peak_bps(links, specs)
        self.latency_s = math.fsum([link.latency_s for link in links])
        losses = [link.loss_probability for link in links if link.loss_probability]
        self.loss_probability = 1 - math.prod([1 - loss for loss in losses], start=1.0) if losses else 0.0


class Routes:
    """Routes over the links of `specs`, and the state of those that are shared. ValueError for what is no route."""

    def __init__(self, specs: Mapping[str, Link]) -> None:
        self._specs = specs
        self._routes: dict[tuple[str, ...], Route] = {}
        self._links: dict[str, LinkState] = {}
        self._alone: dict[str, FlowState] = {}  # who has a link for himself
        self._lines: dict[tuple[LinkState, ...], tuple[LinkState, ...]] = {}  # equal ones as one object
        self._most = _MOST

    def find(self, names: tuple[str, ...]) -> Route:
        """What is known of a route."""
        return self._routes.get(names) or self._resolve(names)

    def enter(self, now_s: float, flow: FlowState, route: Route) -> None:
        """A flow begins on its route: give it its shared links."""
        found: list[LinkState] = []
        links, alone, plain, line = self._links, self._alone, route.plain, route.line
        same = True
        for name in route.names:
            link = links.get(name)
            if link is None:
                if plain and name not in alone:
                    alone[name] = flow
                    continue
                link = self._share(now_s, name, flow, plain)
            if link is not None:
                same = same and len(found) < len(line) and line[len(found)] is link
                found.append(link)
        if not same or len(found) < len(line):
            line = tuple(found)
            route.line = line = self._lines.setdefault(line, line)
        flow.links = line

    def leave(self, flow: FlowState) -> None:
        """A flow is over: links that it had for itself are nobody's."""
        if len(flow.links) < len(flow.route.names):
            for name in flow.route.names:
                if self._alone.get(name) is flow:
                    del self._alone[name]

    def _share(self, now_s: float, name: str, flow: FlowState, plain: bool) -> LinkState | None:
        """The state of a link that has none yet; None if the flow has the link for itself."""
        first = self._alone.pop(name, None)
        if first is None and (plain or _is_plain(self._specs[name])):
            self._alone[name] = flow
            return None
        link = self._state(name)
        if first is not None:
            link.limit_bps = link.link.capacity.at(now_s)
            link.flows[first] = 1.0
            link.demand_bps = first.bound_bps
            first.links = tuple([self._links[each] for each in first.route.names if each in self._links])
        return link

    def _state(self, name: str) -> LinkState:
        link = self._links.get(name)
        if link is None:
            spec = self._specs[name]
            cell = None if spec.radio_in is None else self._state(spec.radio_in)
            link = self._links[name] = LinkState(spec, cell)
        return link

    def _resolve(self, names: tuple[str, ...]) -> Route:
        if len(self._routes) >= _MOST or len(self._links) + len(self._lines) >= self._most:
            self._forget()
        try:
            links = [self._specs[name] for name in names]
        except KeyError:
            unknown = next(name for name in names if name not in self._specs)
            guess = get_close_matches(unknown, self._specs, n=1)
            hint = f"; did you mean {guess[0]!r}?" if guess else ""
            raise ValueError(f"unknown link {unknown!r} in a route{hint}") from None
        if len(set(names)) != len(names):
            raise ValueError(f"a route must cross a link at most once, got {list(names)}")
        route = self._routes[names] = Route(names, links, self._specs)
        return route

    def _forget(self) -> None:
        """Drop all routes, and the links that nobody is on; they come back when they are asked for."""
        self._routes.clear()
        self._lines.clear()
        self._links = {name: link for name, link in self._links.items() if link.in_use}
        self._most = _MOST + 2 * len(self._links)


def _is_plain(link: Link) -> bool:
    return isinstance(link.capacity, Constant) and link.airtime is None and link.radio_in is None
