"""`retime` as a user meets it: what it prints, what it writes, what it refuses."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import cli

ROOT = Path(__file__).parents[2]
FOUR = str(ROOT / "scenarios" / "four_phones.yaml")
SLOWER = ("--set", "network.cells.tower.capacity=3 Mbit/s")
SMALL = ("--set", "data.validation_samples=8")


def call(capsys, *arguments: str) -> tuple[int, str, str]:
    code = cli.main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The folder of a finished run with training."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    assert cli.main(["run", FOUR, *SMALL, "--json", "--out", str(folder)]) == 0
    return folder


def summary_of(folder: Path) -> dict[str, object]:
    return json.loads((folder / "summary.json").read_text())


def rounds_of(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "rounds.csv").open()))


def test_a_retimed_run_has_a_folder_like_that_of_real_training(finished, capsys, tmp_path):
    real, retimed = tmp_path / "real", tmp_path / "retimed"
    assert call(capsys, "run", FOUR, *SMALL, *SLOWER, "--json", "--out", str(real))[0] == 0
    code, out, err = call(capsys, "retime", str(finished), *SLOWER, "--json", "--out", str(retimed))
    assert (code, err) == (0, "")
    summary = json.loads(out)
    assert summary == summary_of(retimed)
    assert summary["trace_hash"] == summary_of(real)["trace_hash"]
    assert summary["exact"] is True
    assert summary["retimed_from"] == str(finished)
    assert (retimed / "rounds.csv").read_text() == (real / "rounds.csv").read_text()
    names = {entry.name for entry in retimed.iterdir()}
    assert names == {entry.name for entry in real.iterdir()} - {"adapter"}
    assert (retimed / "scenario.yaml").read_text() == (real / "scenario.yaml").read_text()


def test_a_retimed_run_can_be_retimed_again_and_back(finished, capsys, tmp_path):
    there, back = tmp_path / "there", tmp_path / "back"
    assert call(capsys, "retime", str(finished), *SLOWER, "--json", "--out", str(there))[0] == 0
    before = ("--set", "network.cells.tower.capacity=24 Mbit/s")
    assert call(capsys, "retime", str(there), *before, "--json", "--out", str(back))[0] == 0
    assert summary_of(back)["trace_hash"] == summary_of(finished)["trace_hash"] != summary_of(there)["trace_hash"]
    assert rounds_of(back) == rounds_of(finished)


def test_torch_is_not_loaded(finished, tmp_path):
    code = (
        f"import sys, cli\nwords = ['retime', {str(finished)!r}, '--json', '--out', {str(tmp_path / 'r')!r}]\n"
        "assert cli.main(words) == 0\nprint('torch' in sys.modules, file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stderr.strip() == "False"


def test_the_summary_is_followed_by_one_line_that_compares(finished, capsys, tmp_path):
    code, out, _ = call(capsys, "retime", str(finished), *SLOWER, "--out", str(tmp_path / "r"))
    assert code == 0
    old_s, new_s = summary_of(finished)["virtual_s"], summary_of(tmp_path / "r")["virtual_s"]
    told = " ".join(out[out.index("compared") :].split())
    assert f"{old_s:.1f} s, now {new_s:.1f} s, {old_s / new_s:.2f}x as fast; cell +" in told
    assert "perplexity" in out


def test_losses_that_other_versions_recorded_are_told_as_such(finished, capsys, tmp_path, monkeypatch):
    """Also when they are retimed twice; where nothing has changed nothing is said."""
    made = f"torch {metadata.version('torch')}"
    assert "recorded" not in call(capsys, "retime", str(finished), "--out", str(tmp_path / "same"))[1]
    assert summary_of(tmp_path / "same")["recorded"] is None
    monkeypatch.setattr("simulator.whatif.tape.trainers", lambda: "splitwire 9.9, torch 9.8")
    for run, name in ((finished, "once"), (tmp_path / "once", "twice")):
        code, out, _ = call(capsys, "retime", str(run), "--out", str(tmp_path / name))
        told = " ".join(out[out.index("recorded ") :].split())
        assert code == 0
        note = f"{made}; here is splitwire 9.9, torch 9.8: losses are those of the recording"
        assert note in told
        words = ("retime", str(run), "--json", "--out", str(tmp_path / f"{name} as json"))
        assert json.loads(call(capsys, *words)[1])["recorded"].endswith(note)
        assert summary_of(tmp_path / name)["recorded"].endswith(note)


def test_a_run_of_times_only_is_retimed_as_such_and_says_so(capsys, tmp_path):
    first, second, real = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    assert call(capsys, "run", FOUR, "--timing-only", "--json", "--out", str(first))[0] == 0
    code, out, _ = call(capsys, "retime", str(first), *SLOWER, "--out", str(second))
    assert code == 0
    assert "it trained nothing, so this is timing only too" in " ".join(out.split())
    assert call(capsys, "run", FOUR, *SLOWER, "--timing-only", "--json", "--out", str(real))[0] == 0
    assert summary_of(second)["trace_hash"] == summary_of(real)["trace_hash"]
    assert summary_of(second)["timing_only"] is True
    assert summary_of(second)["loss"] is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("training.learning_rate=1e-3", "training.learning_rate: 0.002, now 0.001"),
        ("lora.rank=4", "lora.rank: 8, now 4"),
        ("devices.2.count=1", "devices.2.count: 2, now 1; devices: 2 x 5 blocks of rank 8, now 1 x 5 blocks of rank 8"),
        ("model.split=2", "model.split: 3, now 2; devices: 1 x 3 blocks of rank 8, now 1 x 2 blocks of rank 8"),
        ("devices[0]={profile: phone-low, count: 1, access: lte, split: 2}",
         "devices[0]; devices: 1 x 1 blocks of rank 4, now 1 x 2 blocks of rank 8"),
        ("seed=5", "seed: 4, now 5"),
        ("algorithm=splitlora-queued", "algorithm: splitlora, now splitlora-queued"),
        ("algorithm=centralized", "algorithm: splitlora, now centralized"),
        ("training={rounds: 2}", "training.batch: 1, now 4; training.aggregate_every: 2, now 5; training."),
    ],
)  # fmt: skip
def test_a_change_of_what_is_trained_is_refused_by_name_before_anything_is_written(
    change, sentence, finished, capsys, tmp_path
):
    code, out, err = call(capsys, "retime", str(finished), "--set", change, "--out", str(tmp_path / "r"))
    assert (code, out) == (2, "")
    assert err.startswith(f"splitwire: this changes what is trained ({sentence}")
    assert "add --retrain" in err
    assert err.count("\n") == 1
    assert len(err.replace(str(finished), "runs/first")) < 350
    assert not (tmp_path / "r").exists()


def test_of_several_settings_those_are_named_that_change_what_is_trained(finished, capsys, tmp_path):
    """Also which of them changes what the devices train; where only both together do, none can be blamed."""

    def refused(*settings: str) -> str:
        words = [word for setting in settings for word in ("--set", setting)]
        return call(capsys, "retime", str(finished), *words, "--out", str(tmp_path / "r"))[2]

    err = refused("server.speed=2", "model.split=2", "seed=5")
    assert "(model.split: 3, now 2; seed: 4, now 5; devices: 1 x 3 blocks of rank 8, now 1 x 2 blocks" in err
    counts = [f"devices.{group}.count=null" for group in range(3)]
    shares = [f"devices.{group}.share={share}" for group, share in enumerate(("50 %", "25 %", "25 %"))]
    err = refused("num_devices=16", *counts, *shares)
    assert "(devices: 1 x 1 blocks of rank 4 + 1 x 3 blocks of rank 8 + 1 more, now 8 x 1 blocks of rank 4 + " in err


def test_a_schedule_that_changes_what_is_trained_leaves_no_folder(finished, capsys, tmp_path):
    end_s = float(rounds_of(finished)[1]["end_s"])
    late = ("--set", f"training.timeout={end_s - 0.001} s")
    code, out, err = call(capsys, "retime", str(finished), *late, "--json", "--out", str(tmp_path / "r"))
    assert (code, out) == (1, "")
    cause = "training.timeout changes the schedule, and so what is trained: "
    assert err.startswith(f"splitwire: {cause}round 1: the evaluation is without ")
    assert "add --retrain" in err
    assert not (tmp_path / "r").exists()
    _, _, err = call(capsys, "retime", str(finished), *late, "--set", "server.speed=0.9", "--out", str(tmp_path / "r"))
    assert err.startswith("splitwire: the schedule changes what is trained: round 1: ")


def test_retrain_trains_for_real_where_a_replay_must_stop(finished, capsys, tmp_path):
    end_s = float(rounds_of(finished)[1]["end_s"])
    late = ("--set", f"training.timeout={end_s - 0.001} s")
    folder = tmp_path / "r"
    code, out, _ = call(capsys, "retime", str(finished), *late, "--retrain", "--out", str(folder))
    assert code == 0
    assert summary_of(folder)["dropped"] > 0
    assert "retimed_from" not in summary_of(folder)
    assert (folder / "adapter").is_dir()
    assert "compared" in out


@pytest.mark.parametrize("verb", ["retime", "blame", "compare", "score", "study"])
def test_every_verb_says_the_same_of_an_interrupted_run_and_what_can_be_had_of_it(finished, capsys, tmp_path, verb):
    run = tmp_path / "run"
    run.mkdir()
    for name in ("rounds.csv", "scenario.yaml"):
        shutil.copy(finished / name, run)
    arguments = {"compare": [str(finished)], "study": ["--vary", "server.speed=1,2"]}.get(verb, [])
    assert call(capsys, verb, str(run), *arguments) == (
        2,
        "",
        f"splitwire: {run} has no summary.json: that run is still going, or was interrupted; its finished rounds can "
        f"be read in {run}/rounds.csv, and it cannot be resumed yet: `splitwire run {run}/scenario.yaml` runs it "
        f"again\n",
    )


def test_what_is_no_finished_run_is_refused(finished, capsys, tmp_path):
    for spoil, sentence in (
        (shutil.rmtree, "is no folder; name the folder of a run"),
        (lambda folder: (folder / "scenario.yaml").unlink(), "is not the folder of a run: it has no scenario.yaml"),
        (lambda folder: (folder / "summary.json").write_text("[" * 100_000), "is not the summary of a run"),
        (lambda folder: (folder / "tape.msgpack").unlink(), "has no tape.msgpack, so nothing can be replayed"),
        (lambda folder: (folder / "tape.msgpack").write_bytes(b"\x00"), "tape.msgpack is not a tape"),
    ):
        folder = tmp_path / "copy"
        shutil.copytree(finished, folder)
        spoil(folder)
        code, _, err = call(capsys, "retime", str(folder), "--json", "--out", str(tmp_path / "r"))
        assert code == 2
        assert sentence in err
        assert err.count("\n") == 1
        shutil.rmtree(folder, ignore_errors=True)


def test_the_tape_of_another_run_is_refused(finished, capsys, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    text = (folder / "scenario.yaml").read_text()
    (folder / "scenario.yaml").write_text(text.replace("learning_rate: 0.002", "learning_rate: 0.004"))
    code, _, err = call(capsys, "retime", str(folder), "--json", "--out", str(tmp_path / "r"))
    assert code == 2
    assert "is not the tape of" in err
    assert "no longer what was trained" in err


def test_a_key_that_does_not_exist_is_refused_with_a_guess(finished, capsys, tmp_path):
    code, _, err = call(capsys, "retime", str(finished), "--set", "netwrok.model=pure", "--out", str(tmp_path / "r"))
    assert code == 2
    assert "did you mean 'network'" in err
