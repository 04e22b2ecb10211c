"""What would help: each effect is that of really running the scenario with its settings, and of sums on paper."""

from __future__ import annotations

import io
import json
import math
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console

import cli
from simulator import session, world
from simulator.scenario import load
from simulator.views import sensitivity as view
from simulator.whatif.knobs import knobs
from simulator.whatif.sensitivity import MATTERS, sensitivity

SCENARIOS = Path(__file__).parents[2] / "scenarios"
FOUR, TWO = SCENARIOS / "four_phones.yaml", SCENARIOS / "two_devices.yaml"


def measured(path, *overrides, **options):
    found = sensitivity(path, overrides, lambda _: None, **options)
    return found, {each.what: each for each in found.effects}


@pytest.fixture(scope="module")
def two():
    return measured(TWO)


def end_s(path, *overrides, timing_only=True):
    return world.run(load(path, overrides), timing_only=timing_only).summary["virtual_s"]


def test_what_helps_two_devices_agrees_with_paper(two):
    """far alone decides: it sends two batches and its adapters over 1 Mbit/s, each message has 0.1 s of latency."""
    found, effects = two
    record = world.run(load(TWO), timing_only=True).record
    sent = [row for row in record.messages if row.sender == "far"]
    got = [row for row in record.messages if row.receiver == "far"]
    up_s = sum(8 * row.size_bytes for row in sent) / 1e6
    down_s = sum(8 * row.size_bytes for row in got) / 4e6
    whole_s = found.virtual_s
    assert effects["doubling the uplink of slow"].saves == pytest.approx(up_s / 2 / whole_s, rel=1e-9)
    assert effects["doubling the downlink of slow"].saves == pytest.approx(down_s / 2 / whole_s, rel=1e-9)
    latency = effects["halving the latency of all access links"]
    assert latency.saves == pytest.approx((len(sent) + len(got)) * 0.05 / whole_s, rel=1e-9)
    assert latency.elasticity == pytest.approx((len(sent) + len(got)) * 0.1 / whole_s, rel=1e-3)
    assert effects["doubling the uplink of slow"].elasticity == pytest.approx(-up_s / whole_s, rel=3e-3)
    assert effects["doubling the uplink of fast"].saves == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("algorithm", ["splitlora", "fedlora", "centralized"])
@pytest.mark.parametrize("path", [TWO, FOUR], ids=lambda path: path.stem)
def test_every_effect_is_that_of_running_the_scenario_with_its_settings(path, algorithm):
    found, effects = measured(path, f"algorithm={algorithm}")
    assert found.virtual_s == end_s(path, f"algorithm={algorithm}")
    for each in effects.values():
        assert each.virtual_s == end_s(path, f"algorithm={algorithm}", *each.settings)
        assert each.saves == pytest.approx(1 - each.virtual_s / found.virtual_s)
    shares = [each.saves for each in found.effects]
    assert shares == sorted(shares, reverse=True)


def test_it_agrees_with_real_training_too(two):
    assert two[1]["doubling the uplink of slow"].virtual_s == end_s(
        TWO, "network.access.slow.up=2 Mbit/s", timing_only=False
    )


def test_only_the_first_rounds_are_timed_in_whole_intervals():
    overrides = ["training.rounds=40", "training.aggregate_every=4"]
    found, _ = measured(TWO, *overrides)
    assert found.rounds == 4
    assert found.virtual_s == end_s(TWO, "training.rounds=4", "training.aggregate_every=4")
    assert measured(TWO, "training.rounds=40", "training.aggregate_every=3")[0].rounds == 6
    assert measured(TWO, "training.rounds=5", "training.aggregate_every=9")[0].rounds == 5
    assert measured(TWO, *overrides, rounds=3)[0].rounds == 3


def test_a_split_that_is_not_possible_says_why():
    _, effects = measured(TWO, "model.split=12")
    refused = effects["one block more on the devices"]
    assert refused.saves is None
    assert "must be in 0..12" in refused.reason
    assert effects["one block fewer on the devices"].saves is not None


def test_links_of_a_class_are_changed_by_their_factors():
    access = "network.access.wifi={class: 5g-low-band}"
    _, effects = measured(FOUR, access)
    assert effects["doubling the uplink of wifi"].settings == ["network.access.wifi.up_factor=2"]
    assert effects["doubling the uplink of lte"].settings == ["network.access.lte.up=40 Mbit/s"]


def test_what_no_faster_link_mends_is_said(tmp_path, capsys):
    """The commuters wait in tunnels: what is said to be an outage is that of the rounds that were timed."""
    overrides = ["training.rounds=2", "training.aggregate_every=2"]
    summary = session.run(SCENARIOS / "commuters.yaml", overrides, out=tmp_path / "run", timing_only=True)
    share = summary["blame"]["outage"] / summary["virtual_s"]
    assert summary["sensitivity"]["outage"] == pytest.approx(share, rel=1e-9)
    assert share > 0.5
    text = " ".join(capsys.readouterr().out.split())
    assert f"{100 * share:.1f} % of that time are outages: no faster link mends these" in text


