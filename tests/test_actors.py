"""What computing does to a device: time, heat, jitter; on the virtual clock, with nobody else there."""

from __future__ import annotations

import asyncio
import math

import pytest

from devices.catalog import find
from devices.compute import Work
from devices.heat import NEVER, Throttle
from simulator import clock, world
from simulator.actors import Actor, Jitter, Machine
from simulator.fleet import members
from simulator.record import Record
from simulator.scenario import load

BOARD = find("raspberry-pi-5")  # 61.44 GFLOP/s in training
SECOND = Work(0.4 * 153.6e9, 0.0)
HOT = Throttle(0.5, 100.0, 100.0)


def busy(machine, *rests_s: float) -> list[float]:
    """Seconds of one computation of a cold second after another, with rests before each."""
    record = Record()
    actor = Actor("board", machine, None, record)

    async def work() -> None:
        for rest_s in rests_s:
            await asyncio.sleep(rest_s)
            await actor.compute("work", 1, SECOND)

    clock.run(work(), horizon_s=1e9)
    return [row.end_s - row.start_s for row in record.computes]


def test_a_device_that_keeps_its_speed_takes_the_same_time_again_and_again():
    assert busy(Machine(BOARD), 0.0, 0.0, 5.0) == pytest.approx([1.0, 1.0, 1.0])


def test_a_device_that_heats_gets_slower_and_recovers_while_it_rests():
    first, second, rested = busy(Machine(BOARD, throttle=HOT), 0.0, 0.0, 1e4)
    assert 1.0 < first < second
    assert rested == pytest.approx(first)


def test_a_computation_that_is_broken_off_has_heated_the_device_only_so_far():
    """Half a second of work, then cancelled: as warm as after half a second, whatever was still to do."""
    record = Record()
    actor = Actor("board", Machine(BOARD, throttle=HOT), None, record)

    async def work() -> None:
        long = asyncio.ensure_future(actor.compute("long", 1, Work(1e14, 0.0)))
        await asyncio.sleep(0.5)
        long.cancel()
        await asyncio.wait([long])
        await actor.compute("short", 1, SECOND)

    clock.run(work(), horizon_s=1e9)
    broken, row = record.computes
    assert broken.end_s == 0.5
    assert 0 < broken.flops < 1e14
    assert row.end_s - row.start_s == pytest.approx(HOT.seconds(1.0, 1 - math.exp(-0.5 / 100)), rel=1e-12)


def test_jitter_is_a_pure_function_of_seed_device_round_and_phase():
    once, again = Jitter(0.2, 7, "phone-1"), Jitter(0.2, 7, "phone-1")
    calls = [(round, what) for round in (1, 2, 3) for what in ("client forward", "client backward")]
    forwards = [once.factor(*call) for call in calls]
    backwards = [again.factor(*call) for call in reversed(calls)]
    assert forwards == backwards[::-1]
    assert len(set(forwards)) == len(calls)
    assert Jitter(0.2, 8, "phone-1").factor(*calls[0]) != forwards[0]
    assert Jitter(0.2, 7, "phone-2").factor(*calls[0]) != forwards[0]


def test_jitter_spreads_by_its_sigma_around_one():
    logs = [math.log(Jitter(0.2, 1, "phone").factor(round, "work")) for round in range(2000)]
    assert sum(logs) / 2000 == pytest.approx(0.0, abs=5 * 0.2 / math.sqrt(2000))
    assert math.sqrt(sum(log * log for log in logs) / 2000) == pytest.approx(0.2, rel=0.08)


def test_no_jitter_draws_nothing():
    assert Jitter(0.0, 1, "phone").factor(1, "work") == 1.0


def crew(scenarios, *overrides):
    return members(load(scenarios / "four_phones.yaml", overrides))


def test_other_programs_take_their_share_of_a_devices_speed_and_nobody_elses(scenarios):
    alone, shared = crew(scenarios), crew(scenarios, "devices.2.background=40 %")
    assert [a.speed / b.speed for a, b in zip(shared, alone, strict=True)] == pytest.approx([1, 1, 0.6, 0.6])


def test_heat_can_be_switched_off_for_a_group(scenarios):
    assert [member.throttle.sustained for member in crew(scenarios)] == [0.95, 0.98, 0.72, 0.72]
    assert {member.throttle for member in crew(scenarios, *(f"devices.{i}.heat=off" for i in range(3)))} == {NEVER}


def test_jitter_in_one_group_leaves_the_times_of_the_others_computations_as_they_were(scenarios):
    def spans(*overrides):
        rows = world.run(load(scenarios / "four_phones.yaml", overrides), timing_only=True).record.computes
        return {(row.actor, row.round, row.what): row.end_s - row.start_s for row in rows}

    off = ["devices.0.heat=off", "devices.1.heat=off", "devices.2.heat=off"]
    calm, nervous = spans(*off), spans(*off, "devices.0.jitter=0.3")
    assert {key[0] for key in calm if abs(calm[key] - nervous[key]) > 1e-9} == {"low"}
