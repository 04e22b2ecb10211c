import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from devices.compute import Work
from simulator.messages import DTYPES, activations_specs, adapter_specs, gradients_specs, pack
from simulator.workload import (
    RUNTIME_BYTES,
    SHAPES,
    TARGETS,
    Lora,
    ModelShape,
    SplitWorkload,
    aggregation_work,
    flops,
    saved_activation_bytes,
    server_work,
    shape_from_config,
    shape_of,
)

SMALL, MEDIUM = SHAPES["gpt2"], SHAPES["gpt2-medium"]
TINY = ModelShape("tiny", 3, 64, 4, vocab_size=100, num_positions=32, inner_width=96)
PAPER = Lora(("q", "v"), 4, 32.0)
PEFT = Lora(("c_attn",), 8, 16.0)


def frame_of(kind, specs):
    """A real frame of zeros."""
    return pack(kind, 0, {name: np.zeros(spec.shape, DTYPES[spec.dtype]) for name, spec in specs.items()})


# Shapes


def test_the_published_models_have_their_published_numbers_of_parameters():
    # model cards and papers: 82 M, 124 M, 355 M, 774 M, 1558 M; GPT-2 small exactly 124,439,808
    assert SMALL.parameters == 124_439_808
    millions = {name: round(shape.parameters / 1e6) for name, shape in SHAPES.items()}
    assert millions == {"distilgpt2": 82, "gpt2": 124, "gpt2-medium": 355, "gpt2-large": 774, "gpt2-xl": 1558}


def test_the_client_side_of_the_published_code_has_60_65_million_frozen_parameters():
    assert SMALL.block_parameters == 7_087_872
    assert SMALL.embedding_parameters + 3 * SMALL.block_parameters == 60_647_424


GOOD_CONFIG = {"n_layer": 3, "n_embd": 64, "n_head": 4, "vocab_size": 100, "n_positions": 32, "n_inner": 96}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"n_embd": None}, "config of model 'x': n_embd must be an integer >= 1, got None"),
        ({"n_embd": 64.0}, "n_embd must be an integer >= 1, got 64.0"),
        ({"n_layer": 0}, "n_layer must be an integer >= 1, got 0"),
        ({"n_layer": True}, "n_layer must be an integer >= 1, got True"),
        ({"n_inner": "4h"}, "n_inner must be an integer >= 1, got '4h'"),
        ({"n_head": 5}, "width of model 'x' must be a multiple of its 5 heads, got 64"),
        ({"model_type": "llama"}, "model_type must be 'gpt2', got 'llama'"),
        ({"add_cross_attention": True}, "add_cross_attention must be false"),
    ],
)
def test_a_config_that_is_no_gpt2_is_refused(change, sentence):
    assert shape_from_config(GOOD_CONFIG, "tiny") == TINY
    with pytest.raises(ValueError, match=sentence):
        shape_from_config(GOOD_CONFIG | change, "x")


def test_a_config_without_a_width_is_refused():
    config = {key: value for key, value in GOOD_CONFIG.items() if key != "n_embd"}
    with pytest.raises(ValueError, match="the key 'n_embd' is missing"):
        shape_from_config(config, "x")


def test_a_model_is_found_by_name_or_in_a_folder(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(GOOD_CONFIG))
    assert shape_of("gpt2-medium") is MEDIUM
    assert shape_of(tmp_path) == shape_of(str(tmp_path)) == dataclasses.replace(TINY, name=str(tmp_path))


def test_the_embedded_model_is_twelve_blocks_of_width_96():
    mini = shape_of("mini")
    assert (mini.num_blocks, mini.width, mini.num_positions) == (12, 96, 128)


def test_an_unknown_model_is_refused_with_a_guess(tmp_path):
    with pytest.raises(ValueError, match=r"does not exist; did you mean 'gpt2-medium'\?"):
        shape_of("gpt2-medum")
    with pytest.raises(ValueError, match=r"or a folder with a config\.json"):
        shape_of(tmp_path)


@pytest.mark.parametrize(
    ("text", "sentence"), [("{", "is not readable JSON"), ("[]", "must hold a JSON object, got list")]
)
def test_a_broken_config_file_is_refused(tmp_path, text, sentence):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=sentence):
        shape_of(tmp_path)


# Adapters


@pytest.mark.parametrize(("rank", "frame"), [(1, 36_864), (2, 73_728), (4, 147_456), (8, 294_912)])
def test_three_blocks_of_gpt2_small_send_the_published_adapter_bytes(rank, frame):
    for targets in (("q", "v"), ("c_attn",)):  # 2 x 2 d r and (d + 3 d) r are the same number
        lora = Lora(targets, rank, 32.0)
        specs = adapter_specs(range(3), lora.projections(SMALL), rank=rank)
        assert sum(spec.size_bytes for spec in specs.values()) == frame
        assert SplitWorkload(SMALL, lora, 3, 4, 512).parameter_counts.client == frame // 4


