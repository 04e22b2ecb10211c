"""Four ways to train the same tokens of the same clients by one step of AdamW; see ``training.py``."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from simulator.training.engine import Clients, Engine, Settings
from simulator.training.groups import Grouping, Sequences
from simulator.training.loss import head_loss
from simulator.training.model import Regime, SplitModel
from simulator.training.optim import AdamW, Optimizer
from simulator.workload import ModelShape

Step = Callable[[], None]
MOST_COPIES = 16  # of a client's blocks in the loop: more clients take turns with them, which costs the same time


@dataclass(frozen=True)
class Setting:
    """What is measured."""

    shape: ModelShape
    clients: int
    sequences: int
    tokens: int
    label_share: float
    mixed: bool
    dtype: str
    device: str
    checkpointing: bool = False

    @property
    def positions(self) -> int:
        return self.clients * self.sequences * self.tokens

    @property
    def splits(self) -> tuple[int, ...]:
        return tuple(1 + client % 6 if self.mixed else 3 for client in range(self.clients))

    @property
    def ranks(self) -> tuple[int, ...]:
        return tuple((2, 4, 8, 16)[client % 4] if self.mixed else 8 for client in range(self.clients))

    @property
    def torch_dtype(self) -> torch.dtype:
        return {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16}[self.dtype]


class RandomData:
    """Random tokens; labels on the last part of each sequence."""

    def __init__(self, setting: Setting) -> None:
        rng = np.random.default_rng(1)
        shape = (setting.clients, setting.sequences, setting.tokens)
        self.ids = rng.integers(0, setting.shape.vocab_size, shape)
        self.labels = rng.integers(0, setting.shape.vocab_size, shape)
        self.labels[:, :, : round(setting.tokens * (1 - setting.label_share))] = -100

    def batch(self, device: int, round: int) -> Sequences:
        return Sequences(self.ids[device], self.labels[device])

    def tokens(self, device: int, round: int) -> int:
        return self.ids.shape[-1]

    def validation(self) -> Sequences:
        return self.batch(0, 0)


def gpt2(setting: Setting, dtype: torch.dtype = torch.float32) -> GPT2LMHeadModel:
    torch.manual_seed(0)
    shape = setting.shape
    config = GPT2Config(
        n_layer=shape.num_blocks, n_embd=shape.width, n_head=shape.num_heads, vocab_size=shape.vocab_size,
        n_positions=shape.num_positions, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    return GPT2LMHeadModel(config).to(setting.device, dtype)


def with_lora(model: nn.Module) -> nn.Module:
    config = LoraConfig(r=8, lora_alpha=16, target_modules=["c_attn"], fan_in_fan_out=True, lora_dropout=0.0)
    return get_peft_model(model, config)


def optimizer_of(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)


def engine_of(setting: Setting, data: RandomData) -> Engine:
    settings = Settings(("c_attn",), 8, 16.0, Optimizer(AdamW(1e-4)), Grouping(10**9))
    model = SplitModel(gpt2(setting, setting.torch_dtype), Regime(checkpointing=setting.checkpointing))
    clients = Clients(setting.splits, setting.ranks, (1.0,) * setting.clients)
    return Engine(model, data, clients, settings, np.random.default_rng(0))


def ours(setting: Setting, engine: Engine) -> Step:
    """One batched pass for all clients."""

    def step() -> None:
        tickets = [engine.forward(client, 1) for client in range(setting.clients)]
        engine.server_step(tickets)
        for ticket in tickets:
            engine.backward(ticket)
        engine._apply_returned()

    return step


def plain(setting: Setting, data: RandomData) -> Step:
    """Unsplit Hugging Face GPT-2 with PEFT LoRA in float32, one batch, the model's own loss over full logits."""
    base = gpt2(setting)
    model = with_lora(base)
    optimizer = optimizer_of(model)
    ids, labels = tensors(setting, data)

    def step() -> None:
        model(input_ids=ids, labels=labels, shift_labels=labels, use_cache=False).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def plain_same_loss(setting: Setting, data: RandomData) -> Step:
    """The same with our loss at label positions, the one-kernel GELU and our precision: what is left is the engine."""
    base = gpt2(setting, setting.torch_dtype)
    optimizer = optimizer_of(with_lora(base))
    for block in base.transformer.h:
        block.mlp.act = nn.GELU(approximate="tanh")
    ids, labels = tensors(setting, data)
    positions = (labels.view(-1) >= 0).nonzero().squeeze(1)
    targets = labels.view(-1)[positions]
    weights = torch.full((len(positions),), 1 / len(positions), device=setting.device)

    def step() -> None:
        with torch.autocast(setting.device, setting.torch_dtype, enabled=setting.dtype == "bfloat16"):
            h = base.transformer(ids, use_cache=False).last_hidden_state
        h = h.view(-1, h.shape[-1]).index_select(0, positions).to(setting.torch_dtype)
        head_loss(h, base.lm_head.weight, targets, weights)[0].backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def loop(setting: Setting, data: RandomData) -> Step:
    """The published code's form, in float32: a copy of embedding and first blocks for each client, clients in turn.

    Each turn is a client forward, a server forward, backward and step over full logits, a client backward and step.
    """
    base = gpt2(setting)
    whole = with_lora(base).base_model.model.transformer
    front = nn.ModuleDict({"wte": whole.wte, "wpe": whole.wpe, "h": nn.ModuleList(whole.h[:3])})
    fronts = [copy.deepcopy(front) for _ in range(min(setting.clients, MOST_COPIES))]
    back, optimizers = nn.ModuleList(whole.h[3:]), [optimizer_of(each) for each in fronts]
    server_optimizer = optimizer_of(back)
    ids = torch.from_numpy(data.ids).to(setting.device)
    labels = torch.from_numpy(data.labels).to(setting.device)
    places = torch.arange(setting.tokens, device=setting.device)

    def turn(client: int) -> None:
        each = fronts[client % MOST_COPIES]
        h = each["wte"](ids[client]) + each["wpe"](places)
        for block in each["h"]:
            h = block(h)
        received = h.detach().requires_grad_()
        x = received
        for block in back:
            x = block(x)
        logits = base.lm_head(whole.ln_f(x)).view(-1, setting.shape.vocab_size)
        nn.functional.cross_entropy(logits, labels[client].view(-1), ignore_index=-100).backward()
        server_optimizer.step()
        server_optimizer.zero_grad()
        h.backward(received.grad)
        optimizers[client % MOST_COPIES].step()
        optimizers[client % MOST_COPIES].zero_grad()

    def step() -> None:
        for client in range(setting.clients):
            turn(client)

    return step


def tensors(setting: Setting, data: RandomData) -> Iterator[torch.Tensor]:
    """Token ids and labels of all clients in one batch."""
    return (torch.from_numpy(each).view(-1, setting.tokens).to(setting.device) for each in (data.ids, data.labels))
