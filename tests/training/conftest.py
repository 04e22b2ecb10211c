"""A tiny GPT-2 and the reference that the engine is held against: the whole model with PEFT, one client at a time."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel

from simulator.training.engine import Clients, Engine, Sequences, Settings
from simulator.training.model import SplitModel
from simulator.training.optim import AdamW

BLOCKS, WIDTH, VOCAB, TOKENS, SEQUENCES = 12, 32, 101, 10, 2
RULE = AdamW(learning_rate=1e-2, weight_decay=0.01)


def tiny_gpt2(dtype: torch.dtype) -> GPT2LMHeadModel:
    torch.manual_seed(5)
    config = GPT2Config(
        n_layer=BLOCKS, n_embd=WIDTH, n_head=4, vocab_size=VOCAB, n_positions=32,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, activation_function="gelu_pytorch_tanh",
    )  # fmt: skip
    model = GPT2LMHeadModel(config).to(dtype)
    for name, parameter in model.named_parameters():  # the default 0.02 leaves every block almost an identity
        if "ln" not in name:
            parameter.data.mul_(5)
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

    def validation(self) -> Sequences:
        return self.batch(1000, 0)


class Whole:
    """Unsplit HF GPT-2 with PEFT LoRA: a client's adapters in front of its cut, the server's behind; torch's AdamW."""

    def __init__(self, gpt2: GPT2LMHeadModel, engine: Engine, alpha: float) -> None:
        self.engine = engine
        # The q,v form is exactly a c_attn adapter of twice the rank whose B is block diagonal.
        self.pairs = len(engine.settings.targets)
        rank = engine._client_layout.rank * self.pairs
        config = LoraConfig(r=rank, lora_alpha=rank, target_modules=["c_attn"], fan_in_fan_out=True, lora_dropout=0.0)
        self.model = get_peft_model(gpt2, config).to(next(gpt2.parameters()).dtype).eval()
        self.alpha = alpha

    def _layer(self, block: int) -> torch.nn.Module:
        return self.model.base_model.model.transformer.h[block].attn.c_attn

    def load(self, block: int, row: torch.Tensor, layout, rank: int) -> None:
        """Copy one block's adapter out of a flat row into PEFT's matrices; the scale alpha / rank goes into B."""
        a, b = [], torch.zeros(3 * WIDTH, layout.rank * self.pairs, dtype=row.dtype)
        for index, (piece, a_slice, b_slice) in enumerate(layout.matrices(block)):
            a.append(row[a_slice].view(layout.rank, WIDTH))
            columns = slice(index * layout.rank, (index + 1) * layout.rank)
            b[piece.offset : piece.offset + piece.out, columns] = row[b_slice].view(layout.rank, piece.out).T
        self._layer(block).lora_A["default"].weight.data.copy_(torch.cat(a))
        self._layer(block).lora_B["default"].weight.data.copy_(b * (self.alpha / rank))

    def read_gradient(self, block: int, row: torch.Tensor, layout, rank: int) -> None:
        """The reverse: add the gradients of PEFT's matrices to a flat row."""
        for index, (piece, a_slice, b_slice) in enumerate(layout.matrices(block)):
            rows = slice(index * layout.rank, (index + 1) * layout.rank)
            row[a_slice] += self._layer(block).lora_A["default"].weight.grad[rows].reshape(-1)
            b_grad = self._layer(block).lora_B["default"].weight.grad[piece.offset : piece.offset + piece.out, rows]
            row[b_slice] += (b_grad * (self.alpha / rank)).T.reshape(-1)

    def step(self, devices, batches, client_rows, server_row):
        """Loss and gradients of a cohort, one client after another through the whole model."""
        splits, ranks = self.engine.clients.splits, self.engine.clients.ranks
        client_layout, server_layout = self.engine._client_layout, self.engine._server_layout
        positions = sum((batch.labels_RT >= 0).sum() for batch in batches)
        client_grads, server_grad, total = [], torch.zeros_like(server_row), 0.0
        for device, batch, row in zip(devices, batches, client_rows, strict=True):
            for block in range(BLOCKS):
                if block < splits[device]:
                    self.load(block, row, client_layout, ranks[device])
                else:
                    self.load(block, server_row, server_layout, self.engine.settings.rank)
            self.model.zero_grad()
            logits = self.model(input_ids=torch.from_numpy(batch.ids_RT)).logits
            labels = torch.from_numpy(batch.labels_RT).reshape(-1)
            logits = logits.reshape(-1, VOCAB)
            loss = torch.nn.functional.cross_entropy(logits, labels, ignore_index=-100, reduction="sum") / positions
            loss.backward()
            total += loss.item()
            grad = torch.zeros_like(row)
            for block in range(BLOCKS):
                if block < splits[device]:
                    self.read_gradient(block, grad, client_layout, ranks[device])
                else:
                    self.read_gradient(block, server_grad, server_layout, self.engine.settings.rank)
            client_grads.append(grad)
        return total, client_grads, server_grad


def make(splits, ranks, *, targets=("c_attn",), dtype=torch.float64, group_tokens=16384) -> SimpleNamespace:
    """An engine and its reference on the same weights, with B drawn at random so that no gradient is zero."""
    alpha = 16.0
    gpt2 = tiny_gpt2(dtype)
    settings = Settings(targets, max(ranks), alpha, RULE, group_tokens)
    engine = Engine(
        SplitModel(copy.deepcopy(gpt2)), FixedData(), Clients(tuple(splits), tuple(ranks)), settings,
        np.random.default_rng(3),
    )  # fmt: skip
    devices = list(range(len(splits)))
    rng = torch.Generator().manual_seed(9)
    rows = engine._rows(devices)
    noise = torch.randn(len(devices), engine._client_layout.size, generator=rng, dtype=torch.float64).to(dtype) * 0.1
    masks = torch.stack([engine.bank.mask(rank) for rank in ranks])
    engine.bank.overwrite(rows, (engine.bank.params(rows) + noise) * masks)
    noise = torch.randn(1, engine._server_layout.size, generator=rng, dtype=torch.float64).to(dtype) * 0.1
    engine.server.overwrite(engine._server_row, engine.server.params(engine._server_row) + noise)
    return SimpleNamespace(engine=engine, whole=Whole(gpt2, engine, alpha), devices=devices, rows=rows, masks=masks)


@pytest.fixture
def world():
    """Build an engine and the whole-model reference: ``world(splits, ranks, targets=..., dtype=...)``."""
    return make
