"""Our training step against the plain one, interleaved in one run: ``python tests/bench/training.py --json``.

Four ways to train the same tokens (``steps.py``): ours, one batched pass for all clients; plain, unsplit Hugging Face
GPT-2 with PEFT; plain_same_loss, the same with our loss, GELU and precision; loop, the published code's form, a copy of
the client's blocks for each client and one client after the other.

Prints the medians over ``--repeats`` rounds of wall time, ratios within the run, kernel launches as torch's dispatcher
counts them (views left out), bytes, and matmul_share: counted FLOPs of our step over its time, relative to the float32
matrix-product rate measured just before and after it. Random weights and tokens: only the time is looked at.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parent))

import torch
from steps import MOST_COPIES, RandomData, Setting, Step, engine_of, loop, ours, plain, plain_same_loss
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.utils import logging as transformers_logging

from simulator.training.engine import Engine
from simulator.training.footprint import footprint
from simulator.workload import SHAPES, Lora, SplitWorkload, shape_of

VIEWS = {
    "view", "_unsafe_view", "reshape", "transpose", "t", "permute", "slice", "select", "narrow", "expand", "unsqueeze",
    "squeeze", "detach", "alias", "as_strided", "split", "unbind", "_reshape_alias", "lift_fresh", "is_same_size",
}  # fmt: skip


class Launches(TorchDispatchMode):
    """Counts operations that reach the dispatcher and are no views."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func._schema.name.split("::")[1] not in VIEWS
        return func(*args, **(kwargs or {}))


def timed_s(step: Step, device: str) -> float:
    started = time.perf_counter()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def launches(step: Step) -> int:
    with Launches() as counter:
        step()
    return counter.count


def flops(setting: Setting) -> float:
    """Matrix-product FLOPs of our step, logits at label positions only."""
    heads = round(setting.sequences * setting.tokens * setting.label_share)
    total = 0.0
    for split, rank in zip(setting.splits, setting.ranks, strict=True):
        lora = Lora(("c_attn",), rank, 16)
        work = SplitWorkload(setting.shape, lora, split, setting.sequences, setting.tokens, heads)
        parts = (work.client_forward, work.client_backward, work.server_forward, work.server_backward)
        total += sum(part.flops for part in parts)
    return total


def matmul_rate(setting: Setting) -> float:
    """FLOP/s of a float32 product of the step's most common shape, median of 5."""
    d = setting.shape.width
    a, b = torch.randn(setting.positions, d, device=setting.device), torch.randn(d, 4 * d, device=setting.device)
    times = [timed_s(lambda: torch.mm(a, b), setting.device) for _ in range(5)]
    return 2 * setting.positions * d * 4 * d / statistics.median(times)


def peak_bytes(step: Step, engine: Engine, device: str) -> int:
    """Base weights, adapters and moments, and the most that a step holds beside them."""
    held = sum({p.data_ptr(): p.nbytes for p in engine.model.model.parameters()}.values())
    held += engine.bank._state_SNP.nbytes + engine.server._state_SNP.nbytes
    if device == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step()
        return held + torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        step()
    events = [(each.start_ns(), each.nbytes()) for each in record.profiler.kineto_results.events()
              if each.name() == "[memory]"]  # fmt: skip
    now = most = 0
    for _, size in sorted(events, key=lambda event: event[0]):
        now += size
        most = max(most, now)
    return held + most


def bytes_per_client(engine: Engine) -> float:
    """What room for 64 more clients takes, for each."""
    before = engine.bank._state_SNP.untyped_storage().nbytes()
    engine.bank._make_room(len(engine.bank._free) + 64)
    grown = engine.bank._state_SNP
    return (grown.untyped_storage().nbytes() - before) / (grown.shape[1] - len(engine.bank._row_of))


OTHERS = {"plain": plain, "plain_same_loss": plain_same_loss, "loop": loop}


def measure(setting: Setting, repeats: int, others: list[str]) -> dict[str, object]:
    data = RandomData(setting)
    engine = engine_of(setting, data)
    steps = {"ours": ours(setting, engine)} | {name: OTHERS[name](setting, data) for name in others}
    for step in steps.values():
        step()
    counts = {name: launches(step) for name, step in steps.items()}
    peak = peak_bytes(steps["ours"], engine, setting.device)
    predicted = footprint(engine, cohort=setting.clients, sequences=setting.sequences, tokens=setting.tokens)
    rounds, shares = [], []
    for _ in range(repeats):
        before = matmul_rate(setting)
        times = {"ours": timed_s(steps["ours"], setting.device)}
        shares.append(flops(setting) / times["ours"] / ((before + matmul_rate(setting)) / 2))
        times |= {name: timed_s(step, setting.device) for name, step in steps.items() if name != "ours"}
        rounds.append(times)
    wall = {name: statistics.median(each[name] for each in rounds) for name in steps}
    ratio = {name: statistics.median(each["ours"] / each[name] for each in rounds) for name in others}
    return {
        **{f"{name}_s": round(seconds, 4) for name, seconds in wall.items()},
        **{f"ratio_{name.removeprefix('plain_')}": round(ratio[name], 3) for name in others},
        "tokens_per_s": round(setting.positions / wall["ours"], 1),
        "launches": counts["ours"],
        "launches_of": counts,
        "peak_bytes": peak,
        "predicted_peak_bytes": sum(predicted.values()),
        "bytes_per_client": bytes_per_client(engine),
        "matmul_share": round(statistics.median(shares), 3),
        **about(setting),
        "repeats": repeats,
        "copies_in_loop": min(setting.clients, MOST_COPIES) if "loop" in others else 0,
    }


def about(setting: Setting) -> dict[str, object]:
    """The setting and the machine."""
    return {
        "model": setting.shape.name,
        "clients": setting.clients,
        "sequences": setting.sequences,
        "tokens": setting.tokens,
        "label_share": setting.label_share,
        "mixed": setting.mixed,
        "dtype": setting.dtype,
        "checkpointing": setting.checkpointing,
        "device": torch.cuda.get_device_name() if setting.device == "cuda" else "cpu",
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
    parser.add_argument("--dtype", choices=("float32", "tf32", "bfloat16"), default="float32", help="of our base")
    parser.add_argument("--checkpointing", action="store_true", help="ours computes blocks twice")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--others", nargs="*", choices=OTHERS, default=list(OTHERS), help="what ours is compared with")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    transformers_logging.set_verbosity_error()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.set_float32_matmul_precision("high" if options.dtype == "tf32" else "highest")
    setting = Setting(
        shape_of(options.model), options.clients, options.sequences, options.tokens, options.labels, options.mixed,
        options.dtype, options.device, options.checkpointing,
    )  # fmt: skip
    result = measure(setting, options.repeats, options.others)
    if options.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:22} {value}")


if __name__ == "__main__":
    main()
