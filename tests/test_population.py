"""Large fleets: arrays, devices made when asked for, and the same devices however many others there are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from devices.availability import Recorded
from simulator import presence, world
from simulator.fleet import members
from simulator.presence import Habits, Presence
from simulator.scenario import load

ROOT = Path(__file__).parents[1]


def fleet_of(scenarios, *overrides):
    return members(load(scenarios / "100_phones.yaml", overrides))


def test_a_device_is_the_same_whenever_it_is_asked_for(scenarios):
    fleet, again = fleet_of(scenarios), fleet_of(scenarios)
    backwards = [again[index] for index in reversed(range(len(again)))]
    assert list(fleet) == backwards[::-1]
    assert fleet[-1] == fleet[99]
    assert fleet[30:32] == [fleet[30], fleet[31]]
    with pytest.raises(IndexError, match="there are 100 devices"):
        fleet[100]


def test_devices_appended_to_a_group_leave_the_others_as_they_were(scenarios):
    few, many = fleet_of(scenarios), fleet_of(scenarios, "devices.1.count=99")
    assert [few[index].speed for index in range(75)] == [many[index].speed for index in range(75)]
    assert [few[index].access.up for index in range(75)] == [many[index].access.up for index in range(75)]


def test_names_places_and_groups_agree_with_the_devices(scenarios):
    fleet = fleet_of(scenarios)
    for index in (0, 29, 30, 99):
        member = fleet[index]
        assert fleet.place(index) == (member.name, member.group, member.number)
        assert fleet.group_of(member.name) == member.group
    assert fleet.group_of("server") is None
    assert fleet.sizes == {"budget": 30, "middle": 45, "flagship": 15, "at-home": 10}
    assert fleet.splits == [member.split for member in fleet]
    assert fleet.ranks == [member.rank for member in fleet]


def test_only_devices_that_take_part_become_actors(scenarios, monkeypatch):
    made = []
    make = world.Crew._make
    monkeypatch.setattr(world.Crew, "_make", lambda crew, index: made.append(index) or make(crew, index))
    scenario = load(scenarios / "100_phones.yaml", ["training.participants=5", "training.rounds=2", "seed=3"])
    outcome = world.run(scenario, timing_only=True)
    assert len(made) == len(set(made)) == 5
    assert {row.actor for row in outcome.record.computes if row.what == "client forward"} == {
        members(scenario)[index].name for index in made
    }


def test_energy_of_a_group_is_a_mean_over_all_of_it(scenarios):
    """Of 30 phones 5 take part: the mean battery is a sixth of theirs."""
    one_group = ["devices=[{name: low, profile: phone-low, count: 30, access: lte}]", "training.rounds=2"]
    one_group += ["network.access.lte.radio=lte", "training.participants=5", "energy=required"]
    summary = world.run(load(scenarios / "100_phones.yaml", one_group), timing_only=True).summary
    battery, joules = summary["battery_percent"]["low"], summary["energy_j"]["by_group"]["low"]["total"]
    assert battery["most"] > battery["mean"]
    assert joules == summary["energy_j"]["devices"]["total"]
    full = world.run(load(scenarios / "100_phones.yaml", [*one_group, "training.participants=30"]), timing_only=True)
    assert full.summary["battery_percent"]["low"]["mean"] > 4 * battery["mean"]


def test_more_than_can_be_simulated_at_once_is_refused_with_the_way_out(scenarios):
    with pytest.raises(ValueError, match=r"at most 100,000 can take part in a round, got .* training\.participants"):
        world.check_feasible(load(scenarios / "100_phones.yaml", ["devices.0.count=200000"]))
    world.check_feasible(load(scenarios / "100_phones.yaml", ["devices.0.count=200000", "training.participants=100"]))


def test_a_population_is_not_trained_on_a_file(scenarios, tmp_path):
    crowd = ["devices.0.count=1000000", "training.participants=100", "data.source=e2e", f"data.path={tmp_path}"]
    with pytest.raises(ValueError, match=r"data\.source e2e: at most 2,000,000 examples .* --timing-only"):
        world.run(load(scenarios / "100_phones.yaml", crowd))


def test_of_a_population_only_so_many_are_asked_and_who_is_there_takes_part(monkeypatch):
    monkeypatch.setattr(presence, "MOST_ASKED", 100)
    asked = set()

    def availability(index):
        asked.add(index)
        return Recorded([(0.0 if index % 4 == 0 else 600.0, 1000.0)])  # a quarter is there from the beginning

    crowd = Presence(1000, Habits(availability), seed=1, participants=50)
    chosen = crowd.pick(1, 500.0, (), 0)
    assert len(asked) == 100  # fewer than 50 of them are there
    assert chosen == sorted(index for index in asked if index % 4 == 0)
    assert 10 < len(chosen) < 40
    assert crowd.next_s(2, 500.0) == 500.0


@pytest.mark.slow
def test_a_million_phones_are_built_in_seconds_and_in_half_a_gigabyte():
    """The budget is 3 s and 500 MB; a machine that is busy with other things may take longer."""
    command = [sys.executable, str(ROOT / "tests" / "bench" / "population.py"), "--rounds", "1"]
    figures = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert figures["build_bytes"] <= 500e6
    assert figures["build_s"] <= 10
    assert figures["participants"] == 1000


@pytest.mark.slow
def test_a_few_of_very_many_phones_learn(scenarios):
    crowd = ["devices.0.count=40000", "training.participants=4", "training.rounds=6", "data.validation_samples=16"]
    outcome = world.run(load(scenarios / "100_phones.yaml", crowd))
    assert outcome.summary["loss"] < outcome.record.rounds[0].loss - 0.5
