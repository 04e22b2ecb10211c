"""Joules of whole runs: against sums on paper, against their own rows, and never zero where a figure is unknown."""

from __future__ import annotations

import csv
import json
import math

import pytest

import cli
from simulator import world
from simulator.scenario import load

CABLE = ["network.access.fast.radio=ethernet", "network.access.slow.radio=ethernet"]
PHONES = ["network.access.lte.radio=lte", "network.access.wifi.radio=home-wifi"]


def run(path, *overrides):
    return world.run(load(path, overrides), timing_only=True)


def known(*values: float) -> bool:
    return all(math.isfinite(value) for value in values)


def test_boards_on_a_cable_use_their_measured_power_while_they_compute_and_while_they_wait(scenarios):
    """Pi 5: 12.7 W under load, 2.8 W idle; Pi 4: 7.2 and 1.6 W; nothing for the cable."""
    outcome = run(scenarios / "two_devices.yaml", *CABLE)
    whole_s = outcome.record.rounds[-1].end_s
    busy_s = {
        name: sum(row.end_s - row.start_s for row in outcome.record.computes if row.actor == name)
        for name in ("near", "far")
    }
    expected = {
        "near": 12.7 * busy_s["near"] + 2.8 * (whole_s - busy_s["near"]),
        "far": 7.2 * busy_s["far"] + 1.6 * (whole_s - busy_s["far"]),
    }
    energy = outcome.summary["energy_j"]
    assert {name: parts["total"] for name, parts in energy["by_group"].items()} == pytest.approx(expected, rel=1e-9)
    assert energy["devices"]["radio"] == 0.0
    assert energy["devices"]["total"] == pytest.approx(sum(expected.values()), rel=1e-9)
    # the server is a Pi 5 as well
    served_s = sum(row.end_s - row.start_s for row in outcome.record.computes if row.actor == "server")
    assert energy["server"]["total"] == pytest.approx(12.7 * served_s + 2.8 * (whole_s - served_s), rel=1e-9)


def test_a_radio_is_awake_from_the_first_byte_to_the_end_of_the_tail_and_pays_for_every_byte(scenarios):
    """The tail of LTE, 10 s, outlasts every pause of this run of 1.3 s: one span from the first upload to the end."""
    outcome = run(scenarios / "two_devices.yaml", *CABLE, "network.access.slow.radio=lte")
    mine = [row for row in outcome.record.messages if "far" in {row.sender, row.receiver}]
    awake_s = max(row.delivered_s for row in mine) + 10.0 - min(row.queued_s for row in mine)
    up_bytes = sum(row.size_bytes for row in mine if row.direction == "up")
    down_bytes = sum(row.size_bytes for row in mine if row.direction == "down")
    radio_j = 1.13 * awake_s + 0.6134 * up_bytes / 1e6 + 0.0923 * down_bytes / 1e6
    assert outcome.summary["energy_j"]["by_group"]["far"]["radio"] == pytest.approx(radio_j, rel=1e-9)


def test_a_message_that_was_given_up_costs_the_time_of_its_radio_and_no_bytes(scenarios, tmp_path):
    """far leaves at 150 ms, in the middle of its first upload: 1.13 W until then and for the tail of 10 s."""
    (tmp_path / "far.csv").write_text("device,from_s,to_s\nfar,0,0.15\nfar,1e6,2e6\n")
    gone = [f"availability={{x: {{trace: {tmp_path / 'far.csv'}}}}}", "devices.1.availability=x"]
    outcome = run(scenarios / "two_devices.yaml", *CABLE, "network.access.slow.radio=lte", *gone)
    (cut,) = [row for row in outcome.record.messages if "far" in {row.sender, row.receiver}]
    assert (cut.outcome, cut.sent_s) == ("cancelled", 0.15)
    assert cut.energy_j == pytest.approx(1.13 * (0.15 - cut.queued_s + 10.0), rel=1e-12)


def test_the_parts_are_those_of_the_rows_and_the_rounds_sum_to_the_whole(scenarios):
    outcome = run(scenarios / "four_phones.yaml", *PHONES)
    record, total = outcome.record, outcome.summary["energy_j"]["devices"]
    devices = [row for row in record.computes if row.actor not in {"server", "aggregator"}]
    assert math.fsum(row.energy_j for row in devices) == pytest.approx(total["compute"], rel=1e-12)
    assert math.fsum(row.energy_j for row in record.messages) == pytest.approx(total["radio"], rel=1e-12)
    assert math.fsum(row.energy_j for row in record.rounds) == pytest.approx(total["total"], rel=1e-12)
    assert all(row.energy_j > 0 for row in [*devices, *record.messages, *record.rounds[1:]])
    parts = [total[part] for part in ("compute", "radio", "idle")]
    assert known(*parts)
    assert math.fsum(parts) == pytest.approx(total["total"], rel=1e-12)


