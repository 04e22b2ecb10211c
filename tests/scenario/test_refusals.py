"""Each wrong value is refused with file, line, key path, the value, what is allowed, and a guess."""

import pickle

import pytest

from simulator.scenario import Problem, ScenarioError
from simulator.scenario.model import DeviceGroup

REFUSED = [
    # unknown keys
    (("seed: 7", "sede: 7"),
     "s.yaml:2: sede: unknown key 'sede'; did you mean 'seed'? (allowed: name, seed, horizon, algorithm, model, lora,"),
    (("  rounds: 10", "  ruonds: 10"), "s.yaml:7: training.ruonds: unknown key 'ruonds'; did you mean 'rounds'?"),
    (("    cell: mast", "    cel: mast"),
     "s.yaml:13: devices[0].cel: unknown key 'cel'; did you mean 'cell'? (allowed: name, profile, count, share, "
     "access, cell, split, rank,"),
    (("latency: 25 ms, ", "latency: 25 ms, jitter: 1 ms, "),
     "s.yaml:20: network.access.lte.jitter: unknown key 'jitter' (allowed: class, vary, trace, offset, wireless, up, "
     "down, latency, loss, spread, up_factor, down_factor, latency_factor, radio)"),
    # missing keys
    (("    access: lte\n", ""), "s.yaml:9: devices[0].access: missing: access class, a key of network.access"),
    (("up: 20 Mbit/s, ", ""), "s.yaml:20: network.access.lte.up: missing: median rate from the device, unless class, "
     "trace or wireless gives it"),
    (("    count: 3\n", ""), "s.yaml:9: devices[0].count: missing: the number of devices (or a share of num_devices)"),
    # wrong types
    (("  rounds: 10", "  rounds: many"), "s.yaml:7: training.rounds: must be a whole number, got 'many'"),
    (("training:\n  rounds: 10", "training: 10"),
     "s.yaml:6: training: must be a mapping with the keys rounds, batch, tokens, optimizer, learning_rate,"),
    (("training:\n  rounds: 10", "training:"), "s.yaml:6: training: must be a mapping with the keys rounds, batch,"),
    (("  rounds: 10", "  betas: 0.9"),
     "s.yaml:7: training.betas: must be a list of two numbers such as [0.9, 0.999], got '0.9'"),
    (("  rounds: 10", "  betas: [0.9, 0.99, 0.999]"),
     "s.yaml:7: training.betas: must be a list of two numbers such as [0.9, 0.999], got a list of 3"),
    (("name: plain", "name: [plain]"), "s.yaml:1: name: must be a text, got a list"),
    (("name: plain", "name: a/b"),
     "s.yaml:1: name: must be fit for a folder's name (no slash, not a dot first, at most 100 characters), got 'a/b'"),
    (("    cell: mast", "    cell: {mast: 1}"), "s.yaml:13: devices[0].cell: must be a text, got a mapping"),
    # numbers out of bounds
    (("seed: 7", "seed: -1"), "s.yaml:2: seed: must be >= 0, got -1"),
    (("seed: 7", "horizon: 0 s"), "s.yaml:2: horizon: must be > 0, got '0 s'"),
    (("  rounds: 10", "  rounds: 0"), "s.yaml:7: training.rounds: must be >= 1, got 0"),
    (("  rounds: 10", "  tokens: 1"), "s.yaml:7: training.tokens: must be >= 2, got 1"),
    (("  rounds: 10", "  learning_rate: 0"), "s.yaml:7: training.learning_rate: must be > 0, got 0"),
    (("  rounds: 10", "  learning_rate: .inf"), "s.yaml:7: training.learning_rate: must be finite, got '.inf'"),
    (("  rounds: 10", "  weight_decay: -0.1"), "s.yaml:7: training.weight_decay: must be >= 0, got -0.1"),
    (("  rounds: 10", "  betas: [0.9, 1]"), "s.yaml:7: training.betas: must be < 1, got 1"),
    (("    count: 3", "    count: 0"), "s.yaml:11: devices[0].count: must be >= 1, got 0"),
    (("    count: 3", "    count: 2.5"), "s.yaml:11: devices[0].count: must be a whole number, got 2.5"),
    # quantities
    (("up: 20 Mbit/s", "up: 20"), "s.yaml:20: network.access.lte.up: 20 needs a unit, e.g. '20 Mbit/s'"),
    (("up: 20 Mbit/s", "up: 20 ms"),
     "s.yaml:20: network.access.lte.up: '20 ms' is not a rate (ms is a unit of duration); write e.g. '20 Mbit/s'"),
    (("up: 20 Mbit/s", "up: 0 Mbit/s"), "s.yaml:20: network.access.lte.up: must be > 0, got '0 Mbit/s'"),
    (("up: 20 Mbit/s", "up: -20 Mbit/s"), "s.yaml:20: network.access.lte.up: must be > 0, got '-20 Mbit/s'"),
    (("up: 20 Mbit/s", "up: nan Mbit/s"), "s.yaml:20: network.access.lte.up: must be finite, got 'nan Mbit/s'"),
    (("up: 20 Mbit/s", "up: null"),
     "s.yaml:20: network.access.lte.up: missing: median rate from the device, unless class, "
     "trace or wireless gives it"),
    (("latency: 25 ms", "latency: -1 ms"), "s.yaml:20: network.access.lte.latency: must be >= 0, got '-1 ms'"),
    (("loss: 1 %", "loss: 100 %"), "s.yaml:20: network.access.lte.loss: must be < 1, got '100 %'"),
    (("loss: 1 %", "loss: 5"),
     "s.yaml:20: network.access.lte.loss: must be in 0..1 (0 % to 100 %), got 5; did you mean '5 %'?"),
    (("loss: 1 %", "loss: -1 %"), "s.yaml:20: network.access.lte.loss: must be in 0..1 (0 % to 100 %), got '-1 %'"),
    (("loss: 1 %", "loss: some"),
     "s.yaml:20: network.access.lte.loss: 'some' is not a share; write e.g. '40 %' or 0.4"),
    (("  rounds: 10", "  memory: 4"), "s.yaml:7: training.memory: 4 needs a unit, e.g. '4 MiB'"),
    # words
    (("seed: 7", "algorithm: splitlore"),
     "s.yaml:2: algorithm: unknown algorithm 'splitlore'; did you mean 'splitlora'? "
     "(allowed: splitlora, splitlora-queued, sequential, splitfed-v1, splitfed-v2, fedlora, centralized)"),
    (("  rounds: 10", "  dtype: float16"),
     "s.yaml:7: training.dtype: unknown dtype 'float16'; did you mean 'bfloat16'? (allowed: float32, bfloat16, tf32, "
     "float64)"),
    (("  rounds: 10", "  rounds: 10\n  warmup: 10"), "s.yaml:8: training.warmup: must be below the 10 rounds, got 10"),
    (("  rounds: 10", "  momentum: 0.9"),
     "s.yaml:7: training.momentum: is read only by sgd; the optimizer is adamw"),
    (("  rounds: 10", "  optimizer: sgd\n  betas: [0.8, 0.9]"),
     "s.yaml:8: training.betas: is read only by adamw; the optimizer is sgd"),
    (("  rounds: 10", "  optimizer: sdg"),
     "s.yaml:7: training.optimizer: unknown optimizer 'sdg'; did you mean 'sgd'? (allowed: adamw, sgd)"),
    (("seed: 7", "lora: {dropout: 1}"), "s.yaml:2: lora.dropout: must be < 1, got 1"),
    (("  rounds: 10", "  device: gpu"),
     "s.yaml:7: training.device: unknown device 'gpu'; did you mean 'cpu'? (allowed: auto, cpu, cuda)"),
    (("  rounds: 10", "  weights: size"), "s.yaml:7: training.weights: unknown weights 'size' (allowed: data, equal)"),
    (("seed: 7", "data: {partition: dirichle}"),

     "s.yaml:2: data.partition: unknown partition 'dirichle'; did you mean 'dirichlet'? (allowed: iid, dirichlet, "
     "length, quantity, files)"),
    (("seed: 7", "data: {alpha: null}"), "s.yaml:2: data.alpha: must be a number, got nothing (null)"),
    (("seed: 7", "lora: {targets: [c_attn, q]}"),
     "s.yaml:2: lora.targets: c_attn already holds q, k and v; name one form of them, got c_attn, q"),
    (("seed: 7", "lora: {targets: [c_atn]}"),
     "s.yaml:2: lora.targets: unknown LoRA target 'c_atn'; did you mean 'c_attn'? "
     "(allowed: c_attn, q, k, v, attn.c_proj, mlp.c_fc,"),
    (("seed: 7", "lora: {targets: q}"),
     "s.yaml:2: lora.targets: must be a list of projections such as [c_attn] or [q, v], got 'q'"),
    # names of other things
    (("access: wifi", "access: wfi"),
     "s.yaml:17: devices[1].access: unknown access class 'wfi'; did you mean 'wifi'? (allowed: lte, wifi)"),
    (("cell: mast", "cell: mats"),
     "s.yaml:13: devices[0].cell: unknown cell 'mats'; did you mean 'mast'? (allowed: mast)"),
    (("  cells:\n    mast: {capacity: 100 Mbit/s}\n", ""),
     "s.yaml:13: devices[0].cell: unknown cell 'mast' (allowed: none)"),
    (("profile: phone-low", "profile: phone-lo"),
     "s.yaml:10: devices[0].profile: unknown device profile 'phone-lo'; did you mean 'phone-low'? (allowed: phone-low, "
     "phone-high, laptop, a100)"),
    (("seed: 7", "server: {profile: a10}"),
     "s.yaml:2: server.profile: unknown device profile 'a10'; did you mean 'a100'?"),
    (("name: dear", "name: cheap"), "s.yaml:14: devices[1].name: the name 'cheap' is used twice (also by devices[0])"),
    (("name: dear", "name: Dear"), "s.yaml:14: devices[1].name: must be made of a-z, 0-9 and '-', got 'Dear'"),
    (("name: dear", "name: server"),
     "s.yaml:14: devices[1].name: must not be 'server', which is the name of another party"),
    (("name: dear", "name: cheap-2"),
     "s.yaml:14: devices[1].name: 'cheap-2' is also the name of one of the 3 of 'cheap'"),
    (("mast: {", "mast-1: {capacity: 1 Mbit/s}\n    mast: {count: 2, "),
     "s.yaml:23: network.cells.mast-1: 'mast-1' is also the name of one of the 2 of 'mast'"),
    (("wifi: {", "wi fi: {up: 1 Mbit/s, down: 1 Mbit/s, latency: 0 s}\n    wifi: {"),
     "s.yaml:21: network.access.wi fi: a name is made of letters, digits, '-' and '_', got 'wi fi'"),
    # the model's bounds
    (("split: 3", "split: 13"), "s.yaml:5: model.split: must be in 0..12 for gpt2 (12 blocks), got 13"),
    (("split: 3", "split: -1"), "s.yaml:5: model.split: must be >= 0, got -1"),
    (("cell: mast", "split: 13"), "s.yaml:13: devices[0].split: must be in 0..12 for gpt2 (12 blocks), got 13"),
    (("seed: 7", "lora: {rank: 0}"), "s.yaml:2: lora.rank: must be >= 1, got 0"),
    (("seed: 7", "lora: {init: nowhere}"), "s.yaml:2: lora.init: 'nowhere' does not exist (looked in "),
    (("  rounds: 10", "  export: all"), "s.yaml:7: training.export: unknown export 'all' (allowed: global, clients)"),
    (("seed: 7", "lora: {rank: 769}"), "s.yaml:2: lora.rank: must be in 1..768 for gpt2 (width 768), got 769"),
    (("cell: mast", "rank: 1000"), "s.yaml:13: devices[0].rank: must be in 1..768 for gpt2 (width 768), got 1000"),
    (("rounds: 10", "tokens: 1025"),
     "s.yaml:7: training.tokens: must be in 2..1024 for gpt2 (1024 positions), got 1025"),
    (("split: 3", "timed_as: gpt2-medium"),
     "s.yaml:5: model.timed_as: must have as many blocks as the trained model, so that a split means the same: "
     "gpt2-medium has 24, gpt2 has 12; null times gpt2 as itself"),
    (("split: 3", "timed_as: gtp2"),
     "s.yaml:5: model.timed_as: unknown model 'gtp2'; did you mean 'gpt2'? (allowed: mini,"),
    (("name: gpt2", "name: gpt2-mediun"),
     "s.yaml:4: model.name: unknown model 'gpt2-mediun'; did you mean 'gpt2-medium'?"),
    (("name: gpt2", "name: someone/gpt2"),
     "s.yaml:3: model.timed_as: missing: someone/gpt2 is not looked up here, so say as which model it is timed"),
    # data
    (("seed: 7", "data: {source: e2e}"),
     "s.yaml:2: data.path: missing: source 'e2e' needs a folder with train and valid files, or a file"),
    (("seed: 7", "data: {source: e2e, path: nowhere}"), "s.yaml:2: data.path: 'nowhere' does not exist (looked in "),
    (("seed: 7", 'data: {path: "a\\0b"}'), "s.yaml:2: data.path: 'a\\x00b' does not exist (looked in "),
    # links
    (("capacity: 100 Mbit/s", "latency: 1 ms"),
     "s.yaml:23: network.cells.mast: needs either capacity (that much each way) or both up and down, got none of them"),
    (("capacity: 100 Mbit/s", "up: 1 Mbit/s"),
     "s.yaml:23: network.cells.mast: needs either capacity (that much each way) or both up and down, got up"),
    (("capacity: 100 Mbit/s", "up: 1 Mbit/s, down: 1 Mbit/s, capacity: 1 Mbit/s"),
     "s.yaml:23: network.cells.mast: needs either capacity (that much each way) or both up and down, got capacity and "
     "up and down"),
    (("seed: 7", "num_devices: 4"),
     "s.yaml:2: num_devices: is read only with shares, and these groups have counts; set devices[i].count"),
    (("count: 3", "share: 50 %"),
     "s.yaml:11: devices[0].share: all groups have a count or all have a share; devices[1] has a count"),
    (("count: 3", "count: 3\n    share: 50 %"),
     "s.yaml:12: devices[0].share: a group has a count or a share, not both"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "line"), REFUSED, ids=[line.split(": ")[1] for _, line in REFUSED])
