"""What a scenario cannot be, and the sentence that says so: file, line, key path, value, what is allowed, a guess."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.scenario import ScenarioError, load

GOOD = """\
name: small
model: {name: mini, split: 3}
training:
  rounds: 5
  batch: 2
devices:
  - {name: a, profile: phone-mid, count: 2, access: lte}
  - {name: b, profile: phone-low, count: 3, access: wifi, cell: tower}
network:
  access:
    lte: {up: 20 Mbit/s, down: 50 Mbit/s, latency: 30 ms}
    wifi: {up: 40 Mbit/s, down: 90 Mbit/s, latency: 5 ms}
  cells:
    tower: {capacity: 100 Mbit/s}
"""


@pytest.fixture
def refuse(tmp_path):
    """Load the good scenario with one text replaced; return the lines of the refusal, the file's folder left out."""

    def load_changed(old: str, new: str, *overrides: str) -> list[str]:
        assert old in GOOD
        path = tmp_path / "s.yaml"
        path.write_text(GOOD.replace(old, new, 1))
        with pytest.raises(ScenarioError) as caught:
            load(path, overrides)
        return str(caught.value).replace(f"{tmp_path}/", "").splitlines()

    return load_changed


def test_the_good_one_is_good(tmp_path):
    (tmp_path / "s.yaml").write_text(GOOD)
    scenario = load(tmp_path / "s.yaml")
    assert scenario.network.access["lte"].up == 20e6
    assert scenario.network.access["lte"].latency == 0.03
    assert [(group.name, group.count, group.split) for group in scenario.groups] == [("a", 2, 3), ("b", 3, 3)]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("split: 3", "split: 13", "s.yaml:2: model.split: must be in 0..12 for mini (12 blocks), got 13"),
        ("split: 3", "split: -1", "s.yaml:2: model.split: must be >= 0, got -1"),
        ("split: 3", "split: three", "s.yaml:2: model.split: must be a number, got 'three'"),
        ("split: 3", "split: 2.5", "s.yaml:2: model.split: must be a whole number, got 2.5"),
        ("split: 3", 'split: "3"', "s.yaml:2: model.split: must be a whole number, got the text '3'"),
        ("split: 3", "split: null", "s.yaml:2: model.split: must be a whole number, got nothing (null)"),
        ("split: 3", "split: [3]", "s.yaml:2: model.split: must be a whole number, got a list"),
        ("name: mini", "name: gpt3", "s.yaml:2: model.name: unknown model 'gpt3'; did you mean 'gpt2'?"),
        ("{name: mini, split: 3}", "mini", "s.yaml:2: model: must be a mapping, got 'mini'"),
        ("rounds: 5", "rounds: 0", "s.yaml:4: training.rounds: must be >= 1, got 0"),
        ("rounds: 5", "rounds: nan", "s.yaml:4: training.rounds: must be finite, got 'nan'"),
        ("rounds: 5", "ronds: 5", "s.yaml:4: training.ronds: unknown key 'ronds'; did you mean 'rounds'?"),
        ("rounds: 5", "tokens: 200", "s.yaml:4: training.tokens: must be in 2..128 (the positions of mini), got 200"),
        ("rounds: 5", "device: gpu", "s.yaml:4: training.device: unknown device 'gpu'; did you mean 'cpu'? (allowed: auto"),
        ("rounds: 5", "weights: size", "s.yaml:4: training.weights: unknown weights 'size' (allowed: data"),
        ("count: 2", "count: 0", "s.yaml:7: devices[0].count: must be >= 1, got 0"),
        ("count: 2, ", "", "s.yaml:7: devices[0]: needs count (a number) or share (of num_devices)"),
        ("phone-mid", "phone-mdi", "s.yaml:7: devices[0].profile: unknown device profile 'phone-mdi'; did you mean"),
        ("access: lte", "access: ltee", "s.yaml:7: devices[0].access: unknown access class 'ltee'; did you mean 'lte'?"),
        ("cell: tower", "cell: towre", "s.yaml:8: devices[1].cell: unknown cell 'towre'; did you mean 'tower'?"),
        ("name: b", "name: a", "s.yaml:8: devices[1].name: the name 'a' is already that of devices[0]"),
        ("name: b", "name: server", "s.yaml:8: devices[1].name: must not be 'server'"),
        ("up: 20 Mbit/s", "up: 20", "s.yaml:11: network.access.lte.up: 20 needs a unit, e.g. '20 Mbit/s'"),
        ("up: 20 Mbit/s", "up: 20 ms", "s.yaml:11: network.access.lte.up: '20 ms' is not a rate"),
        ("up: 20 Mbit/s", "up: -20 Mbit/s", "s.yaml:11: network.access.lte.up: must be > 0, got '-20 Mbit/s'"),
        ("up: 20 Mbit/s", "up: 0 Mbit/s", "s.yaml:11: network.access.lte.up: must be > 0, got '0 Mbit/s'"),
        ("up: 20 Mbit/s", "up: nan Mbit/s", "s.yaml:11: network.access.lte.up: must be finite, got 'nan Mbit/s'"),
        ("up: 20 Mbit/s", "up: 1e400 Mbit/s", "s.yaml:11: network.access.lte.up: must be finite"),
        ("latency: 30 ms", "latency: 30", "s.yaml:11: network.access.lte.latency: 30 needs a unit, e.g. '30 s'"),
        ("latency: 30 ms", "loss: 1.5, latency: 1 ms", "s.yaml:11: network.access.lte.loss: must be a share"),
        ("capacity: 100 Mbit/s", "up: 1 Mbit/s", "s.yaml:14: network.cells.tower: needs capacity (both directions)"),
        ("capacity: 100", "up: 1 Mbit/s, capacity: 100", "s.yaml:14: network.cells.tower: give capacity"),
        ("  batch: 2", "  rounds: 9", "s.yaml:5: training.rounds: the key is there twice; it first stands in line 4"),
        ("network:", "netwrok:", "s.yaml:9: netwrok: unknown key 'netwrok'; did you mean 'network'?"),
        ("name: small", "algorithm: splitlroa", "s.yaml:1: algorithm: unknown algorithm 'splitlroa'; did you mean"),
        ("name: small", "seed: 1e-1", "s.yaml:1: seed: must be a whole number, got 1e-1"),
        ("name: small", "lora: {targets: [q]}", "s.yaml:1: lora.targets: must be [c_attn] or [q, v], got [q]"),
        ("name: small", "lora: {rank: 97}", "s.yaml:1: lora.rank: must be in 1..96 (the width of mini), got 97"),
        ("name: small", "data: {source: e2e}", "s.yaml:1: data.source: e2e needs data.path"),
        ("name: small", "data: {path: no/where}", "s.yaml:1: data.path: no such file or folder: 'no/where'"),
        ("name: mini", "name: mini, timed_as: gpt2-medium", "gpt2-medium has 24, mini has 12"),
        ("name: small", "server: {profile: h1000}", "s.yaml:1: server.profile: unknown device profile 'h1000'"),
    ],
)  # fmt: skip
def test_each_impossible_value_is_refused_where_it_stands(refuse, old, new, sentence):
    lines = refuse(old, new)
    assert any(sentence in line for line in lines), lines


