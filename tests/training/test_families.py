"""Every family of decoders by the same tests: split equals whole, grouped queries, rotary positions and all."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from transformers import BertConfig, GPT2Config, Qwen2Config

from simulator.training.families import FAMILIES, family_of
from simulator.training.groups import Grouping
from simulator.training.model import Regime
from simulator.training.proof import _differences, _step
from simulator.workload import TARGETS_OF

GATED = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
FORMS = [("q_proj", "v_proj"), ("down_proj",), GATED]
MIXED = ([5, 2, 9, 1, 12, 0], [8, 4, 8, 2, 8, 8])


def compare(scene: SimpleNamespace) -> float:
    """The largest relative difference of loss and gradients between the batched pass and the whole model."""
    engine = scene.engine
    batches = [engine.data.batch(device, 1) for device in scene.devices]
    server_P = engine.server.params(engine.server_rows)[0]
    truth = scene.whole.step(scene.devices, batches, engine.bank.params(scene.rows), server_P)
    return max(_differences(_step(engine), truth))


@pytest.mark.parametrize("family", ["llama", "qwen2"])
@pytest.mark.parametrize("targets", FORMS)
@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_clients_of_different_splits_and_ranks_have_the_gradients_of_the_whole_model(
    world, family, targets, dtype, allowed
):
    assert compare(world(*MIXED, family=family, targets=targets, dtype=dtype)) < allowed


@pytest.mark.parametrize("family", ["llama", "qwen2"])
@pytest.mark.parametrize("split", range(13))
def test_split_training_has_them_at_every_split(world, family, split):
    assert compare(world([split] * 3, [4] * 3, family=family, targets=GATED)) < 1e-12


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_dropout_and_checkpointing_do_not_depend_on_how_clients_are_grouped(world, family):
    kept, twice = (Regime(dropout=0.2, lora_dropout=0.2, checkpointing=again) for again in (False, True))
    together = world(*MIXED, family=family, targets=GATED, regime=kept).engine
    apart = world(*MIXED, family=family, targets=GATED, regime=twice, grouping=Grouping(1)).engine
    assert max(_differences(_step(apart), _step(together))) < 1e-12
    plain = world(*MIXED, family=family, targets=GATED).engine
    assert _differences(_step(plain), _step(together))[0] > 1e-3  # there was dropout


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_names_of_targets_are_those_that_scenarios_are_checked_against(world, family):
    config = world([1], [2], family=family, targets=TARGETS_OF[family][-1:]).engine.model.config
    assert tuple(FAMILIES[family].pieces(config)) == TARGETS_OF[family]


def test_a_target_of_another_family_is_refused_with_what_would_fit(world):
    with pytest.raises(ValueError, match=r"unknown LoRA target 'c_attn' \(allowed: q_proj, k_proj, v_proj, o_proj"):
        world([1], [2], family="llama")


def test_the_narrowest_projection_bounds_the_rank(world):
    """Two of four heads of 8 channels: keys are 16 wide."""
    with pytest.raises(ValueError, match=r"lora rank must be in 1..16 \(the narrower side of k_proj\), got 17"):
        world([1], [17], family="llama", targets=("q_proj", "k_proj"))


def test_a_family_that_nobody_has_described_is_refused_by_name():
    with pytest.raises(ValueError, match=r"type 'bert' cannot be split here; known families: gpt2, llama, qwen2"):
        family_of(BertConfig())


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (GPT2Config(activation_function="relu"), "activation_function must be GPT-2's tanh GELU, got 'relu'"),
        (GPT2Config(add_cross_attention=True), "add_cross_attention must be false"),
        (
            Qwen2Config(num_hidden_layers=4, use_sliding_window=True, max_window_layers=2),
            "use_sliding_window must be false: blocks of sliding_attention are not modelled",
        ),
    ],
)
def test_a_variant_that_would_be_computed_wrongly_is_refused(config, sentence):
    with pytest.raises(ValueError, match=sentence):
        family_of(config).check(config)
