"""Runs the Python files that a scenario names, where that is permitted, and tells their mistakes by file and line."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from simulator.clock import Stalled
from simulator.failure import RunFailed
from simulator.run_folder import RunFolderError
from simulator.scenario import Scenario, written_at
from simulator.scenario.errors import KeyPath, path_text
from simulator.selection import Order, Population, Select

OURS = (RunFailed, Stalled, RunFolderError, MemoryError)
"""What a run may end with that is no mistake of a user's code, although it passes through it."""


def train_of(scenario: Scenario) -> Callable[..., Any]:
    """The coroutine function ``train`` of an algorithm's file.

    Raises ValueError, at the scenario's line, where the file may not run, cannot be run, or has no such function.
    """
    path = scenario.algorithm
    train = _function(scenario, ("algorithm",), path, "train")
    if not inspect.iscoroutinefunction(train) or not _takes(train, 1):
        raise _refused(scenario, ("algorithm",), f"{path}:{_line(train)}: 'train' must be 'async def train(job)'")
    return train


def select_of(scenario: Scenario) -> Select:
    """The function ``select`` of a selection's file; what it returns is checked. Raises ValueError as `train_of`."""
    path = scenario.training.select
    select = _function(scenario, ("training", "select"), path, "select")
    if not _takes(select, 3):
        what = f"{path}:{_line(select)}: 'select' must be 'def select(round, population, rng)'"
        raise _refused(scenario, ("training", "select"), what)

    def checked(round: int, population: Population, rng: np.random.Generator) -> Order:
        order = np.asarray(select(round, population, rng))
        if order.ndim != 1 or order.dtype.kind not in "iu" or not order.size:
            raise RunFailed(f"{path}: 'select' must return devices by index, got {order!r:.60} in round {round}")
        if order.min() < 0 or order.max() >= population.size:
            wrong = order[(order < 0) | (order >= population.size)][0]
            raise RunFailed(f"{path}: 'select' returned device {wrong} of 0..{population.size - 1} in round {round}")
        if (times := np.bincount(order)).max() > 1:
            raise RunFailed(f"{path}: 'select' returned device {times.argmax()} more than once in round {round}")
        return order

    return checked


@contextmanager
def mistakes_told(scenario: Scenario) -> Iterator[None]:
    """Turn whatever goes wrong in a user's code while it runs into `RunFailed` with its file and line."""
    try:
        yield
    except OURS:
        raise
    except (Exception, SystemExit) as error:
        told = _place(error, set(scenario.code_hashes))
        if told is None:
            raise
        raise RunFailed(told) from error


def _function(scenario: Scenario, key: KeyPath, path: str, name: str) -> Callable[..., Any]:
    """A function of a file, which is run for it."""
    expected = scenario.code_hashes.get(path)
    if expected is None:
        raise _refused(scenario, key, f"would run the code of {path}; read it, and add --allow-code if it may run")
    source = Path(path).read_bytes()
    if sha256(source).hexdigest() != expected:
        raise _refused(scenario, key, f"{path} has changed since it was announced")
    module = ModuleType(f"scenario_{Path(path).stem}")
    module.__file__ = path
    sys.modules[module.__name__] = module  # dataclasses look their module up
    try:
        exec(compile(source, path, "exec"), vars(module))  # the user's own file, permitted above
    except (Exception, SystemExit) as error:
        raise _refused(scenario, key, _place(error, {path}) or f"{path}: {error}") from error
    function = vars(module).get(name)
    if not callable(function):
        raise _refused(scenario, key, f"{path} has no function {name!r}")
    return function  # type: ignore[no-any-return]  # of a module that nobody knows


def _takes(function: Callable[..., Any], count: int) -> bool:
    """True for a function that can be called with so many values."""
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    return True


def _line(function: Callable[..., Any]) -> int:
    """Where a function is written in its file."""
    return function.__code__.co_firstlineno if inspect.isfunction(function) else 1


def _refused(scenario: Scenario, key: KeyPath, message: str) -> ValueError:
    return ValueError(f"{written_at(scenario, key)}{path_text(key)}: {message}")


def _place(error: BaseException, files: set[str]) -> str | None:
    """``FILE:LINE: what`` of the innermost line of these files that an error has passed; None where it passed none."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
    if not frames:
        return None
    what = " ".join(str(error).split())
    return f"{frames[-1].filename}:{frames[-1].lineno}: {type(error).__name__}{f': {what}' if what else ''}"