def test_split_lora_trains_what_the_published_code_reports():
    assert SplitWorkload(SMALL, PAPER, 3, 4, 512).parameter_counts == (36_864, 110_592)
    client, server = SplitWorkload(MEDIUM, PAPER, 3, 4, 512).parameter_counts
    assert (client, client + server) == (49_152, 393_216)


@pytest.mark.parametrize(("shape", "ratio"), [(SMALL, 4), (MEDIUM, 8)])
@pytest.mark.parametrize("rank", [1, 2, 4, 8])
def test_a_whole_model_trains_4_and_8_times_what_three_blocks_train(shape, ratio, rank):
    split, whole = (SplitWorkload(shape, Lora(("q", "v"), rank, 32.0), k, 4, 512) for k in (3, shape.num_blocks))
    assert whole.parameter_counts.client == ratio * split.parameter_counts.client


def test_adapters_on_both_attention_projections_are_those_of_splitft():
    # (768 + 2304 + 768 + 768) x 16 x 4 B a block, arXiv 2604.26388
    assert 4 * Lora(("c_attn", "attn.c_proj"), 16, 32.0).block_parameters(SMALL) == 294_912


@pytest.mark.parametrize(
    ("targets", "rank", "alpha", "sentence"),
    [
        ((), 4, 32.0, "needs at least one target"),
        (("attn",), 4, 32.0, r"unknown LoRA target 'attn'.* \(allowed: c_attn, q"),
        (("c_proj",), 4, 32.0, "LoRA target 'c_proj' could mean attn.c_proj or mlp.c_proj; name the one, or both"),
        (("c_attm",), 4, 32.0, r"did you mean 'c_attn'\?"),
        (("q", "q"), 4, 32.0, "named once, got q, q"),
        (("c_attn", "v"), 4, 32.0, "already holds q, k and v"),
        (("q",), 0, 32.0, "the rank of LoRA must be >= 1, got 0"),
        (("q",), 4, 0.0, "alpha of LoRA must be positive and finite, got 0"),
        (("q",), 4, float("nan"), "alpha of LoRA must be positive and finite, got nan"),
    ],
)
def test_impossible_adapters_are_refused(targets, rank, alpha, sentence):
    assert PAPER.scale == 8
    with pytest.raises(ValueError, match=sentence):
        Lora(targets, rank, alpha)


# FLOPs on paper


@pytest.mark.parametrize(
    ("shape", "block", "client", "server"),
    [(SMALL, 15.73e6, 47.2e6, 218.8e6), (MEDIUM, 27.26e6, 81.8e6, 675.4e6)],
)
def test_a_token_costs_what_the_sum_on_paper_says(shape, block, client, server):
    without_lora = 24 * shape.width**2 + 4 * 512 * shape.width
    adapters = 8 * shape.width * 4  # two adapters of 2 d r + 2 r d
    assert without_lora == pytest.approx(block, rel=5e-4)
    assert flops.block_forward(shape, PAPER, 512) == without_lora + adapters
    work = SplitWorkload(shape, PAPER, 3, 4, 512)
    assert work.client_forward.flops == 2048 * 3 * (without_lora + adapters)
    assert work.client_forward.flops / 2048 == pytest.approx(client, rel=3e-3)
    head = 2 * shape.width * 50257
    assert work.server_forward.flops == 2048 * ((shape.num_blocks - 3) * (without_lora + adapters) + head)
    assert work.server_forward.flops / 2048 == pytest.approx(server, rel=2e-3)


def test_the_device_computes_17_7_percent_of_gpt2_small_and_10_8_of_medium():
    for shape, percent in ((SMALL, 17.7), (MEDIUM, 10.8)):
        work = SplitWorkload(shape, Lora(("q", "v"), 1, 32.0), 3, 4, 512)
        share = work.client_forward.flops / (work.client_forward.flops + work.server_forward.flops)
        assert round(100 * share, 1) == percent


def test_a_backward_pass_over_a_frozen_base_costs_about_one_forward_pass():
    work = SplitWorkload(SMALL, PEFT, 0, 8, 128)
    # attention's 4 T d doubles, adapters double, the first block saves 6 d^2: between 1 and 1.1 forward passes
    assert 1.0 < work.server_backward.flops / work.server_forward.flops < 1.1


def test_the_head_costs_as_much_as_five_blocks():
    assert flops.head(SMALL) == 77_194_752
    assert flops.head(SMALL) / flops.block_forward(SMALL, PAPER, 512) == pytest.approx(4.9, abs=0.05)


