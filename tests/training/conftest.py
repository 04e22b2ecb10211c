"""Tiny models, an engine that trains it, and the whole model with PEFT beside it."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedModel, Qwen2Config

from simulator.training.engine import Clients, Engine, Settings
from simulator.training.groups import Sequences
from simulator.training.model import PLAIN, SplitModel
from simulator.training.optim import AdamW, Optimizer
from simulator.training.whole import Whole

BLOCKS, WIDTH, VOCAB, TOKENS, SEQUENCES = 12, 32, 101, 10, 2
RULE = AdamW(learning_rate=1e-2, weight_decay=0.01)


def tiny_config(family: str):
    """A random config of each family; keys and values of Llama and Qwen2 are half as wide as queries."""
    ends = {"bos_token_id": 0, "eos_token_id": 0, "vocab_size": VOCAB}
    if family == "gpt2":
        return GPT2Config(
            n_layer=BLOCKS, n_embd=WIDTH, n_head=4, n_positions=32, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
            activation_function="gelu_pytorch_tanh", **ends,
        )  # fmt: skip
    kind = {"llama": LlamaConfig, "qwen2": Qwen2Config}[family]
    return kind(
        num_hidden_layers=BLOCKS, hidden_size=WIDTH, num_attention_heads=4, num_key_value_heads=2, pad_token_id=None,
        intermediate_size=48, max_position_embeddings=32, tie_word_embeddings=family == "qwen2", **ends,
    )  # fmt: skip


def tiny(family: str, dtype: torch.dtype) -> PreTrainedModel:
    torch.manual_seed(5)
    model = AutoModelForCausalLM.from_config(tiny_config(family), dtype=torch.float32).to(dtype)
    for name, parameter in model.named_parameters():  # the default 0.02 leaves every block almost an identity
        if "ln" not in name and "norm" not in name:
            parameter.data.mul_(5)
        if family == "qwen2" and name.endswith("bias"):
            parameter.data.normal_()  # zero at first
    return model


class FixedData:
    """Other sequences for each (device, round), padded on the right, prompts masked, fixed by those two numbers."""

    def batch(self, device: int, round: int) -> Sequences:
        rng = np.random.default_rng((device, round))
        ids = rng.integers(0, VOCAB, (SEQUENCES, TOKENS))
        labels = rng.integers(0, VOCAB, (SEQUENCES, TOKENS))
        labels[:, :3] = -100
        labels[0, 7 + device % 3 :] = -100
        return Sequences(ids, labels)

    def tokens(self, device: int, round: int) -> int:
        return TOKENS

    def validation(self) -> Sequences:
        return self.batch(1000, 0)


def make(splits, ranks, *, targets=("c_attn",), dtype=torch.float64, rank=None, optimizer=None, regime=PLAIN,
         family="gpt2", **more):  # fmt: skip
    """An engine and its reference on the same weights, with B drawn at random so that no gradient is zero."""
    alpha = 16.0
    base = tiny(family, dtype)
    settings = Settings(targets, rank or max(ranks), alpha, optimizer or Optimizer(RULE), **more)
    engine = Engine(
        SplitModel(copy.deepcopy(base), regime),
        FixedData(),
        Clients(tuple(splits), tuple(ranks), (1.0,) * len(splits)),
        settings,
        np.random.default_rng(3),
    )
    devices = list(range(len(splits)))
    rng = torch.Generator().manual_seed(9)
    rows = engine.rows_of(devices)
    noise = torch.randn(len(devices), engine.client_layout.size, generator=rng, dtype=torch.float64).to(dtype) * 0.1
    masks = torch.stack([engine.bank.mask(rank) for rank in ranks])
    engine.bank.overwrite(rows, (engine.bank.params(rows) + noise) * masks)
    noise = torch.randn(1, engine.server_layout.size, generator=rng, dtype=torch.float64).to(dtype) * 0.1
    engine.server.overwrite(
        engine.server_rows, (engine.server.params(engine.server_rows) + noise) * engine.server.mask(settings.rank)
    )
    return SimpleNamespace(engine=engine, whole=Whole(base, engine), devices=devices, rows=rows, masks=masks)


@pytest.fixture
def world():
    """Build an engine and the whole-model reference: ``world(splits, ranks, targets=..., dtype=...)``."""
    return make