def test_a_wrong_scenario_is_refused_in_one_sentence(door, change, line):
    (only,) = door.refused(door.changed(change))
    assert only.startswith(line)
    if not line.endswith((",", "?", "looked in ")):  # else the sentence goes on with a list, or a folder
        assert only == line


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("devices:", "devices: []\nx:", "s.yaml:8: devices: must have at least one entry"),
        ("devices:", "devices: {a: 1}\nx:", "s.yaml:8: devices: must be a list, got a mapping"),
        ("devices:", "devices: [cheap]\nx:",
         f"s.yaml:8: devices[0]: must be a mapping with the keys {', '.join(DeviceGroup.model_fields)}, got 'cheap'"),
        ("devices:", "x:", "s.yaml:1: devices: missing: groups of devices"),
        ("network:", "x:", "s.yaml:1: network: missing: links between devices and server"),
        ("  access:\n", "  access: {}\n  x:\n", "s.yaml:19: network.access: must have at least one entry"),
        ("  access:\n", "  access: [lte]\n  x:\n", "s.yaml:19: network.access: must be a mapping, got a list"),
    ],
)  # fmt: skip
def test_a_wrong_shape_is_refused_beside_whatever_else_is_wrong(door, old, new, line):
    assert line in door.refused(door.changed((old, new)))