def test_joules_change_neither_times_nor_the_trace(scenarios):
    without, metered = run(scenarios / "four_phones.yaml"), run(scenarios / "four_phones.yaml", *PHONES)
    assert without.summary["trace_hash"] == metered.summary["trace_hash"]
    assert without.summary["energy_j"]["devices"]["total"] is None


def test_a_figure_that_nobody_knows_is_null_with_its_name_and_never_zero(scenarios):
    """No source gives the power of a MacBook Air, and the class of its link is not said."""
    outcome = run(scenarios / "four_phones.yaml", "devices.2.profile=macbook-air-m1", "network.access.lte.radio=lte")
    energy = outcome.summary["energy_j"]
    assert energy["by_group"]["high"] == dict.fromkeys(("compute", "radio", "idle", "total"))
    assert energy["devices"]["total"] is None
    assert energy["by_group"]["low"]["total"] > 0
    assert outcome.summary["battery_percent"]["high"] is None
    power, radio = outcome.summary["energy_unknown"]["high"]
    assert power == "training_power_w, resting_power_w of macbook-air-m1"
    said, cure = radio.split("; ")
    assert said == "the radio: network.access.wifi names no link class"
    assert cure == "set its radio to the link class that it is (list: splitwire links)"
    cured = run(scenarios / "four_phones.yaml", "network.access.wifi.radio=home-wifi", "network.access.lte.radio=lte")
    assert not cured.summary["energy_unknown"]
    assert set(outcome.summary["energy_unknown"]) == {"high"}
    assert all(math.isnan(row.energy_j) for row in outcome.record.rounds[1:])


def test_a_scenario_that_requires_its_energy_is_refused_with_every_figure_that_is_missing(scenarios):
    overrides = ["energy=required", "devices.2.profile=macbook-air-m1", "network.access.lte.radio=3g-hsdpa"]
    with pytest.raises(ValueError, match="energy: required") as refusal:
        run(scenarios / "four_phones.yaml", *overrides)
    text = str(refusal.value)
    assert "unknown for high: training_power_w, resting_power_w of macbook-air-m1; the radio: " in text
    assert "unknown for low, mid: radio_on_w" in text
    assert "of link class 3g-hsdpa" in text
    run(scenarios / "four_phones.yaml", "energy=required", *PHONES)


def test_groups_that_lack_the_same_are_refused_in_one_line(scenarios):
    with pytest.raises(ValueError, match="energy: required") as refusal:
        run(scenarios / "four_phones.yaml", "energy=required", "network.access.wifi.radio=home-wifi")
    assert "unknown for low, mid: the radio: network.access.lte names no link class; set" in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


def test_an_unknown_radio_is_refused_with_a_guess(scenarios):
    with pytest.raises(ValueError, match=r"network\.access\.lte\.radio: unknown link class 'lt'.*did you mean 'lte'"):
        load(scenarios / "four_phones.yaml", ["network.access.lte.radio=lt"])


def test_batteries_are_told_in_per_cent_of_a_full_one(scenarios):
    outcome = run(scenarios / "four_phones.yaml", *PHONES)
    used = outcome.summary["energy_j"]["by_group"]["low"]["total"]
    battery = outcome.summary["battery_percent"]
    assert battery["low"]["mean"] == battery["low"]["most"] == pytest.approx(100 * used / (15.4 * 3600), rel=1e-9)
    assert battery["mid"] is None, "no source gives its battery"
    assert battery["high"]["most"] >= battery["high"]["mean"]
    assert battery["high"]["device"] in {"high-1", "high-2"}


def test_joules_are_in_the_files_and_in_the_summary_that_is_printed(scenarios, tmp_path, capsys):
    from pyarrow import parquet

    sets = [part for override in PHONES for part in ("--set", override)]
    out = tmp_path / "run"
    assert cli.main(["run", str(scenarios / "four_phones.yaml"), *sets, "--timing-only", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "energy" in printed
    assert "battery" in printed
    for name in ("messages", "compute"):
        assert sum(parquet.read_table(out / f"{name}.parquet")["energy_j"].drop_null().to_pylist()) > 0
    header, *rows = (out / "rounds.csv").read_text().splitlines()
    column = header.split(",").index("energy_j")
    summary = json.loads((out / "summary.json").read_text())
    total = math.fsum(float(row.split(",")[column]) for row in rows)
    assert total == pytest.approx(summary["energy_j"]["devices"]["total"], rel=1e-12)
    with (out / "devices.csv").open(newline="") as file:
        devices = {row["device"]: row for row in csv.DictReader(file)}
    assert set(devices) == {"low", "mid", "high-1", "high-2"}
    assert math.fsum(float(row["energy_j"]) for row in devices.values()) == pytest.approx(total, rel=1e-12)
    assert float(devices["low"]["battery_percent"]) == pytest.approx(summary["battery_percent"]["low"]["most"])
    assert devices["mid"]["battery_percent"] == "", "no source gives its battery"
