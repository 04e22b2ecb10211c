"""One cell of a study: how its numbers are had, what is computed of it, and the key under which that is kept."""

from __future__ import annotations

import hashlib
import json
import math
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, cast

from simulator import world
from simulator.clock import Stalled
from simulator.failure import RunFailed
from simulator.numerics.tape import Tape
from simulator.record import Observer, RoundRow
from simulator.run_folder import plain
from simulator.scenario import Scenario
from simulator.whatif.retime import Diverged, retime_scenario
from simulator.whatif.tape import Recorder, read_tape

Way = Literal["trained", "re-timed", "timing-only"]
TRAINED: Final[Way] = "trained"
RETIMED: Final[Way] = "re-timed"
TIMING_ONLY: Final[Way] = "timing-only"
NOT_OF_THE_RESULT: Final = {"name", "study"}  # of a scenario


class Task(NamedTuple):
    """What a worker gets: plain data, so that it can be sent anywhere."""

    key: str
    way: Way
    scenario: bytes  # a pickled Scenario
    tape: str | None = None  # the file from which a cell is re-timed


class Round(NamedTuple):
    """How far a cell is that trains."""

    round: int  # that is over; 0: the model is loaded and evaluated
    rounds: int  # of so many


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
    """What is known of a finished cell; plain values that JSON holds.

    ``note`` says why it is not had in a better way, ``tape`` is what a training has recorded (kept apart).
    """

    way: Way
    summary: Mapping[str, Any]
    curve: Sequence[Moment]
    note: str | None = None
    tape: bytes | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a cell has no numbers.

    ``kind`` is "refused" (cannot be run, as when a part does not fit), "failed" (began and could not end), or
    "diverged" (its schedule trains something else than the tape).
    """

    kind: Literal["refused", "failed", "diverged"]
    reason: str


Outcome = Result | Failure


def content_key(scenario: Scenario, version: str) -> str:
    """A name for the outcome: equal for equal settings, whatever they are called and wherever they were said.

    Files that the scenario names enter with their size and time of change, the program with ``version``.
    """
    settings = scenario.model_dump(mode="json", by_alias=True, exclude=NOT_OF_THE_RESULT)
    content = json.dumps([version, settings, sorted(_files(settings))], sort_keys=True)
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


def work(task: Task, tape: bytes | None = None, tell: Callable[[Round], object] | None = None) -> Outcome:
    """Compute a cell, in whatever process; what goes wrong with the scenario is told, not raised.

    ``tape`` is the content of the task's tape, where its file cannot be read from here. ``tell`` hears of every round
    of a cell that trains; of others, which take a second or two, it hears nothing.
    """
    scenario: Scenario = pickle.loads(task.scenario)
    recorder = Recorder()
    watched = [_Rounds(scenario.training.rounds, tell)] if tell is not None and task.way == TRAINED else []
    try:
        if task.way == RETIMED:
            outcome = retime_scenario(scenario, _tape(task.tape or "") if tape is None else Tape.from_bytes(tape))
        else:
            timing_only = task.way == TIMING_ONLY
            outcome = world.run(scenario, timing_only=timing_only, observers=watched, learner=recorder)
    except Diverged as error:
        return Failure("diverged", _sentence(error))
    except ValueError as error:
        return Failure("refused", _sentence(error))
    except (Stalled, RunFailed) as error:
        return Failure("failed", _sentence(error))
    except Exception as error:  # a mistake of ours in one cell: the others go on, and the table says which and what
        return Failure("failed", f"{type(error).__name__}: {_sentence(error)}")
    moments = list(curve(outcome.record.rounds))
    recorded = recorder.tape.to_bytes() if task.way == TRAINED else None
    return Result(task.way, cast(dict[str, Any], plain(outcome.summary)), moments, tape=recorded)


class _Rounds(Observer):
    """Tells of every round."""

    def __init__(self, rounds: int, tell: Callable[[Round], object]) -> None:
        self._rounds, self._tell = rounds, tell

    def on_round(self, row: RoundRow) -> None:
        self._tell(Round(row.round, self._rounds))


@lru_cache(maxsize=4)
def _tape(path: str) -> Tape:
    """The tape in a file, which is written once; read once by each worker."""
    return read_tape(Path(path))


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split())


def curve(rounds: Sequence[RoundRow]) -> Iterator[Moment]:
    """The rounds as moments."""
    up = down = 0
    for row in rounds:
        up, down = up + row.bytes_up, down + row.bytes_down
        yield Moment(row.round, row.end_s, up, down, known(row.loss), known(row.perplexity))


def known(value: float) -> float | None:
    """A number, or None for what is not known (nan)."""
    return value if math.isfinite(value) else None
