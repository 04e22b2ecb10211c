"""From a scenario to a finished run: builds everybody and lets them go. The one place that knows all parts."""

from __future__ import annotations

import gc
import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from devices.memory import Demand, check_fleet
from netmodels.network import Network
from netmodels.tcp import MODELS, Tcp
from netmodels.topology import Topology
from simulator import clock, fleet
from simulator.actors import Actor, Machine, Server
from simulator.algorithms import ALGORITHMS, Train
from simulator.algorithms.job import Job
from simulator.analysis.blame import Blame, blame
from simulator.analysis.sharing import Sharing
from simulator.attendance import Attendance
from simulator.batteries import Batteries, check_batteries
from simulator.calendar import Calendar
from simulator.crew import Crew
from simulator.energy import Meter, check_known, meter_of
from simulator.extension import mistakes_told, train_of
from simulator.failure import RunFailed
from simulator.fitting import out_of_memory, placements, workload
from simulator.numerics import Numerics, TimingOnly
from simulator.numerics.company import Company
from simulator.participation import check_deadline, check_timeout, drawn, patience, preference
from simulator.presence import Habits, Presence
from simulator.queueing import DISCIPLINES
from simulator.record import DeviceRow, Observer, Record, RoundRow, WaitRow
from simulator.rounds import Rounds, Schedule
from simulator.scenario import Group, Scenario
from simulator.scenario.code import is_file
from simulator.serving import Serving
from simulator.training.counts import check_data, sample_counts
from simulator.training.lengths import lengths_of
from simulator.transport import SimulatedTransport
from simulator.workload import SplitWorkload, aggregation_work, server_work, shape_of
from simulator.workload.memory import FLOAT_BYTES

MOST_AT_ONCE: Final = 100_000
MOST_BLAMED: Final = 5  # devices, and links, of each part that summary.json names

Learner = Callable[[Scenario, fleet.Fleet, Callable[[str], None]], tuple[Numerics, Sequence[float]]]
"""Makes the numerics of a run, and each device's weight in an average; it is told whom to tell what it is doing."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run: its rows and the summary that goes to summary.json."""

    record: Record
    summary: dict[str, Any]
    devices: Sequence[DeviceRow]
    adapter: Mapping[str, bytes]  # files of a PEFT checkpoint; none where nothing was trained
    device_adapters: Iterable[tuple[str, Mapping[str, bytes]]] = ()  # the same of every device, if asked for


def check_feasible(scenario: Scenario) -> None:
    """Refuse a fleet that is too large to simulate one by one, or of which somebody cannot hold its part.

    Raises ValueError, also for a figure that the run would need and nobody knows; `devices.memory.DoesNotFit` where the
    bytes of the server do not suffice, or those of a device and ``on_oom`` knows no way out.
    """
    at_once = drawn(scenario) or scenario.fleet_size
    if at_once > MOST_AT_ONCE:
        raise ValueError(
            f"devices: at most {MOST_AT_ONCE:,} can take part in a round, got {at_once:,}; draw fewer of them with "
            f"training.participants"
        )
    check_known(scenario)
    check_batteries(scenario)
    costs: dict[Group, SplitWorkload] = {
        place.group: workload(scenario, split=place.split, rank=place.group.rank)
        for place in placements(scenario)
        if place.split is not None
    }
    server = scenario.find_profile(scenario.server.profile)
    largest = max((each.server_memory for each in costs.values()), key=lambda need: sum(need.values()))
    check_fleet(
        [Demand(name="server", profile=server, need=largest | _copies(scenario, at_once, list(costs.values())))]
    )
    for group, each in costs.items():  # asks for every figure, now rather than in the middle of the run
        Machine(scenario.profile_of(group)).seconds(each.client_forward + each.client_backward)
    Machine(server).seconds(server_work(list(costs.values())))
    Machine(scenario.find_profile(scenario.aggregator.profile)).seconds(aggregation_work(list(costs.values())))
    if scenario.training.deadline is not None:
        check_deadline(scenario, fleet.members(scenario))
    if scenario.training.timeout is not None:
        check_timeout(scenario, fleet.members(scenario))


