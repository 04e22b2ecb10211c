"""Dropout: the law of its masks, that grouping does not change them, and PEFT's gradients under the same masks."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from simulator.training.dropout import KeyedDropout, Masks
from simulator.training.groups import Grouping
from simulator.training.model import Regime

MIXED = ([5, 2, 9, 1, 12, 0], [8, 4, 8, 2, 8, 8])
BOTH = Regime(dropout=0.2, lora_dropout=0.3)


def masks(devices, sequences=1, seed=7, round=1):
    return Masks.of(seed, devices, [round] * len(devices), sequences, torch.device("cpu"))


def test_an_element_is_dropped_with_its_probability_and_the_mean_stays():
    """400,000 coins of 0.1: the share has a standard deviation of 0.0005; five of them are allowed."""
    kept = masks([3]).keep(0, (1, 100, 4000), 0.1, torch.float64)
    assert abs((kept == 0).double().mean().item() - 0.1) < 5 * math.sqrt(0.1 * 0.9 / 400_000)
    assert set(kept.unique().tolist()) == {0.0, 1 / 0.9}


def test_masks_of_other_clients_rounds_sequences_places_and_positions_are_independent():
    def coins(masks, place=0):
        return masks.keep(place, (1, 50, 400), 0.5, torch.float64).flatten() - 1

    first = coins(masks([0]))
    others = [coins(masks([1])), coins(masks([0], round=2)), coins(masks([0], seed=8)), coins(masks([0]), place=1)]
    second_sequence = masks([0], sequences=2).keep(0, (2, 50, 400), 0.5, torch.float64)[1].flatten() - 1
    neighbours = [first.roll(1), first.roll(400)]
    for other in [*others, second_sequence, *neighbours]:
        correlation = (first * other).mean().item()  # of 20,000 pairs: standard deviation 0.007
        assert abs(correlation) < 5 / math.sqrt(20_000)


def test_a_longer_sequence_and_another_batch_leave_a_client_s_masks_as_they_are():
    alone = masks([4]).keep(2, (1, 5, 8), 0.5, torch.float32)
    together = masks([1, 4, 9]).keep(2, (3, 9, 8), 0.5, torch.float32)
    assert torch.equal(alone[0], together[1, :5])


def test_no_pass_without_masks_drops_anything():
    x = torch.randn(2, 3, 4)
    assert KeyedDropout(0, 0.9)(x) is x


@pytest.mark.parametrize("checkpointing", [False, True])
def test_grouping_and_recomputation_do_not_change_what_dropout_does(world, checkpointing):
    regime = Regime(BOTH.dropout, BOTH.lora_dropout, checkpointing)
    together, apart = world(*MIXED, regime=BOTH).engine, world(*MIXED, regime=regime, grouping=Grouping(1)).engine
    results = []
    for engine in (together, apart):
        loss, clients, server = engine.gradients([engine.forward(device, 3) for device in range(6)])
        results.append((loss.mean, *(clients[device] for device in range(6)), server))
    (loss, *gradients), (other_loss, *others) = results
    assert abs(loss / other_loss - 1) < 1e-13
    for ours, theirs in zip(gradients, others, strict=True):
        assert (ours - theirs).norm() <= 1e-12 * theirs.norm()


class SameMask(nn.Module):
    """Multiplies with the very mask that the engine draws at this place."""

    def __init__(self, keyed: KeyedDropout, masks: Masks):
        super().__init__()
        self.keyed, self.masks = keyed, masks

    def forward(self, x):
        return x * self.masks.keep(self.keyed.place, tuple(x.shape), self.keyed.probability, x.dtype)


class Swapped(nn.Module):
    """Hugging Face drops attention weights as [R, H, T, T], the engine as [R, T, T, H]."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner, self.p = inner, 0.0

    def forward(self, x):
        return self.inner(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


@pytest.mark.parametrize("regime", [Regime(lora_dropout=0.3), Regime(dropout=0.2), BOTH])
def test_with_the_same_masks_peft_and_hugging_face_have_the_same_gradients(world, regime):
    scene = world([3], [4], regime=regime)
    engine, gpt2 = scene.engine, scene.whole.model.base_model.model
    truth_masks = engine._masks([engine.forward(0, 0)])
    if regime.dropout:  # the order in which the engine numbers its places, written out
        places = iter(engine.model.dropouts)
        gpt2.transformer.drop = SameMask(next(places), truth_masks)
        for block in gpt2.transformer.h:
            block.attn.attn_dropout = Swapped(SameMask(next(places), truth_masks))
            block.attn.resid_dropout = SameMask(next(places), truth_masks)
            block.mlp.dropout = SameMask(next(places), truth_masks)
        patch_eager(gpt2)
    if regime.lora_dropout:
        for block, projections in zip(gpt2.transformer.h, engine.model.projections, strict=True):
            block.attn.c_attn.lora_dropout["default"] = SameMask(projections["attn.c_attn"].dropout, truth_masks)
    server = engine.server.params(engine.server_rows)[0]
    truth = scene.whole.step([0], [engine.data.batch(0, 0)], engine.bank.params(scene.rows), server)
    loss, clients, server_P = engine.gradients([engine.forward(0, 0)])
    assert abs(loss.mean / truth.loss - 1) < 1e-13
    assert (clients[0] - truth.clients[0]).norm() < 1e-12 * truth.clients[0].norm()
    assert (server_P - truth.server).norm() < 1e-12 * truth.server.norm()


def patch_eager(gpt2):
    """Eager attention of Hugging Face's, written out with its dropout layer (which it skips in evaluation mode)."""
    from transformers import AttentionInterface

    def eager(module, query, key, value, mask, scaling=None, **_):
        weights = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        tokens = query.shape[2]
        weights = weights.masked_fill(~torch.tril(torch.ones(tokens, tokens, dtype=torch.bool)), -torch.inf)
        return (module.attn_dropout(weights.softmax(-1)) @ value).transpose(1, 2), None

    AttentionInterface.register("truth_for_dropout", eager)
    gpt2.config._attn_implementation = "truth_for_dropout"
