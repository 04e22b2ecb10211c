"""The command line as a user meets it: what it prints, what it writes, how it refuses."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

import cli
from simulator.run_folder import RunFolder

ROOT = Path(__file__).parents[1]
FOUR = str(ROOT / "scenarios" / "four_phones.yaml")
CASES = ROOT / "tests" / "data" / "network"
KEYS = {
    "virtual_s", "wall_s", "rounds", "tokens", "loss", "perplexity", "bytes_up", "bytes_down", "bytes_by_kind",
    "trace_hash", "blame",
}  # fmt: skip


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    code = cli.main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_json_is_one_object_with_the_summary_and_nothing_else(capsys, tmp_path):
    code, out, err = run(capsys, "run", FOUR, "--json", "--out", str(tmp_path / "r"))
    assert (code, err) == (0, "")
    summary = json.loads(out)
    assert set(summary) >= KEYS
    assert summary["rounds"] == 2
    assert summary["tokens"] == 2 * 4 * 1 * 64
    assert sum(summary["bytes_by_kind"].values()) == summary["bytes_up"] + summary["bytes_down"]
    assert summary == json.loads((tmp_path / "r" / "summary.json").read_text())
    adapter = {entry.name for entry in (tmp_path / "r" / "adapter").iterdir()}
    assert adapter == {"adapter_config.json", "adapter_model.safetensors"}


@pytest.mark.parametrize(
    ("after", "said"), [(0, " before a round had ended; the folder is"), (1, "; the rounds so far are in")]
)
def test_whoever_interrupts_a_run_is_told_whether_a_round_had_ended(capsys, tmp_path, monkeypatch, after, said):
    append = RunFolder.append_round

    def interrupted(folder, row):
        append(folder, row)
        if row.round == after:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunFolder, "append_round", interrupted)
    code, out, err = run(capsys, "run", FOUR, "--timing-only", "--json", "--out", str(tmp_path / "r"))
    assert (code, out, err) == (130, "", f"splitwire: interrupted{said} {tmp_path / 'r'}\n")


def test_an_interruption_before_anything_is_there_is_said_too(capsys, tmp_path, monkeypatch):
    def interrupted(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(RunFolder, "create", interrupted)
    code, out, err = run(capsys, "run", FOUR, "--timing-only", "--json", "--out", str(tmp_path / "r"))
    assert (code, out, err) == (130, "", "splitwire: interrupted\n")


def test_the_folder_of_a_run_holds_what_happened(capsys, tmp_path):
    folder = tmp_path / "r"
    assert run(capsys, "run", FOUR, "--timing-only", "--out", str(folder))[0] == 0
    names = {
        "scenario.yaml",
        "manifest.json",
        "messages.parquet",
        "compute.parquet",
        "devices.csv",
        "rounds.csv",
        "summary.json",
    }
    assert {entry.name for entry in folder.iterdir()} == names
    rounds = list(csv.DictReader((folder / "rounds.csv").open()))
    assert [row["round"] for row in rounds] == ["0", "1", "2"]
    assert rounds[1]["end_s"] == rounds[2]["start_s"]
    from pyarrow import parquet

    messages = parquet.read_table(folder / "messages.parquet").to_pydict()
    summary = json.loads((folder / "summary.json").read_text())
    assert sum(messages["size_bytes"]) == summary["bytes_up"] + summary["bytes_down"]
    assert set(messages["kind"]) == {"activations", "gradients", "adapter"}


def test_a_run_goes_on_from_the_adapters_that_another_has_left(capsys, tmp_path):
    """Row 0 is the state before training: the first run's last one, to rounding in float32."""
    first, second = tmp_path / "a", tmp_path / "b"
    targets = ("--set", "lora.targets=[q, v, mlp.c_proj]", "--set", "lora.rank=4")
    ranks = [part for group in range(3) for part in ("--set", f"devices.{group}.rank=4")]
    assert run(capsys, "run", FOUR, *targets, *ranks, "--set", "training.export=clients", "--out", str(first))[0] == 0
    last = list(csv.DictReader((first / "rounds.csv").open()))[-1]
    kept = {entry.name: {file.name for file in entry.iterdir()} for entry in (first / "adapters").iterdir()}
    assert len(kept) == 4
    assert all(files == {"adapter_config.json", "adapter_model.safetensors"} for files in kept.values())
    begin = ("--set", f"lora.init={first / 'adapter'}")
    assert run(capsys, "run", FOUR, *targets, *ranks, *begin, "--out", str(second))[0] == 0
    zeroth = next(csv.DictReader((second / "rounds.csv").open()))
    assert float(zeroth["loss"]) == pytest.approx(float(last["loss"]), rel=1e-5)
    code, _, err = run(capsys, "run", FOUR, *begin, "--out", str(tmp_path / "c"))
    assert code == 2
    assert "lora.targets [c_attn, mlp.c_proj] would fit" in err  # its c_attn is wide enough for what q and v learned


