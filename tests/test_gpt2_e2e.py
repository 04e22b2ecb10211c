"""The scenario that trains GPT-2 small itself on E2E, at its true size, with tiny numbers of everything else."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest

import cli

SHARED = Path(__file__).parents[2] / "shared" / "data"
NEEDED = pytest.mark.skipif(not (SHARED / "e2e").is_dir(), reason="the E2E files are not beside this checkout")


@NEEDED
@pytest.mark.slow
def test_gpt2_small_with_random_weights_learns_on_e2e(scenarios, tmp_path):
    sets = {
        "data.path": SHARED / "e2e",
        "model.init": "random",
        "model.tokenizer": SHARED / "gpt2-tokenizer",
        "training.rounds": 4,
        "training.batch": 1,
        "training.tokens": 72,
        "training.learning_rate": 5e-3,
        "training.export": "clients",
        "data.validation_samples": 4,
        "data.samples_per_device": 4,
        "devices.0.count": 1,
        "devices.1.count": 1,
        "devices.2.count": 1,
    }
    changes = [part for key, value in sets.items() for part in ("--set", f"{key}={value}")]
    folder = tmp_path / "run"
    assert cli.main(["run", str(scenarios / "gpt2_e2e.yaml"), *changes, "--json", "--out", str(folder)]) == 0
    rows = list(csv.DictReader((folder / "rounds.csv").open()))
    first, last = float(rows[0]["loss"]), float(rows[-1]["loss"])
    assert first == pytest.approx(math.log(50257), abs=0.5)
    assert last < first - 0.05
    config = json.loads((folder / "adapters" / "budget" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "gpt2"
    assert (config["r"], config["rank_pattern"]) == (8, {})  # q and v of rank 4 on one c_attn, on both sides
    flagship = json.loads((folder / "adapters" / "flagship" / "adapter_config.json").read_text())
    assert flagship["rank_pattern"] == {f"transformer.h.{block}.attn.c_attn": 16 for block in range(5)}
