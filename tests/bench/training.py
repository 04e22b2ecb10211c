"""Our training step against the plain one, interleaved in one run: ``python tests/bench/training.py --json``.

Four ways to train the same tokens of the same clients by one step of AdamW:

ours            one batched pass for all clients (`simulator.training.engine`)
plain           unsplit Hugging Face GPT-2 with PEFT LoRA, one batch, the model's own loss (full logits)
plain_same_loss the same with our loss at label positions and the one-kernel GELU: what is left is the engine itself
loop            the paper's literal form: a copy of the client part for each client, a loop, one server pass

Prints medians over ``--repeats`` rounds of process CPU time and of wall time, ratios within the run, kernel launches as
torch's dispatcher counts them (views left out), and bytes. Random weights and tokens: only the time is looked at.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.utils import logging as transformers_logging

from simulator.training.engine import Clients, Engine, Settings
from simulator.training.groups import Grouping, Sequences
from simulator.training.loss import head_loss
from simulator.training.model import SplitModel
from simulator.training.optim import AdamW, Optimizer
from simulator.workload import SHAPES, Lora, ModelShape, SplitWorkload, shape_of

VIEWS = {
    "view", "_unsafe_view", "reshape", "transpose", "t", "permute", "slice", "select", "narrow", "expand", "unsqueeze",
    "squeeze", "detach", "alias", "as_strided", "split", "unbind", "_reshape_alias", "lift_fresh", "is_same_size",
}  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """What is measured."""

    shape: ModelShape
    clients: int
    sequences: int
    tokens: int
    labels: float
    mixed: bool
    device: str

    @property
    def positions(self) -> int:
        return self.clients * self.sequences * self.tokens


class Launches(TorchDispatchMode):
    """Counts operations that reach the dispatcher and are no views."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func._schema.name.split("::")[1] not in VIEWS:
            self.count += 1
        return func(*args, **(kwargs or {}))


class RandomData:
    """Random tokens; labels on the last part of each sequence."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        rng = np.random.default_rng(1)
        shape = (setting.clients, setting.sequences, setting.tokens)
        self.ids = rng.integers(0, setting.shape.vocab_size, shape)
        self.labels = rng.integers(0, setting.shape.vocab_size, shape)
        self.labels[:, :, : round(setting.tokens * (1 - setting.labels))] = -100

    def batch(self, device: int, round: int) -> Sequences:
        return Sequences(self.ids[device], self.labels[device])

    def validation(self) -> Sequences:
        return self.batch(0, 0)


def gpt2(setting: Setting) -> GPT2LMHeadModel:
    torch.manual_seed(0)
    shape = setting.shape
    config = GPT2Config(
        n_layer=shape.num_blocks, n_embd=shape.width, n_head=shape.num_heads, vocab_size=shape.vocab_size,
        n_positions=shape.num_positions, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    return GPT2LMHeadModel(config).to(setting.device)


def with_lora(model: nn.Module) -> nn.Module:
    config = LoraConfig(r=8, lora_alpha=16, target_modules=["c_attn"], fan_in_fan_out=True, lora_dropout=0.0)
    return get_peft_model(model, config)


def optimizer_of(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)


def ours(setting: Setting, data: RandomData, base: GPT2LMHeadModel) -> Callable[[], None]:
    count = setting.clients
    splits = tuple(1 + client % 6 for client in range(count)) if setting.mixed else (3,) * count
    ranks = tuple((2, 4, 8, 16)[client % 4] for client in range(count)) if setting.mixed else (8,) * count
    settings = Settings(("c_attn",), 8, 16.0, Optimizer(AdamW(1e-4)), Grouping(10**9))
    engine = Engine(SplitModel(base), data, Clients(splits, ranks, (1.0,) * count), settings, np.random.default_rng(0))

    def step() -> None:
        tickets = [engine.forward(client, 0) for client in range(count)]
        engine.server_step(tickets)
        for ticket in tickets:
            engine.backward(ticket)
        engine._apply_returned()

    step.engine = engine
    return step


def plain(setting: Setting, data: RandomData, base: GPT2LMHeadModel, *, same_loss: bool) -> Callable[[], None]:
    model = with_lora(base)
    if same_loss:
        for block in base.transformer.h:
            block.mlp.act = nn.GELU(approximate="tanh")
    optimizer = optimizer_of(model)
    ids = torch.from_numpy(data.ids).view(-1, setting.tokens).to(setting.device)
    labels = torch.from_numpy(data.labels).view(-1, setting.tokens).to(setting.device)
    positions = (labels.view(-1) >= 0).nonzero().squeeze(1)
    weights = torch.full((len(positions),), 1 / len(positions), device=setting.device)

    def step() -> None:
        if same_loss:
            h = base.transformer(ids, use_cache=False).last_hidden_state
            h = h.view(-1, h.shape[-1]).index_select(0, positions)
            loss, _ = head_loss(h, base.lm_head.weight, labels.view(-1)[positions], weights)
        else:
            loss = model(input_ids=ids, labels=labels, shift_labels=labels, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def loop(setting: Setting, data: RandomData, base: GPT2LMHeadModel) -> Callable[[], None]:
    """A deep copy of the embedding and the first blocks for every client; the rest once, for all."""
    whole = with_lora(base).base_model.model.transformer
    front = nn.ModuleDict({"wte": whole.wte, "wpe": whole.wpe, "h": nn.ModuleList(whole.h[:3])})
    fronts = [copy.deepcopy(front) for _ in range(setting.clients)]
    back, optimizers = nn.ModuleList(whole.h[3:]), [optimizer_of(each) for each in fronts]
    server_optimizer = optimizer_of(back)
    batches = [torch.from_numpy(data.ids[client]).to(setting.device) for client in range(setting.clients)]
    labels = torch.from_numpy(data.labels).view(-1).to(setting.device)
    places = torch.arange(setting.tokens, device=setting.device)

    def step() -> None:
        smashed = []
        for each, ids in zip(fronts, batches, strict=True):
            h = each["wte"](ids) + each["wpe"](places)
            for block in each["h"]:
                h = block(h)
            smashed.append(h)
        cuts = [h.detach().requires_grad_() for h in smashed]
        h = torch.cat(cuts)
        for block in back:
            h = block(h)
        logits = base.lm_head(whole.ln_f(h)).view(-1, setting.shape.vocab_size)
        torch.nn.functional.cross_entropy(logits, labels, ignore_index=-100).backward()
        server_optimizer.step()
        server_optimizer.zero_grad()
        for h, cut, optimizer in zip(smashed, cuts, optimizers, strict=True):
            h.backward(cut.grad)
            optimizer.step()
            optimizer.zero_grad()

    return step


def timed(step: Callable[[], None], device: str) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - wall, time.process_time() - cpu


def flops(setting: Setting) -> float:
    """Matrix-product FLOPs of our step: logits at label positions only."""
    heads = round(setting.sequences * setting.tokens * setting.labels)
    work = SplitWorkload(setting.shape, Lora(("c_attn",), 8, 16), 3, setting.sequences, setting.tokens, heads)
    parts = (work.client_forward, work.client_backward, work.server_forward, work.server_backward)
    return setting.clients * sum(part.flops for part in parts)


def matmul_rate(setting: Setting) -> float:
    """FLOP/s of a float32 product of the step's most common shape, best of 5."""
    d = setting.shape.width
    a, b = torch.randn(setting.positions, d, device=setting.device), torch.randn(d, 4 * d, device=setting.device)
    times = [timed(lambda: torch.mm(a, b), setting.device)[0] for _ in range(6)][1:]
    return 2 * setting.positions * d * 4 * d / min(times)