def shares(door, first, second, total=10):
    changes = [("count: 3", f"share: {first}"), ("count: 1", f"share: {second}")]
    if total is not None:
        changes.append(("seed: 7", f"num_devices: {total}"))
    return door.changed(*changes)


@pytest.mark.parametrize(
    ("first", "second", "total", "line"),
    [
        ("60 %", "35 %", 10, "s.yaml:8: devices: the shares must sum to 100 %, got 95 %"),
        ("0.6", "0.400002", 10, "s.yaml:8: devices: the shares must sum to 100 %, got 100.0002 %"),
        ("99 %", "1 %", 10, "s.yaml:16: devices[1].share: 1 % of 10 devices is not one whole device"),
        ("60 %", "40 %", None,
         "s.yaml:1: num_devices: missing: devices[0] has a share, so the size of the fleet is needed"),
        ("60 %", "40 %", 0, "s.yaml:2: num_devices: must be >= 1, got 0"),
        ("100 %", "0 %", 10, "s.yaml:16: devices[1].share: must be > 0, got '0 %'"),
        ("60 %", "140 %", 10, "s.yaml:16: devices[1].share: must be in 0..1 (0 % to 100 %), got '140 %'"),
    ],
)  # fmt: skip
def test_wrong_shares_are_refused(door, first, second, total, line):
    assert door.refused(shares(door, first, second, total)) == [line]


