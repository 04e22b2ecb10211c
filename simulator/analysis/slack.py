"""How much slower each device could be at no cost: from the graph of a run's events.

All durations stay what they were but those of one device; then the run ends with the longest path through the graph.
As the device gets slower, the end stays where it is until a path over it is the longest one. That point is exact under
the assumption that all else keeps its duration and its order, and that the same devices take part. Not modelled: that
other messages get more of a shared link while the slower device computes, or less when it sends at another time; that a
batch which comes late is served after others; that a slower device misses a deadline, or is still busy when it leaves.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.analysis.events import Node, graph
from simulator.record import ComputeRow, MessageRow, RoundRow

Floats = NDArray[np.float64]

FAR: Final = 1e5  # times the length of the run: so slow that a device is on the longest path if it is on any
NONE: Final = 1e-9  # a smaller share of one's own time is the rounding of sums
CLOSE: Final = 1e-11  # of the length of the run: two paths of one length
AT_ONCE: Final = 4_000_000  # numbers in an array: devices times nodes


class Slack(NamedTuple):
    """How many times as long one device could take at no cost, one thing at a time, and the seconds a round that makes.

    Of its computations, of what it sends and of what it receives (latency included); the seconds are those more than it
    took in the mean of the rounds in which it did anything. Infinite where nothing waits for it, nan for what it never
    did.
    """

    device: str
    compute_factor: float
    compute_s: float
    uplink_factor: float
    uplink_s: float
    downlink_factor: float
    downlink_s: float


def slack(messages: Iterable[MessageRow], computes: Iterable[ComputeRow], rounds: Sequence[RoundRow]) -> list[Slack]:
    """The slack of every device of a finished run that did anything, those that could be slowed down least first."""
    nodes = graph(messages, computes, rounds)
    if not nodes:
        return []
    paths = _Paths(nodes)
    devices = sorted({device for device in paths.device if device})
    active = Counter(device for device, _ in {(node.device, node.round) for node in nodes})
    found: list[list[float]] = [[] for _ in devices]
    for took_s in zip(*map(_seconds, nodes), strict=True):
        more = paths.most(devices, np.array(took_s))
        sums: Counter[str] = Counter()
        for device, seconds in zip(paths.device, took_s, strict=True):
            sums[device] += seconds
        for device, share, row in zip(devices, more.tolist(), found, strict=True):
            row += [1 + share, share * sums[device] / active[device] if sums[device] else math.nan]
    slacks = [Slack(device, *row) for device, row in zip(devices, found, strict=True)]
    return sorted(slacks, key=lambda each: (least_s(each), each.device))


def least_s(each: Slack) -> float:
    """The seconds a round by which a device can be slower in anything, at no cost."""
    return min((s for s in (each.compute_s, each.uplink_s, each.downlink_s) if not math.isnan(s)), default=math.inf)


def _seconds(node: Node) -> tuple[float, float, float]:
    """How long a device computes, sends and receives."""
    took_s = node.end_s - node.start_s
    if node.row is None or not node.device:
        return 0.0, 0.0, 0.0
    if isinstance(node.row, ComputeRow):
        return took_s, 0.0, 0.0
    return (0.0, took_s, 0.0) if node.row.direction == "up" else (0.0, 0.0, took_s)


@dataclass(frozen=True, slots=True)
class _Level:
    """Nodes that wait for earlier levels only, and their edges: those of one node stand together."""

    nodes: NDArray[np.int64]
    edges: NDArray[np.int64]  # the nodes waited for
    early_s: Floats
    first: NDArray[np.int64]  # where each node's edges begin
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, nodes: Sequence[Node]) -> _Level:
        counts = np.array([len(node.before) for node in nodes])
        edges = [edge for node in nodes for edge in node.before]
        return cls(
            np.array([node.place for node in nodes]),
            np.array([other.place for other, _ in edges], int),
            np.array([early_s for _, early_s in edges]),
            np.cumsum(counts) - counts,
            counts,
        )


class _Paths:
    """Longest paths through a graph, for many devices at once: a column for each.

    Nodes are taken by levels: nobody in a level waits for anybody in it.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        """Take the nodes, each after all that it waits for; the last one is the end."""
        self.device = [node.device for node in nodes]
        self._took_s = np.array([node.end_s - node.start_s for node in nodes])
        self._clock_s = np.array([node.clock_s for node in nodes])
        level = [0] * len(nodes)
        of_level: dict[int, list[Node]] = defaultdict(list)
        for node in nodes:
            level[node.place] = 1 + max((level[other.place] for other, _ in node.before), default=-1)
            of_level[level[node.place]].append(node)
        self._levels = [_Level.of(of_level[number]) for number in range(len(of_level))]
        self._scale_s = max(nodes[-1].end_s, 1.0)
        self._end_s = float(self._play(np.zeros(len(nodes)), np.zeros(len(nodes), int), np.zeros(1))[0][0])

    def most(self, devices: Sequence[str], weights: Floats) -> Floats:
        """The largest factor on a device's weights, added to its durations, at which the end stays where it is.

        Shapes: weights [nodes], result [devices]; nan for a device without weights, infinity where none
        of them matters.
        """
        at_once = max(1, AT_ONCE // len(self.device))
        chunks = [devices[first : first + at_once] for first in range(0, len(devices), at_once)]
        return np.concatenate([self._most(chunk, weights) for chunk in chunks])

    def _most(self, devices: Sequence[str], weights: Floats) -> Floats:
        """Newton's method from far out, on a convex function made of straight pieces: exact after a few turns."""
        column = {device: number for number, device in enumerate(devices)}
        owner = np.array([column.get(device, -1) for device in self.device])
        own = np.where(owner >= 0, weights, 0.0)
        sums = np.bincount(owner + 1, own, len(devices) + 1)[1:]
        factor = np.where(sums > 0, FAR * self._scale_s / np.where(sums > 0, sums, 1.0), np.nan)
        left = sums > 0
        end_s, slope = self._play(own, owner, np.nan_to_num(factor))
        matters = left & (slope > 0)  # so far out every path over the device is longer than all others
        while (left := left & (slope > 0) & (end_s - self._end_s > CLOSE * self._scale_s)).any():
            factor = np.where(left, factor - (end_s - self._end_s) / np.where(slope > 0, slope, 1.0), factor)
            end_s, slope = self._play(own, owner, np.nan_to_num(factor))
        return np.where(matters | (sums == 0), np.where(factor < NONE, 0.0, factor), np.inf)

    def _play(self, weights: Floats, owner: NDArray[np.int64], factor: Floats) -> tuple[Floats, Floats]:
        """When the run ends with each factor, and how many weights are on the longest path. Shapes: [devices]."""
        shape = (len(self._took_s), len(factor))
        end_s, slope = np.empty(shape), np.zeros(shape)
        for level in self._levels:
            clock_s = self._clock_s[level.nodes, None]
            if level.edges.size:
                ready_s = end_s[level.edges] - level.early_s[:, None]
                start_s = np.maximum(np.maximum.reduceat(ready_s, level.first, axis=0), clock_s)
                longest = ready_s >= np.repeat(start_s, level.counts, axis=0) - CLOSE * self._scale_s
                slope[level.nodes] = np.maximum.reduceat(
                    np.where(longest, slope[level.edges], 0.0), level.first, axis=0
                )
            else:
                start_s = np.broadcast_to(clock_s, (len(level.nodes), len(factor)))
            end_s[level.nodes] = start_s + self._took_s[level.nodes, None]
            mine = level.nodes[(owner[level.nodes] >= 0) & (weights[level.nodes] > 0)]
            end_s[mine, owner[mine]] += factor[owner[mine]] * weights[mine]
            slope[mine, owner[mine]] += weights[mine]
        return end_s[-1], slope[-1]
