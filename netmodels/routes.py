"""Routes by name to links in use, looked up once each."""

from collections.abc import Mapping
from difflib import get_close_matches

from netmodels.airtime import check_route, peak_bps
from netmodels.link import Link
from netmodels.sharing import LinkState


class Routes:
    """The links of `specs` that routes cross, each with its state. Raises ValueError for what cannot be a route."""

    def __init__(self, specs: Mapping[str, Link]) -> None:
        self._specs = specs
        self._links: dict[str, LinkState] = {}
        self._routes: dict[tuple[str, ...], tuple[tuple[LinkState, ...], float]] = {}

    def find(self, route: tuple[str, ...]) -> tuple[tuple[LinkState, ...], float]:
        """The links of a route and the most that a flow can ever get on it."""
        return self._routes.get(route) or self._resolve(route)

    def _resolve(self, route: tuple[str, ...]) -> tuple[tuple[LinkState, ...], float]:
        for name in route:
            if name not in self._specs:
                guess = get_close_matches(name, self._specs, n=1)
                hint = f"; did you mean {guess[0]!r}?" if guess else ""
                raise ValueError(f"unknown link {name!r} in route {list(route)}{hint}")
        if len(set(route)) != len(route):
            raise ValueError(f"a route must cross a link at most once, got {list(route)}")
        links = tuple([self._state(name) for name in route])
        check_route(links)
        resolved = self._routes[route] = links, peak_bps(links)
        return resolved

    def _state(self, name: str) -> LinkState:
        state = self._links.get(name)
        if state is None:
            spec = self._specs[name]
            cell = None
            if spec.radio_in is not None:
                if spec.radio_in not in self._specs or self._specs[spec.radio_in].airtime is None:
                    raise ValueError(f"link {name!r}: radio_in must name a link with airtime, got {spec.radio_in!r}")
                cell = self._state(spec.radio_in)
            state = self._links[name] = LinkState(spec, cell)
        return state
