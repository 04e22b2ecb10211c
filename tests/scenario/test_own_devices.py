"""A table of one's own devices beside the scenario: found, used everywhere, refused by file, line and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator import session, world
from simulator.scenario import ScenarioError, dump, load, loads

HEADER = "id,name,device_class,backend,efficiency,efficiency_source,cpu_fp32_flops_per_s,memory_bandwidth_bytes_per_s"
HEADER += ",ram_bytes,usable_ram_bytes"
ROW = "our-board,Our board,sbc,cpu,0.5,measured: by us,1e11,1e10,4000000000,3000000000"
SCENARIO = """\
name: ours
device_catalog: mine.csv
model: {name: mini}
training: {rounds: 1, batch: 1, tokens: 64}
devices:
  - {profile: our-board, count: 2, access: lan}
  - {profile: phone-low, count: 1, access: lan}
network: {access: {lan: {up: 10 Mbit/s, down: 10 Mbit/s, latency: 1 ms}}}
server: {profile: our-board}
aggregator: {profile: our-board}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    away = tmp_path / "elsewhere"
    away.mkdir()
    monkeypatch.chdir(away)  # the table is found beside the scenario, not in the working directory
    (tmp_path / "s.yaml").write_text(SCENARIO)
    (tmp_path / "mine.csv").write_text(f"{HEADER}\n{ROW}\n")
    return tmp_path


def refused(path: Path) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        load(path)
    return str(caught.value).splitlines()


def test_a_device_of_ones_own_computes_and_serves(folder):
    scenario = load(folder / "s.yaml")
    assert scenario.find_profile("our-board").training_flops_per_s == 50e9
    assert scenario.find_profile("phone-low").id == "redmi-note-8"
    rows = world.run(scenario, timing_only=True).record.computes
    assert {row.actor for row in rows} == {"our-board-1", "our-board-2", "phone-low", "server"}


def test_the_resolved_scenario_finds_the_table_again_from_anywhere(folder):
    scenario = load(folder / "s.yaml")
    assert loads(dump(scenario)) == scenario


def test_a_table_with_a_mistake_is_refused_with_the_lines_of_both_files(folder):
    (folder / "mine.csv").write_text(f"{HEADER}\n{ROW.replace('4000000000', '4 GB')}\n")
    (line,) = refused(folder / "s.yaml")
    assert line == (
        f"{folder / 's.yaml'}:2: device_catalog: {folder / 'mine.csv'}:2: "
        "ram_bytes: must be a whole number or empty, got '4 GB'"
    )


def test_a_table_that_is_not_there_is_refused_with_where_it_was_looked_for(folder):
    (folder / "mine.csv").unlink()
    first, *_ = refused(folder / "s.yaml")
    assert first.startswith(f"{folder / 's.yaml'}:2: device_catalog: 'mine.csv' does not exist (looked in ")


def test_a_misspelt_device_of_ones_own_is_guessed(folder):
    (folder / "s.yaml").write_text(SCENARIO.replace("{profile: our-board, count", "{profile: our-bord, count"))
    (line,) = refused(folder / "s.yaml")
    assert "unknown device profile 'our-bord'; did you mean 'our-board'?" in line


@pytest.mark.parametrize("party", ["device", "server", "aggregator"])
def test_a_figure_that_the_table_leaves_out_is_an_error_that_names_it_before_anything_runs(folder, party):
    (folder / "mine.csv").write_text(f"{HEADER}\n{ROW.replace('1e11,1e10', '1e11,')}\n")
    kept = {"device": "count", "server": "server", "aggregator": "aggregator"}[party]
    text = "\n".join(
        line if kept in line else line.replace("our-board", "raspberry-pi-5") for line in SCENARIO.splitlines()
    )
    assert text.count("our-board") == 1
    (folder / "s.yaml").write_text(text)
    line = next(at for at, line in enumerate(text.splitlines(), 1) if "our-board" in line)
    key = {"device": "devices[0]"}.get(party, party)
    sentence = "device 'our-board' (Our board): memory_bandwidth_bytes_per_s is unknown, no source was found for it"
    assert refused(folder / "s.yaml") == [f"{folder / 's.yaml'}:{line}: {key}.profile: {sentence}"]
    with pytest.raises(ValueError, match="memory_bandwidth_bytes_per_s is unknown"):
        session.run(folder / "s.yaml", [], out=folder / "run", timing_only=True, quiet=True)
    assert not (folder / "run").exists()


def test_every_figure_that_training_needs_and_the_table_leaves_out_is_told_at_once(folder):
    row = ROW.replace("sbc,cpu", "jetson,gpu-fp32").replace(",3000000000", ",")
    (folder / "mine.csv").write_text(f"{HEADER}\n{row}\n")
    text = SCENARIO.replace("server: {profile: our-board}\n", "").replace("aggregator: {profile: our-board}\n", "")
    (folder / "s.yaml").write_text(text)
    figures = "gpu_fp32_flops_per_s, usable_ram_bytes, kernel_overhead_s, half_efficiency_tokens"
    (line,) = refused(folder / "s.yaml")
    assert line.endswith(f"'our-board' (Our board): {figures} are unknown, no source was found for them")