def test_the_resolved_scenario_beside_the_results_runs_to_the_same_trace(capsys, tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    run(capsys, "run", FOUR, "--timing-only", "--out", str(first), "--set", "training.rounds=3", "--seed", "9")
    run(capsys, "run", str(first / "scenario.yaml"), "--timing-only", "--out", str(second))
    hashes = [json.loads((folder / "summary.json").read_text())["trace_hash"] for folder in (first, second)]
    assert hashes[0] == hashes[1]


def test_lines_for_a_pipe_name_both_clocks_and_both_models(capsys, tmp_path):
    _, out, _ = run(capsys, "run", FOUR, "--out", str(tmp_path / "r"))
    assert "virtual" in out
    assert "real" in out
    assert "mini, timed as gpt2" in out
    assert "\x1b" not in out  # no escape codes in a pipe


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "nowhere.yaml"], ["nowhere.yaml", "no such file"]),
        (["run", "scenarios/100_phone.yaml"], ["did you mean", "100_phones.yaml"]),
        (["run", FOUR, "--set", "model.split=13"], ["model.split", "0..12", "12 blocks", "got 13"]),
        (["run", FOUR, "--set", "training.rounds=0"], ["training.rounds", ">= 1", "got 0"]),
        (["run", FOUR, "--set", "training.ruonds=5"], ["unknown key 'ruonds'", "did you mean 'rounds'?"]),
        (["run", FOUR, "--set", "network.access.lte.up=-1 Mbit/s"], ["network.access.lte.up", "-1 Mbit/s"]),
        (["run", FOUR, "--set", "network.access.lte.up=nan Mbit/s"], ["network.access.lte.up", "nan"]),
        (["run", FOUR, "--set", "network.access.lte.up=20"], ["needs a unit", "20 Mbit/s"]),
        (["run", FOUR, "--set", "network.cells.Tower.capacity=1 Gbit/s"], ["unknown cell 'Tower'", "mean 'tower'?"]),
        (["run", FOUR, "--set", "devices.0.count=1000000"], ["devices", "at most 100,000"]),
        (["run", FOUR, "--set", "devices.1.profile=phone-mdi"], ["devices[1].profile", "did you mean 'phone-mid'?"]),
        (["run", FOUR, "--set", "data.source=e2e"], ["data.path"]),
        (["run", FOUR, "--set", "data={source: e2e, path: /no/such/place}"], ["data.path", "/no/such/place"]),
        (["run", FOUR, "--set", "devices.0={profile: raspberry-pi-3b-plus, count: 1, access: lte, split: 11}",
          "--set", "training.batch=8"], ["needs", "usable", "GiB"]),
        (["run"], ["Missing argument"]),
        (["runn", FOUR], ["No such command", "run"]),
        (["retime", FOUR], ["is no folder", "runs/NAME/TIME-SEED"]),
        (["score", FOUR], ["is no folder", "runs/NAME/TIME-SEED"]),
        (["flows", "nowhere.json"], ["nowhere.json"]),
        (["flows", str(CASES / "tv_step.json"), "--model", "pur"], ["'pur'", "pure"]),
    ],
)  # fmt: skip
def test_a_users_mistake_is_one_sentence_and_exit_code_2(capsys, monkeypatch, tmp_path, arguments, expected):
    monkeypatch.chdir(ROOT)
    out_folder = tmp_path / "r"
    options = ["--timing-only", "--out", str(out_folder)] if arguments[:1] == ["run"] and len(arguments) > 1 else []
    code, out, err = run(capsys, *arguments, *options)
    assert (code, out) == (2, "")
    for part in expected:
        assert part in " ".join(err.split())
    assert "Traceback" not in err
    assert not out_folder.exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("study FOUR --vary network.access.lte.up=1, 5 Mbit/s --json",
         "--vary got 'network.access.lte.up=1,' alone, and '5 Mbit/s' was left over; write it in quotes: "
         "--vary 'network.access.lte.up=1, 5 Mbit/s'"),
        ("run --set network.access.lte.up=5 Mbit/s FOUR",
         "--set got 'network.access.lte.up=5' alone, and 'Mbit/s' was left over; write it in quotes: "
         "--set 'network.access.lte.up=5 Mbit/s'"),
        ("retime runs/first --set=server.speed=2 %",
         "--set got 'server.speed=2' alone, and '%' was left over; write it in quotes: --set 'server.speed=2 %'"),
        ("study FOUR --vary lora.rank=2,4 --seeds 1, 2, 3",
         "--seeds got '1,' alone, and '2, 3' was left over; write it in quotes: --seeds '1, 2, 3'"),
        ("plan FOUR --splits 1, 2", "--splits got '1,' alone, and '2' was left over; write it in quotes: "
         "--splits '1, 2'"),
    ],
)  # fmt: skip
def test_a_value_that_the_shell_has_torn_at_a_blank_is_told_with_how_to_write_it(capsys, line, said):
    words = [FOUR if word == "FOUR" else word for word in line.split()]
    assert run(capsys, *words) == (2, "", f"splitwire: the shell parts words at blanks, so {said}\n")


