"""The cells of a study, done: in which way each, in which order, and nothing twice.

Cells that train the same share a tape: one of them is trained for real, all others are re-timed from what it has
recorded, which is exact. Where a cell's schedule changes what is trained, its replay stops (`Diverged`), and the cell
is trained for real; its own tape then serves whoever is left.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Protocol

from simulator.whatif.cells import RETIMED, TIMING_ONLY, TRAINED, Failure, Outcome, Result, Round, Task, Way
from simulator.whatif.folder import StudyFolder
from simulator.whatif.workers import Executor

NO_TAPE: Final = "it trains something else than the tape"
MOST_TAPES: Final = 3  # from which cells of one training are re-timed; who fits none of them is trained


class Plan(NamedTuple):
    """A cell to be done. ``training`` is the key of what it trains; None where only the times are wanted."""

    key: str
    scenario: bytes  # pickled
    training: str | None


class Watcher(Protocol):
    """Is told how far it is."""

    def phase(self, what: str, cells: int) -> None:
        """So many cells are now tried in one way."""

    def skip(self, cells: int) -> None:
        """So many cells are known already."""

    def step(self, *, cells: int, failed: bool) -> None:
        """So many cells are done."""

    def rounds(self, at: Sequence[tuple[int, int]]) -> None:
        """The cells that are being trained are at such a round of so many."""


@dataclass(frozen=True, slots=True)
class Means:
    """With what it is done: many processes for times, few for training; ``tapes`` of elsewhere, by training.

    ``train``: cells without a tape are trained for real; else their times alone are had.
    """

    timing: Executor
    training: Executor
    train: bool
    tapes: Mapping[str, str]


class Campaign:
    """Does plans; `outcomes` has what came of them, by key."""

    def __init__(self, folder: StudyFolder, means: Means, watcher: Watcher) -> None:
        """Take the folder in which results are kept as they come."""
        self.outcomes: dict[str, Outcome] = {}
        self._folder, self._means, self._watcher = folder, means, watcher
        self._count: Counter[str] = Counter()
        self._stopped: dict[str, str] = {}  # why a replay stopped
        self._wanted: set[str] = set()  # whose losses are asked for

    def do(self, plans: Sequence[Plan]) -> dict[str, Outcome]:
        """Every plan's outcome by its key; what the folder holds is not done again."""
        self._count = Counter(plan.key for plan in plans)
        self._wanted = {plan.key for plan in plans if plan.training is not None}
        missing: list[Plan] = []
        for plan in {plan.key: plan for plan in plans}.values():
            held = self._folder.held(plan.key, trained=plan.training is not None)
            if held is None:
                missing.append(plan)
            else:
                self.outcomes[plan.key] = held
                self._watcher.skip(self._count[plan.key])
        self._train_or_retime([plan for plan in missing if plan.training is not None])
        left = [plan for plan in missing if plan.key not in self.outcomes]
        self._time([plan for plan in left if self._known_time(plan) is None])
        return self.outcomes

    def _known_time(self, plan: Plan) -> Result | None:
        """Times that are held for a cell which no tape fits."""
        held = self._folder.held(plan.key, trained=False) if plan.training is not None else None
        if held is not None:
            self._settle(plan.key, held)
        return held

    def _train_or_retime(self, plans: Sequence[Plan]) -> None:
        """Losses for all: by the tapes that are there, then by training one of each kind and re-timing the others."""
        pending: dict[str, list[Plan]] = defaultdict(list)
        for plan in plans:
            pending[plan.training or ""].append(plan)
        tapes = {each: self._folder.tapes(each) for each in pending}
        for training, path in self._means.tapes.items():
            tapes.setdefault(training, []).append(path)
        for place in range(MOST_TAPES):
            self._retime(pending, {each: found[place] for each, found in tapes.items() if place < len(found)})
        while self._means.train and any(pending.values()):
            alone = {each: len(found) >= MOST_TAPES for each, found in tapes.items()}
            firsts = [plan for each, left in pending.items() for plan in (left if alone.get(each) else left[:1])]
            made = self._trained(firsts)
            for each, path in made.items():
                tapes[each].append(path)
            for each, left in pending.items():
                pending[each] = [plan for plan in left if plan.key not in self.outcomes]
            self._retime(pending, {each: path for each, path in made.items() if not alone.get(each)})

    def _trained(self, plans: Sequence[Plan]) -> dict[str, str]:
        """Train cells; returns the tapes, by what was trained."""
        by_key = {plan.key: plan for plan in plans}
        made: dict[str, str] = {}
        at: dict[str, Round] = {}

        def heard(task: Task, round: Round) -> None:
            at[task.key] = round
            self._watcher.rounds(list(at.values()))

        self._watcher.phase("training", len(plans))
        for task, outcome in self._means.training.run([_task(plan, TRAINED) for plan in plans], heard):
            at.pop(task.key, None)
            self._watcher.rounds(list(at.values()))
            training = by_key[task.key].training
            if isinstance(outcome, Result) and outcome.tape is not None and training is not None:
                made[training] = self._folder.keep_tape(training, task.key, outcome.tape)
            self._settle(task.key, outcome)
        return made

    def _retime(self, pending: dict[str, list[Plan]], tapes: Mapping[str, str]) -> None:
        """Re-time what is pending from these tapes; what diverges stays pending."""
        tasks = [_task(plan, RETIMED, path) for each, path in tapes.items() for plan in pending.get(each, [])]
        if not tasks:
            return
        self._watcher.phase("re-timing", len(tasks))
        for task, outcome in self._means.timing.run(tasks, _no_rounds):
            if isinstance(outcome, Failure) and outcome.kind == "diverged":
                self._stopped[task.key] = outcome.reason
            else:
                self._settle(task.key, outcome)
        for each, left in pending.items():
            pending[each] = [plan for plan in left if plan.key not in self.outcomes]

    def _time(self, plans: Sequence[Plan]) -> None:
        """The times alone."""
        if plans:
            self._watcher.phase("timing", len(plans))
        for task, outcome in self._means.timing.run([_task(plan, TIMING_ONLY) for plan in plans], _no_rounds):
            self._settle(task.key, outcome)

    def _settle(self, key: str, outcome: Outcome) -> None:
        """Keep an outcome."""
        if isinstance(outcome, Result):
            note = self._stopped.get(key)
            if note is None and outcome.way == TIMING_ONLY and key in self._wanted:
                note = NO_TAPE
            outcome = replace(outcome, note=note, tape=None)
            self._folder.keep(key, outcome)
        self.outcomes[key] = outcome
        self._watcher.step(cells=self._count[key], failed=isinstance(outcome, Failure))


def _no_rounds(task: Task, round: Round) -> None:
    """Cells that are only timed are over in a moment."""


def _task(plan: Plan, way: Way, tape: str | None = None) -> Task:
    return Task(plan.key, way, plan.scenario, tape)
