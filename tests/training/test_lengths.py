"""Batches cut to their longest sequence: times and bytes follow the data, losses do not change."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from simulator import world
from simulator.algorithms import ALGORITHMS
from simulator.messages import activations_specs, frame_bytes
from simulator.scenario import load
from simulator.scenario.code import allowed
from simulator.training.crowd import CrowdData, data_of
from simulator.training.data import TrainingData
from simulator.training.groups import IGNORED
from simulator.training.lengths import lengths_of
from simulator.training.tokens import tokenizer_of
from simulator.workload import shape_of

ROOT = Path(__file__).parents[2]
FOUR = ROOT / "scenarios" / "four_phones.yaml"
LONGEST = "data.padding=longest"


def longest_of(sequences) -> int:
    """Tokens of a batch's longest sequence: where its last label is, counted by hand."""
    return max(max(i for i, label in enumerate(row) if label != IGNORED) + 1 for row in sequences.labels_RT.tolist())


@pytest.fixture(scope="module")
def trained():
    """The same two rounds, cut and whole."""
    changes = ["training.batch=2"]
    return {padding: world.run(load(FOUR, [*changes, f"data.padding={padding}"])) for padding in ("fixed", "longest")}


def test_every_message_is_as_long_as_the_longest_sequence_of_its_batch(trained):
    scenario = load(FOUR, ["training.batch=2", LONGEST])
    data = data_of(scenario, tokenizer_of("mini"), end=0, devices=4)
    names, gpt2 = ("low", "mid", "high-1", "high-2"), shape_of("gpt2")
    sent = {
        (row.sender, row.round): row.size_bytes
        for row in trained["longest"].record.messages
        if row.kind == "activations"
    }
    assert len(sent) == 8
    for (name, round), size_bytes in sent.items():
        tokens = longest_of(data.batch(names.index(name), round))
        specs = activations_specs(2, tokens, width=gpt2.width, vocab_size=gpt2.vocab_size)
        assert size_bytes == frame_bytes("activations", specs)
        assert tokens < 64 or size_bytes == max(sent.values())
    assert len(set(sent.values())) > 1


def test_what_is_learnt_does_not_depend_on_padding(trained):
    fixed, longest = (outcome.record.rounds for outcome in trained.values())
    assert [row.loss for row in fixed] == [row.loss for row in longest]
    assert fixed[-1].loss < fixed[0].loss


def test_time_bytes_and_tokens_follow_the_data(trained):
    fixed, longest = (outcome.summary for outcome in trained.values())
    for key in ("virtual_s", "bytes_up", "bytes_down", "tokens"):
        assert longest[key] < fixed[key], key
    assert fixed["tokens"] == 4 * 2 * 2 * 64  # devices, rounds, batch, positions
    share = longest["tokens"] / fixed["tokens"]
    assert longest["bytes_by_kind"]["activations"] / fixed["bytes_by_kind"]["activations"] == pytest.approx(
        share, rel=1e-3
    )


def test_flops_follow_the_data_too(trained):
    """The adapters' averaging is the same; whatever computes on positions has less to do."""
    for row, cut in zip(trained["fixed"].record.computes, trained["longest"].record.computes, strict=False):
        assert cut.flops <= row.flops
    fixed, longest = (sum(row.flops for row in outcome.record.computes) for outcome in trained.values())
    assert longest < 0.98 * fixed


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_a_run_without_training_has_the_same_trace(algorithm):
    scenario = load(FOUR, [LONGEST, f"algorithm={algorithm}", "training.rounds=1", "training.aggregate_every=1"])
    with_training, without = world.run(scenario), world.run(scenario, timing_only=True)
    assert with_training.summary["trace_hash"] == without.summary["trace_hash"]
    assert with_training.summary["tokens"] == without.summary["tokens"]


def test_lengths_need_no_torch():
    code = (
        "import sys\nfrom pathlib import Path\nfrom simulator import world\nfrom simulator.scenario import load\n"
        f"world.run(load(Path('scenarios/four_phones.yaml'), [{LONGEST!r}]), timing_only=True)\n"
        "print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_lengths_of_a_population_are_those_of_whoever_is_asked_for():
    scenario = load(FOUR, [LONGEST, "devices.0.count=1000000", "training.participants=2"])
    lengths = lengths_of(scenario, 1_000_003)
    assert isinstance(data_of(scenario, tokenizer_of("mini"), end=0, devices=1_000_003), CrowdData)
    assert 8 < lengths(777_777, 1) <= 64


@pytest.mark.parametrize("padding", ["fixed", "pack"])
def test_other_paddings_make_every_batch_equally_long(padding):
    scenario = load(FOUR, [f"data.padding={padding}"])
    assert {lengths_of(scenario, 4)(device, round) for device in range(4) for round in (1, 2)} == {64}


def test_packed_sequences_have_hardly_any_padding():
    scenario = load(FOUR, ["data.padding=pack", "data.samples_per_device=64", "data.labels=all"])
    packed = data_of(scenario, tokenizer_of("mini"), end=0, devices=4)
    assert isinstance(packed, TrainingData)
    rows = [packed.batch(device, round).labels_RT for device in range(4) for round in range(1, 20)]
    empty = sum((row == IGNORED).sum() for row in rows) / sum(row.size for row in rows)
    assert empty < 0.05  # the ends of examples, and of each device's last window


def test_an_algorithm_of_ones_own_is_charged_by_the_batch_too():
    file = ROOT / "scenarios" / "extending" / "frozen.yaml"
    changes = ["training.rounds=1", "data.samples_per_device=8"]
    with allowed(lambda _: None):
        scenarios = [load(file, [*changes, *more]) for more in ([], [LONGEST])]
    fixed, longest = (world.run(scenario, timing_only=True) for scenario in scenarios)
    assert longest.summary["bytes_up"] < fixed.summary["bytes_up"]
