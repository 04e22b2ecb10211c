"""What the keys of an access class demand of one another, of the table of link classes and of recordings.

Read from the unvalidated mapping, as everything in `simulator.scenario.checks`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from netmodels.catalog import LinkClass, catalogue, extended
from netmodels.quantiles import Quantiles
from netmodels.traces import Way, open_traces
from netmodels.wireless import UP, channel, path_loss_db
from simulator.scenario.errors import KeyPath
from simulator.scenario.fields import to_number, to_text
from simulator.scenario.network import Wireless
from simulator.scenario.paths import find_path
from simulator.scenario.tree import Raw
from simulator.scenario.words import unknown

if TYPE_CHECKING:
    from simulator.scenario.checks import Lenient, Unmet

KINDS: Final = ("class", "trace", "wireless")
WAYS: Final[tuple[Way, ...]] = ("up", "down")
TABLE: Final = ("link_catalog",)


def link_classes(scenario: Lenient, base_folder: Path) -> Mapping[str, LinkClass]:
    """The link classes that a scenario can name; ValueError where its own table cannot be read."""
    name = scenario.read(to_text, *TABLE)
    path = None if name is None else find_path(name, base_folder)
    return catalogue() if path is None else extended(path)


def fill_vary(scenario: Lenient, base_folder: Path) -> None:
    """Say how the rates of a class vary where the scenario leaves it open: as they were measured."""
    try:
        classes = link_classes(scenario, base_folder)
    except ValueError:
        return
    for name in scenario.names("network", "access"):
        access = scenario.at("network", "access", name)
        link = classes.get(scenario.read(to_text, "network", "access", name, "class") or "")
        if isinstance(access, dict) and access.get("vary") is None and link is not None:
            access["vary"] = as_measured(link)


def as_measured(link: LinkClass) -> str:
    """``ar1`` for a class measured from second to second whose autocorrelation is known, ``once`` for any other."""
    lags = [link.down_lag1 if way == "down" else link.up_lag1 for way in WAYS if _rates(link, way)]
    return "ar1" if link.kind == "seconds" and None not in lags else "once"


def access_findings(scenario: Lenient, base_folder: Path) -> Iterator[Unmet]:
    """Everything in access classes that does not fit together."""
    try:
        classes = link_classes(scenario, base_folder)
    except ValueError as error:
        yield TABLE, str(error)
        return
    for name in scenario.names("network", "access"):
        access = scenario.at("network", "access", name)
        if isinstance(access, dict):
            yield from _Check(("network", "access", name), access, scenario, classes, base_folder).findings()


@dataclass(frozen=True, slots=True)
class _Check:
    """One access class as it stands in the file."""

    path: KeyPath
    access: Mapping[str, Raw]
    scenario: Lenient
    classes: Mapping[str, LinkClass]
    base_folder: Path

    def has(self, key: str) -> bool:
        return self.access.get(key) is not None

    def missing(self, key: str, why: str) -> Unmet:
        return (*self.path, key), f"missing: {why}"

    def findings(self) -> Iterator[Unmet]:
        kinds = [kind for kind in KINDS if self.has(kind)]
        if len(kinds) > 1:
            yield (*self.path, kinds[1]), f"of {', '.join(KINDS)} only one can give the rates, and {kinds[0]} does"
            return
        radio = self.scenario.read(to_text, *self.path, "radio")
        if radio is not None and radio not in self.classes:
            yield (*self.path, "radio"), unknown("link class", radio, self.classes)
        for key, owner in (("vary", "class"), ("offset", "trace")):
            if self.has(key) and not self.has(owner):
                yield (*self.path, key), f"is read only with {owner}"
        if not kinds:
            yield from self._plain()
        elif self.has("class"):
            yield from self._of_class()
        elif self.has("trace"):
            yield from self._of_trace()
        else:
            yield from self._of_wireless()

    def _plain(self) -> Iterator[Unmet]:
        for key, what in (("up", "median rate from the device"), ("down", "median rate to the device")):
            if not self.has(key):
                yield self.missing(key, f"{what}, unless class, trace or wireless gives it")
        yield from self._latency()

    def _latency(self) -> Iterator[Unmet]:
        if not self.has("latency"):
            yield self.missing("latency", "one-way latency")

    def _spread(self, *, useless: bool) -> Iterator[Unmet]:
        if useless and self.scenario.read(to_number, *self.path, "spread") not in (None, 0.0):
            yield (*self.path, "spread"), "is read only with up or down, or with a class that has medians alone"

    def _open_ways(self) -> list[Way]:
        return [way for way in WAYS if not self.has(way)]

    def _of_class(self) -> Iterator[Unmet]:
        name = self.scenario.read(to_text, *self.path, "class")
        if name is None:
            return
        link = self.classes.get(name)
        if link is None:
            yield (*self.path, "class"), unknown("link class", name, self.classes)
            return
        ways = self._open_ways()
        if not ways and self.has("latency"):
            yield (*self.path, "class"), "is not used, as up, down and latency are given; leave one of them out"
        for way in ways:
            if _rates(link, way) is None:
                yield self.missing(way, f"link class {name!r} has no {way}link, as no source was found for it")
        if link.rtt_s is None and not self.has("latency"):
            yield self.missing("latency", f"link class {name!r} has no round trip, as no source was found for it")
        spread_out = [way for way in ways if (rates := _rates(link, way)) and len(rates.levels) > 1]
        yield from self._spread(useless=len(spread_out) == len(WAYS))
        for way in ways:
            yield from self._vary(link, way)

    def _vary(self, link: LinkClass, way: Way) -> Iterator[Unmet]:
        rates = _rates(link, way)
        vary = self.scenario.read(to_text, *self.path, "vary")
        if rates is None:
            return
        if vary == "once" and rates.zero_share:
            share = f"{100 * rates.zero_share:.3g} %"
            text = f"'once' would leave {share} of the devices of link class {link.id!r} without {way}link for ever"
            yield (*self.path, "vary"), f"{text}; allowed: ar1"
        if vary == "ar1" and rates.values[0] == rates.values[-1]:
            text = f"'ar1' needs quantiles, and of the {way}link of link class {link.id!r} only one rate is known"
            yield (*self.path, "vary"), f"{text}; allowed: once"
        elif vary == "ar1" and getattr(link, f"{way}_lag1") is None:
            text = f"'ar1' needs an autocorrelation, and that of the {way}link of link class {link.id!r} is unknown"
            yield (*self.path, "vary"), f"{text}; allowed: once"

    def _of_trace(self) -> Iterator[Unmet]:
        yield from self._latency()
        ways = self._open_ways()
        yield from self._spread(useless=len(ways) == len(WAYS))
        if not ways:
            yield (*self.path, "trace"), "is not used, as up and down are given; leave it or one of them out"
        name = self.scenario.read(to_text, *self.path, "trace")
        path = None if name is None else find_path(name, self.base_folder)
        if path is None:
            return
        try:
            traces = open_traces(path)
        except ValueError as error:
            yield (*self.path, "trace"), str(error)
            return
        for way in ways:
            for trace in traces:
                try:
                    trace.way(way)
                except ValueError as error:
                    yield self.missing(way, f"{error}; give {way} here")
                    break

    def _of_wireless(self) -> Iterator[Unmet]:
        yield from self._latency()
        yield from self._spread(useless=True)
        for way in WAYS:
            if self.has(way):
                yield (*self.path, way), "leave it out: wireless gives the rates"
        yield from self._edge()

    def _edge(self) -> Iterator[Unmet]:
        """A phone at the edge of a cell must get something there."""
        try:
            wireless = Wireless.model_validate(self.access["wireless"])
        except ValidationError:
            return
        loss_db = path_loss_db(wireless.radius) + wireless.margin
        try:
            channel(UP, loss_db, wireless.bandwidth, coherence_s=None, seed=0)
        except ValueError as error:
            yield (*self.path, "wireless"), f"reaches too far: {error}"


def _rates(link: LinkClass, way: Way) -> Quantiles | None:
    return link.up_bps if way == "up" else link.down_bps
