"""From an access class to the links of single devices: what each draws, and from which stream.

One draw per device in turn, from streams named after the group: changing another group, or appending devices to this
one, leaves everybody's links as they were. `rates` and `latencies_s` tell the same draws as arrays, for those who
judge a whole population and make no links.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from devices.spread import speed_factors
from netmodels.capacity import Capacity, Constant, Scaled, Shifted, Steps
from netmodels.catalog import LinkClass
from netmodels.markov import ar1
from netmodels.topology import Pipe
from netmodels.traces import Trace, Way, open_traces
from netmodels.wireless import DOWN, UP, Direction, channel, distances_m, path_loss_db, path_losses_db
from simulator.scenario import Access, Group, Scenario, Wireless
from simulator.streams import stream

_STREAM_OF: Final[Mapping[Way, str]] = {"up": "uplink", "down": "downlink"}
_DIRECTION_OF: Final[Mapping[Way, Direction]] = {"up": UP, "down": DOWN}
_SEEDS: Final = 2**63

Draw = partial[np.random.Generator]  # the stream of a name, for this group
Made = Callable[[int], Capacity]  # the capacity of the device with that number


def access_pipes(scenario: Scenario, group: Group) -> Callable[[int], Pipe]:
    """The access link of a group's device by its number in the group; numbers are drawn for all, links made if asked.

    Raises ValueError for what only a draw can show, when the link is made: a phone so far away that nothing reaches it.
    """
    access = scenario.network.access[group.access]
    draw = partial(_group_stream, scenario.seed, group.name)
    up, down = (_capacities(way, scenario, access, group.count, draw) for way in _STREAM_OF)
    latency_s = _latencies_s(scenario, access, group.count, draw)
    return lambda number: Pipe(up(number), down(number), latency_s(number), access.loss)


class Rates(NamedTuple):
    """What each access link of a group carries, in bits per second by number in the group.

    ``typical_bps`` is constant, the median of a class, the mean of a recording, or a radio channel without its fading;
    ``peak_bps`` is never exceeded.
    """

    typical_bps: NDArray[np.float64]
    peak_bps: NDArray[np.float64]


def rates(way: Way, scenario: Scenario, group: Group) -> Rates:
    """What the links of `access_pipes` carry one way, without making them."""
    found, factor = _rates_as_said(way, scenario, group), _factor(scenario.network.access[group.access], way)
    return Rates(*(each * factor for each in found))


def _rates_as_said(way: Way, scenario: Scenario, group: Group) -> Rates:
    access, count = scenario.network.access[group.access], group.count
    draw = partial(_group_stream, scenario.seed, group.name)
    given_bps, link = (access.up if way == "up" else access.down), link_class(scenario, access)
    if given_bps is not None:
        return _alike(given_bps * _factors(access, way, count, draw))
    if link is not None:
        return _rates_of_class(link, access, way, count, draw)
    if access.trace is not None:
        each = [trace.way(way) for trace in open_traces(Path(access.trace))]
        which = np.arange(count) % len(each)
        return Rates(np.array(list(map(_mean_bps, each)))[which], np.array([one.peak_bps for one in each])[which])
    assert access.wireless is not None, "a scenario that was loaded says what every rate is"
    return _rates_of_wireless(access.wireless, way, count, draw)


def latencies_s(scenario: Scenario, group: Group) -> NDArray[np.float64]:
    """One-way latencies of the links of `access_pipes`, in seconds by number in the group."""
    access = scenario.network.access[group.access]
    if access.latency is not None:
        return np.full(group.count, access.latency * access.latency_factor)
    rtts_s = _rtts_s(scenario, access, group.count, partial(_group_stream, scenario.seed, group.name))
    return rtts_s / 2 * access.latency_factor


def _alike(bps: NDArray[np.float64]) -> Rates:
    return Rates(bps, bps)


def _rates_of_class(link: LinkClass, access: Access, way: Way, count: int, draw: Draw) -> Rates:
    known = link.known("up_bps" if way == "up" else "down_bps")
    if access.vary == "ar1":
        return Rates(np.full(count, known.median), np.full(count, known.values[-1]))
    if len(known.levels) == 1:
        return _alike(known.median * _factors(access, way, count, draw))
    return _alike(known.at(draw(_STREAM_OF[way]).random(count)))


def _rates_of_wireless(wireless: Wireless, way: Way, count: int, draw: Draw) -> Rates:
    """A device's loss is that of its distance, its shadowing and the margin, as in `_of_wireless`."""
    direction, bandwidth_hz = _DIRECTION_OF[way], wireless.bandwidth
    losses_db = path_losses_db(distances_m(draw("distance").random(count), wireless.radius))
    losses_db += wireless.shadowing * draw("shadowing").standard_normal(count) + wireless.margin
    typical_bps = direction.rates_bps(10 ** (direction.snr_db(losses_db, bandwidth_hz) / 10), bandwidth_hz)
    if wireless.coherence is None:
        return _alike(typical_bps)
    return Rates(typical_bps, np.full(count, bandwidth_hz * direction.most_bits_per_s_per_hz))


def _mean_bps(steps: Steps) -> float:
    """Over one lap of a recording; the last value where it never begins again."""
    if steps.period_s is None:
        return steps.values_bps[-1]
    spans_s = [end_s - start_s for start_s, end_s in pairwise([*steps.times_s, steps.period_s])]
    return sum(bps * span_s for bps, span_s in zip(steps.values_bps, spans_s, strict=True)) / steps.period_s


def link_class(scenario: Scenario, access: Access) -> LinkClass | None:
    """The link class that an access class names, from the scenario's own table or the shipped one."""
    return None if access.link_class is None else scenario.find_link_class(access.link_class)


