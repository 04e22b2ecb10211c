"""Devices that cannot hold their part: refused, dropped, or given fewer blocks; and always told."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cli
from devices.memory import DoesNotFit
from simulator import session, world
from simulator.fitting import placements, workload
from simulator.fleet import members
from simulator.scenario import load
from simulator.views.plain import PlainView

# GPT-2 small, 11 blocks at 8 x 512 positions in float32: 157 MB of embeddings, 312 of blocks, 11 x 604 of activations.
# A Redmi Note 8 may hold 1.6 GiB, a MacBook 5.3 GiB, a board with 64 GB all of it.
TOO_BIG = [
    "model.name=gpt2",
    "training.batch=8",
    "training.tokens=512",
    "model.split=11",
    "devices.0.split=11",
    "devices.2.split=11",
]
BOARD = "devices.2.profile=jetson-agx-orin"


def scenario(scenarios, *overrides):
    return load(scenarios / "four_phones.yaml", [*TOO_BIG, BOARD, *overrides])


def test_a_device_that_lacks_memory_is_refused_unless_the_scenario_says_otherwise(scenarios):
    with pytest.raises(DoesNotFit) as refusal:
        world.check_feasible(scenario(scenarios))
    lines = str(refusal.value).splitlines()
    assert [line.split(" ")[0] for line in lines] == ["low", "mid", "ways"]


def test_dropped_devices_take_no_part_and_are_told(scenarios):
    outcome = world.run(scenario(scenarios, "on_oom=drop"), timing_only=True)
    assert {row.actor for row in outcome.record.computes} == {"high-1", "high-2", "server", "aggregator"}
    assert outcome.summary["devices"] == 2
    assert outcome.summary["tokens"] == 2 * 2 * 8 * 512
    assert [row.participants for row in outcome.record.rounds] == [2, 2, 2]
    assert [row.dropped for row in outcome.record.rounds] == [2, 0, 0]
    told = [(entry["group"], entry["devices"], entry["outcome"]) for entry in outcome.summary["out_of_memory"]]
    assert told == [("low", 1, "dropped"), ("mid", 1, "dropped")]


def test_dropping_a_group_leaves_everybody_elses_speed_rates_and_cell_as_they_were(scenarios):
    everybody = {member.name: member for member in members(scenario(scenarios, "training.tokens=16"))}
    left = members(scenario(scenarios, "on_oom=drop"))
    assert [member.index for member in left] == [0, 1]
    for member in left:
        before = everybody[member.name]
        assert (member.speed, member.cell) == (before.speed, before.cell)
        assert (member.access.up, member.access.down) == (before.access.up, before.access.down)


def test_a_shallower_split_is_the_deepest_that_fits(scenarios):
    shallower = scenario(scenarios, "on_oom=shallower")
    for place in placements(shallower):
        if place.as_asked:
            assert place.need_bytes <= place.usable_bytes
            continue
        need = [
            sum(workload(shallower, split=split, rank=place.group.rank).client_memory.values())
            for split in (place.split, place.split + 1)
        ]
        assert need[0] <= place.usable_bytes < need[1]
    outcome = world.run(shallower, timing_only=True)
    told = {entry["group"]: (entry["split_asked"], entry["split"]) for entry in outcome.summary["out_of_memory"]}
    assert told.keys() == {"low", "mid"}
    assert all(0 < split < asked == 11 for asked, split in told.values())
    assert outcome.summary["devices"] == 4


def test_devices_that_cannot_even_hold_the_embeddings_are_dropped(scenarios):
    """Of GPT-2 XL those are 328 MB, two messages of 500 sequences 410 MB, the runtime 300; a Pi 3B+ has 752 MB."""
    overrides = ["model.name=gpt2-xl", "model.timed_as=gpt2-xl", "training.batch=500", "training.tokens=64"]
    overrides += ["devices.0.profile=raspberry-pi-3b-plus", BOARD, "on_oom=shallower"]
    first, *_ = placements(load(scenarios / "four_phones.yaml", overrides))
    assert (first.split, first.outcome) == (None, "dropped")


def test_a_fleet_of_which_nobody_fits_is_refused_whatever_the_scenario_says(scenarios):
    overrides = [
        "model.name=gpt2",
        "training.batch=500",
        "training.tokens=1024",
        "on_oom=drop",
        "devices.2.split=5",
    ]
    with pytest.raises(DoesNotFit, match="low"):
        world.check_feasible(load(scenarios / "four_phones.yaml", overrides))


def test_real_training_goes_on_without_the_dropped_and_with_the_shallower(scenarios):
    small = ["training.rounds=1", "training.batch=1", "training.tokens=64", "devices.0.profile=raspberry-pi-3b-plus"]
    tight = [*small, "model.name=mini", "model.timed_as=gpt2", "devices.0.split=12", "training.batch=8"]
    for way_out, devices in (("drop", 3), ("shallower", 4)):
        outcome = world.run(load(scenarios / "four_phones.yaml", [*tight, f"on_oom={way_out}"]))
        assert outcome.summary["devices"] == devices
        assert outcome.summary["perplexity"] is not None
        (entry,) = outcome.summary["out_of_memory"]
        assert entry["group"] == "low"


def test_the_views_say_who_was_dropped_and_why(scenarios, capsys):
    told = session.describe(scenario(scenarios, "on_oom=drop"), timing_only=True)
    out = io.StringIO()
    with PlainView(told, out):
        pass
    assert "out of memory: 1 low (phone-low): dropped, " in out.getvalue()
    assert "2 devices" in out.getvalue()


def test_the_summary_at_the_end_says_it_too(scenarios, capsys, tmp_path):
    sets = [part for override in [*TOO_BIG, BOARD, "on_oom=shallower"] for part in ("--set", override)]
    path = str(scenarios / "four_phones.yaml")
    assert cli.main(["run", path, *sets, "--timing-only", "--out", str(tmp_path / "run")]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "1 low (phone-low): split" in printed
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [entry["outcome"] for entry in summary["out_of_memory"]] == ["shallower", "shallower"]


def test_an_unknown_way_out_is_refused_with_what_is_allowed(scenarios):
    with pytest.raises(ValueError, match=r"on_oom: .*'dorp'.*did you mean 'drop'"):
        load(scenarios / "four_phones.yaml", ["on_oom=dorp"])


@settings(max_examples=20)
@given(batch=st.integers(1, 16), tokens=st.integers(2, 512), checkpointing=st.sampled_from(["on", "off"]))
def test_whoever_takes_part_has_the_memory_for_it(scenarios_once, batch, tokens, checkpointing):
    overrides = [
        "model.name=gpt2",
        f"training.batch={batch}",
        f"training.tokens={tokens}",
        f"memory.checkpointing={checkpointing}",
    ]
    asked = load(scenarios_once, [*overrides, BOARD, "devices.1.split=12", "on_oom=shallower"])
    for place in placements(asked):
        if place.split is not None:
            need = workload(asked, split=place.split, rank=place.group.rank).client_memory
            assert sum(need.values()) <= place.usable_bytes


@pytest.fixture(scope="session")
def scenarios_once():
    from pathlib import Path

    return Path(__file__).parents[1] / "scenarios" / "four_phones.yaml"
