"""A queue of batches before the server's GPUs, of which each serves what it takes on its own.

A batch is served when a GPU is free, alone or with all that came within a window; who is first is a plain function.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Waiting(Generic[T_co]):
    """Something that waits for a GPU: the device it is of, how long it would take, and how many came before it."""

    item: T_co
    device: int
    seconds: float
    number: int


Discipline = Callable[[Waiting[object]], tuple[float, int]]


def fifo(waiting: Waiting[object]) -> tuple[float, int]:
    """First come, first served."""
    return 0.0, waiting.number


def shortest(waiting: Waiting[object]) -> tuple[float, int]:
    """The shortest job first, as its device's costs say; the earlier one of equals."""
    return waiting.seconds, waiting.number


def device_order(waiting: Waiting[object]) -> tuple[float, int]:
    """By the number of the device, among those that wait: nobody is waited for."""
    return float(waiting.device), waiting.number


DISCIPLINES: Final[dict[str, Discipline]] = {"fifo": fifo, "shortest": shortest, "device": device_order}


class Queue(Generic[T]):
    """What waits for a GPU. A taker gets the first by the discipline or, with a window, all that came within it."""

    def __init__(self, discipline: Discipline, window_s: float = 0.0) -> None:
        """``discipline`` gives a key; the smallest is served first. The window opens with the first to wait."""
        self._discipline, self._window_s = discipline, window_s
        self._waiting: list[Waiting[T]] = []
        self._came = 0
        self._news = asyncio.Event()
        self._closed = asyncio.Event()
        self._turn = asyncio.Lock()  # takers take one after another

    def put(self, item: T, *, device: int, seconds: float) -> None:
        """Something comes that would take so many seconds."""
        self._waiting.append(Waiting(item, device, seconds, self._came))
        self._came += 1
        self._news.set()

    def close(self) -> None:
        """Nothing comes any more: whoever waits for company need not wait longer."""
        self._closed.set()
        self._news.set()

    async def take(self) -> list[T]:
        """What is to be served next, in the order of the discipline; empty once nothing is left and nothing comes."""
        async with self._turn:
            while not self._waiting:
                if self._closed.is_set():
                    return []
                self._news.clear()
                await self._news.wait()
            if not self._window_s:
                chosen = [min(self._waiting, key=self._discipline)]
            else:
                try:
                    async with asyncio.timeout(self._window_s):
                        await self._closed.wait()
                except TimeoutError:
                    pass
                chosen = sorted(self._waiting, key=self._discipline)
            for each in chosen:
                self._waiting.remove(each)
            return [each.item for each in chosen]
