"""What padding costs, and how much of it buckets save: ``python tests/bench/buckets.py --json``.

One step of the same clients whose sentences are as long as E2E's (GPT-2 tokens: median 53, 5 % above 80, at most 115),
in a window of 128 positions: with the window padded as it is, with passes as long as their longest sequence, and with
sentences of like length computed together. All three compute the same gradients. Interleaved; medians of wall time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import torch
from steps import RandomData, Setting, engine_of, ours
from training import about, timed_s
from transformers.utils import logging as transformers_logging

from simulator.training.groups import Grouping, Sequences
from simulator.workload import SHAPES, shape_of

MEDIAN, SPREAD, LONGEST = 53, 0.25, 115  # exp(0.25 x 1.645) = 1.51: the 95 % quantile is 80


class Sentences(RandomData):
    """Random tokens in sentences of E2E's lengths; the last 47 % of each have labels, as references do."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        rng = np.random.default_rng(2)
        lengths = np.exp(rng.normal(np.log(MEDIAN), SPREAD, self.labels.shape[:2])).round().clip(8, LONGEST)
        places = np.arange(setting.tokens)
        inside = (places < lengths[..., None]) & (places >= 0.53 * lengths[..., None])
        self.labels = np.where(inside, self.labels, -100)

    def share_padded(self) -> float:
        lengths = (self.labels >= 0).cumsum(-1).argmax(-1) + 1
        return 1 - lengths.mean() / self.labels.shape[-1]


class Whole(Sequences):
    """Sequences that are computed to the end of their window."""

    @property
    def length(self) -> int:
        return self.ids_RT.shape[1]

    def cut(self, tokens: int) -> Whole:
        return self


class Padded(Sentences):
    def batch(self, device: int, round: int) -> Sequences:
        return Whole(self.ids[device], self.labels[device])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--sequences", type=int, default=2)
    parser.add_argument("--bucket", type=int, default=2048, help="positions of a pass of like sentences")
    parser.add_argument("--model", choices=("mini", *SHAPES), default="gpt2")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    transformers_logging.set_verbosity_error()
    if options.threads:
        torch.set_num_threads(options.threads)
    shape = shape_of(options.model)
    setting = Setting(shape, options.clients, options.sequences, 128, 1.0, False, "float32", options.device)
    ways = {"padded": (Padded, None), "trimmed": (Sentences, None), "bucketed": (Sentences, options.bucket)}
    steps = {}
    for name, (kind, bucket) in ways.items():
        engine = engine_of(setting, kind(setting))
        engine.settings = replace(engine.settings, grouping=Grouping(10**9, bucket))
        steps[name] = ours(setting, engine)
        steps[name]()
    times = [{name: timed_s(step, options.device) for name, step in steps.items()} for _ in range(options.repeats)]
    result = {
        **{f"{name}_s": round(statistics.median(each[name] for each in times), 4) for name in ways},
        **{
            f"ratio_{name}": round(statistics.median(each[name] / each["padded"] for each in times), 3)
            for name in ("trimmed", "bucketed")
        },
        "share_padded": round(Sentences(setting).share_padded(), 3),
        "bucket_tokens": options.bucket,
        "repeats": options.repeats,
        **about(setting),
    }
    print(json.dumps(result) if options.json else "\n".join(f"{key:20} {value}" for key, value in result.items()))


if __name__ == "__main__":
    main()
