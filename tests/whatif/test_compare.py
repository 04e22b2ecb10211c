"""Runs side by side, from folders written by hand and from real ones."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

import cli
from simulator.record import RoundRow
from simulator.run_folder import RunFolder
from simulator.views import charts
from simulator.views.charts import front_of, unit_for

ROOT = Path(__file__).parents[2]
FOUR = ROOT / "scenarios" / "four_phones.yaml"


def written(path: Path, perplexities: list[float], *, round_s: float, seed: int = 1, lte: str = "20 Mbit/s") -> Path:
    """A finished run whose rounds take so long and move 1 kB up and 2 kB down; nan is a round without evaluation."""
    folder = RunFolder.create(path)
    folder.write_scenario(f"name: {path.name}\nseed: {seed}\nnetwork:\n  access:\n    lte: {{up: {lte}}}\n")
    for number, value in enumerate(perplexities):
        size = (1000, 2000) if number else (0, 0)
        begin_s, end_s = max(0, number - 1) * round_s, number * round_s
        folder.append_round(RoundRow(number, begin_s, end_s, 4, 0, math.nan, math.log(value), value, *size, "a"))
    end_s = round_s * (len(perplexities) - 1)
    folder.write_summary(
        {
            "name": path.name,
            "algorithm": "splitlora",
            "model": "mini",
            "timed_as": "gpt2",
            "virtual_s": end_s,
            "perplexity": perplexities[-1],
            "perplexity_before": perplexities[0],
            "bytes_up": 1000 * (len(perplexities) - 1),
            "bytes_down": 2000 * (len(perplexities) - 1),
            "energy_j": {"devices": {"total": 12.5}},
            "blame": {"uplink": 0.75 * end_s, "server": 0.25 * end_s},
        }
    )
    return path


def compare(capsys, *arguments: object) -> tuple[int, str, str]:
    code = cli.main(["compare", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_perplexity_is_reached_at_the_first_evaluation_at_or_below_it(capsys, tmp_path):
    """From 100 the goals are 75, 50, 25 and 10 (if seen), and the lowest that both reach: 20."""
    quick = written(tmp_path / "quick", [100, math.nan, 40, 20], round_s=10)
    slow = written(tmp_path / "slow", [100, 75, 50, 30, 20, 12], round_s=20)
    code, out, err = compare(capsys, quick, slow, "--json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert result["perplexities"] == [75, 50, 25, 20]
    first, second = ([(each["virtual_s"], each["bytes"]) for each in run["reached"]] for run in result["runs"])
    assert first == [(20, 6000), (20, 6000), (30, 9000), (30, 9000)]  # 75 was passed unseen in round 1
    assert second == [(20, 3000), (40, 6000), (80, 12000), (80, 12000)]
    assert [run["energy_j"] for run in result["runs"]] == [12.5, 12.5]
    assert result["runs"][0]["blame"] == {"uplink": 22.5, "server": 7.5}
    assert result["differences"] == {}


def test_what_differs_between_the_scenarios_is_said_and_names_are_no_difference(capsys, tmp_path):
    one = written(tmp_path / "one", [100, 50], round_s=1)
    two = written(tmp_path / "two", [100, 50], round_s=1, seed=2, lte="5 Mbit/s")
    result = json.loads(compare(capsys, one, two, "--json")[1])
    assert result["differences"] == {
        "seed": {str(one): "1", str(two): "2"},
        "network.access.lte.up": {str(one): "20 Mbit/s", str(two): "5 Mbit/s"},
    }
    out = compare(capsys, one, two)[1]
    assert "perplexities are not those of one model on the same texts (differing: seed)" in " ".join(out.split())


def test_real_runs_are_printed_side_by_side_and_drawn(capsys, tmp_path, monkeypatch):
    for algorithm in ("splitlora", "fedlora"):
        options = ["--set", f"algorithm={algorithm}", "--timing-only", "--json", "--out", str(tmp_path / algorithm)]
        assert cli.main(["run", str(FOUR), *options]) == 0
        capsys.readouterr()
    for columns in ("80", "120"):
        monkeypatch.setenv("COLUMNS", columns)
        code, out, _ = compare(capsys, tmp_path / "splitlora", tmp_path / "fedlora", "--png", tmp_path / "c.png")
        assert code == 0
        assert max(map(len, out.splitlines())) <= int(columns)
    rows = {line[:24].strip(): line[24:].split() for line in out.splitlines()}
    assert rows["algorithm"] == ["splitlora", "fedlora"]
    assert rows["losses of"] == ["timing", "only", "timing", "only"]
    assert not any(row.startswith("by perplexity") for row in rows)
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_names_scenario_and_folder_and_one_of_them_where_they_are_equal(capsys, tmp_path, monkeypatch):
    one, two = (written(tmp_path / name, [100, 50], round_s=1) for name in ("one", "two"))
    summary = json.loads((two / "summary.json").read_text())
    (two / "summary.json").write_text(json.dumps(summary | {"name": "four phones"}))
    drawn: list[tuple[list[str], list[str]]] = []

    def comparison(xs, y, series, bars, *, target):
        drawn.append(([each.label for each in series[0]], list(bars.labels)))
        return b""

    monkeypatch.setattr(charts, "comparison", comparison)
    assert compare(capsys, one, two, "--png", tmp_path / "c.png")[0] == 0
    assert drawn == [(["one", "four phones (two)"], ["one", "four phones\ntwo"])]


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["a"], "compare needs the folders of at least two runs, got 1"),
        (["a", "a"], "{0}/a is named twice"),
        (["a", "b"], "{0}/b is no folder; name the folder of a run, such as runs/NAME/TIME-SEED"),
        (["a", "."], "{0} is not the folder of a finished run: it has no summary.json"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_one_sentence(capsys, tmp_path, names, reason):
    written(tmp_path / "a", [100, 50], round_s=1)
    code, out, err = compare(capsys, *(tmp_path / name for name in names))
    assert (code, out, err) == (2, "", f"splitwire: {reason.format(tmp_path)}\n")


def test_where_no_picture_can_be_left_is_said_before_anything_is_read(capsys, tmp_path):
    for name, reason in (("c.svg", "must end with .png"), ("no/c.png", f"there is no folder {tmp_path / 'no'}")):
        code, out, err = compare(capsys, tmp_path / "a", tmp_path / "b", "--png", tmp_path / name)
        assert (code, out, err) == (2, "", f"splitwire: --png {tmp_path / name}: {reason}\n")


def timed_only(path: Path, **summary: object) -> Path:
    """A finished run without any perplexity, of another seed than `written`; ``summary`` replaces entries."""
    written(path, [math.nan, math.nan], round_s=1, seed=2)
    old = json.loads((path / "summary.json").read_text())
    new = old | {"perplexity": None, "perplexity_before": None} | summary
    (path / "summary.json").write_text(json.dumps(new))
    return path


def test_of_a_run_that_was_not_trained_no_perplexity_is_missed_and_none_minded(capsys, tmp_path):
    trained = written(tmp_path / "trained", [100, 40, 20], round_s=10)
    timed = timed_only(tmp_path / "timed")
    out = compare(capsys, trained, timed)[1]
    rows = {line[:24].strip(): line[24:].split() for line in out.splitlines()}
    perplexities = {name: cells for name, cells in rows.items() if "perplexity" in name}
    assert set(perplexities) >= {"perplexity before", "perplexity after", "by perplexity 75.00", "by perplexity 20.00"}
    assert all(cells[-2:] == ["not", "taken"] for cells in perplexities.values())
    assert rows["bytes by 20.00"] == ["6.0", "kB", "not", "taken"]
    assert "not reached" not in out
    assert "mind" not in out
    both = written(tmp_path / "both", [100, 40, 20], round_s=10, seed=3)
    assert "(differing: seed)" in " ".join(compare(capsys, trained, timed, both)[1].split())


def test_whose_joules_are_unknown_is_said_and_what_the_others_took(capsys, tmp_path):
    known = written(tmp_path / "known", [100, 50], round_s=1)
    groups = {"train": {"total": 1000.0}, "car": {"total": 500.0}, "bus": {"total": None}}
    part = timed_only(
        tmp_path / "part",
        energy_j={"devices": {"total": None}, "by_group": groups},
        energy_unknown={"bus": ["tail_s of link class 3g"]},
    )
    out = compare(capsys, known, part)[1]
    assert next(line for line in out.splitlines() if "energy of the devices" in line).split()[-1] == "unknown"
    said = " ".join(out.split())
    assert "energy part: 1.5 kJ for train, car, unknown for bus (tail_s of link class 3g)" in said
    assert "known:" not in said
    runs = json.loads(compare(capsys, known, part, "--json")[1])["runs"]
    assert [run["energy_unknown"] for run in runs] == [{}, {"bus": ["tail_s of link class 3g"]}]


def test_a_group_that_some_runs_do_not_have_is_one_line(capsys, tmp_path):
    groups = [
        "{name: train, profile: phone-mid, count: 25, access: train}",
        "{name: bus, profile: phone-low, count: %d, access: 3g, split: null}",
    ]
    paths = []
    for name, text in (("none", groups[:1]), ("ten", [groups[0], groups[1] % 10]), ("two", [groups[0], groups[1] % 2])):
        paths.append(written(tmp_path / name, [100, 50], round_s=1))
        (paths[-1] / "scenario.yaml").write_text("\n".join(["devices:", *(f"  - {each}" for each in text)]))
    out = compare(capsys, *paths[:2])[1]
    (line,) = (line for line in out.splitlines() if "devices." in line)
    assert line.split()[0] == "devices.1"
    assert "10 bus (phone-low, 3g)" in line
    several = [line.split()[0] for line in compare(capsys, *paths)[1].splitlines() if "devices." in line]
    assert several == ["devices.1", "devices.1.count"]


def test_a_picture_is_said_to_be_written_and_whether_in_place_of_a_file(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = [written(tmp_path / name, [100, 50], round_s=1) for name in ("a", "b")]
    last = [compare(capsys, *runs, "--png", "both.png")[1].splitlines()[-1].split(maxsplit=2) for _ in range(2)]
    assert last == [["picture", "both.png"], ["picture", "both.png", "(in place of the file that was there)"]]
    json.loads(compare(capsys, *runs, "--png", "both.png", "--json")[1])


def test_comparing_never_loads_torch(tmp_path):
    one, two = (written(tmp_path / name, [100, 50], round_s=1) for name in "ab")
    command = ["compare", str(one), str(two), "--json"]
    code = f"import sys, cli\nassert cli.main({command!r}) == 0\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)


def test_the_pareto_front_has_the_points_that_no_other_beats():
    points = [(1, 9), (2, 5), (2, 6), (3, 5), (4, 1), (5, 2)]
    assert [points[place] for place in front_of(points)] == [(1, 9), (2, 5), (4, 1)]


def test_numbers_are_drawn_in_the_unit_that_suits_the_greatest():
    assert unit_for([1, 119], "s") == (1.0, "s")
    assert unit_for([1, 7200], "s") == (60.0, "min")
    assert unit_for([0.02], "s") == (1e-3, "ms")
    assert unit_for([2e9, 1], "B") == (1e9, "GB")
    assert unit_for([5e6], "bit/s") == (1e6, "Mbit/s")
    assert unit_for([12], "") == (1.0, "")