def test_shares_that_sum_to_a_whole_within_a_millionth_are_taken(door):
    assert door.load(shares(door, "0.6", "0.4000009")).fleet_size == 10


def test_all_problems_are_shown_together_by_line_whoever_found_them(door):
    text = door.changed(
        ("seed: 7", "seed: 1.5"),
        ("split: 3", "split: 13"),
        ("rounds: 10", "ruonds: 10"),
        ("profile: phone-low", "profile: phone-lo"),
        ("count: 3", "count: 0"),
        ("access: lte", "access: ltee"),
        ("up: 20 Mbit/s", "up: 20"),
        ("capacity: 100 Mbit/s", "latency: 0 s"),
    )
    lines = door.refused(text, "training.batch=0", "devices.1.cell=nowhere")
    assert [line.split(": ")[:2] for line in lines] == [
        ["s.yaml:2", "seed"],
        ["s.yaml:5", "model.split"],
        ["s.yaml:7", "training.ruonds"],
        ["s.yaml:10", "devices[0].profile"],
        ["s.yaml:11", "devices[0].count"],
        ["s.yaml:12", "devices[0].access"],
        ["s.yaml:20", "network.access.lte.up"],
        ["s.yaml:23", "network.cells.mast"],
        ["--set training.batch=0", "training.batch"],
        ["--set devices.1.cell=nowhere", "devices[1].cell"],
    ]


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("devices:", "devcies:", "s.yaml:8: devcies: unknown key 'devcies'; did you mean 'devices'?"),
        ("network:", "netwrok:", "s.yaml:18: netwrok: unknown key 'netwrok'; did you mean 'network'?"),
        ("profile: phone-low", "profil: phone-low", "s.yaml:10: devices[0].profil: unknown key 'profil'; did you mean"),
        ("count: 3", "coutn: 3", "s.yaml:11: devices[0].coutn: unknown key 'coutn'; did you mean 'count'?"),
        ("up: 20 Mbit/s", "upp: 20 Mbit/s", "s.yaml:20: network.access.lte.upp: unknown key 'upp'; did you mean 'up'?"),
        ("latency: 25 ms", "latencyy: 25 ms", "s.yaml:20: network.access.lte.latencyy: unknown key 'latencyy'; did"),
    ],
)
def test_a_needed_key_that_is_misspelt_is_told_once(door, old, new, line):
    (told,) = door.refused(door.changed((old, new)))
    assert told.startswith(line)


