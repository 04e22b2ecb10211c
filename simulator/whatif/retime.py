"""A finished run with other links, devices and machines: its tape is replayed, nothing is trained, torch is not loaded.

What is trained depends on the schedule (who steps when, in which order), so the replay is exact as long as the changes
leave that alone, and stops where they do not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shlex import join
from typing import Any, Final

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from simulator import session, world
from simulator.numerics.tape import Diverged, Tape
from simulator.record import Observer
from simulator.run_folder import SCENARIO, SUMMARY, TAPE
from simulator.run_reader import check_finished
from simulator.scenario import Scenario, load
from simulator.views import format as f
from simulator.views.palette import LABEL
from simulator.views.pieces import wrapped
from simulator.whatif.changes import changes, key_of
from simulator.whatif.tape import made_elsewhere, read_tape, replayed, training_key

__all__ = ["Diverged", "retime", "retime_scenario"]

RETRAIN: Final = "add --retrain to train anew, from the start"
NOTHING: Final = 1e-4  # of the virtual time: a smaller change of a part is not told


def retime_scenario(scenario: Scenario, tape: Tape, observers: Sequence[Observer] = ()) -> world.Outcome:
    """Run a scenario with the losses of a tape; bit for bit what training it for real would give.

    Raises `Diverged` where the scenario's schedule changes what is trained, and what `world.run` raises; ValueError for
    a tape of something else.
    """
    if tape.training != training_key(scenario):
        raise ValueError("the tape is that of other training: model, data, optimisation, devices or seed differ")
    return world.run(scenario, observers=observers, learner=replayed(tape))


@dataclass(frozen=True, slots=True)
class _Finished:
    """A finished run: its folder, its scenario, and its summary."""

    folder: Path
    scenario: Scenario
    summary: Mapping[str, Any]

    @property
    def resolved(self) -> Path:
        """The scenario's file."""
        return self.folder / SCENARIO


def retime(
    run: Path, overrides: Sequence[str], *, out: Path | None = None, retrain: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Run the scenario of a finished run with some values changed; returns the contents of the new summary.json.

    Losses are those of the run's tape; a run that was only about times is timed again. With ``retrain`` everything is
    trained anew. Raises ValueError for bad input, also for a change of what is trained; `Diverged` where the changed
    schedule does that, and leaves nothing; and what `session.run` raises.
    """
    before = _read(run)
    if retrain:
        after = session.run(before.resolved, overrides, out=out, quiet=quiet)
    else:
        scenario = load(before.resolved, overrides)
        after = session.perform(scenario, _work(before, scenario, overrides), out=out, quiet=quiet)
    if not quiet:
        console = Console(highlight=False)
        console.print(Padding(wrapped("compared", comparison(run, before.summary, after)), (0, 2)))
        if note := after.get("recorded"):
            console.print(Padding(wrapped("recorded", Text(note, LABEL)), (0, 2)))
    return after


def comparison(run: Path, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """One sentence: both virtual times, and in which parts of the critical path the difference lies."""
    old_s, new_s = float(before["virtual_s"]), float(after["virtual_s"])
    parts = sorted({*before["blame"], *after["blame"]})
    changes = {part: after["blame"].get(part, 0.0) - before["blame"].get(part, 0.0) for part in parts}
    told = ", ".join(
        f"{part} {'-' if change_s < 0 else '+'}{f.duration(abs(change_s))}"
        for part, change_s in sorted(changes.items(), key=lambda item: -abs(item[1]))
        if abs(change_s) > NOTHING * old_s
    )
    speed = f"{f.factor(old_s / new_s)} as fast" if new_s else "no time at all"
    note = " (it trained nothing, so this is timing only too)" if after["timing_only"] else ""
    return f"{run}{note}: {f.duration(old_s)}, now {f.duration(new_s)}, {speed}; {told or 'every part is as it was'}"


def _read(run: Path) -> _Finished:
    """A finished run from its folder. Raises ValueError for what is none."""
    check_finished(run)
    if not (run / SCENARIO).is_file():
        raise ValueError(f"{run} is not the folder of a run: it has no {SCENARIO}")
    try:
        summary = json.loads((run / SUMMARY).read_text("utf-8"))
        blame = {str(part): float(seconds) for part, seconds in summary["blame"].items()}
        virtual_s, timing_only = float(summary["virtual_s"]), bool(summary["timing_only"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError(f"{run / SUMMARY} is not the summary of a run") from None
    kept = {"blame": blame, "virtual_s": virtual_s, "timing_only": timing_only}
    return _Finished(run, load(run / SCENARIO), kept)


def _work(before: _Finished, scenario: Scenario, overrides: Sequence[str]) -> session.Work:
    """What fills the folder of the retimed run."""
    also = {"retimed_from": str(before.folder), "exact": True}
    settings = [part for override in overrides for part in ("--set", override)]

    def again(_: Path) -> str:
        return join(["retime", str(before.folder), *settings])

    if before.summary["timing_only"]:
        return session.Work(partial(_timed, scenario), timing_only=True, tape=None, again=again, also=also)
    tape = _tape(before)
    if changed := changes(before.resolved, before.scenario, scenario, overrides):
        raise ValueError(
            f"this changes what is trained ({'; '.join(changed)}), so the recorded losses are not its own; {RETRAIN}, "
            f"or time it without losses: run {before.resolved} --timing-only, with the same --set"
        )
    return session.Work(
        partial(_replayed, scenario, tape, overrides),
        timing_only=False,
        tape=lambda: tape,
        again=again,
        also={**also, "recorded": made_elsewhere(tape)},
    )


def _timed(scenario: Scenario, observers: Sequence[Observer]) -> world.Outcome:
    return world.run(scenario, timing_only=True, observers=observers)


def _replayed(scenario: Scenario, tape: Tape, overrides: Sequence[str], observers: Sequence[Observer]) -> world.Outcome:
    try:
        return retime_scenario(scenario, tape, observers)
    except Diverged as error:
        keys = {key_of(override) for override in overrides}
        cause = f"{keys.pop()} changes the schedule, and so" if len(keys) == 1 else "the schedule changes"
        raise Diverged(f"{cause} what is trained: {error}; {RETRAIN}") from error


def _tape(before: _Finished) -> Tape:
    path = before.folder / TAPE
    if not path.is_file():
        raise ValueError(f"{before.folder} has no {TAPE}, so nothing can be replayed; {RETRAIN}")
    tape = read_tape(path)
    if tape.training != training_key(before.scenario):
        raise ValueError(
            f"{path} is not the tape of {before.resolved}: the scenario, its data or its model is no longer what was "
            f"trained; {RETRAIN}"
        )
    return tape
