"""A finished run's folder says where its time went, as the run itself did."""

from __future__ import annotations

import io
import json
import math
import shutil
from pathlib import Path

import pytest
from rich.console import Console

import cli
from simulator import session, world
from simulator.run_reader import read_run
from simulator.scenario import load
from simulator.views import blame as view
from simulator.whatif.blaming import blame_run

ROOT = Path(__file__).parents[2] / "scenarios"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four phones that come after 9 s: until then the first round waits for anybody."""
    path = tmp_path_factory.mktemp("blame")
    names = ("low", "mid", "high-1", "high-2")
    (path / "late.csv").write_text("device,from_s,to_s\n" + "".join(f"{name},9,1e9\n" for name in names))
    overrides = [
        f"availability={{late: {{trace: {path / 'late.csv'}}}}}",
        "devices.0.availability=late", "devices.1.availability=late", "devices.2.availability=late",
        "training.rounds=4",
    ]  # fmt: skip
    session.run(ROOT / "four_phones.yaml", overrides, out=path / "run", timing_only=True, quiet=True)
    return path / "run"


@pytest.fixture(scope="module")
def found(folder):
    return blame_run(folder)


def test_rows_are_read_back_as_they_were_recorded(tmp_path):
    session.run(ROOT / "two_devices.yaml", [], out=tmp_path / "run", timing_only=True, quiet=True)
    record, back = world.run(load(ROOT / "two_devices.yaml"), timing_only=True).record, read_run(tmp_path / "run")

    def text(rows):
        return [repr(row) for row in rows]  # nan is not equal to itself

    assert text(back.messages) == text(record.messages)
    assert text(back.computes) == text(record.computes)
    assert text(back.rounds) == text(record.rounds)


def test_the_parts_are_those_of_the_summary(folder, found):
    summary = json.loads((folder / "summary.json").read_text())
    assert found["blame"] == summary["blame"]
    assert summary["blame"]["availability"] == pytest.approx(9.0)
    for part, devices in summary["blame_devices"].items():
        assert list(devices.items()) == list(found["blame_devices"][part].items())[:5]


def test_the_parts_of_the_rounds_sum_to_their_lengths_and_to_those_of_the_run(found):
    for each in found["rounds"]:
        assert math.fsum(each["blame"].values()) == pytest.approx(each["end_s"] - each["start_s"], abs=1e-9)
        edges = [each["start_s"], *(step["end_s"] for step in each["steps"])]
        assert [step["start_s"] for step in each["steps"]] == pytest.approx(edges[:-1], abs=1e-9)
    for part, seconds in found["blame"].items():
        assert math.fsum(each["blame"][part] for each in found["rounds"]) == pytest.approx(seconds, abs=1e-9)


def printed(found, width, **options):
    out = io.StringIO()
    view.show(found, Console(file=out, width=width), **options)
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("options", [{}, {"round": 2}, {"devices": True}])
def test_what_is_printed_fits_the_terminal(found, width, options):
    text = printed(found, width, **options)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert "where the virtual time went" in text


def test_it_says_of_whom_a_part_is_and_how_slow_each_device_could_be(found):
    text = " ".join(printed(found, 120).split())
    (device, seconds), *_ = found["blame_devices"]["uplink"].items()
    assert f"{device} {100 * seconds / found['blame']['uplink']:.0f} %" in text
    critical = next(each for each in found["slack"] if each["uplink_s"] == 0)
    assert f"{critical['device']} " in text
    assert "none" in text


def test_a_round_is_told_step_by_step(found):
    text = printed(found, 120, round=3)
    assert "client forward" in text
    assert "activations" in text
    assert text.count("\n") < 30


def test_blame_prints_one_json_object(folder, found, capsys):
    assert cli.main(["blame", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found


def refused(capsys, *arguments):
    code = cli.main(["blame", *map(str, arguments)])
    captured = capsys.readouterr()
    assert (code, captured.out) == (2, "")
    return captured.err


def test_bad_input_is_refused_in_one_sentence(folder, tmp_path, capsys):
    assert "--round 9: the run had the rounds 1 to 4" in refused(capsys, folder, "--round", 9)
    assert "is no folder" in refused(capsys, tmp_path / "nowhere")
    assert "not the folder of a finished run: it has no summary.json" in refused(capsys, tmp_path)
    broken = tmp_path / "run"
    shutil.copytree(folder, broken)
    (broken / "messages.parquet").write_bytes(b"PAR1 no table")
    assert "messages.parquet is not a table of this version's runs" in refused(capsys, broken)
    (broken / "messages.parquet").unlink()
    assert refused(capsys, broken) == (
        f"splitwire: {broken} is not the folder of a finished run: it has no messages.parquet\n"
    )
    (broken / "rounds.csv").write_text("round,start_s\n1,2\n")
    assert "rounds.csv is not the table of a run's rounds: it has no column end_s\n" in refused(capsys, broken)
    (broken / "summary.json").write_text("[]")
    assert "is not the summary of a run" in refused(capsys, broken)
