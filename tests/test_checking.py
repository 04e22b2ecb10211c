"""The `check` verb on shipped scenarios, and that it can say no."""

from __future__ import annotations

import json

import pytest

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
