"""One cell of a study: how its numbers are had, what is computed of it, and the key under which that is kept."""

from __future__ import annotations

import hashlib
import json
import math
import pickle
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from simulator.clock import Stalled
from simulator.failure import RunFailed
from simulator.record import RoundRow
from simulator.run_folder import plain
from simulator.scenario import Scenario

Way = Literal["trained", "re-timed", "timing-only"]
TIMING_ONLY: Final[Way] = "timing-only"
NOT_OF_THE_RESULT: Final = {"name", "study"}  # of a scenario


class Task(NamedTuple):
    """What a worker gets: plain data, so that it can be sent anywhere."""

    key: str
    way: Way
    scenario: bytes  # a pickled Scenario


class Moment(NamedTuple):
    """The state after a round: its end, bytes of all rounds so far, and held-out losses (None: not taken)."""

    round: int
    virtual_s: float
    bytes_up: int
    bytes_down: int
    loss: float | None
    perplexity: float | None


@dataclass(frozen=True, slots=True)
class Result:
    """What is known of a finished cell; plain values that JSON holds."""

    way: Way
    summary: Mapping[str, Any]
    curve: Sequence[Moment]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a cell has no numbers. ``kind`` is "refused" (cannot be run, as when a part does not fit) or "failed"."""

    kind: Literal["refused", "failed"]
    reason: str


def task_of(scenario: Scenario, way: Way, version: str) -> Task:
    """The task of a scenario, with its key."""
    return Task(content_key(scenario, way, version), way, pickle.dumps(scenario))


def content_key(scenario: Scenario, way: Way, version: str) -> str:
    """A name for the outcome: equal for equal settings, whatever they are called and wherever they were said.

    Files that the scenario names enter with their size and time of change, the program with its version.
    """
    settings = scenario.model_dump(mode="json", by_alias=True, exclude=NOT_OF_THE_RESULT)
    content = json.dumps([version, way, settings, sorted(_files(settings))], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:24]


def _files(settings: object) -> Iterator[tuple[str, int, int]]:
    """The files that are named by an absolute path, as loading makes them."""
    if isinstance(settings, Mapping):
        settings = list(settings.values())
    if isinstance(settings, list):
        for each in settings:
            yield from _files(each)
    elif isinstance(settings, str) and settings.startswith("/") and (path := Path(settings)).exists():
        of_file = path.stat()
        yield settings, of_file.st_size, of_file.st_mtime_ns


def work(task: Task) -> Result | Failure:
    """Compute a cell, in whatever process; what goes wrong with the scenario is told, not raised."""
    from simulator import world  # noqa: PLC0415 -- a worker reports that it lives before it imports everything

    scenario: Scenario = pickle.loads(task.scenario)
    started = time.perf_counter()
    try:
        outcome = world.run(scenario, timing_only=task.way == TIMING_ONLY)
    except ValueError as error:
        return Failure("refused", " ".join(str(error).split()))
    except (Stalled, RunFailed) as error:
        return Failure("failed", " ".join(str(error).split()))
    except Exception as error:  # a mistake of ours in one cell: the others go on, and the table says which and what
        return Failure("failed", f"{type(error).__name__}: {' '.join(str(error).split())}")
    summary: Any = plain({**outcome.summary, "wall_s": time.perf_counter() - started})
    return Result(task.way, summary, list(curve(outcome.record.rounds)))


def curve(rounds: Sequence[RoundRow]) -> Iterator[Moment]:
    """The rounds as moments."""
    up = down = 0
    for row in rounds:
        up, down = up + row.bytes_up, down + row.bytes_down
        yield Moment(row.round, row.end_s, up, down, known(row.loss), known(row.perplexity))


def known(value: float) -> float | None:
    """A number, or None for what is not known (nan)."""
    return value if math.isfinite(value) else None
