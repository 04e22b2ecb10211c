"""The `check` verb on shipped scenarios, and that it can say no."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

import cli
from simulator import checking
from simulator.training import whole
from simulator.workload import shape_of


def test_check_proves_split_equals_whole_on_mixed_splits_and_ranks(scenarios, capsys):
    assert cli.main(["check", str(scenarios / "four_phones.yaml"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["holds"]
    assert [(row["what"], row["dtype"]) for row in result["findings"]] == [
        ("split = whole", "float64"), ("batched = one by one", "float64"), ("every split = whole", "float64"),
        ("split = whole", "float32"), ("batched = one by one", "float32"),
    ]  # fmt: skip
    assert [row["split"] for row in result["groups"]] == [1, 3, 5]
    assert result["memory"]["base weights"] == 4 * shape_of("mini").parameters
    assert all(row["memory_bytes"] < row["usable_bytes"] for row in result["groups"])


@pytest.mark.parametrize("targets", ["[c_attn]", "[q, v]", "[k, attn.c_proj, mlp.c_fc, mlp.c_proj]"])
def test_the_proof_holds_for_all_forms_of_adapters_and_the_ends_of_the_model(scenarios, targets):
    overrides = [f"lora.targets={targets}", "devices.0.split=0", "devices.2.split=12"]
    assert checking.check(scenarios / "four_phones.yaml", overrides, lambda _: None)["holds"]


def test_a_wrong_engine_is_found_out(scenarios, monkeypatch, capsys):
    """The reference trains with another scale: the proof must fail, and the exit code with it."""
    honest = whole.Whole.load
    monkeypatch.setattr(
        whole.Whole, "load", lambda self, block, row, layout, rank: honest(self, block, row, layout, rank + 1)
    )
    assert cli.main(["check", str(scenarios / "four_phones.yaml")]) == 1
    assert "FAILS" in capsys.readouterr().out


FLEET = (  # how many, their group and profile
    (45, "middle", "realme-gt-master"),
    (15, "flagship", "galaxy-s23-ultra"),
    (10, "raspberries-of-the-second-floor", "raspberry-pi-3b-plus"),
)
NUMBERS = ["3", "587 ms", "393.5 kB", "393.3 kB", "551 MiB", "1.6 GiB"]


def shown(fleet, width, encoding="utf-8"):
    """The lines of `check` for groups of equal numbers: 3 blocks, 0.587 s, 393.5 kB up, 551 MiB of 1.6 GiB."""
    row = {
        "split": 3, "rank": 8, "holder": "both", "forward_s": 0.2, "backward_s": 0.387, "activation_bytes": 393_500,
        "gradient_bytes": 393_300, "adapter_bytes": 1, "memory_bytes": 551 * 2**20, "usable_bytes": 1.6 * 2**30,
    }  # fmt: skip
    groups = [
        {**row, "count": count, "name": name, "profile": profile, "out_of_memory": f"{name}: 551 MiB needed of 9 MiB"}
        for count, name, profile in fleet
    ]
    memory = {"base weights": 5 * 2**20, "adapters and moments": 11 * 2**20, "largest pass": 115 * 2**20}
    result = {"name": "phones", "model": "mini", "timed_as": "gpt2", "groups": groups, "memory": memory, "findings": []}
    raw = io.BytesIO()
    console = Console(file=io.TextIOWrapper(raw, encoding), width=width)
    checking.show(result, console)
    console.file.flush()
    return raw.getvalue().decode(encoding).splitlines()


def test_names_of_devices_are_whole_in_80_columns():
    lines = shown(FLEET[:2], 80)
    for count, name, profile in FLEET[:2]:
        assert [str(count), name, profile, *" ".join(NUMBERS).split()] in [line.split() for line in lines]


@pytest.mark.parametrize("width", [72, 80, 120])
def test_too_long_a_name_is_cut_and_no_number_is_broken(width):
    lines = shown(FLEET, width)
    assert max(map(len, lines)) <= width
    rows = [line for line in lines if all(number in line for number in NUMBERS)]
    assert [int(row.split()[0]) for row in rows] == [count for count, _, _ in FLEET]
    assert ("…" in rows[-1]) == (width < 120)


def test_a_sentence_goes_on_below_but_never_between_a_number_and_its_unit():
    for width in range(72, 132):
        assert not [line for line in shown(FLEET, width) if line.startswith("MiB")], width


def test_a_terminal_without_unicode_gets_names_that_go_on_below():
    lines = shown(FLEET, 80, "ascii")
    assert all(any(number in line for line in lines) for number in NUMBERS)
