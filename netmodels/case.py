"""A file of links and flows, and when each flow is finished: the network alone, for comparison with other solvers.

The file is JSON: ``links`` (id, bandwidth_bps, latency_s one way, optional ``profile`` [[t_s, bps], ...] of piecewise
constant capacity, optional ``loss`` per packet) and ``flows`` (id, start_s, payload bytes, route, optional
``ack_route``, optional ``after`` + ``delay_s``: start that long after another flow was delivered; ``start_s`` then is
the earliest start). With ``independent: true`` no two flows meet: each has the links to itself. Other keys are left
alone, unless they look like one of these misspelt.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

from netmodels.capacity import Capacity, Constant, Steps
from netmodels.link import Link
from netmodels.network import Network
from netmodels.positions import line_of
from netmodels.tcp import Tcp


@dataclass(frozen=True, slots=True)
class CaseFlow:
    """One flow of a case; ``after`` names the flow whose delivery (plus ``delay_s``) starts it."""

    id: str
    start_s: float
    size_bytes: float
    route: tuple[str, ...]
    ack_route: tuple[str, ...] | None
    after: str | None
    delay_s: float


@dataclass(frozen=True, slots=True)
class Case:
    """Links by name, flows in the file's order, and whether every flow has the links to itself."""

    links: Mapping[str, Link]
    flows: tuple[CaseFlow, ...]
    independent: bool


class CaseError(ValueError):
    """A case file that cannot be used; the sentence names file, line, place, value and what is allowed."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A cursor into the JSON: knows the file and the way to its value, so that errors can say where."""

    file: Path
    content: str  # of the file
    value: Any
    steps: tuple[str | int, ...] = ()

    def fail(self, message: str, key: str | None = None) -> CaseError:
        """An error about the value, at its line or at that of one of its keys."""
        line = line_of(self.content, self.steps if key is None else (*self.steps, key))
        path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.steps).removeprefix(".")
        return CaseError(f"{self.file}:{line}: {path + ': ' if path else ''}{message}")

    def inside(self, step: str | int) -> "_Place":
        return _Place(self.file, self.content, self.value[step], (*self.steps, step))

    def keys(self) -> Mapping[str, Any]:
        if not isinstance(self.value, dict):
            raise self.fail(f"must be an object, got {_show(self.value)}")
        return self.value

    def item(self, key: str) -> "_Place":
        mapping = self.keys()
        if key not in mapping:
            guess = get_close_matches(key, mapping, n=1)
            hint = f"; did you mean {key!r} by {guess[0]!r}?" if guess else ""
            raise self.fail(f"needs the key {key!r} (has: {', '.join(mapping) or 'nothing'}){hint}")
        return self.inside(key)

    def items(self) -> list["_Place"]:
        if not isinstance(self.value, list):
            raise self.fail(f"must be a list, got {_show(self.value)}")
        return [self.inside(index) for index in range(len(self.value))]

    def optional(self, key: str) -> "_Place | None":
        return self.item(key) if key in self.keys() else None

    def check_spelling(self, known: Sequence[str]) -> None:
        """Refuse a key that is nearly an absent known one: it would silently be another experiment."""
        mapping = self.keys()
        absent = [key for key in known if key not in mapping]
        for key in mapping:
            guess = get_close_matches(key, absent, n=1, cutoff=0.75) if key not in known else []
            if guess:
                raise self.fail(f"unknown key {key!r}; did you mean {guess[0]!r}?", key)

    def truth(self) -> bool:
        if not isinstance(self.value, bool):
            raise self.fail(f"must be true or false, got {_show(self.value)}")
        return self.value

    def number(self, *, least: float = 0.0, above: bool = False) -> float:
        value = self.value
        if isinstance(value, bool) or not isinstance(value, int | float):
            unit = " in the unit that its key names" if isinstance(value, str) else ""
            raise self.fail(f"must be a number{unit}, got {_show(value)}")
        if not math.isfinite(value) or value < least or (above and value == least):
            raise self.fail(f"must be a finite number {'>' if above else '>='} {least:g}, got {value}")
        return float(value)

    def text(self) -> str:
        if not isinstance(self.value, str | int) or isinstance(self.value, bool):
            raise self.fail(f"must be a name, got {_show(self.value)}")
        return str(self.value)

    def name(self, known: Mapping[str, Any], what: str) -> str:
        text = self.text()
        if text not in known:
            guess = get_close_matches(text, known, n=1)
            hint = f"; did you mean {guess[0]!r}?" if guess else ""
            raise self.fail(f"unknown {what} {text!r}{hint}")
        return text


