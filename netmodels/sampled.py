"""Capacity drawn by chance on a grid of equal steps, and yet a plain function of time.

A value depends on the seed and on its step alone, not on who asked before or in which order: values come in blocks, and
a block is drawn anew from its own number whenever it is wanted. So any number of readers see the same function, days
ahead cost nothing, and only the block used last is kept.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


class Sampled:
    """Steps of `step_s` seconds from time 0 on; `draw` gives the bits per second of a whole block by its number.

    Raises ValueError for a step or a block that is not above 0. Before time 0 the first value holds.
    """

    __slots__ = ("_block", "_block_steps", "_draw", "_step_s", "_values", "peak_bps")

    def __init__(
        self, step_s: float, peak_bps: float, draw: Callable[[int], NDArray[np.float64]], *, block_steps: int
    ) -> None:
        if not 0 < step_s < math.inf:
            raise ValueError(f"steps must last a finite time above 0 s, got {step_s!r}")
        if block_steps < 1:
            raise ValueError(f"a block must have at least one step, got {block_steps!r}")
        self.peak_bps = peak_bps
        self._step_s, self._draw, self._block_steps = step_s, draw, block_steps
        self._block = -1
        self._values = array("d")

    def __repr__(self) -> str:
        return f"<Sampled up to {self.peak_bps:g} bit/s every {self._step_s:g} s>"

    def at(self, t_s: float) -> float:
        """Bits per second at `t_s`."""
        block, place = divmod(self._step(t_s), self._block_steps)
        if block != self._block:
            self._values = array("d", self._draw(block).tobytes())
            self._block = block
        return self._values[place]

    def next_change_s(self, t_s: float) -> float:
        """The beginning of the next step, strictly after `t_s`."""
        return (self._step(t_s) + 1) * self._step_s

    def _step(self, t_s: float) -> int:
        """The step that holds at `t_s`: the last one whose rounded beginning is not after it."""
        if t_s <= 0:
            return 0
        step = int(t_s / self._step_s)
        if (step + 1) * self._step_s <= t_s:
            return step + 1
        return step - 1 if step * self._step_s > t_s else step


def generator(seed: int, block: int) -> np.random.Generator:
    """The random numbers of a block: Philox, whose counter begins where the block says."""
    return np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, block, 0]))