def test_fewer_label_positions_save_only_the_head():
    every, some = (SplitWorkload(SMALL, PEFT, 3, 8, 64, head_positions=positions) for positions in (None, 128))
    assert every.client_forward == some.client_forward
    for each in ("server_forward", "server_backward"):
        saved = getattr(every, each).flops - getattr(some, each).flops
        assert saved == (512 - 128) * flops.head(SMALL)


def test_the_parts_of_every_split_add_up_to_the_whole():
    whole = SplitWorkload(SMALL, PEFT, 0, 2, 64)
    for split in range(13):
        parts = SplitWorkload(SMALL, PEFT, split, 2, 64)
        assert parts.client_forward.flops + parts.server_forward.flops == whole.server_forward.flops
        assert parts.client_backward.flops + parts.server_backward.flops == whole.server_backward.flops


def test_a_step_of_gpt2_small_launches_about_the_601_kernels_that_were_counted():
    whole = SplitWorkload(SMALL, PEFT, 0, 8, 64)
    # the rest are the optimizer's
    assert (whole.server_forward + whole.server_backward).kernels == pytest.approx(601, rel=0.05)


# Traffic


def test_a_pass_reads_the_weights_once_and_the_saved_activations_once():
    one, two = (SplitWorkload(SMALL, PEFT, split, 8, 64) for split in (1, 2))
    a_block = 4 * 7_087_872 + 42_467_328 + 512 * 48  # 48: the adapter's 8 inner values, and 4 of the norms
    assert two.client_forward.moved_bytes - one.client_forward.moved_bytes == a_block
    assert two.client_backward.moved_bytes - one.client_backward.moved_bytes == a_block


@pytest.mark.parametrize(("batch", "tokens"), [(1, 64), (8, 64), (8, 128)])
def test_from_64_tokens_on_a_block_does_more_than_25_flops_a_byte(batch, tokens):
    one, two = (SplitWorkload(SMALL, PEFT, split, batch, tokens) for split in (1, 2))
    block_flops = two.client_forward.flops - one.client_forward.flops
    assert block_flops / (two.client_forward.moved_bytes - one.client_forward.moved_bytes) > 25


def test_a_device_without_blocks_only_embeds():
    work = SplitWorkload(SMALL, PEFT, 0, 8, 64)
    assert work.client_forward.flops == 0
    assert work.client_forward.moved_bytes == 2 * 4 * 512 * 768  # rows read and sums written
    assert work.client_backward == Work(0, 0)


def test_a_concatenated_batch_reads_the_weights_once_and_computes_for_everybody():
    alone = SplitWorkload(SMALL, PEFT, 3, 8, 64)
    one, ten = server_work([alone]), server_work([alone] * 10)
    assert one == alone.server_forward + alone.server_backward
    assert ten.flops == 10 * one.flops
    assert ten.kernels == one.kernels
    weights = 2 * 4 * (9 * 7_087_872 + 50257 * 768)
    assert ten.moved_bytes - weights == 10 * (one.moved_bytes - weights)
    # and is the same as one batch of ten times the sequences
    assert ten == server_work([dataclasses.replace(alone, batch=80)])


def test_devices_of_different_splits_share_the_weights_of_the_deepest_server_part():
    shallow, deep = (SplitWorkload(SMALL, PEFT, split, 8, 64) for split in (1, 6))
    both = server_work([shallow, deep])
    assert both.flops == server_work([shallow]).flops + server_work([deep]).flops
    assert both.kernels == server_work([shallow]).kernels
    assert both.moved_bytes < server_work([shallow]).moved_bytes + server_work([deep]).moved_bytes


def test_aggregation_reads_every_adapter_and_writes_one():
    # 3 x 24,576 parameters: two FLOPs each, 4 B each, read twice and written once
    work = SplitWorkload(SMALL, PEFT, 3, 8, 64)
    assert aggregation_work([work, work]) == Work(2 * 2 * 73_728, 3 * 4 * 73_728, 1)


# Messages


@pytest.mark.parametrize("split", [0, 1, 3, 12])
@pytest.mark.parametrize("lora", [PAPER, PEFT, Lora(("c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"), 2, 4.0)])
def test_every_message_of_a_split_weighs_as_much_as_its_frame(split, lora):
    mini = shape_of("mini")
    work = SplitWorkload(mini, lora, split, 2, 100)
    up = activations_specs(2, 100, width=96, vocab_size=mini.vocab_size)
    down = gradients_specs(2, 100, width=96) if split else {}
    adapters = adapter_specs(range(split), lora.projections(mini), rank=lora.rank)
    assert work.activation_bytes == len(frame_of("activations", up))
    assert work.gradient_bytes == len(frame_of("gradients", down))
    assert work.adapter_bytes == len(frame_of("adapter", adapters))