def measure(setting: Setting, repeats: int) -> dict[str, object]:
    data = RandomData(setting)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    steps = {
        "ours": ours(setting, data, gpt2(setting)),
        "plain": plain(setting, data, gpt2(setting), same_loss=False),
        "plain_same_loss": plain(setting, data, gpt2(setting), same_loss=True),
        "loop": loop(setting, data, gpt2(setting)),
    }
    engine = steps["ours"].engine
    steps["ours"]()
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    launches = {}
    for name, step in steps.items():
        with Launches() as counter:
            step()
        launches[name] = counter.count
    rate = matmul_rate(setting)
    rounds = [{name: timed(step, setting.device) for name, step in steps.items()} for _ in range(repeats)]
    wall = {name: statistics.median(each[name][0] for each in rounds) for name in steps}
    ratio = {name: statistics.median(each["ours"][0] / each[name][0] for each in rounds) for name in steps}
    row = engine.bank.layout.size * 4
    return {
        **{f"{name}_s": round(seconds, 4) for name, seconds in wall.items()},
        **{
            f"ratio_{name.removeprefix('plain_')}": round(ratio[name], 3)
            for name in ("plain", "plain_same_loss", "loop")
        },
        "tokens_per_s": round(setting.positions / wall["ours"], 1),
        "launches": launches["ours"],
        "launches_of": launches,
        "peak_bytes": peak,
        "bytes_per_client": 3 * row + 8,
        "matmul_share": round(flops(setting) / wall["ours"] / rate, 3),
        "matmul_flops_per_s": rate,
        "clients": setting.clients,
        "sequences": setting.sequences,
        "tokens": setting.tokens,
        "label_share": setting.labels,
        "mixed": setting.mixed,
        "dtype": "float32",
        "device": setting.device,
        "model": setting.shape.name,
        "repeats": repeats,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "machine": platform.processor() or platform.machine(),
        "torch": torch.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--sequences", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--labels", type=float, default=1.0, help="share of positions with a label")
    parser.add_argument("--mixed", action="store_true", help="splits 1..6 and ranks 2..16 in one cohort")
    parser.add_argument("--model", choices=("mini", *SHAPES), default="gpt2")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    transformers_logging.set_verbosity_error()
    if options.threads:
        torch.set_num_threads(options.threads)
    setting = Setting(
        shape_of(options.model), options.clients, options.sequences, options.tokens, options.labels, options.mixed,
        options.device,
    )  # fmt: skip
    result = measure(setting, options.repeats)
    if options.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:20} {value}")


if __name__ == "__main__":
    main()