def test_what_is_said_to_help_against_outages_does_with_the_settings_that_are_named():
    """Half of the 60 commuters, and half as many more drawn: the settings are accepted, and save most of the time."""
    hint = io.StringIO()
    view.show({"rounds": 1, "virtual_s": 1.0, "effects": [], "outage": 0.5}, Console(file=hint, width=200))
    named = re.findall(r"training\.\w+", hint.getvalue())
    assert named == ["training.participants", "training.over_selection"]
    assert "training.participants to half of them, and training.over_selection=50%" in hint.getvalue()
    path, rounds = SCENARIOS / "commuters.yaml", "training.rounds=2"
    settings = ("training.participants=30", "training.over_selection=50%")
    assert end_s(path, rounds, *settings) < end_s(path, rounds) / 2


def test_where_links_always_carry_something_no_outage_is_mentioned(two):
    assert two[0].outage == 0.0
    out = io.StringIO()
    view.show(two[0].as_json(), Console(file=out, width=80))
    assert "outage" not in out.getvalue()


OFFLINE = [path for path in sorted(SCENARIOS.glob("*.yaml")) if path.stem != "gpt2_e2e"]  # which needs a data set


@pytest.mark.parametrize("path", OFFLINE, ids=lambda path: path.stem)
def test_every_knob_of_the_shipped_scenarios_can_be_turned(path):
    scenario = load(path)
    every = knobs(scenario)
    assert {"uplink", "downlink", "latency", "server link", "devices", "server", "split"} <= {one.kind for one in every}
    for knob in every:
        assert load(path, knob.settings(knob.better)) != scenario
        if knob.steady:
            assert load(path, knob.settings(1.05)) != scenario


def run(tmp_path, path=FOUR, **options):
    return session.run(path, [], out=tmp_path / "run", timing_only=True, **options)


def test_a_run_ends_with_what_would_help_most(tmp_path, capsys):
    summary = run(tmp_path)
    text = capsys.readouterr().out
    found = summary["sensitivity"]
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["sensitivity"] == found
    best = found["effects"][0]
    assert "what would help most   one at a time, over the first 2 rounds" in text
    assert f"{best['what']}  saves {100 * best['saves']:.1f} %" in " ".join(text.split(" "))
    assert all(each["elasticity"] is None for each in found["effects"])
    assert found["not_tried"] > 0


def test_what_is_not_tried_would_have_saved_next_to_nothing(tmp_path, capsys):
    """As long as nobody is in the way of others: here every link but the devices' own is wide."""
    hints = run(tmp_path, TWO)["sensitivity"]
    tried = {each["what"] for each in hints["effects"]}
    _, effects = measured(TWO)
    assert len(tried) + hints["not_tried"] == len(effects)
    for what, each in effects.items():
        assert what in tried or each.saves < MATTERS, what


@pytest.mark.parametrize("options", [{"quiet": True}, {"hints": False}])
def test_a_run_that_is_quiet_or_told_so_gives_no_hints(tmp_path, capsys, options):
    assert "sensitivity" not in run(tmp_path, **options)
    assert "what would help" not in capsys.readouterr().out


def test_a_run_whose_first_average_comes_after_too_many_messages_gives_no_hints(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("simulator.whatif.sensitivity.QUICK", 100)
    assert "sensitivity" not in run(tmp_path)


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_the_terminal(two, width):
    out = io.StringIO()
    view.show(two[0].as_json(), Console(file=out, width=width))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert "doubling the uplink of slow saves 23.2 % of the time" in text
    assert ("network.access.slow.up=2 Mbit/s" in text) == (width == 120)


def test_a_long_change_goes_on_below_itself_and_leaves_numbers_and_headings_whole():
    change = "doubling the capacity of the aggregator's link and of everything behind it"
    found = {"what": change, "settings": ["a=1"], "virtual_s": 99.0, "saves": 0.1, "elasticity": -0.25, "reason": None}
    out = io.StringIO()
    view.show({"rounds": 2, "virtual_s": 110.0, "effects": [found]}, Console(file=out, width=80))
    lines = out.getvalue().splitlines()
    assert any(line.split() == ["change", "saves", "time", "1", "%", "more"] for line in lines)
    first, rest = next((line, below) for line, below in pairwise(lines) if "1 min 39 s" in line)
    assert first.split()[-8:] == ["10.0", "%", "1", "min", "39", "s", "\N{MINUS SIGN}0.25", "%"]
    assert change.endswith(rest.strip())
    assert len(rest.split()) > 1


def test_sensitivity_prints_one_json_object(two, capsys):
    assert cli.main(["sensitivity", str(TWO), "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    found = json.loads(captured.out)
    assert found == json.loads(json.dumps(two[0].as_json()))
    assert found["rounds"] == 2
    assert math.isclose(found["virtual_s"], end_s(TWO))


def test_a_pipe_is_told_what_is_timed(capsys):
    assert cli.main(["sensitivity", str(TWO), "--rounds", "1"]) == 0
    assert re.match(r"timing as it is  real \d\.\d s\n", capsys.readouterr().out)


def test_sensitivities_are_had_without_torch(without_torch):
    command = [sys.executable, "cli.py", "sensitivity", str(TWO), "--rounds", "1", "--json"]
    done = subprocess.run(command, cwd=TWO.parents[1], env=without_torch, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["rounds"] == 1


def test_bad_input_is_refused_in_one_sentence(capsys):
    assert cli.main(["sensitivity", str(TWO), "--rounds", "3"]) == 2
    assert "--rounds must be in 1..2 for this scenario, got 3" in capsys.readouterr().err
    assert cli.main(["sensitivity", str(TWO), "--set", "model.splt=3"]) == 2
    assert "did you mean 'split'" in capsys.readouterr().err