def read(file: Path) -> Case:
    """Read a case; raises CaseError (a ValueError) for anything that cannot be used."""
    try:
        text = file.read_text(encoding="utf-8")
        value = json.loads(text)
    except OSError as error:
        raise CaseError(f"{file}: cannot be read: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise CaseError(f"{file}:{error.lineno}: is not JSON: {error.msg}, at column {error.colno}") from error
    except ValueError as error:
        raise CaseError(f"{file}: is not JSON: {error}") from error
    root = _Place(file, text, value)
    root.check_spelling(("links", "flows", "independent"))
    links: dict[str, Link] = {}
    for place in root.item("links").items():
        link = _link(place)
        if link.name in links:
            raise place.fail(f"link {link.name!r} is there twice")
        links[link.name] = link
    flows: dict[str, CaseFlow] = {}
    for place in root.item("flows").items():
        flow = _flow(place, links)
        if flow.id in flows:
            raise place.fail(f"flow {flow.id!r} is there twice")
        flows[flow.id] = flow
    _check_after(root, flows)
    independent = root.optional("independent")
    return Case(links, tuple(flows.values()), independent.truth() if independent else False)


def finish_times(case: Case, model: Tcp) -> dict[str, float]:
    """When each flow's last byte is with its receiver, in seconds; infinity for one that never arrives.

    Every flow is a connection of its own: under TCP its handshake is inside.
    """
    if not case.independent:
        return _play(case.links, case.flows, model)
    flows = {flow.id: flow for flow in case.flows}
    times: dict[str, float] = {}
    for last in flows:
        chain: list[CaseFlow] = []  # a flow and those it waits for, as far as they are not known yet
        at: str | None = last
        while at is not None and at not in times:
            chain.append(flows[at])
            at = flows[at].after
        for flow in reversed(chain):
            after_s = 0.0 if flow.after is None else times[flow.after] + flow.delay_s
            alone = replace(flow, after=None, start_s=max(flow.start_s, after_s))
            times |= _play(case.links, (alone,), model)
    return {name: times[name] for name in flows}


def never_finish(file: Path, case: Case, flows: Sequence[str]) -> CaseError:
    """An error about flows that never finish, at the lines of links on their ways whose profile ends with 0 bit/s."""
    wanted = [flow for flow in case.flows if flow.id in flows]
    crossed = {name for flow in wanted for name in (*flow.route, *(flow.ack_route or ()))}
    text = file.read_text(encoding="utf-8")
    place = _Place(file, text, json.loads(text))
    dead = [
        profile.fail(f"0 bit/s for ever from {profile.value[-1][0]:g} s on: never finished: {', '.join(flows)}")
        for link in place.item("links").items()
        if link.item("id").text() in crossed and (profile := link.optional("profile")) and not profile.value[-1][1]
    ]
    return CaseError("\n".join(map(str, dead)) or f"{file}: flows that never finish: {', '.join(flows)}")


def _play(links: Mapping[str, Link], flows: Sequence[CaseFlow], model: Tcp) -> dict[str, float]:
    network = Network(links, model)
    followers: dict[str, list[CaseFlow]] = {}
    starts: list[tuple[float, int, CaseFlow]] = []
    order = {flow.id: index for index, flow in enumerate(flows)}
    for flow in flows:
        if flow.after is not None:
            followers.setdefault(flow.after, []).append(flow)
        else:
            heappush(starts, (flow.start_s, order[flow.id], flow))
    finish_s = {flow.id: math.inf for flow in flows}
    while True:
        when_s = min(network.next_event_s(), starts[0][0] if starts else math.inf)
        if when_s == math.inf:
            return finish_s
        for done in network.advance(when_s):
            finish_s[str(done.flow_id)] = done.delivered_s
            for flow in followers.get(str(done.flow_id), []):
                heappush(starts, (max(flow.start_s, done.delivered_s + flow.delay_s), order[flow.id], flow))
        while starts and starts[0][0] <= when_s:
            _, _, flow = heappop(starts)
            network.start(when_s, flow.id, flow.size_bytes, flow.route, ack_route=flow.ack_route)


def _link(place: _Place) -> Link:
    place.check_spelling(("id", "bandwidth_bps", "latency_s", "profile", "loss"))
    name, bandwidth_bps = place.item("id").text(), place.item("bandwidth_bps")
    profile, loss = place.optional("profile"), place.optional("loss")
    latency_s = place.item("latency_s").number()
    capacity: Capacity = _steps(profile) if profile else Constant(bandwidth_bps.number(above=True))
    try:
        return Link(name, capacity, latency_s, loss.number() if loss else 0.0)
    except ValueError as error:
        raise place.fail(str(error)) from error


def _steps(place: _Place) -> Steps:
    pairs = []
    for step in place.items():
        pair = step.items()
        if len(pair) != 2:
            raise step.fail(f"must be [seconds, bits per second], got {_show(step.value)}")
        pairs.append((pair[0].number(), pair[1].number()))
    if not pairs:
        raise place.fail("must have at least one [seconds, bits per second]")
    try:
        return Steps([t_s for t_s, _ in pairs], [bps for _, bps in pairs])
    except ValueError as error:
        raise place.fail(str(error)) from error


def _flow(place: _Place, links: Mapping[str, Link]) -> CaseFlow:
    place.check_spelling(("id", "start_s", "bytes", "route", "ack_route", "after", "delay_s"))
    after, delay, back = place.optional("after"), place.optional("delay_s"), place.optional("ack_route")
    if delay and not after:
        raise delay.fail("says how long after another flow, but the flow has no key 'after'")
    start = place.optional("start_s") if after else place.item("start_s")
    return CaseFlow(
        place.item("id").text(),
        start.number() if start else 0.0,
        place.item("bytes").number(),
        _route(place.item("route"), links),
        _route(back, links) if back else None,
        after.text() if after else None,
        delay.number() if delay else 0.0,
    )


def _route(place: _Place, links: Mapping[str, Link]) -> tuple[str, ...]:
    route = tuple(link.name(links, "link") for link in place.items())
    if not route:
        raise place.fail("must name a link at least")
    for index, name in enumerate(route):
        if name in route[:index]:
            raise place.fail(f"crosses link {name!r} twice")
    return route


def _check_after(root: _Place, flows: Mapping[str, CaseFlow]) -> None:
    """Refuse an ``after`` that names nobody, and circles of them."""
    for flow, place in zip(flows.values(), root.item("flows").items(), strict=True):
        if flow.after is not None:
            place.item("after").name(flows, "flow")
    settled: set[str] = set()
    for flow, place in zip(flows.values(), root.item("flows").items(), strict=True):
        chain: list[str] = []
        at: str | None = flow.id
        while at is not None and at not in settled:
            if at in chain:
                circle = " -> ".join([*chain[chain.index(at) :], at])
                raise place.item("after").fail(f"flows wait for each other in a circle: {circle}")
            chain.append(at)
            at = flows[at].after
        settled.update(chain)


def _show(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."
