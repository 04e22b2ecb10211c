"""Plays a network for an event loop, which has a turn for each instant at which its programs can tell a difference."""

from collections.abc import Hashable
from heapq import heappop, heappush
from typing import Final

from netmodels.network import Network
from netmodels.transfer import Completion

_AT_ONCE: Final = 1000  # events of the network that are played in one go


class Arrivals:
    """Plays a network and tells of every transfer when it arrives; of `watched` ones also when they have left.

    ``now_s`` is up to when everything has been played.
    """

    def __init__(self, network: Network) -> None:
        self.now_s = network.now_s
        self.watched: set[Hashable] = set()
        self._network = network
        self._underway: list[tuple[float, int, Completion]] = []  # what has left, by the time at which it arrives
        self._number = 0  # of a completion: what arrives at one instant does so in the order in which it has left

    def next_event_s(self) -> float:
        """When `run` has something to play next; infinity if never."""
        next_s = self._network.next_event_s()
        return min(self._underway[0][0], next_s) if self._underway else next_s

    def run(self, until_s: float) -> list[Completion]:
        """Play the next event, of which there must be one, and those after it that come before ``until_s``.

        Stops at the first instant at which there is something to tell, and tells it. Of arrivals at one instant it is
        only the first: what that brings about comes before the second, such as that others are given up. After a
        thousand events it stops in any case, so that a program can be interrupted.
        """
        network, underway = self._network, self._underway
        told: list[Completion] = []
        for _ in range(_AT_ONCE):
            next_s = network.next_event_s()
            if underway and underway[0][0] <= next_s:
                self.now_s, _, completion = heappop(underway)
                return [completion]
            for completion in network.advance(next_s):
                self._number += 1
                heappush(underway, (completion.delivered_s, self._number, completion))
                if completion.flow_id in self.watched:
                    self.watched.remove(completion.flow_id)
                    if completion.delivered_s > next_s:
                        told.append(completion)
            self.now_s = network.now_s
            if told or not self.next_event_s() < until_s:
                break
        return told
