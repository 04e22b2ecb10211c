"""Gates: a phone takes part only while it is plugged in, and only with a battery that is full enough."""

from __future__ import annotations

import pytest

from simulator import world
from simulator.record import Record
from simulator.scenario import load

# One budget phone: 15.4 Wh, 0.2 W at rest, 3 W while it trains.
ALONE = ["devices=[{name: low, profile: redmi-note-8, count: 1, access: wifi, availability: night}]"]
ALONE += ["network.access.wifi={class: home-wifi}", "network.cells={}", "training.rounds=3"]
NIGHT = "charging: {start: 22 h, end: 6 h, power: 10 W}"


def run(scenarios, given, *overrides) -> Record:
    settings = [*ALONE, f"availability={{night: {{{given}}}}}", *overrides]
    return world.run(load(scenarios / "four_phones.yaml", settings), timing_only=True).record


def test_a_phone_below_the_gate_charges_first(scenarios):
    """From 19 to 20 % of 15.4 Wh at 10 W less 0.2 W at rest: 554.4 J, 56.57 s."""
    record = run(scenarios, f"{NIGHT}, min_battery: 20 %, battery: 19 %")
    assert record.waits[0].end_s == pytest.approx(0.01 * 15.4 * 3600 / 9.8, abs=0.01)
    assert [row.participants for row in record.rounds[1:]] == [1, 1, 1]


def test_a_phone_at_the_gate_need_not_wait(scenarios):
    assert not run(scenarios, f"{NIGHT}, min_battery: 20 %, battery: 20 %").waits


def test_only_while_charging_a_phone_waits_for_the_evening(scenarios):
    noon = ["starts_at=12 h"]
    assert [row.end_s for row in run(scenarios, NIGHT, *noon).waits] == [36_000.0]
    assert not run(scenarios, f"{NIGHT}, only_while_charging: off", *noon).waits


def test_unplugged_it_goes_on_until_the_battery_is_at_the_gate_and_then_waits_for_the_charger(scenarios):
    """20.02 % of 15.4 Wh are 11 J above the gate, which a few rounds draw; at 22 o'clock the charger is back."""
    given = f"{NIGHT}, only_while_charging: off, min_battery: 20 %, battery: 20.02 %"
    record = run(scenarios, given, "starts_at=12 h", "training.rounds=40", "training.aggregate_every=1")
    assert len(record.waits) == 1
    wait = record.waits[0]
    assert 1 < wait.round < 40
    drawn_j = sum(row.energy_j for row in record.rounds[: wait.round])
    assert drawn_j >= 0.0002 * 15.4 * 3600
    assert drawn_j - record.rounds[wait.round - 1].energy_j < 0.0002 * 15.4 * 3600
    # then it rests until 22 o'clock and charges what it has lost by then
    assert wait.end_s == pytest.approx(36_000 + (0.2 * (36_000 - wait.start_s) + drawn_j - 11.088) / 9.8, abs=1.0)
    assert sum(row.participants for row in record.rounds[1:]) == 40


def test_a_gate_that_lets_everybody_through_changes_nothing(scenarios):
    without = run(scenarios, "only_while_charging: off")
    assert run(scenarios, "only_while_charging: off, min_battery: 1 %").trace_hash == without.trace_hash


def test_a_gate_for_a_battery_that_nobody_knows_is_refused_by_name(scenarios):
    given = ["availability={a: {min_battery: 20 %}}", "devices.1.availability=a"]
    with pytest.raises(ValueError, match=r"availability\.a\.min_battery: unknown for mid: battery_wh of phone-mid"):
        world.check_feasible(load(scenarios / "four_phones.yaml", given))


def test_what_is_refused_after_loading_is_told_with_its_line(scenarios, tmp_path):
    text, file = (scenarios / "four_phones.yaml").read_text(), tmp_path / "mine.yaml"
    lines = text.splitlines().index("devices:")
    text = text.replace("devices:\n", "energy: required\navailability:\n  a:\n    min_battery: 20 %\ndevices:\n")
    file.write_text(text)
    with pytest.raises(ValueError, match=rf"mine\.yaml:{lines + 1}: energy: required, but unknown for low, mid: "):
        world.check_feasible(load(file))
    with pytest.raises(ValueError, match=rf"mine\.yaml:{lines + 4}: availability\.a\.min_battery: unknown for mid"):
        world.check_feasible(load(file, ["energy=auto", "devices.1.availability=a"]))
