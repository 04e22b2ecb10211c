"""Studies with losses: one training for each kind, the rest re-timed from its tape, exactly."""

from __future__ import annotations

import csv
import io
import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

import cli
from simulator import world
from simulator.scenario import load
from simulator.views.study import MOST_ROWS, Shown, show
from simulator.whatif.campaign import Campaign, Means, Plan
from simulator.whatif.cells import Failure, Result, Round, Task
from simulator.whatif.folder import StudyFolder
from simulator.whatif.table import LOWER_IS_BETTER, best, over_seeds
from simulator.whatif.workers import Local

ROOT = Path(__file__).parents[2]
FOUR = ROOT / "scenarios" / "four_phones.yaml"


def study(capsys, *arguments: str) -> tuple[int, str, str]:
    code = cli.main(["study", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_bandwidth_axis_trains_once_and_every_cell_is_what_real_training_gives(capsys, tmp_path):
    vary = ("--vary", "network.access.lte.up=1,20Mbit/s", "--vary", "model.split=3,4", "--train")
    code, out, _ = study(capsys, str(FOUR), *vary, "--json", "--out", str(tmp_path / "s"))
    assert code == 0
    cells = json.loads(out)["cells"]
    assert [cell["way"] for cell in cells] == ["trained", "trained", "re-timed", "re-timed"]
    for cell in cells[1:]:
        changes = [f"network.access.lte.up={cell['network.access.lte.up']}", f"model.split={cell['model.split']}"]
        alone = world.run(load(FOUR, changes)).summary
        assert [cell[name] for name in ("trace_hash", "loss", "virtual_s")] == [
            alone[name] for name in ("trace_hash", "loss", "virtual_s")
        ]
    folder = tmp_path / "s"
    curves = list(csv.DictReader((folder / "curves.csv").open()))
    assert len(curves) == 4 * 3  # before training and after both rounds
    pictures = {"heatmap.png", "virtual_time.png", "perplexity.png"}
    pictures |= {"pareto.png", "pareto_perplexity.png", "pareto_target.png"}
    assert {path.name for path in folder.glob("*.png")} == pictures
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in pictures)


def test_a_run_that_is_over_is_studied_over_its_tape_without_torch(capsys, tmp_path, without_torch):
    assert cli.main(["run", str(FOUR), "--json", "--out", str(tmp_path / "run")]) == 0
    summary = json.loads(capsys.readouterr().out)
    command = ["study", str(tmp_path / "run"), "--vary", "network.access.lte.up=20,30Mbit/s", "--json", "--jobs", "1"]
    done = subprocess.run(
        [sys.executable, "cli.py", *command, "--out", str(tmp_path / "s")],
        cwd=ROOT, env=without_torch, capture_output=True, text=True, check=True,
    )  # fmt: skip
    same, faster = json.loads(done.stdout)["cells"]
    assert (same["way"], same["trace_hash"], same["loss"]) == ("re-timed", summary["trace_hash"], summary["loss"])
    assert (faster["way"], faster["loss"]) == ("re-timed", summary["loss"])
    assert faster["trace_hash"] != same["trace_hash"]


def test_cells_that_a_tape_does_not_fit_have_their_times_only_unless_they_may_be_trained(capsys, tmp_path):
    assert cli.main(["run", str(FOUR), "--json", "--out", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    vary = (str(tmp_path / "run"), "--vary", "lora.alpha=16,8", "--out", str(tmp_path / "s"), "--json")
    first, second = json.loads(study(capsys, *vary)[1])["cells"]
    assert (first["way"], second["way"], second["loss"]) == ("re-timed", "timing-only", None)
    assert (first["reason"], second["reason"]) == (None, "it trains something else than the tape")
    first, second = json.loads(study(capsys, *vary, "--train")[1])["cells"]
    assert (first["way"], second["way"]) == ("re-timed", "trained")
    assert second["loss"] == world.run(load(FOUR, ["lora.alpha=8"])).summary["loss"]


def test_another_program_times_anew_over_its_tapes_and_only_other_training_code_trains_anew(
    capsys, tmp_path, monkeypatch
):
    def done() -> tuple[str, bool]:
        """How the cell was had, and whether now or before."""
        args = (
            str(FOUR),
            "--vary",
            "lora.rank=4",
            "--set",
            "training.rounds=1",
            "--train",
            "--out",
            str(tmp_path / "s"),
        )
        _, out, _ = study(capsys, *args)
        (row,) = csv.DictReader((tmp_path / "s" / "study.csv").open())
        return row["way"], "known before" not in out

    assert done() == ("trained", True)
    assert done() == ("trained", False)
    monkeypatch.setattr("simulator.whatif.study.program", lambda: "other links")
    assert done() == ("re-timed", True)
    monkeypatch.setattr("simulator.whatif.study.program", lambda: "other training")
    monkeypatch.setattr("simulator.whatif.study.trainers", lambda: "other training")
    assert done() == ("trained", True)


def test_the_target_that_is_asked_for_is_timed_and_who_never_comes_to_it_is_said(capsys, tmp_path):
    """Of the same losses at two rates: the faster cell is sooner there, by the ends of its own rounds."""
    assert cli.main(["run", str(FOUR), "--set", "training.rounds=6", "--json", "--out", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    rounds = list(csv.DictReader((tmp_path / "run" / "rounds.csv").open()))
    vary = ("--vary", "network.access.lte.up=2,20Mbit/s", "--out", str(tmp_path / "s"))
    wanted = (float(rounds[3]["perplexity"]) + float(rounds[4]["perplexity"])) / 2
    first = next(row for row in rounds if float(row["perplexity"]) <= wanted)
    result = json.loads(study(capsys, str(tmp_path / "run"), *vary, "--target", f"{wanted}", "--json")[1])
    slow, same = result["cells"]
    assert [cell["target"] for cell in result["cells"]] == [wanted, wanted]
    assert same["to_target_s"] == float(first["end_s"])
    assert same["to_target_bytes"] == sum(
        int(row["bytes_up"]) + int(row["bytes_down"]) for row in rounds[: int(first["round"]) + 1]
    )
    assert slow["to_target_s"] > same["to_target_s"]
    assert result["best_by"] == "to_target_s"
    assert (tmp_path / "s" / "pareto_target.png").read_bytes().startswith(b"\x89PNG")
    code, out, _ = study(capsys, str(tmp_path / "run"), *vary, "--target", "1.5")
    assert code == 0
    assert "2 x perplexity 1.50 not reached" in out
    assert "time to target" not in " ".join(out.split())
    assert not (tmp_path / "s" / "pareto_target.png").exists()
    assert "best          none: no cell came to perplexity 1.50" in out
    goals = out.partition("by perplexity")[2].partition("───")[0]
    assert re.findall(r"[\d.]+", goals) == ["1.50"]  # the one that is named, no other
    result = json.loads(study(capsys, str(tmp_path / "run"), *vary, "--target", "1.5", "--json")[1])
    assert (result["best_by"], result["best"]) == ("to_target_s", None)


def test_where_some_come_to_the_target_the_best_is_one_of_them_though_another_ends_sooner(capsys, tmp_path):
    """One round is over long before six, but six go lower."""
    command = (str(FOUR), "--vary", "training.rounds=1,6", "--train", "--out", str(tmp_path / "s"), "--json")
    short, long = json.loads(study(capsys, *command)[1])["cells"]
    assert (short["virtual_s"] < long["virtual_s"], short["perplexity"] > long["perplexity"]) == (True, True)
    wanted = (short["perplexity"] + long["perplexity"]) / 2
    result = json.loads(study(capsys, *command, "--target", f"{wanted}")[1])
    assert [cell["to_target_s"] is None for cell in result["cells"]] == [True, False]
    assert (result["best_by"], result["best"]) == ("to_target_s", result["cells"][1])


def test_of_many_cells_that_do_not_come_to_the_target_those_that_came_nearest_are_shown():
    rows = [
        {"lora.rank": str(rank), "way": "trained", "status": "done", "reason": None, **dict.fromkeys(LOWER_IS_BETTER)}
        | {"virtual_s": rank, "bytes": rank, "perplexity": 100 - rank, "target": 1.5}
        for rank in range(1, 2 * MOST_ROWS + 1)
    ]
    out = io.StringIO()
    shown = Shown("s", ["lora.rank"], rows, [], *best(rows, targeted=True), "studies/s", [1.5])
    show(Console(file=out, width=100), shown)
    told = [int(line.split()[0]) for line in out.getvalue().splitlines() if " trained " in line]
    assert told == list(range(2 * MOST_ROWS, MOST_ROWS, -1))
    assert f"the best {MOST_ROWS} by perplexity; {MOST_ROWS} more in study.csv" in out.getvalue()
    assert "none: no cell came to perplexity 1.50" in out.getvalue()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--target", "3"], "--target needs perplexities, and no cell is trained: add --train, or study a trained RUN"),
        (["--target", "3", "--no-train"], "--target needs perplexities, and no cell is trained: add --train, or study"),
        (["--target", "0.5", "--train"], "--target must be a perplexity, 1 or more, got 0.5"),
        (["--target", "nan", "--train"], "--target must be a perplexity, 1 or more, got nan"),
    ],
)
def test_a_target_that_no_cell_can_reach_is_refused(capsys, options, reason):
    code, out, err = study(capsys, str(FOUR), "--vary", "lora.rank=1,2", *options)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"splitwire: {reason}")


def test_the_mean_time_to_a_target_is_known_only_where_every_seed_came_to_it():
    def row(rank: str, seed: str, to_target_s: float | None) -> dict[str, object]:
        return {
            "rank": rank,
            "seed": seed,
            "status": "done",
            **dict.fromkeys(LOWER_IS_BETTER),
            "to_target_s": to_target_s,
        }

    rows = [row("1", "1", 10.0), row("1", "2", None), row("2", "1", 20.0), row("2", "2", 30.0)]
    first, second = over_seeds(rows, ["rank", "seed"])
    assert (first["to_target_s"], second["to_target_s"]) == (None, 25.0)  # not 10: the slow seed is still on its way
    assert second["to_target_s_less_first"] is None
    assert best([first, second], targeted=True) == ("to_target_s", second)
    assert best([first], targeted=True) == ("to_target_s", None)


def test_a_study_over_a_run_of_other_training_code_says_so(capsys, tmp_path, monkeypatch):
    assert cli.main(["run", str(FOUR), "--json", "--out", str(tmp_path / "run")]) == 0
    command = (str(tmp_path / "run"), "--vary", "network.access.lte.up=30Mbit/s", "--out", str(tmp_path / "s"))
    assert "recorded" not in study(capsys, *command)[1]
    assert json.loads(study(capsys, *command, "--json")[1])["recorded"] is None
    monkeypatch.setattr("simulator.whatif.tape.trainers", lambda: "splitwire 9.9")
    note = "here is splitwire 9.9: losses are those of the recording"
    assert note in " ".join(study(capsys, *command)[1].split())
    assert json.loads(study(capsys, *command, "--json")[1])["recorded"].endswith(note)


def test_a_run_without_a_tape_is_refused(capsys, tmp_path):
    assert cli.main(["run", str(FOUR), "--timing-only", "--json", "--out", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    code, _, err = study(capsys, str(tmp_path / "run"), "--vary", "model.split=1,2")
    assert (code, err.count("\n")) == (2, 1)
    assert "holds no tape: nothing was trained; study its scenario instead" in err


def test_a_damaged_tape_is_refused_before_anything_is_written(capsys, tmp_path):
    assert cli.main(["run", str(FOUR), "--json", "--out", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    tape = tmp_path / "run" / "tape.msgpack"
    tape.write_bytes(tape.read_bytes()[:-1] + b"x")
    code, _, err = study(capsys, str(tmp_path / "run"), "--vary", "lora.rank=2,4", "--out", str(tmp_path / "s"))
    assert (code, err) == (2, f"splitwire: {tape} is damaged: its hash is not that of its content\n")
    assert not (tmp_path / "s").exists()


def test_a_cell_that_trains_says_after_which_round_it_is_and_the_others_say_nothing(tmp_path):
    scenario = pickle.dumps(load(FOUR, ["training.rounds=3"]))
    told: list[tuple[str, Round]] = []
    ends = dict(Local(1).run([Task("a", "trained", scenario)], lambda task, round: told.append((task.key, round))))
    assert told == [("a", Round(round, 3)) for round in range(4)]  # 0: before training
    (tape := tmp_path / "tape").write_bytes(next(iter(ends.values())).tape)
    told.clear()
    others = [Task("b", "timing-only", scenario), Task("c", "re-timed", scenario, str(tape))]
    ends = dict(Local(1).run(others, lambda task, round: told.append((task.key, round))))
    assert [(task.key, end.way) for task, end in ends.items()] == [("b", "timing-only"), ("c", "re-timed")]
    assert told == []


class Recorded:
    """An executor that answers from a table, and notes what it was asked."""

    def __init__(self, answers):
        self.answers, self.asked = answers, []

    def run(self, tasks, heard):
        for task in tasks:
            self.asked.append((task.key, task.way, Path(task.tape).suffix if task.tape else None))
            yield task, self.answers(task)


class Quiet:
    def phase(self, what, cells): ...
    def skip(self, cells): ...
    def step(self, *, cells, failed): ...
    def rounds(self, at): ...


def test_a_cell_that_diverges_is_trained_and_its_tape_serves_those_who_are_left(tmp_path):
    """Cells 1 and 2 train one thing, 3 and 4 another: their schedule drops somebody."""

    def answer(task: Task):
        result = Result(task.way, {"virtual_s": 1.0}, [], tape=b"tape" if task.way == "trained" else None)
        if task.way == "re-timed" and (task.key in "12") != (Path(task.tape).name[-1] in "12"):
            return Failure("diverged", "round 1: 3 steps without low")
        return result

    folder, executor = StudyFolder.open(tmp_path / "s"), Recorded(answer)
    plans = [Plan(key, b"", "t") for key in "1234"]
    outcomes = Campaign(folder, Means(executor, executor, True, {}), Quiet()).do(plans)
    assert [outcomes[key].way for key in "1234"] == ["trained", "re-timed", "trained", "re-timed"]
    assert outcomes["3"].note == "round 1: 3 steps without low"
    assert executor.asked == [
        ("1", "trained", None),
        ("2", "re-timed", ".1"),
        ("3", "re-timed", ".1"),
        ("4", "re-timed", ".1"),
        ("3", "trained", None),
        ("4", "re-timed", ".3"),
    ]
    assert StudyFolder(folder.path, version="0").tapes("t") == []  # those of another version are not read
    again = Recorded(answer)
    assert Campaign(folder, Means(again, again, True, {}), Quiet()).do(plans).keys() == outcomes.keys()
    assert again.asked == []
    folder.close()


def test_where_the_first_of_a_kind_cannot_be_trained_the_next_one_is(tmp_path):
    def answer(task: Task):
        if task.key == "1":
            return Failure("refused", "does not fit")
        return Result(task.way, {}, [], tape=b"tape" if task.way == "trained" else None)

    folder, executor = StudyFolder.open(tmp_path / "s"), Recorded(answer)
    plans = [Plan(key, b"", "t") for key in "123"]
    outcomes = Campaign(folder, Means(executor, executor, True, {}), Quiet()).do(plans)
    assert outcomes["1"] == Failure("refused", "does not fit")
    assert [outcomes[key].way for key in "23"] == ["trained", "re-timed"]
    folder.close()


@pytest.mark.parametrize("trained", [True, False])
def test_equal_work_is_done_once(tmp_path, trained):
    executor = Recorded(lambda task: Result(task.way, {}, [], tape=b"tape" if task.way == "trained" else None))
    folder = StudyFolder.open(tmp_path / "s")
    plans = [Plan("1", b"", "t" if trained else None)] * 3
    Campaign(folder, Means(executor, executor, True, {}), Quiet()).do(plans)
    assert len(executor.asked) == 1
    folder.close()