def radio_class(scenario: Scenario, access: Access) -> LinkClass | None:
    """The link class whose radio an access class pays for in joules; None where that is not said."""
    name = access.radio or access.link_class
    return None if name is None else scenario.find_link_class(name)


def provenance(scenario: Scenario) -> dict[str, dict[str, str]]:
    """Where the figures of each access class in use come from, by its name."""
    used = dict.fromkeys(group.access for group in scenario.groups)
    return {name: _sources(scenario, scenario.network.access[name]) for name in used}


def _group_stream(seed: int, group: str, name: str) -> np.random.Generator:
    return stream(seed, name, group)


def _capacities(way: Way, scenario: Scenario, access: Access, count: int, draw: Draw) -> Made:
    made, factor = _as_said(way, scenario, access, count, draw), _factor(access, way)
    if factor == 1:
        return made
    return lambda number: _scaled(made(number), factor)


def _factor(access: Access, way: Way) -> float:
    return access.up_factor if way == "up" else access.down_factor


def _scaled(capacity: Capacity, factor: float) -> Capacity:
    return Constant(capacity.bps * factor) if isinstance(capacity, Constant) else Scaled(capacity, factor)


def _as_said(way: Way, scenario: Scenario, access: Access, count: int, draw: Draw) -> Made:
    given_bps = access.up if way == "up" else access.down
    if given_bps is not None:
        return _spread(given_bps, access, way, count, draw)
    link = link_class(scenario, access)
    if link is not None:
        return _of_class(link, access, way, count, draw)
    if access.trace is not None:
        return _of_trace(open_traces(Path(access.trace)), access, way, count, draw)
    assert access.wireless is not None, "a scenario that was loaded says what every rate is"
    return _of_wireless(access.wireless, way, count, draw)


def _spread(median_bps: float, access: Access, way: Way, count: int, draw: Draw) -> Made:
    factors = _factors(access, way, count, draw)
    return lambda number: Constant(median_bps * float(factors[number]))


def _factors(access: Access, way: Way, count: int, draw: Draw) -> NDArray[np.float64]:
    return speed_factors(draw(_STREAM_OF[way]), count, access.spread)


def _of_class(link: LinkClass, access: Access, way: Way, count: int, draw: Draw) -> Made:
    rates = link.known("up_bps" if way == "up" else "down_bps")
    if access.vary == "ar1":
        lag1 = link.known("up_lag1" if way == "up" else "down_lag1")
        seeds = _seeds(draw(_STREAM_OF[way]), count)
        return lambda number: ar1(rates, lag1, int(seeds[number]))
    if len(rates.levels) == 1:
        return _spread(rates.median, access, way, count, draw)
    drawn_bps = rates.at(draw(_STREAM_OF[way]).random(count))
    return lambda number: Constant(float(drawn_bps[number]))


def _of_trace(traces: tuple[Trace, ...], access: Access, way: Way, count: int, draw: Draw) -> Made:
    """Recordings dealt out in turn; both directions of a device begin at the same place."""
    places = draw("offset").random(count)

    def make(number: int) -> Capacity:
        trace = traces[number % len(traces)]
        longest_s = max(steps.period_s or 0.0 for steps in (trace.up, trace.down) if steps is not None)
        offset_s = float(places[number]) * longest_s if access.offset is None else access.offset
        return Shifted(trace.way(way), offset_s)

    return make


def _of_wireless(wireless: Wireless, way: Way, count: int, draw: Draw) -> Made:
    """Both directions of a device lose the same on the way; their fading is independent."""
    distances = distances_m(draw("distance").random(count), wireless.radius)
    shadowing_db = wireless.shadowing * draw("shadowing").standard_normal(count)
    seeds = _seeds(draw(_STREAM_OF[way]), count)
    return lambda number: channel(
        _DIRECTION_OF[way],
        path_loss_db(float(distances[number])) + float(shadowing_db[number]) + wireless.margin,
        wireless.bandwidth,
        coherence_s=wireless.coherence,
        seed=int(seeds[number]),
    )


def _latencies_s(scenario: Scenario, access: Access, count: int, draw: Draw) -> Callable[[int], float]:
    if (latency_s := access.latency) is not None:
        return lambda _: latency_s * access.latency_factor
    rtts_s = _rtts_s(scenario, access, count, draw)
    return lambda number: float(rtts_s[number]) / 2 * access.latency_factor


def _rtts_s(scenario: Scenario, access: Access, count: int, draw: Draw) -> NDArray[np.float64]:
    link = link_class(scenario, access)
    assert link is not None, "a scenario that was loaded says what every latency is"
    rtts_s: NDArray[np.float64] = link.known("rtt_s").at(draw("round trip").random(count))
    return rtts_s


def _seeds(generator: np.random.Generator, count: int) -> NDArray[np.int64]:
    return generator.integers(_SEEDS, size=count)


def _sources(scenario: Scenario, access: Access) -> dict[str, str]:
    said = {"up": access.up, "down": access.down, "latency": access.latency}
    sources = {key: "the scenario's own" for key, value in said.items() if value is not None}
    link = link_class(scenario, access)
    open_ways = [way for way in _STREAM_OF if way not in sources]
    if link is not None:
        known = link.provenance
        sources |= {way: f"link class {link.id}, {access.vary}: {known[f'{way}_bps']}" for way in open_ways}
        if "latency" not in sources:
            sources["latency"] = f"link class {link.id}, half the round trip: {known['rtt_s']}"
    elif access.trace is not None:
        sources |= dict.fromkeys(open_ways, f"recorded in {access.trace}")
    elif access.wireless is not None:
        sources |= dict.fromkeys(open_ways, "path loss and truncated Shannon bound, netmodels/wireless.py")
    return sources