def test_a_key_that_is_missing_elsewhere_or_was_not_the_guess_is_still_told(door):
    """One is misspelt in the first group, and the same one is missing in the second; a word that resembles none."""
    changes = [("    profile: phone-low", "    profil: phone-low"), ("    profile: phone-high\n", "")]
    told = door.refused(door.changed(*changes, ("    count: 3", "    zzz: 3")))
    assert [line.split(": ")[1:3] for line in told] == [
        ["devices[0].count", "missing"],
        ["devices[0].profil", "unknown key 'profil'; did you mean 'profile'? (allowed"],
        ["devices[0].zzz", "unknown key 'zzz' (allowed"],
        ["devices[1].profile", "missing"],
    ]


def test_two_duplicate_keys_and_a_wrong_value_are_shown_together(door):
    lines = door.refused(door.changed(("seed: 7", "seed: 7\nseed: 8"), ("rounds: 10", "rounds: 0\n  rounds: 1")))
    assert lines == [
        "s.yaml:3: seed: the key is given twice (first in line 2)",
        "s.yaml:9: training.rounds: the key is given twice (first in line 8)",
    ]


def test_a_default_that_does_not_fit_the_model_is_refused_where_the_model_is_named(door, tmp_path):
    tiny = '{"model_type": "gpt2", "n_layer": 2, "n_embd": 64, "n_head": 4, "vocab_size": 100, "n_positions": 32}'
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text(tiny)
    lines = door.refused(door.changed(("name: gpt2\n  split: 3", "name: tiny")))
    folder = tmp_path / "tiny"
    assert lines == [
        f"s.yaml:3: model.split: must be in 0..2 for {folder} (2 blocks), got 3",
        f"s.yaml:5: training.tokens: must be in 2..32 for {folder} (32 positions), got 64",
    ]