def _copies(scenario: Scenario, at_once: int, costs: Sequence[SplitWorkload]) -> dict[str, int]:
    """Bytes of the server's further copies of its adapters, each with gradients and two moments."""
    if not scenario.traits.copies:
        return {}
    largest = max(each.parameter_counts.server for each in costs)
    return {"copies of adapters": 4 * FLOAT_BYTES * (at_once - 1) * largest}


def trained(
    scenario: Scenario, everybody: fleet.Fleet, phase: Callable[[str], None]
) -> tuple[Numerics, Sequence[float]]:
    """Real training. Raises ValueError for data or a model that cannot be used."""
    check_data(scenario)
    phase("loading torch")
    from simulator.training.build import build  # noqa: PLC0415 -- runs without training never load torch

    built = build(scenario, trained_splits(scenario, everybody), everybody.ranks, phase)
    phase("evaluating the model before training")
    return built.engine, built.weights


def untrained(
    scenario: Scenario, everybody: fleet.Fleet, phase: Callable[[str], None]
) -> tuple[Numerics, Sequence[float]]:
    """The same messages, no training."""
    numerics = TimingOnly(sequences=scenario.training.batch, lengths=lengths_of(scenario, len(everybody)))
    return numerics, [1.0] * len(everybody)


def run(
    scenario: Scenario,
    *,
    timing_only: bool = False,
    observers: Sequence[Observer] = (),
    learner: Learner = trained,
) -> Outcome:
    """Run a scenario to its last round; ``learner`` makes the numerics, unless it is only about the times.

    Raises ValueError for what a user can mend (memory, data, model), `clock.Deadlock` or `clock.HorizonReached` when
    the simulation cannot finish.
    """
    started = time.perf_counter()
    check_feasible(scenario)
    placed = placements(scenario)
    everybody = fleet.members(scenario, placed)
    left_out = scenario.fleet_size - len(everybody)
    meter = meter_of(scenario, everybody)
    record = Record(observers, meter)
    train = train_of(scenario) if is_file(scenario.algorithm) else ALGORITHMS[scenario.algorithm]
    presence = _presence(scenario, everybody, meter)  # early: code of the user's own may be refused
    numerics, weights = (untrained if timing_only else learner)(scenario, everybody, record.phase)
    job, routes = _job(scenario, everybody, presence, numerics, weights, record)
    job.rounds.begin(len(everybody), dropped=left_out)
    trains = "torch" in sys.modules  # a learner that records has loaded it too
    with nullcontext() if trains else _few_collections():
        with mistakes_told(scenario):
            clock.run(_train(train, job), horizon_s=scenario.horizon)
        if (over := job.rounds.over) < scenario.training.rounds:
            raise RunFailed(f"{scenario.algorithm} returned after round {over} of {scenario.training.rounds}")
        wall_s = time.perf_counter() - started
        tokens = job.numerics.tokens
        summary = _summary(scenario, record, tokens, wall_s) | _blame(
            record, Sharing(routes, model_of(scenario), record.messages)
        )
    summary |= {"devices": len(everybody), "out_of_memory": out_of_memory(placed), **meter.summary()}
    of_each = everybody if scenario.training.export == "clients" else []
    own = ((member.name, job.numerics.export(member.index)) for member in of_each)  # one after another: they are many
    return Outcome(record, summary, meter.rows(), job.numerics.export(), own)


