"""What a scenario may not say about devices that come and go, each refused with its place and a way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.scenario import ScenarioError, dump, load, loads

FOUR = Path(__file__).parents[2] / "scenarios" / "four_phones.yaml"
CHARGING = "charging: {start: 22 h, end: 6 h}"


def refusal(given: str, *overrides: str, name: str = "night") -> str:
    with pytest.raises(ScenarioError) as error:
        load(FOUR, [f"availability={{night: {{{given}}}}}", f"devices.0.availability={name}", *overrides])
    return str(error.value)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("charging: {start: 22 h, end: 22 h}", "night.charging: start and end must differ"),
        ("charging: {start: 25 h, end: 6 h}", "charging.start: must be a time of day, less than '24 h', got '25 h'"),
        ("charging: {start: 22, end: 6 h}", "night.charging.start: 22 needs a unit, e.g. '22 s'"),
        ("charging: {start: 22 h}", "night.charging.end: missing: time of day at which it is unplugged"),
        ("chargin: {start: 22 h, end: 6 h}", "unknown key 'chargin'; did you mean 'charging'?"),
        ("sessions: {on: 0 s, off: 1 h}", "night.sessions.on: must be > 0, got '0 s'"),
        ("only_while_charging: yes", "unknown switch 'yes' (allowed: on, off)"),
        ("min_battery: 120 %", "night.min_battery: must be in 0..1 (0 % to 100 %), got '120 %'"),
        ("dropouts_per_hour: -1", "night.dropouts_per_hour: must be >= 0, got -1"),
        ("repeat: 1 h", "night: repeat is read only with a trace"),
        ("trace: nowhere.csv", "night.trace: 'nowhere.csv' does not exist"),
    ],
)
def test_what_cannot_be_is_refused(given, says):
    assert says in refusal(given)


def test_a_class_that_is_not_there_is_refused_with_a_guess():
    says = "devices[0].availability: unknown class of availability 'nite'; did you mean 'night'? (allowed: night)"
    assert says in refusal(CHARGING, name="nite")


def test_an_override_for_a_class_that_nobody_has_is_refused():
    with pytest.raises(ScenarioError, match=r"availability\.night: unknown class of availability 'night'"):
        load(FOUR, ["availability.night.dropouts_per_hour=1"])


def test_a_trace_that_is_wrong_is_refused_with_file_line_and_reason(tmp_path):
    path = tmp_path / "phones.csv"
    path.write_text("device,from_s,to_s\na,0,5\na,3,9\n")
    assert f"{path}:3: spans of a device must be in order and not overlap" in refusal(f"trace: {path}")


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("training.timeout=0 s", "training.timeout: must be > 0, got '0 s'"),
        ("training.participants=0", "training.participants: must be >= 1, got 0"),
        ("training.participants=5", "training.participants: must be at most the number of devices, 4, got 5"),
        ("starts_at=24 h", "starts_at: must be a time of day, less than '24 h', got '1 d'"),
    ],
)
def test_settings_of_rounds_that_cannot_be_are_refused(override, says):
    assert says in refusal(CHARGING, override)


def test_what_is_written_out_is_what_was_read():
    given = f"{CHARGING}, min_battery: 20 %, battery_spread: 12.5 %, sessions: {{on: 90 min, off: 1 s}}"
    scenario = load(FOUR, [f"availability={{night: {{{given}}}}}", "devices.0.availability=night", "starts_at=20.5 h"])
    assert loads(dump(scenario)) == scenario
