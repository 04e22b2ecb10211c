"""Who reaches whom over which links: device -> cell or access point -> backhaul -> server or aggregation server.

Up always means away from the devices. Not modelled: several servers, device to device, routes that change.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import ClassVar, Final

from netmodels.capacity import Capacity
from netmodels.link import Airtime, Link

SERVER: Final = "server"
AGGREGATOR: Final = "aggregator"
_RESERVED: Final = frozenset({SERVER, AGGREGATOR, "backhaul"})


@dataclass(frozen=True, slots=True)
class Pipe:
    """Two links of one place, one each way. ``latency_s`` is one way and the same in both directions.

    ``airtime`` makes a cell one that is shared by time, in the way that `Link` describes: ``up`` and ``down`` are then
    shares of its time (1 is all of it), and the access links of the devices in it are their radio links.
    """

    up: Capacity
    down: Capacity
    latency_s: float
    loss_probability: float = 0.0
    airtime: Airtime | None = None

    def links(self, name: str, radio_in: str | None = None) -> tuple[Link, Link]:
        """The two links, ``name.up`` and ``name.down``; ``radio_in`` is the place whose airtime they take."""
        up, down = (
            Link(
                f"{name}.{way}",
                capacity,
                self.latency_s,
                self.loss_probability,
                self.airtime,
                None if radio_in is None else f"{radio_in}.{way}",
            )
            for way, capacity in (("up", self.up), ("down", self.down))
        )
        return up, down


@dataclass(frozen=True)
class Topology:
    """A tree: each device's access, a cell that some share, one backhaul, then the server's and the aggregator's NIC.

    Raises ValueError for a device called like a part of the network, for unknown cells and for unknown devices in them,
    and for airtime anywhere but in a cell.
    """

    access: Mapping[str, Pipe]
    cells: Mapping[str, Pipe]
    cell_of: Mapping[str, str]
    backhaul: Pipe | None
    server: Pipe
    aggregator: Pipe

    infrastructure: ClassVar[frozenset[str]] = frozenset({SERVER, AGGREGATOR})

    def __post_init__(self) -> None:
        for name in self.access:
            _check_name(name)
        for device, cell in self.cell_of.items():
            self._check_cell(device, cell)
            if device not in self.access:
                raise ValueError(f"cell {cell!r} holds unknown device {device!r}{_guess(device, self.access)}")
        wires = [
            *self.access.items(),
            ("backhaul", self.backhaul),
            (SERVER, self.server),
            (AGGREGATOR, self.aggregator),
        ]
        for name, pipe in wires:
            if pipe is not None and pipe.airtime is not None:
                raise ValueError(f"only a cell can be shared by airtime; {name!r} is none")

    def join(self, device: str, pipe: Pipe, cell: str | None) -> None:
        """Add a device, with its links, to those that are there from the beginning; ValueError as for these."""
        _check_name(device)
        if cell is not None:
            self._check_cell(device, cell)
        self._joined[device] = cell
        self.links.update(self._access_links(device, pipe, cell))

    @cached_property
    def _joined(self) -> dict[str, str | None]:
        """Devices with access, and the cells they are in."""
        return {device: self.cell_of.get(device) for device in self.access}

    def _check_cell(self, device: str, cell: str) -> None:
        if cell not in self.cells:
            known = ", ".join(self.cells) or "none"
            raise ValueError(f"device {device!r} sits in unknown cell {cell!r}{_guess(cell, self.cells)} ({known})")

    def _access_links(self, device: str, pipe: Pipe, cell: str | None) -> dict[str, Link]:
        timed = cell is not None and self.cells[cell].airtime is not None
        return {link.name: link for link in pipe.links(device, f"cell.{cell}" if timed else None)}

    @cached_property
    def links(self) -> dict[str, Link]:
        """Every link by name, such as ``phone-1.up``, ``cell.lte-2.down``, ``backhaul.up``, ``server.down``."""
        pipes = [(f"cell.{name}", pipe) for name, pipe in self.cells.items()]
        if self.backhaul:
            pipes.append(("backhaul", self.backhaul))
        pipes += [(SERVER, self.server), (AGGREGATOR, self.aggregator)]
        links: dict[str, Link] = {}
        for device, pipe in self.access.items():
            links |= self._access_links(device, pipe, self.cell_of.get(device))
        return links | {link.name: link for name, pipe in pipes for link in pipe.links(name)}

    @cached_property
    def _routes(self) -> dict[tuple[str, str], tuple[str, ...]]:
        return {}

    def route(self, sender: str, receiver: str) -> tuple[str, ...]:
        """Names of the links from a device to the server or the aggregator, or back.

        Raises ValueError for an unknown device, and for two ends of the same kind.
        """
        known = self._routes.get((sender, receiver))
        if known is None:
            known = self._routes[sender, receiver] = self._find(sender, receiver)
        return known

    def _find(self, sender: str, receiver: str) -> tuple[str, ...]:
        upwards = receiver in self.infrastructure
        device, far_end = (sender, receiver) if upwards else (receiver, sender)
        if device not in self._joined or far_end not in self.infrastructure:
            wrong, known = (device, self._joined) if far_end in self.infrastructure else (far_end, self.infrastructure)
            raise ValueError(
                f"there is no route from {sender!r} to {receiver!r}: one must be a device, the other one of "
                f"{SERVER!r} and {AGGREGATOR!r}{_guess(wrong, known)}"
            )
        places = [device]
        if (cell := self._joined[device]) is not None:
            places.append(f"cell.{cell}")
        if self.backhaul:
            places.append("backhaul")
        places.append(far_end)
        return tuple(f"{place}.up" for place in places) if upwards else tuple(f"{p}.down" for p in reversed(places))


def _check_name(device: str) -> None:
    if device in _RESERVED or device.startswith("cell."):
        raise ValueError(f"a device cannot be called {device!r}: links of that name belong to the network itself")


def _guess(name: str, known: Iterable[str]) -> str:
    guess = get_close_matches(name, known, n=1)
    return f"; did you mean {guess[0]!r}?" if guess else ""