@contextmanager
def _few_collections() -> Iterator[None]:
    """Let Python look for lost cycles of objects after every 2,000,000 new ones: rows, timers and messages leave none.

    With its 700 a simulation alone takes 7 % more time. Not for training: there a cycle may hold tensors.
    """
    before = gc.get_threshold()
    gc.set_threshold(2_000_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def trained_splits(scenario: Scenario, everybody: fleet.Fleet) -> list[int]:
    """How many blocks of each device have adapters of its own."""
    traits, blocks = scenario.traits, shape_of(scenario.timed_model).num_blocks
    return [traits.trained_split(split, blocks) for split in everybody.splits]


def _presence(scenario: Scenario, everybody: fleet.Fleet, meter: Meter) -> Presence:
    """Who could take part in a round, and until when."""
    calendar = Calendar(scenario, everybody)
    batteries = Batteries(scenario, everybody, calendar, meter)
    return Presence(
        len(everybody),
        Habits(calendar.of, calendar.dropouts_per_hour, batteries.ready_s),
        seed=scenario.seed,
        participants=drawn(scenario),
        preference=preference(scenario, everybody),
        horizon_s=scenario.horizon,
    )


def _job(
    scenario: Scenario,
    everybody: fleet.Fleet,
    presence: Presence,
    numerics: Numerics,
    weights: Sequence[float],
    record: Record,
) -> tuple[Job, Topology]:
    """The parties of one training job, wired to the network, and that network.

    Where everybody takes part all devices are made now, so that what is wrong with one is known before the run begins.
    """
    routes = fleet.topology(scenario)
    transport = SimulatedTransport(Network(routes.links, model_of(scenario)), routes, record)
    devices = Crew(scenario, everybody, routes, transport=transport, record=record)
    if scenario.training.participants is None:
        list(devices)
    server = Machine(scenario.find_profile(scenario.server.profile), scenario.server.speed)
    aggregator = Machine(scenario.find_profile(scenario.aggregator.profile))
    training = scenario.training
    schedule = Schedule(training.rounds, training.aggregate_every, training.evaluate_every)
    company = Company(numerics)
    rounds = Rounds(schedule, company, record)
    job = Job(
        devices,
        Server(_serving(scenario), server, transport, record),
        Actor("aggregator", aggregator, transport, record),
        company,
        rounds,
        Attendance(rounds, presence, devices, transport, patience=patience(scenario), timeout_s=training.timeout),
        weights,
        sample_counts(scenario, len(everybody)) if scenario.traits.holder == "server" else (),
        each_apart=training.server_steps == "each",
        seed=scenario.seed,
    )
    return job, routes


def model_of(scenario: Scenario) -> Tcp:
    """The transport model of a scenario's network."""
    return MODELS[scenario.network.model]


def _serving(scenario: Scenario) -> Serving:
    """How the server's machines share their work."""
    server = scenario.server
    return Serving(server.count, server.interconnect, DISCIPLINES[server.queue], server.window)


async def _train(train: Train, job: Job) -> None:
    """Run the algorithm; the only failure inside a group of tasks is reported as itself."""
    try:
        await train(job)
    except BaseExceptionGroup as group:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from group


def _blame(record: Record, sharing: Sharing) -> dict[str, dict[str, Any]]:
    """The critical path in seconds: by part, by the devices and by the shared links that are on it most."""
    found = blame_of(record, sharing)
    return {
        "blame": found.parts,
        "blame_devices": {part: dict(islice(each.items(), MOST_BLAMED)) for part, each in found.devices.items()},
        "blame_links": {part: dict(islice(each.items(), MOST_BLAMED)) for part, each in found.links.items()},
    }


def blame_of(record: Record, sharing: Sharing) -> Blame:
    """The critical path of a finished run."""
    end = record.rounds[-1]
    rounds: list[RoundRow | WaitRow] = [*record.rounds, *record.waits]
    return blame(record.messages, record.computes, end.end_s, end.slowest, rounds=rounds, sharing=sharing)


def _summary(scenario: Scenario, record: Record, tokens: int, wall_s: float) -> dict[str, Any]:
    """The contents of summary.json; unknown numbers are None."""
    held_out = [row for row in record.rounds if not math.isnan(row.loss)]
    last = held_out[-1] if held_out else None
    slowest = Counter(row.slowest for row in record.rounds if row.slowest)
    training = scenario.training
    end = record.rounds[-1]
    return {
        "name": scenario.name,
        "algorithm": scenario.algorithm,
        "model": scenario.model.name,
        "timed_as": scenario.timed_model,
        "seed": scenario.seed,
        "virtual_s": end.end_s,
        "wall_s": wall_s,
        "rounds": training.rounds,
        "devices": scenario.fleet_size,
        "tokens": tokens,
        "loss": last.loss if last else None,
        "perplexity": last.perplexity if last else None,
        "perplexity_before": held_out[0].perplexity if held_out else None,
        "dropped": sum(row.dropped for row in record.rounds[1:]),
        "late": sum(row.late for row in record.rounds),
        "bytes_up": record.bytes_up,
        "bytes_down": record.bytes_down,
        "bytes_by_kind": dict(sorted(record.bytes_by_kind.items())),
        "waits": [[row.round, row.start_s, row.end_s] for row in record.waits],
        "slowest": [{"device": name, "rounds_last": count} for name, count in slowest.most_common(5)],
        "trace_hash": record.trace_hash,
    }
