"""What would help most: a scenario's first rounds timed again, each time with one thing better.

Nothing is trained: the messages of the first rounds are sent once more over links that are twice as fast, and so on.
Whole intervals between averages are timed, so that adapters travel as often as they do in the long run. Changes are not
independent: two that save a tenth each need not save two tenths together. With the network model `tcp` a change of next
to nothing can move the end by a per cent or two, as it can in reality (docs/limitations.md), so small effects, and
elasticities above all, are trusted less there. Where links carry nothing for a while, any change moves messages into
such a time or out of it: small effects are chance there too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from simulator import fleet, world
from simulator.analysis.blame import blame
from simulator.clock import Stalled
from simulator.failure import RunFailed
from simulator.record import RoundRow, WaitRow
from simulator.scenario import Scenario, Template
from simulator.whatif.knobs import Knob, knobs

SMALL: Final = 0.05  # of a setting, up and down, for its elasticity
MATTERS: Final = 0.02  # of the critical path: what has less of it is not tried for a hint
QUICK: Final = 16_000  # messages and computations of all variants together, at most: about 3 s
FEW: Final = 3  # rounds for a hint, where an interval between averages is not longer
MANY: Final = 6

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Effect:
    """What a change does to the time of the first rounds.

    ``saves`` is the share of the time that it saves, below 0 if it costs; ``elasticity`` the per cent by which the time
    grows with one more per cent of the setting. What is unknown is None, and ``reason`` says why.
    """

    what: str
    settings: list[str]
    virtual_s: float | None
    saves: float | None
    elasticity: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Effects, the largest first, over the first ``rounds`` rounds, which take ``virtual_s`` as they are.

    ``outage`` is the share of that time for which a link carried nothing that the run waited for: no factor mends it.
    """

    rounds: int
    virtual_s: float
    effects: list[Effect]
    outage: float
    not_tried: int = 0  # changes of what is hardly on the critical path

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


class Trial:
    """A scenario's first rounds, as often as asked for, with changes."""

    def __init__(self, template: Template, overrides: Sequence[str]) -> None:
        """Take a scenario file and what is changed of it already."""
        self._template, self._overrides = template, list(overrides)
        self.scenario = template.scenario(overrides)

    def run(self, rounds: int, changes: Iterable[str] = ()) -> world.Outcome:
        """Time them. Raises what loading and running a scenario raises."""
        changed = self._template.scenario([*self._overrides, f"training.rounds={rounds}", *changes])
        return world.run(changed, timing_only=True)


def quick(
    template: Template, overrides: Sequence[str], outcome: world.Outcome, progress: Progress
) -> Sensitivity | None:
    """What would have helped a finished run, in about three seconds.

    Only what is on its critical path is changed, and there are no elasticities. None where a single interval between
    averages takes too long for that. Raises what `sensitivity` raises.
    """
    trial = Trial(template, overrides)
    rounds, record = _whole_intervals(trial.scenario, FEW), outcome.record
    events = sum(each.round <= rounds for each in record.messages) + sum(row.round <= rounds for row in record.computes)
    if 2 * events > QUICK:
        return None
    exposed = _Exposed(trial.scenario, outcome)
    every = knobs(trial.scenario)
    tried = [knob for knob in every if exposed.share(knob) >= MATTERS]
    if (1 + len(tried)) * events > QUICK:
        return None
    return _measured(trial, tried, rounds, progress, not_tried=len(every) - len(tried))


def sensitivity(path: Path, overrides: Sequence[str], progress: Progress, *, rounds: int | None = None) -> Sensitivity:
    """Every knob of a scenario, and its elasticity, over so many rounds (None: the first six, in whole intervals).

    Raises ValueError for a bad scenario, and for rounds that it does not have; RunFailed or `clock.Stalled` where it
    cannot be run as it is.
    """
    trial = Trial(Template(path), overrides)
    most = trial.scenario.training.rounds
    if rounds is not None and not 1 <= rounds <= most:
        raise ValueError(f"--rounds must be in 1..{most} for this scenario, got {rounds}")
    rounds = rounds or _whole_intervals(trial.scenario, MANY)
    return _measured(trial, knobs(trial.scenario), rounds, progress, thorough=True)


def _whole_intervals(scenario: Scenario, about: int) -> int:
    """As many intervals between averages as about so many rounds hold; one at least, and no more than there are."""
    training = scenario.training
    return min(max(about // training.aggregate_every, 1) * training.aggregate_every, training.rounds)


def _measured(
    trial: Trial, tried: Sequence[Knob], rounds: int, progress: Progress, *, thorough: bool = False, not_tried: int = 0
) -> Sensitivity:
    progress("as it is")
    now = trial.run(rounds)
    now_s = _end_s(now)
    effects = []
    for number, knob in enumerate(tried, 1):
        progress(f"{number} of {len(tried)}: {knob.change} {knob.name}")
        effects.append(_effect(trial, knob, rounds, now_s, thorough=thorough))
    effects.sort(key=lambda each: -math.inf if each.saves is None else each.saves, reverse=True)
    outage = now.summary["blame"]["outage"] / now_s if now_s else 0.0
    return Sensitivity(rounds, now_s, effects, outage, not_tried)


def _effect(trial: Trial, knob: Knob, rounds: int, now_s: float, *, thorough: bool) -> Effect:
    settings = knob.settings(knob.better)
    what = f"{knob.change} {knob.name}"
    try:
        end_s = _end_s(trial.run(rounds, settings))
        elasticity = None
        if thorough and knob.steady:
            up_s, down_s = (_end_s(trial.run(rounds, knob.settings(1 + by))) for by in (SMALL, -SMALL))
            elasticity = math.log(up_s / down_s) / math.log((1 + SMALL) / (1 - SMALL))
    except (ValueError, RunFailed, Stalled) as error:
        return Effect(what, settings, None, None, reason=str(error).splitlines()[0])
    return Effect(what, settings, end_s, 1 - end_s / now_s, elasticity)


def _end_s(outcome: world.Outcome) -> float:
    return float(outcome.summary["virtual_s"])


class _Exposed:
    """How much of the critical path of a run depends on a knob."""

    def __init__(self, scenario: Scenario, outcome: world.Outcome) -> None:
        """Take the run as it is."""
        record, end = outcome.record, outcome.record.rounds[-1]
        rounds: list[RoundRow | WaitRow] = [*record.rounds, *record.waits]
        self._parts: Mapping[str, float] = outcome.summary["blame"]
        self._devices = blame(record.messages, record.computes, end.end_s, end.slowest, rounds=rounds).devices
        self._members = fleet.members(scenario)
        self._whole_s = _end_s(outcome)

    def share(self, knob: Knob) -> float:
        """The share of the critical path that a knob can shorten, at most; 1 for a knob that changes everything."""
        if not self._whole_s:
            return 0.0
        return self._seconds(knob) / self._whole_s

    def _seconds(self, knob: Knob) -> float:
        match knob.kind:
            case "split":
                return self._whole_s
            case "server":
                return self._parts["server"] + self._parts["queue"]
            case "devices":
                return self._of("device compute", knob)
            case "uplink" | "downlink":
                return self._of(knob.kind, knob)
            case "latency":
                return self._of("uplink", knob) + self._of("downlink", knob)
            case _:
                return self._parts[knob.kind]

    def _of(self, part: str, knob: Knob) -> float:
        """Seconds of a part that are those of a knob's devices; of a message all that it took."""
        devices, groups = self._devices.get(part, {}), knob.groups
        mine = (s for name, s in devices.items() if groups is None or self._members.group_of(name) in groups)
        return math.fsum(mine)