@pytest.mark.parametrize("torn", [["model.split", "3"], ["model.split", "=", "3"]])
def test_a_key_that_stands_apart_from_its_value_is_told_how_to_join_them(capsys, torn):
    said = "splitwire: --set takes key=value, without blanks around the sign; write --set model.split=3\n"
    assert run(capsys, "run", FOUR, "--set", *torn) == (2, "", said)


def test_a_python_without_the_packages_is_told_where_they_are():
    """The second command of a newcomer: `make run` has set up an environment that the shell does not know of."""
    bare = subprocess.run([sys.executable, "-I", "-S", ROOT / "cli.py"], capture_output=True, text=True, check=False)
    assert (bare.returncode, bare.stdout) == (2, "")
    assert bare.stderr.startswith(f"splitwire: this Python ({sys.executable}) has no typer; use the environment")
    assert ". .venv/bin/activate" in bare.stderr


def test_two_scenarios_are_not_taken_for_a_torn_value(capsys):
    code, out, err = run(capsys, "run", FOUR, FOUR, "--set", "seed=1")
    assert (code, out) == (2, "")
    assert "unexpected extra argument" in " ".join(err.split())


def test_an_unreadable_model_folder_is_refused_before_anything_looks_finished(capsys, tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    shipped = ROOT / "simulator" / "training" / "mini"
    (model / "config.json").write_bytes((shipped / "config.json").read_bytes())
    (model / "tokenizer.json").write_bytes((shipped / "tokenizer.json").read_bytes())
    (model / "model.safetensors").write_bytes(b"not weights")
    folder = tmp_path / "r"
    code, out, err = run(capsys, "run", FOUR, "--json", "--out", str(folder), "--set", f"model.name={model}")
    assert (code, out) == (2, "")
    assert str(model) in err
    assert "Traceback" not in err
    assert not folder.exists()


def test_a_run_that_cannot_end_says_who_waits_and_how_to_see_it_again(capsys, tmp_path):
    arguments = ["run", FOUR, "--timing-only", "--out", str(tmp_path / "r"), "--set", "horizon=100 ms"]
    code, _, err = run(capsys, *arguments)
    assert code == 1
    assert "the horizon of 100 ms was reached" in err
    assert "server on server.activations" in err
    assert f"reproduce: splitwire run {tmp_path / 'r' / 'scenario.yaml'} --timing-only" in err
    assert not (tmp_path / "r" / "summary.json").exists()


def test_results_never_overwrite_results(capsys, tmp_path):
    arguments = ["run", FOUR, "--timing-only", "--out", str(tmp_path / "r")]
    assert run(capsys, *arguments)[0] == 0
    before = (tmp_path / "r" / "summary.json").read_bytes()
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert "r" in err
    assert (tmp_path / "r" / "summary.json").read_bytes() == before


def test_flows_prints_the_time_of_every_flow(capsys):
    file = CASES / "tv_step.json"
    code, out, _ = run(capsys, "flows", str(file), "--model", "pure", "--json")
    truth = json.loads(file.read_text())["results"]["simgrid_maxmin"]
    assert code == 0
    assert json.loads(out) == {"finish_s": pytest.approx(truth, rel=1e-6)}


def test_flows_that_never_finish_are_refused_at_the_line_of_the_link_that_dies(capsys, tmp_path):
    file = tmp_path / "dies.json"
    file.write_text("""{"links": [{"id": "a", "bandwidth_bps": 8e6, "latency_s": 0},
           {"id": "b", "bandwidth_bps": 8e6, "latency_s": 0, "profile": [[0, 8e6], [0.5, 0]]}],
 "flows": [{"id": "x", "start_s": 0, "bytes": 1000000, "route": ["a", "b"]},
           {"id": "y", "after": "x", "bytes": 1, "route": ["a"]},
           {"id": "z", "start_s": 0, "bytes": 1, "route": ["a"]}]}""")
    code, out, err = run(capsys, "flows", str(file), "--model", "pure")
    sentence = "links[1].profile: 0 bit/s for ever from 0.5 s on: never finished: x, y"
    assert (code, out, err) == (2, "", f"splitwire: {file}:2: {sentence}\n")


@pytest.mark.parametrize("verb", [[], ["run"], ["flows"]])
def test_help_answers_without_loading_anything_heavy(verb):
    code = (
        f"import sys, cli\ncode = cli.main({[*verb, '--help']!r})\n"
        "print(sorted({'torch', 'pyarrow', 'simpy', 'numpy'} & set(sys.modules)))\nsys.exit(code)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "Usage" in result.stdout
    assert result.stdout.strip().endswith("[]")


def test_links_prints_each_class_with_its_medians_and_its_sources(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    code, out, err = run(capsys, "links", "lte-driving")
    assert (code, err) == (0, "")
    text = " ".join(out.split())
    assert "lte-driving" in text
    assert "5g-low-band" not in text
    assert "0 1.04 1.19" in text  # Mbit/s up: 5 %, median, 95 %
    assert "traces/ATT-LTE-driving.up" in text


@pytest.mark.parametrize("columns", [80, 120])
def test_links_prints_every_class_whole_in_its_line(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    code, out, err = run(capsys, "links")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert max(map(len, lines)) <= columns
    rates, radio = (line.split() for line in lines if line.split()[:1] == ["5g-mmwave"])
    assert rates[1:] == ["35.5", "77.2", "157", "94", "944", "2667", "25", "52", "84", "0.92", "0.92", "once"]
    assert radio[1:] == ["3.7", "0.071", "0.014", "10.7"]


def test_links_as_json_is_one_object_in_si_units_where_the_unknown_is_null(capsys):
    code, out, err = run(capsys, "links", "--json", "lte-walking")
    assert (code, err) == (0, "")
    (link,) = json.loads(out)["links"]
    assert (link["id"], link["up_bps"], link["down_lag1"]) == ("lte-walking", None, 0.938)
    assert max(link["down_bps"]["values"]) == 290e6
    assert link["vary"] == "ar1"
    assert "Lumos5G" in link["down_source"]


def test_links_shows_the_classes_of_ones_own_table(capsys, tmp_path):
    (tmp_path / "mine.csv").write_text("id,up_mbps,down_mbps,up_source\nlab,10,20,measured by us\n")
    code, out, err = run(capsys, "links", "--json", "--catalog", str(tmp_path / "mine.csv"), "measured by us")
    assert (code, err) == (0, "")
    assert [link["id"] for link in json.loads(out)["links"]] == ["lab"]


def test_links_refuses_a_filter_that_matches_nothing_with_a_guess(capsys):
    code, out, err = run(capsys, "links", "lte-drving")
    assert (code, out) == (2, "")
    assert err.startswith("splitwire: no link class matches 'lte-drving'; did you mean 'lte-driving'? (all of them: ")


@pytest.mark.parametrize("columns", [80, 120])
def test_devices_prints_every_device_whole_in_its_line(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    code, out, err = run(capsys, "devices")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert max(map(len, lines)) <= columns
    (line,) = [line.split() for line in lines if line.split()[:1] == ["raspberry-pi-5"]]
    assert line == ["raspberry-pi-5", "61.4", "17.1", "7", "12.7", "2.8", "?", "100"]
    (line,) = [line.split() for line in lines if line.split()[:1] == ["galaxy-s23-ultra"]]
    assert line[-2:] == ["19.2", "72"]


def test_devices_names_the_sources_of_the_few_that_are_asked_for(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    code, out, _ = run(capsys, "devices", "phone-low")
    text = " ".join(out.split())
    assert code == 0
    assert "redmi-note-8: Xiaomi Redmi Note 8, Snapdragon 665" in text
    assert "efficiency: derived: 0.2 on phone CPUs" in text
    assert "power: assumed: what a phone sheds for long" in text
    assert "redmi-note-11" not in text


def test_devices_as_json_is_one_object_in_si_units_where_the_unknown_is_null(capsys):
    code, out, err = run(capsys, "devices", "--json", "orin")
    assert (code, err) == (0, "")
    devices = json.loads(out)["devices"]
    assert [each["id"] for each in devices][:1] == ["jetson-orin-nano"]
    assert devices[0]["resting_power_w"] is None
    assert devices[0]["memory_bandwidth_bytes_per_s"] == 68e9
    assert all(each["source"] for each in devices)


def test_devices_refuses_a_filter_that_matches_nothing_with_a_guess(capsys):
    code, out, err = run(capsys, "devices", "rasbery-pi-5")
    assert (code, out) == (2, "")
    assert err.startswith("splitwire: no device matches 'rasbery-pi-5'; did you mean 'raspberry-pi-5'?")


def test_devices_reads_a_users_own_table_too_and_says_where_it_is_wrong(capsys, tmp_path):
    path = tmp_path / "mine.csv"
    header = "id,name,device_class,backend,efficiency,efficiency_source,cpu_fp32_flops_per_s"
    path.write_text(f"{header}\nour-board,Our board,sbc,cpu,0.5,measured: by us,2e11\n")
    code, out, _ = run(capsys, "devices", "our-board", "--catalog", str(path))
    assert code == 0
    assert out.split("our-board")[1].split()[0] == "100"
    path.write_text(f"{header}\nour-board,Our board,sbc,cpu,1.5,measured: by us,2e11\n")
    code, out, err = run(capsys, "devices", "--catalog", str(path))
    assert (code, out) == (2, "")
    assert f"{path}:2: device 'our-board': efficiency must be a share in (0, 1], got 1.5" in err