def test_several_problems_are_shown_together_by_line(tmp_path):
    text = GOOD.replace("split: 3", "split: 13").replace("rounds: 5", "rounds: 0").replace("wifi, cell", "wfi, cell")
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(ScenarioError) as caught:
        load(tmp_path / "s.yaml")
    assert [(problem.line, problem.key_path) for problem in caught.value.problems] == [
        (2, "model.split"), (4, "training.rounds"), (8, "devices[1].access"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"# only a comment\n", "must be a mapping"),
        (b"\x00\x01\x02\xff\xfe", "is not a text file"),
        (b"\x00\x00", "not valid YAML"),
        (b"- a\n- b\n", "must be a mapping"),
        (b"just words", "must be a mapping"),
        (b"a: [1, 2", "not valid YAML"),
        (b"a: b: c", ":1: is not valid YAML"),
        (b"model: &x {a: *x}\n", "anchor"),
        (b"? [a]\n: 1\n", "a key must be a plain word"),
        (b"devices: {}\nnetwork: 3\n", "network: must be a mapping"),
    ],
)
def test_what_is_no_scenario_at_all_is_refused_too(tmp_path, content, sentence):
    (tmp_path / "s.yaml").write_bytes(content)
    with pytest.raises(ScenarioError, match="s.yaml") as caught:
        load(tmp_path / "s.yaml")
    assert sentence in str(caught.value)