LLAMA = (
    '{"model_type": "llama", "num_hidden_layers": 12, "hidden_size": 64, "max_position_embeddings": 128, '
    '"vocab_size": 100}'
)


def test_a_llama_needs_a_model_as_which_it_is_timed_and_targets_of_its_own(door, tmp_path):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text(LLAMA)
    folder = tmp_path / "tiny"
    lines = door.refused(door.changed(("name: gpt2", "name: tiny")))
    assert lines == [
        f"s.yaml:1: lora.targets: 'c_attn' is in no block of {folder}, a llama model (allowed: q_proj, k_proj, v_proj, "
        "o_proj, gate_proj, up_proj, down_proj)",
        "s.yaml:3: model.timed_as: missing: what a llama model costs is not known here, so say as which model "
        f"{folder} is timed (of 12 blocks: mini, gpt2)",
    ]
    text = door.changed(("name: gpt2", "name: tiny\n  timed_as: gpt2"))
    assert door.load(text, "lora.targets=[v_proj, q_proj]").lora.targets == ("q_proj", "v_proj")
    (line,) = door.refused(text, "lora.targets=[q_proj, gate_proj]")
    assert "gate_proj has no counterpart in GPT-2, as which the model is timed: its cost is unknown" in line
    (line,) = door.refused(text, "lora.targets=[q_proj]", "model.timed_as=gpt2-medium")
    assert "must have as many blocks as the trained model" in line
    lines = door.refused(text, "lora.targets=[q_proj]", "model.split=13", "lora.rank=65", "training.tokens=129")
    assert ["0..12" in lines[0], "1..64" in lines[1], "2..128" in lines[2]] == [True] * 3


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (
            LLAMA.replace("llama", "lama"),
            "model_type must be one of gpt2, llama, qwen2, got 'lama'; did you mean 'llama'?",
        ),
        (LLAMA.replace('"hidden_size": 64, ', ""), "hidden_size must be an integer >= 1, got None"),
        (LLAMA.replace("64", "true"), "hidden_size must be an integer >= 1, got True"),
    ],
)
def test_a_config_that_says_too_little_is_refused(door, tmp_path, config, sentence):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text(config)
    lines = door.refused(door.changed(("name: gpt2", "name: tiny")))
    assert lines[0].startswith("s.yaml:4: model.name: ")
    assert sentence in lines[0]


def test_the_targets_of_llama_are_none_of_gpt2(door):
    (line,) = door.refused(door.changed(("seed: 7", "lora: {targets: [q_proj]}")))
    assert line == (
        "s.yaml:2: lora.targets: 'q_proj' is in no block of gpt2, a gpt2 model "
        "(allowed: c_attn, q, k, v, attn.c_proj, mlp.c_fc, mlp.c_proj)"
    )


def test_a_folder_that_is_no_model_is_refused(door, tmp_path):
    (tmp_path / "empty").mkdir()
    (line,) = door.refused(door.changed(("name: gpt2", "name: ./empty")))
    assert line.startswith("s.yaml:4: model.name: ")
    assert "config.json" in line


def test_a_study_is_not_taken_for_a_scenario(door):
    (line,) = door.refused("scenario: 100_phones.yaml\nvary:\n  model.split: 1..11\n")
    assert line == "s.yaml:1: scenario: this file is a study of another scenario: splitwire study FILE does it"


def test_a_long_or_many_lined_value_is_quoted_in_one_short_line(door):
    (line,) = door.refused(door.changed(("name: dear", f'name: "{500 * "A"}\\n"')))
    assert len(line) < 150


def test_an_error_is_a_value_error_that_keeps_its_problems_even_when_pickled(door, plain):
    with pytest.raises(ValueError, match=r"s\.yaml:2: seed") as caught:
        door.load(plain.replace("seed: 7", "seed: x"))
    again = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(again, ScenarioError)
    assert again.problems == [Problem("s.yaml", 2, "seed", "must be a whole number, got 'x'")]
