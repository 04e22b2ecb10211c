"""The scenario that a plan writes: the text as it was, but for splits and ranks, and a run that keeps the promise."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

import cli
from simulator import world
from simulator.scenario import load, loads
from simulator.whatif.plan import Wanted, plan
from simulator.whatif.plan_space import Cut
from simulator.whatif.plan_write import rewritten, write

ROOT = Path(__file__).parents[2]
FOUR = ROOT / "scenarios" / "four_phones.yaml"
HEAD = "network: {access: {a: {up: 1 Mbit/s, down: 1 Mbit/s, latency: 1 ms}}}\n"


def planned(path: Path, out: Path | None, *overrides: str, **wanted: object) -> dict:
    return plan(path, overrides, Wanted(optimise="round-time", out=out, **wanted), lambda _: None)["best"]


def test_the_written_scenario_keeps_its_promise_and_every_other_character(tmp_path):
    out = tmp_path / "best.yaml"
    best = planned(FOUR, out, splits="1,2,4")
    scenario = load(out)
    assert {group.name: group.split for group in scenario.groups} == best["splits"]
    assert {group.name: group.rank for group in scenario.groups} == best["ranks"] == {"low": 4, "mid": 8, "high": 8}
    run = world.run(scenario, timing_only=True)
    assert scenario.training.rounds == scenario.training.aggregate_every == 2
    assert run.summary["virtual_s"] / 2 == pytest.approx(best["round_s"], rel=1e-12)
    before, after = FOUR.read_text().splitlines(), out.read_text().splitlines()
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert changed
    assert all(old.lstrip().startswith("- {name:") for old, _ in changed)
    assert (best["scenario"], best["command"]) == (str(out), f"splitwire run {out}")


def test_the_command_without_a_file_runs_the_very_choice(tmp_path):
    best = planned(FOUR, None, "network.access.lte.up=10 Mbit/s", splits="1,2,4")
    words = shlex.split(best["command"])
    assert words[:3] == ["splitwire", "run", str(FOUR)]
    sets = [value for option, value in zip(words[3::2], words[4::2], strict=True) if option == "--set"]
    assert "network.access.lte.up=10 Mbit/s" in sets
    run = world.run(load(FOUR, sets), timing_only=True)
    assert run.summary["virtual_s"] / 2 == pytest.approx(best["round_s"], rel=1e-12)


def test_the_command_has_the_overrides_that_the_file_lacks(tmp_path):
    out = tmp_path / "best.yaml"
    overrides = ["network.access.lte.up=10 Mbit/s", "devices.0.split=6", "devices[1].rank=2"]
    best = planned(FOUR, out, *overrides, splits="1,2")
    words = shlex.split(best["command"])
    assert words[2:] == [str(out), "--set", "network.access.lte.up=10 Mbit/s"]
    scenario = load(out, [words[-1]])
    assert {group.name: group.split for group in scenario.groups} == best["splits"]
    assert {group.name: group.rank for group in scenario.groups} == best["ranks"]


def test_one_rank_that_is_asked_for_is_every_class_s(tmp_path):
    out = tmp_path / "best.yaml"
    assert set(planned(FOUR, out, splits="1", ranks="2")["ranks"].values()) == {2}
    assert {group.rank for group in load(out).groups} == {2}


@pytest.mark.parametrize(
    ("devices", "after"),
    [
        ("- {profile: laptop, count: 1, access: a}", "- {profile: laptop, split: 5, count: 1, access: a}"),
        ("- {split: 2, profile: laptop, count: 1, access: a}", "- {split: 5, profile: laptop, count: 1, access: a}"),
        ("- {split: , profile: laptop, count: 1, access: a}", "- {split: 5 , profile: laptop, count: 1, access: a}"),
        ("- {split: null, profile: laptop, count: 1, access: a}", "- {split: 5, profile: laptop, count: 1, access: a}"),
        ("- profile: laptop # mine\n  # one\n  count: 1\n  access: a",
         "- split: 5\n  profile: laptop # mine\n  # one\n  count: 1\n  access: a"),
        ("- profile: laptop\n  split: 2 # as ever\n  count: 1\n  access: a",
         "- profile: laptop\n  split: 5 # as ever\n  count: 1\n  access: a"),
        ("- profile: laptop\n  split:\n  count: 1\n  access: a",
         "- profile: laptop\n  split: 5\n  count: 1\n  access: a"),
        ("- profile: laptop\n  split: '2'\n  count: 1\n  access: a",
         "- profile: laptop\n  split: 5\n  count: 1\n  access: a"),
        ("-\n    profile: laptop\n    count: 1\n    access: a",
         "-\n    split: 5\n    profile: laptop\n    count: 1\n    access: a"),
    ],
)  # fmt: skip
def test_only_the_split_changes_however_a_group_is_written(devices, after):
    text = f"devices:\n{devices}\n{HEAD}"
    found = rewritten(text, {(0, "split"): 5})
    assert found == f"devices:\n{after}\n{HEAD}"
    assert loads(found).groups[0].split == 5


def test_line_ends_of_another_system_stay(tmp_path):
    path, out = tmp_path / "s.yaml", tmp_path / "best.yaml"
    text = f"devices:\n- profile: laptop\n  count: 1\n  access: a\n{HEAD}".replace("\n", "\r\n")
    path.write_bytes(text.encode())
    write(load(path), {"laptop": Cut(5, 4)}, [], out)
    after = text.replace("- profile", "- split: 5\r\n  rank: 4\r\n  profile")
    assert out.read_bytes() == after.encode()


def test_groups_that_are_not_written_out_are_refused(tmp_path):
    path, out = tmp_path / "s.yaml", tmp_path / "best.yaml"
    group = "&g {profile: laptop, count: 1, access: a}"
    path.write_text(f"devices:\n- {group}\n- *g\n{HEAD}")
    choice = {"laptop": Cut(5, 8), "laptop-2": Cut(6, 8)}
    with pytest.raises(ValueError, match=r"devices\[0\] is not written out in the scenario"):
        write(load(path), choice, [], out)
    path.write_text(f"devices:\n- {{profile: laptop, count: 1, access: a}}\n{HEAD}")
    whole = "devices=[{profile: laptop, count: 1, access: a}, {profile: laptop, count: 2, access: a}]"
    with pytest.raises(ValueError, match=r"devices\[1\] is not written out in the scenario"):
        write(load(path, [whole]), choice, [whole], out)
    assert not out.exists()


def test_groups_that_share_what_they_are_by_a_merge_key_are_told_apart(tmp_path):
    path, out = tmp_path / "s.yaml", tmp_path / "best.yaml"
    path.write_text(f"devices:\n- &g {{profile: laptop, split: 2, count: 1, access: a}}\n- {{<<: *g, name: b}}\n{HEAD}")
    write(load(path), {"laptop": Cut(5, 8), "b": Cut(6, 8)}, [], out)
    assert [group.split for group in load(out).groups] == [5, 6]


def test_a_scenario_with_relative_files_is_written_beside_them(tmp_path):
    lab = ROOT / "scenarios" / "mixed_lab.yaml"
    scenario = load(lab)
    choice = {group.name: Cut(group.split + 1, group.rank) for group in scenario.groups}
    with pytest.raises(ValueError, match=f"write beside it, into {lab.parent}"):
        write(scenario, choice, [], tmp_path / "best.yaml")
    (tmp_path / "mixed_lab_devices.csv").write_bytes((lab.parent / "mixed_lab_devices.csv").read_bytes())
    (tmp_path / "lab.yaml").write_text(lab.read_text())
    write(load(tmp_path / "lab.yaml"), choice, [], tmp_path / "best.yaml")
    assert [group.split for group in load(tmp_path / "best.yaml").groups] == [cut.split for cut in choice.values()]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("s.yaml", "is the scenario itself; name another file"),
        ("other.yaml", "is there already; name another file, or remove it"),
        ("nowhere/x.yaml", "there is no folder"),
    ],
)
def test_nothing_is_written_over(tmp_path, capsys, name, sentence):
    (tmp_path / "s.yaml").write_text(FOUR.read_text())
    (tmp_path / "other.yaml").write_text("mine")
    assert cli.main(["plan", str(tmp_path / "s.yaml"), "--optimise", "bytes", "--out", str(tmp_path / name)]) == 2
    assert sentence in capsys.readouterr().err
    assert (tmp_path / "other.yaml").read_text() == "mine"
    assert (tmp_path / "s.yaml").read_text() == FOUR.read_text()