@pytest.mark.parametrize(
    ("shape", "batch", "tokens", "data"), [(SMALL, 4, 512, 6_291_456), (MEDIUM, 4, 512, 8_388_608)]
)
def test_the_cut_costs_the_published_bytes_and_less_than_a_tenth_of_a_percent_more(shape, batch, tokens, data):
    work = SplitWorkload(shape, PAPER, 3, batch, tokens)
    assert data < work.gradient_bytes < data + 64
    assert data + 2 * 2048 < work.activation_bytes < data + 2 * 2048 + 128  # and labels of two bytes
    assert work.activation_bytes < 1.001 * data


def test_split_lora_sends_a_thousand_times_the_bytes_of_fedlora():
    split, whole = (SplitWorkload(SMALL, PAPER, blocks, 4, 512) for blocks in (3, 12))
    hundred_steps = 100 * (split.activation_bytes + split.gradient_bytes) + 2 * split.adapter_bytes
    assert hundred_steps / (2 * whole.adapter_bytes) == pytest.approx(1067, rel=2e-3)
    assert 2 * split.adapter_bytes / hundred_steps < 0.0003


# Memory


@pytest.mark.parametrize(
    ("batch", "tokens", "measured_mb"), [(8, 64, 42.5), (8, 128, 94.4), (4, 256, 113.3), (2, 512, 151.0)]
)
def test_saved_activations_are_those_that_were_measured(batch, tokens, measured_mb):
    assert saved_activation_bytes(SMALL, PEFT, batch, tokens) / 1e6 == pytest.approx(measured_mb, rel=1e-3)


def test_the_memory_of_a_phone_with_three_blocks_is_the_sum_on_paper():
    need = SplitWorkload(SMALL, PEFT, 3, 8, 128).client_memory
    assert need == {
        "embeddings": 157_535_232,  # 51,281 rows of 768
        "blocks": 85_054_464,
        "adapters": 294_912,  # 3 x 24,576 parameters
        "adapter gradients": 294_912,
        "optimizer moments": 589_824,
        "saved activations": 283_262_976,
        "largest temporary": 12_582_912,  # 8 x 128 x 3072
        "message buffers": 6_291_456,
        "runtime": RUNTIME_BYTES,
    }
    adapter_state = need["adapters"] + need["adapter gradients"] + need["optimizer moments"]
    assert (sum(need.values()) - RUNTIME_BYTES - adapter_state) / 1e6 == pytest.approx(545, abs=0.5)


def test_adapter_state_of_a_block_is_0_39_mb_at_rank_8():
    need = SplitWorkload(SMALL, PEFT, 1, 8, 128).client_memory
    assert need["adapters"] + need["adapter gradients"] + need["optimizer moments"] == 393_216


def test_a_deeper_split_moves_memory_from_the_server_to_the_device():
    splits = [SplitWorkload(SMALL, PEFT, split, 8, 128) for split in range(13)]
    on_device = [sum(split.client_memory.values()) for split in splits]
    at_server = [sum(split.server_memory.values()) for split in splits]
    assert on_device == sorted(on_device)
    assert at_server == sorted(at_server, reverse=True)
    assert len({split.client_memory["blocks"] + split.server_memory["blocks"] for split in splits}) == 1


def test_a_device_without_blocks_holds_embeddings_buffers_and_runtime():
    need = SplitWorkload(SMALL, PEFT, 0, 8, 128).client_memory
    assert {part for part, size in need.items() if size} == {"embeddings", "message buffers", "runtime"}


# Errors


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"split": 13}, r"split must be in 0\.\.12 for gpt2 \(12 blocks\), got 13"),
        ({"split": -1}, "got -1"),
        ({"batch": 0}, "got 0 x 128"),
        ({"tokens": 1025}, r"1\.\.1024 positions, got 8 x 1025"),
        ({"tokens": 0}, "got 8 x 0"),
        ({"head_positions": 0}, r"head_positions must be in 1\.\.1024 or None, got 0"),
        ({"head_positions": 1025}, "got 1025"),
    ],
)
def test_impossible_workloads_are_refused(change, sentence):
    good = SplitWorkload(SMALL, PEFT, 3, 8, 128)
    with pytest.raises(ValueError, match=sentence):
        dataclasses.replace(good, **change)


def test_a_model_without_heads_is_refused():
    with pytest.raises(ValueError, match="num_heads of model 'x' must be >= 1, got 0"):
        ModelShape("x", 1, 8, 0, 10, 10)


def test_every_target_belongs_to_a_projection_of_the_block():
    everything = [Lora((target,), 1, 1.0) for target in TARGETS]
    assert all(lora.block_parameters(TINY) > 0 for lora in everything)
    assert set(TARGETS.values()) == {"attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"}


def test_workloads_are_counted_without_torch():
    code = "import sys, simulator.workload; simulator.workload.shape_of('mini'); print('torch' in sys.modules)"
    root = Path(flops.__file__).parents[2]
    answer = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert answer.stdout == "False\n"
