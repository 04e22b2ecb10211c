"""Studies as a user meets them: axes, cells, refusals, kills, and the table that is left."""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

import cli
from simulator import world
from simulator.scenario import Scenario, Template, load
from simulator.views.study import Shown, show
from simulator.whatif import goals
from simulator.whatif.cells import TIMING_ONLY, Failure, Moment, Result, Task, content_key
from simulator.whatif.folder import StudyFolder
from simulator.whatif.request import read
from simulator.whatif.workers import Local

ROOT = Path(__file__).parents[2]
FOUR = ROOT / "scenarios" / "four_phones.yaml"


def study(capsys, *arguments: str) -> tuple[int, str, str]:
    code = cli.main(["study", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def asked(text: str, tmp_path: Path, *vary: str, seeds: str | None = None):
    path = tmp_path / "s.yaml"
    path.write_text(text)
    return read(path, vary_texts=vary, changes=[], seeds=seeds)


def test_a_grid_has_every_combination_and_each_cell_is_the_run_with_those_settings(capsys, tmp_path):
    vary = ("--vary", "network.access.lte.up=1,20Mbit/s", "--vary", "model.split=1..3")
    code, out, err = study(capsys, str(FOUR), *vary, "--json", "--out", str(tmp_path / "s"))
    assert (code, err) == (0, "")
    result = json.loads(out)
    cells = {(cell["network.access.lte.up"], cell["model.split"]): cell for cell in result["cells"]}
    assert list(cells) == [(up, split) for up in ("1 Mbit/s", "20 Mbit/s") for split in (1, 2, 3)]
    for (up, split), cell in cells.items():
        alone = world.run(load(FOUR, [f"network.access.lte.up={up}", f"model.split={split}"]), timing_only=True)
        assert (cell["virtual_s"], cell["trace_hash"]) == (alone.summary["virtual_s"], alone.summary["trace_hash"])
        assert (cell["way"], cell["perplexity"]) == ("timing-only", None)
        assert cell["network.access.lte.up [bit/s]"] == float(up.split()[0]) * 1e6
    assert result["best"]["virtual_s"] == min(cell["virtual_s"] for cell in cells.values())
    rows = list(csv.DictReader((tmp_path / "s" / "study.csv").open()))
    assert [float(row["virtual_s"]) for row in rows] == [cell["virtual_s"] for cell in result["cells"]]
    from pyarrow import parquet

    assert parquet.read_table(tmp_path / "s" / "study.parquet").to_pylist() == result["cells"]


def test_everything_wrong_is_refused_together_before_anything_runs(capsys, tmp_path):
    vary = ("network.access.lte.upp=1,5Mbit/s", "model.split=11..14", "devices.0.profile=phone-lo")
    options = [part for axis in vary for part in ("--vary", axis)]
    code, out, err = study(capsys, str(FOUR), *options, "--out", str(tmp_path / "s"))
    assert (code, out) == (2, "")
    lines = err.removeprefix("splitwire: ").splitlines()
    assert len(lines) == 4
    for line in (
        "--vary network.access.lte.upp=1 Mbit/s: network.access.lte.upp: unknown key 'upp'; did you mean 'up'?",
        "--vary model.split=13: model.split: must be in 0..12 for mini (12 blocks), got 13",
        "--vary model.split=14: model.split: must be in 0..12 for mini (12 blocks), got 14",
        "--vary devices.0.profile=phone-lo: devices[0].profile: unknown device profile 'phone-lo'; did you mean",
    ):
        assert any(found.startswith(line) for found in lines), line
    assert not (tmp_path / "s").exists()


def test_settings_that_depend_on_each_other_are_judged_cell_by_cell_and_the_others_go_on(capsys, tmp_path):
    vary = ("--vary", "training.wait=all,first", "--vary", "training.first=null,4,5")
    code, out, err = study(capsys, str(FOUR), *vary, "--json", "--out", str(tmp_path / "s"))
    assert (code, err) == (0, "")
    cells = {(cell["training.wait"], cell["training.first"]): cell for cell in json.loads(out)["cells"]}
    known = {settings: cell["virtual_s"] for settings, cell in cells.items() if cell["status"] == "done"}
    alone = world.run(load(FOUR), timing_only=True).summary["virtual_s"]
    assert known == {("all", "null"): alone, ("first", "4"): alone}  # of four devices
    assert {settings: cell["reason"] for settings, cell in cells.items() if cell["status"] == "refused"} == {
        ("all", "4"): "training.first: is read only with wait: first, and wait is all; leave it out or set it to null",
        ("all", "5"): "training.first: is read only with wait: first, and wait is all; leave it out or set it to null",
        ("first", "null"): "training.first: missing: how many are waited for",
        ("first", "5"): "training.first: must be at most the number of devices, 4, got 5: a round cannot wait for more",
    }


def test_a_scenario_that_is_sound_only_with_what_is_varied_can_be_studied(capsys, tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(FOUR.read_text().replace("split: 3}", "split: 13}") + "study: {seeds: [7, 8]}\n")
    code, out, err = study(capsys, str(path), "--vary", "model.split=1,14", "--json", "--out", str(tmp_path / "o"))
    assert (code, err) == (0, "")
    cells = json.loads(out)["cells"]
    assert [(cell["model.split"], cell["seed"], cell["status"]) for cell in cells] == [
        (1, 7, "done"), (1, 8, "done"), (14, 7, "refused"), (14, 8, "refused"),
    ]  # fmt: skip
    wrong = f"{path}:5: model.split: must be in 0..12 for mini (12 blocks), got 13"
    assert study(capsys, str(path), "--vary", "lora.rank=1,2") == (2, "", f"splitwire: {wrong}\n")  # in every cell
    path.write_text(path.read_text().replace("seeds: [7, 8]", "sedes: 7"))
    code, _, err = study(capsys, str(path), "--vary", "model.split=1")
    assert (code, err.count("\n")) == (2, 1)
    assert f"{path}:20: study.sedes: unknown key 'sedes'; did you mean 'seeds'?" in err


@pytest.mark.parametrize(
    ("variants", "reason"),
    [
        ("good: {}, bad: {model.spilt: 1}", "model.spilt: unknown key 'spilt'; did you mean 'split'?"),
        ("good: {}, bad: {devices.3.split: 1}", "devices[3]: there is no such entry (allowed: 0..2)"),
        ("bad: {model.split: 13}, worse: {training.rounds: 0}", "model.split: must be in 0..12 for mini (12 blocks)"),
    ],
)
def test_a_key_that_does_not_exist_or_no_sound_cell_at_all_refuses_the_whole_study(capsys, tmp_path, variants, reason):
    path = tmp_path / "s.yaml"
    path.write_text(f"{FOUR.read_text()}study: {{variants: {{{variants}}}}}\n")
    code, out, err = study(capsys, str(path), "--out", str(tmp_path / "o"))
    assert (code, out) == (2, "")
    assert reason in err
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ([], "nothing is varied: say what with --vary KEY=VALUES, --seeds, or a section study: in the file"),
        (["--vary", "model.split"], "--vary model.split: must be key.path=value,value,..."),
        (["--vary", "model.split=1,2", "--vary", "model.split=3"], "--vary model.split=3: model.split is varied twice"),
        (["--vary", "seed=1,2", "--seeds", "3"], "seed is varied twice: leave out one of the two"),
        (["--vary", "devices.0.split=1,2", "--vary", "devices[0].split=3"], "devices.0.split is varied twice: leave"),
        (["--vary", "lora.rank=1,2", "--vary", "lora={rank: 3}"], "lora.rank is varied twice: leave out one of the"),
        (["--vary", "model.split=1,2", "--seeds", "1,x"], "--seeds 1,x: must be a whole number, got 'x'"),
        (["--vary", "model.split=1..11", "--seeds", "1..1000"],
         "the grid has 11,000 cells (11 model.split x 1,000 seed), more than 10,000; --yes runs it all the same"),
        (["--vary", "model.split=1,2", "--out", str(ROOT / "scenarios")], f"{ROOT / 'scenarios'} is no study's folder"),
    ],
)  # fmt: skip
def test_a_study_that_cannot_be_meant_is_refused_with_one_sentence(capsys, options, reason):
    code, out, err = study(capsys, str(FOUR), *options)
    assert (code, out) == (2, "")
    assert err.startswith(f"splitwire: {reason}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("columns", ["80", "120"])
def test_the_table_fits_the_terminal_and_says_how_numbers_were_had(capsys, tmp_path, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    vary = ("--vary", "network.access.lte.up=1,20Mbit/s", "--vary", "model.split=1,2", "--out", str(tmp_path / "s"))
    code, out, _ = study(capsys, str(FOUR), *vary)
    assert code == 0
    lines = out.splitlines()
    assert max(map(len, lines)) <= int(columns)
    assert any(line.startswith("best          network.access.lte.up 20 Mbit/s, model.split 1") for line in lines)
    assert sum("timing-only" in line for line in lines) == 4
    assert "perplexity" not in out  # nothing was trained


def test_of_equal_cells_the_first_is_best_and_is_said_to_be_one_of_them(capsys, tmp_path):
    vary = ("--vary", "training.learning_rate=1e-3,1e-2", "--out", str(tmp_path / "s"))
    _, out, _ = study(capsys, str(FOUR), *vary)
    assert "the first of 2 that are equal" in " ".join(out.split())


def test_a_cell_that_gives_devices_up_says_how_many_beside_its_time(capsys, tmp_path):
    vary = (
        "--vary",
        "training.first=1,4",
        "--set",
        "training.wait=first",
        "--set",
        "training.first=4",
        "--out",
        str(tmp_path / "s"),
    )
    _, out, _ = study(capsys, str(FOUR), *vary)
    assert "dropped" in next(line for line in out.splitlines() if "numbers" in line)
    assert "6 device steps dropped" in " ".join(out.split())  # three of four, in each of two rounds


def test_means_over_seeds_count_the_dropped_too(capsys, tmp_path):
    rule = ("--set", "training.wait=first", "--set", "training.first=4")
    options = ("--vary", "training.first=1,4", *rule, "--seeds", "1..3", "--out", str(tmp_path / "s"))
    result = json.loads(study(capsys, str(FOUR), *options, "--json")[1])
    assert [row["dropped"] for row in result["variants"]] == [6, 0]  # three of four, in each of two rounds
    assert result["best"]["dropped"] == 6
    _, out, _ = study(capsys, str(FOUR), *options)
    assert "dropped" in next(line for line in out.splitlines() if "virtual time" in line)
    assert "with 6 device steps dropped on average" in " ".join(out.split())


@pytest.mark.parametrize("half", [{}, {"virtual_s_half": 321.0, "perplexity_half": 3.2}])
def test_what_a_narrow_table_leaves_out_is_said_and_perplexity_never_goes_before_bytes_and_energy(half):
    """At every width each number is a column, whole, or named below with the file that has it."""
    row = dict.fromkeys(("virtual_s", "bytes", "energy_j", "perplexity", "to_target_s", "to_target_bytes"), 1234.5)
    row |= {"model.split": 3, "way": "trained", "status": "done", "reason": None, **half}
    told: set[frozenset[str]] = set()
    for width in range(60, 120):
        out = io.StringIO()
        shown = Shown("s", ["model.split"], [row], [row] if half else [], "to_target_s", row, "studies/s")
        show(Console(file=out, width=width), shown)
        table, _, rest = out.getvalue().partition("\nalso ")
        named, _, where = " ".join(re.split(r"\n(?:seeds|best) ", rest)[0].split()).partition(": in ")
        missing = frozenset(filter(None, named.split(", ")))
        assert missing <= {"virtual time", "bytes", "energy", "perplexity", "bytes to target"}
        (cells,) = [re.split(r" {2,}", line.strip()) for line in table.splitlines() if line.startswith(" 3 ")]
        compared = 2 - ("virtual time" in missing) if half else 0  # columns of differences
        assert len(cells) == 1 + (not half) + 6 - len(missing) + compared
        assert "…" not in table
        wider = ", or with a wider terminal" if width < 112 else ""
        assert where == (f"{'variants.csv' if half else 'study.csv'}{wider}" if missing else "")
        assert "perplexity" not in missing or {"bytes", "energy"} < missing
        told.add(missing)
    assert len(told) > 2, "or this test shows nothing"


@pytest.mark.parametrize("width", [80, 100])
def test_however_much_is_varied_every_value_can_be_read_in_the_table(width):
    values = {"variant": "as it is", "draw": "17", "network.cells.lte.capacity": "111.3 Mbit/s", "model.split": "3",
              "devices.1.profile": "phone-low", "network.access.lte.up": "20 Mbit/s"}  # fmt: skip
    row = {**values, "virtual_s": 1234.5, "bytes": 1e9, "way": "timing-only", "status": "done", "reason": None}
    out = io.StringIO()
    show(Console(file=out, width=width), Shown("s", list(values), [row], [], "virtual_s", row, "studies/s"))
    table = out.getvalue().partition("also ")[0]
    cells = table.rpartition("───")[2].split()
    assert sorted(cells) == sorted(" ".join([*values.values(), "timing-only", "20 min 34 s"]).split())  # no word is cut
    assert "…" not in table
    assert max(map(len, table.splitlines())) <= width


def test_a_cell_that_does_not_fit_says_why_and_the_others_have_numbers(capsys, tmp_path):
    vary = ("--vary", "training.batch=1,4000", "--set", "training.rounds=1")
    code, out, _ = study(capsys, str(FOUR), *vary, "--json", "--out", str(tmp_path / "o"))
    assert code == 0
    fits, does_not = json.loads(out)["cells"]
    assert fits["status"] == "done"
    assert (does_not["status"], does_not["virtual_s"]) == ("refused", None)
    assert does_not["reason"].startswith("low ")  # the group that is too small
    assert (json.loads(out)["failed"], json.loads(out)["refused"]) == (0, 1)


@pytest.mark.parametrize("seeds", [(), ("--seeds", "1,2")])
def test_the_best_is_as_it_stands_among_the_cells_or_variants_numbers_as_numbers(capsys, tmp_path, seeds):
    vary = ("--vary", "model.split=1,2,13", "--vary", "network.access.lte.up=5,20Mbit/s", *seeds)
    result = json.loads(study(capsys, str(FOUR), *vary, "--json", "--out", str(tmp_path / "s"))[1])
    best = result["best"]
    assert best in result["variants" if seeds else "cells"]
    assert (best["model.split"], best["network.access.lte.up [bit/s]"]) == (1, 20e6)
    assert result["refused"] == (4 if seeds else 2)


def test_equal_work_has_one_key_whatever_it_is_called_and_however_it_was_said():
    one = load(FOUR, ["network.access.lte.up=1 Mbit/s", "name=a"])
    two = load(FOUR, ["network.access.lte.up=1000 kbit/s", "name=b", "study={seeds: [1]}"])
    other = load(FOUR, ["network.access.lte.up=2 Mbit/s"])
    assert content_key(one, "1") == content_key(two, "1")
    assert len({content_key(one, "1"), content_key(one, "2"), content_key(other, "1")}) == 3


def test_a_file_that_the_scenario_names_is_part_of_the_key(tmp_path):
    trace = tmp_path / "t.csv"
    trace.write_text("device,from_s,to_s\na,0,1e9\n")
    text = f"{FOUR.read_text()}\navailability: {{some: {{trace: {trace}}}}}\n".replace(
        "split: 5}", "split: 5, availability: some}"
    )
    path = tmp_path / "s.yaml"
    path.write_text(text)
    before = content_key(load(path), "1")
    assert content_key(load(path), "1") == before
    trace.write_text("device,from_s,to_s\na,0,2e9\nb,0,1\n")
    assert content_key(load(path), "1") != before


def test_seeds_are_common_to_all_variants_and_differences_are_paired(capsys, tmp_path):
    options = ("--vary", "model.split=1,2", "--seeds", "1..3", "--json", "--out", str(tmp_path / "s"))
    result = json.loads(study(capsys, str(FOUR), *options)[1])
    times = {(cell["model.split"], cell["seed"]): cell["virtual_s"] for cell in result["cells"]}
    apart = [times[2, seed] - times[1, seed] for seed in (1, 2, 3)]
    first, second = result["variants"]
    assert first["virtual_s"] == pytest.approx(sum(times[1, seed] for seed in (1, 2, 3)) / 3)
    assert second["virtual_s_less_first"] == pytest.approx(sum(apart) / 3)
    mean = sum(apart) / 3
    deviation = (sum((each - mean) ** 2 for each in apart) / 2) ** 0.5
    assert second["virtual_s_less_first_half"] == pytest.approx(4.302653 * deviation / 3**0.5, rel=1e-6)
    assert first["virtual_s_less_first"] == 0


def test_the_section_of_a_scenario_is_crossed_and_vary_takes_its_place(tmp_path):
    text = FOUR.read_text() + (
        "\nstudy:\n  grid: {model.split: 1..3}\n  variants: {plain: {}, deep: {devices.2.split: 7}}\n  seeds: [5, 6]\n"
    )
    found = asked(text, tmp_path)
    assert [axis.name for axis in found.grid.axes] == ["variant", "model.split", "seed"]
    assert len(found.grid) == 2 * 3 * 2
    cell = found.grid.cells()[-1]
    assert dict(cell.columns) == {"variant": "deep", "model.split": "3", "seed": "6"}
    scenario = found.template.scenario(cell.settings)
    assert (scenario.seed, scenario.model.split, scenario.devices[2].split) == (6, 3, 7)
    assert [axis.name for axis in asked(text, tmp_path, "lora.rank=1,2", seeds="9").grid.axes] == ["lora.rank", "seed"]


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ("study: {grid: {model.split: 1..3}, variants: {deep: {model.split: 7}}}", "model.split is varied twice"),
        ("study: {variants: {a: {seed: 7}, b: {}}, seeds: [1, 2]}", "seed is varied twice"),
        ("algorithm: [fedlora, splitlora, fedlora]", "s.yaml:20: algorithm: the value 'fedlora' is given twice"),
    ],
)
def test_what_would_silently_take_the_place_of_something_else_is_refused(section, reason, tmp_path):
    with pytest.raises(ValueError, match=f"{reason}"):
        asked(f"{FOUR.read_text()}{section}\n", tmp_path)


def test_a_wrong_value_in_the_section_is_told_with_its_line(capsys, tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(
        FOUR.read_text() + "\nstudy:\n  grid:\n    model.split: [1, 13]\n  variants:\n    a: {model.spilt: 1}\n"
    )
    lines = path.read_text().splitlines()
    grid_line = 1 + next(i for i, line in enumerate(lines) if "13]" in line)
    code, _, err = study(capsys, str(path))
    assert code == 2
    told = err.removeprefix("splitwire: ").splitlines()
    assert told[0] == f"{path}:{grid_line}: model.split: must be in 0..12 for mini (12 blocks), got 13"
    assert told[1].startswith(f"{path}:{grid_line + 2}: model.spilt: unknown key 'spilt'; did you mean 'split'?")


def test_a_run_ignores_the_section(capsys, tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(FOUR.read_text() + "\nstudy: {grid: {model.split: 1..3}}\n")
    hashes = []
    for file in (path, FOUR):
        assert cli.main(["run", str(file), "--timing-only", "--json", "--out", str(tmp_path / file.stem)]) == 0
        hashes.append(json.loads(capsys.readouterr().out)["trace_hash"])
    assert hashes[0] == hashes[1]


def test_a_list_of_algorithms_is_an_axis_of_the_study(tmp_path):
    found = asked(f"{FOUR.read_text()}\nalgorithm: [splitlora, splitlora-queued]\n", tmp_path, "model.split=1,2")
    assert [axis.name for axis in found.grid.axes] == ["algorithm", "model.split"]
    assert [found.template.scenario(cell.settings).algorithm for cell in found.grid.cells()] == [
        "splitlora", "splitlora", "splitlora-queued", "splitlora-queued",
    ]  # fmt: skip


def test_a_list_of_algorithms_is_trained_and_said_when_each_came_how_far(capsys, tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(f"{FOUR.read_text()}\nalgorithm: [splitlora, fedlora]\n")
    code, out, _ = study(capsys, str(path), "--out", str(tmp_path / "o"))
    assert code == 0
    assert "losses are mini's, time and bytes gpt2's" in out
    assert "by perplexity" in out
    rows = list(csv.DictReader((tmp_path / "o" / "study.csv").open()))
    assert [(row["algorithm"], row["way"]) for row in rows] == [("splitlora", "trained"), ("fedlora", "trained")]
    target = max(float(row["perplexity"]) for row in rows)
    assert all(float(row["target"]) == target for row in rows)
    assert (tmp_path / "o" / "perplexity.png").exists()
    code, out, _ = study(capsys, str(path), "--no-train", "--json", "--out", str(tmp_path / "times"))
    assert [cell["way"] for cell in json.loads(out)["cells"]] == ["timing-only"] * 2


def test_a_study_of_its_own_file_names_its_scenario(capsys, tmp_path):
    (tmp_path / "four.yaml").write_text(FOUR.read_text())
    path = tmp_path / "study.yaml"
    path.write_text("scenario: four.yaml\nvariants:\n  plain: {}\n  fast: {network.access.lte.up: 100 Mbit/s}\n")
    code, out, _ = study(capsys, str(path), "--json", "--out", str(tmp_path / "o"))
    assert code == 0
    assert [cell["variant"] for cell in json.loads(out)["cells"]] == ["plain", "fast"]
    path.write_text("scenario: fuor.yaml\nvariants: {a: {}}\n")
    assert study(capsys, str(path))[2] == f"splitwire: {path}:1: scenario: 'fuor.yaml' does not exist\n"
    path.write_text("scenario: four.yaml\nvaraints: {a: {}}\n")
    assert "varaints: unknown key 'varaints'; did you mean 'variants'?" in study(capsys, str(path))[2]


def test_random_draws_depend_on_seed_and_key_only_and_stay_in_their_range(tmp_path):
    def drawn(ranges: str, seed: int = 1) -> list[dict[str, str]]:
        text = f"{FOUR.read_text()}\nstudy: {{random: {{draws: 40, seed: {seed}, ranges: {{{ranges}}}}}}}\n"
        return [dict(cell.columns) for cell in asked(text, tmp_path).grid.cells()]

    up, split = "network.access.lte.up: {range: 1..100 Mbit/s, scale: log}", "model.split: 1..5"
    both = drawn(f"{up}, {split}")
    assert [row["network.access.lte.up"] for row in both] == [row["network.access.lte.up"] for row in drawn(up)]
    rates = [float(row["network.access.lte.up"].removesuffix(" Mbit/s")) for row in both]
    assert all(1 <= rate <= 100 for rate in rates)
    assert 10 <= sum(rate < 10 for rate in rates) <= 30  # half of a log scale lies below 10: 20 of 40 in the mean
    assert {row["model.split"] for row in both} == {"1", "2", "3", "4", "5"}
    assert drawn(up, seed=2) != drawn(up)


def test_the_target_is_what_every_trained_run_came_down_to_and_nothing_is_interpolated():
    def result(*perplexities: float) -> Result:
        curve = [Moment(i, 10.0 * i, i, 0, 1.0, value) for i, value in enumerate(perplexities)]
        return Result("trained", {}, curve)

    quick, slow = result(100, 50, 20, 30), result(100, 80, 70, 25)
    assert goals.common_target([quick.curve, slow.curve]) == 25
    assert goals.reached(quick.curve, 25) == quick.curve[2]  # the first at or below, not where a line would cross
    assert goals.reached(slow.curve, 25) == slow.curve[3]
    assert goals.reached(slow.curve, 24) is None
    assert goals.goals([], None) == []
    assert goals.goals([goals.Curve({}, quick.curve), goals.Curve({}, slow.curve)], 25) == [75, 50, 25]


def test_a_cell_that_fails_is_told_with_its_reason_and_the_exit_code_is_1(capsys, tmp_path):
    vary = ("--vary", "horizon=1 s,1 d", "--out", str(tmp_path / "s"))
    code, out, _ = study(capsys, str(FOUR), *vary)
    assert code == 1
    assert "without       1 x failed: " in out
    rows = list(csv.DictReader((tmp_path / "s" / "study.csv").open()))
    assert [row["status"] for row in rows] == ["failed", "done"]
    code, _, err = study(capsys, str(FOUR), "--vary", "horizon=1 s,2 s", "--out", str(tmp_path / "none"))
    assert code == 1
    assert err.startswith("splitwire: no cell of the study has numbers; the first: ")


def task_of(scenario: Scenario) -> Task:
    return Task(content_key(scenario, "1"), TIMING_ONLY, pickle.dumps(scenario))


def test_a_worker_that_is_killed_loses_its_own_cell_only():
    short = [load(FOUR, [f"seed={seed}"]) for seed in (1, 2, 3)]
    long = load(FOUR, ["training.rounds=3000"])
    tasks = [task_of(scenario) for scenario in (short[0], long, *short[1:])]
    outcomes = {}
    for task, outcome in Local(2).run(tasks, lambda *_: None):
        if not outcomes:  # the other worker is at the long one
            for child in multiprocessing.active_children():
                os.kill(child.pid, signal.SIGKILL)
                child.join()
        outcomes[task.key] = outcome
    lost = outcomes.pop(tasks[1].key)
    assert lost == Failure("failed", "its worker process was ended by SIGKILL (out of memory?)")
    assert len(outcomes) == 3
    assert all(isinstance(outcome, Result) for outcome in outcomes.values())


def begun(folder: Path, *options: str) -> subprocess.Popen[str]:
    """A study in a process of its own, in the middle: at least two cells are done."""
    command = [sys.executable, str(ROOT / "cli.py"), "study", str(FOUR), *options, "--jobs", "1", "--out", str(folder)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while len(list((folder / "cells").glob("*.json"))) < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    return process


def assert_gone_soon(group: int) -> None:
    """Fails if a process of the group, a worker of the killed study, lives on."""
    for _ in range(500):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    raise AssertionError("a worker has outlived its study")


def test_the_workers_of_a_killed_study_end_with_it_in_the_middle_of_their_cells(tmp_path):
    process = begun(tmp_path / "s", "--vary", "training.rounds=2,3,100000")  # the last one takes minutes
    process.kill()
    process.communicate()
    assert_gone_soon(process.pid)


def test_a_study_that_was_killed_goes_on_with_what_is_missing(capsys, tmp_path):
    process = begun(tmp_path / "killed", "--set", "training.rounds=60", "--seeds", "1..8")
    process.kill()
    process.communicate()
    assert_gone_soon(process.pid)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "killed" / "cells").glob("*.json")}
    assert 2 <= len(before) < 8
    options = (str(FOUR), "--set", "training.rounds=60", "--seeds", "1..8", "--json")
    again = json.loads(study(capsys, *options, "--out", str(tmp_path / "killed"))[1])
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "killed" / "cells").glob("*.json")}
    assert len(after) == 8
    assert {name: after[name] for name in before} == before
    whole = json.loads(study(capsys, *options, "--out", str(tmp_path / "whole"))[1])
    assert again["cells"] == whole["cells"]


def test_ctrl_c_ends_a_study_with_130_and_says_how_to_go_on(tmp_path):
    process = begun(tmp_path / "s", "--set", "training.rounds=60", "--seeds", "1..40")
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "of 40 cells are in" in err
    assert f"the same command with --out {tmp_path / 's'} goes on from there" in err


def test_a_folder_in_which_another_study_is_going_is_refused(tmp_path):
    folder = StudyFolder.open(tmp_path / "s")
    with pytest.raises(ValueError, match="is being used by another study that is still going"):
        StudyFolder.open(tmp_path / "s")
    folder.close()
    StudyFolder.open(tmp_path / "s").close()


def test_the_table_of_another_study_is_not_replaced_without_being_asked(capsys, tmp_path):
    def done(*options: str, scenario: Path = FOUR) -> tuple[int, str, list[tuple[str, ...]]]:
        code, _, err = study(capsys, str(scenario), *options, "--json", "--out", str(tmp_path / "s"))
        rows = csv.reader((tmp_path / "s" / "study.csv").open())
        return code, err, [tuple(row[:2]) for row in rows][1:]

    first = ("--vary", "model.split=1,2", "--vary", "lora.rank=2")
    assert done(*first) == done(*first) == (0, "", [("1", "2"), ("2", "2")])
    table = (tmp_path / "s" / "study.csv").read_bytes()
    another = tmp_path / "four.yaml"
    another.write_text(FOUR.read_text())
    for options, scenario, lost in (
        (
            ("--vary", "model.split=2,3", "--vary", "lora.rank=2"),
            FOUR,
            "1 of its 2 cells over model.split x lora.rank are",
        ),
        (("--vary", "model.split=1,2"), FOUR, "2 of its 2 cells over model.split x lora.rank are not in this one"),
        ((*first, "--set", "seed=9"), FOUR, f"2 cells over model.split x lora.rank of {FOUR} with other settings"),
        (first, another, f"2 cells over model.split x lora.rank of {FOUR} with other settings"),
    ):
        code, err, _ = done(*options, scenario=scenario)
        assert (code, err.count("\n")) == (2, 1)
        assert f"has the table of another study ({lost}" in err
        assert (tmp_path / "s" / "study.csv").read_bytes() == table
    wider = ("--vary", "model.split=1,2,3", "--vary", "lora.rank=2")
    assert done(*wider) == (0, "", [("1", "2"), ("2", "2"), ("3", "2")])  # nothing is lost
    assert done(*first, "--yes") == (0, "", [("1", "2"), ("2", "2")])


def test_a_cell_that_is_half_there_is_done_again(tmp_path):
    folder = StudyFolder.open(tmp_path / "s")
    result = Result(TIMING_ONLY, {"virtual_s": 1.0}, [Moment(0, 0.0, 0, 0, None, None)])
    folder.write("cells/abc.timing-only.json", b'{"way": "timing-only", "summ')
    assert folder.held("abc", trained=False) is None
    folder.keep("abc", result)
    assert folder.held("abc", trained=False) == result
    assert folder.held("abc", trained=True) is None
    folder.close()


def test_a_template_makes_the_scenarios_that_loading_makes():
    template = Template(FOUR)
    for changes in ([], ["model.split=1"], ["network.cells.tower.capacity=1 Mbit/s", "seed=9"]):
        assert template.scenario(changes) == load(FOUR, changes)


def test_a_timing_only_study_never_loads_torch_in_any_of_its_processes(without_torch, tmp_path):
    command = ["study", str(FOUR), "--vary", "model.split=1,2", "--json", "--out", str(tmp_path / "s")]
    done = subprocess.run(
        [sys.executable, "cli.py", *command], cwd=ROOT, env=without_torch, capture_output=True, text=True, check=True
    )
    assert [cell["status"] for cell in json.loads(done.stdout)["cells"]] == ["done", "done"]