def test_a_missing_file_comes_with_a_guess(tmp_path):
    (tmp_path / "hundred.yaml").write_text(GOOD)
    with pytest.raises(ScenarioError, match=r"no such file; did you mean .*hundred\.yaml"):
        load(tmp_path / "hunderd.yaml")
    with pytest.raises(ScenarioError, match="is a folder"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("shares", "total", "sentence"),
    [
        (("50 %", "40 %"), "10", "devices: shares must sum to 100 %, got 50 + 40 = 90 %"),
        (("50 %", "50 %"), None, "devices: shares need num_devices, the size of the fleet"),
        (("50 %", "50 %"), "0", "num_devices: must be >= 1, got 0"),
        (("50 %", "half"), "10", "devices[1].share"),
    ],
)
def test_shares_must_make_a_whole_fleet(refuse, tmp_path, shares, total, sentence):
    text = GOOD.replace("count: 2", f"share: {shares[0]}").replace("count: 3", f"share: {shares[1]}")
    path = tmp_path / "s.yaml"
    path.write_text(text + (f"num_devices: {total}\n" if total else ""))
    with pytest.raises(ScenarioError) as caught:
        load(path)
    assert sentence in str(caught.value)


def test_counts_and_shares_do_not_mix(refuse):
    assert any("here they are mixed" in line for line in refuse("count: 2", "share: 50 %"))


# --set


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("training.rounds=0", "--set training.rounds=0: training.rounds: must be >= 1, got 0"),
        ("devices.1.profle=x", "--set devices.1.profle=x: devices[1].profle: unknown key 'profle'; did you mean"),
        ("devices.7.profile=x", "devices[7]: must be a number in 0..1, got '7'"),
        ("name.first=x", "name: there is a plain value"),
        ("rounds", "must be KEY=VALUE"),
        ("=3", "must be KEY=VALUE"),
        ("model.split=[1", "not valid YAML"),
        ("network.access.lte.up=5", "5 needs a unit"),
        ("nonsense=1", "nonsense: unknown key 'nonsense'"),
    ],
)
def test_overrides_go_through_the_same_door(tmp_path, setting, sentence):
    (tmp_path / "s.yaml").write_text(GOOD)
    with pytest.raises(ScenarioError) as caught:
        load(tmp_path / "s.yaml", [setting])
    assert sentence in str(caught.value)


def test_overrides_change_what_they_name_and_nothing_else(tmp_path):
    (tmp_path / "s.yaml").write_text(GOOD)
    plain = load(tmp_path / "s.yaml")
    settings = ["training.rounds=9", "devices[1].profile=phone-high", "network.cells.tower.capacity=40Mbit/s"]
    changed = load(tmp_path / "s.yaml", [*settings, "lora={rank: 4}", "num_devices=null"])
    assert changed.training.rounds == 9
    assert changed.devices[1].profile == "phone-high"
    assert changed.network.cells["tower"].rates == (40e6, 40e6)
    assert changed.lora.rank == 4
    assert changed.devices[0] == plain.devices[0]
    assert changed.training.batch == plain.training.batch


def test_a_later_override_wins(tmp_path):
    (tmp_path / "s.yaml").write_text(GOOD)
    assert load(tmp_path / "s.yaml", ["training.rounds=3", "training.rounds=4"]).training.rounds == 4


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "scenarios").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_shipped_scenario_is_read(path):
    assert load(path).fleet_size >= 1
