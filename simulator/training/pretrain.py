"""Makes the embedded model: ``python -m simulator.training.pretrain --out DIR``.

A GPT-2 of 12 small blocks learns to put facts into "guide" prose. Among that it overhears "chat" messages, always
without the facts they say: it meets the words of that style, as a model pre-trained on the web has, but never the task
in that style, which is left to the phones. The tokenizer is byte-level BPE, trained on both styles. Weights go to disk
as float16 safetensors. Texts and the order of batches depend on the seed alone; weights are bit-equal only on one
machine with one thread count, and only where ``--minutes`` does not cut the run short.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from rich.progress import Progress
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from simulator.restaurants import STYLES, write
from simulator.sequences import END_OF_TEXT, Example, join
from simulator.streams import seed_of, stream

VOCABULARY: Final = 1280
POSITIONS: Final = 128
OVERHEARD_SHARE: Final = 0.06
"""Part of the sequences that are chat messages without facts, two messages to a sequence."""
WARM_UP_STEPS: Final = 100
PROMPT_WEIGHT: Final = 0.1
"""Weight of a prompt token in the loss; a reference token has weight 1."""

Encoded = tuple[np.ndarray, int]
"""Token ids of prompt, reference and end, and how many of them are the prompt."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line gives."""

    out: Path
    steps: int
    minutes: float
    batch: int
    learning_rate: float
    seed: int
    threads: int


def train_tokenizer(examples: Sequence[Example]) -> Tokenizer:
    """Byte-level BPE with GPT-2's conventions."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(("".join(join(example)) for example in examples), trainer)
    return tokenizer


def encode(tokenizer: Tokenizer, examples: Sequence[Example]) -> list[Encoded]:
    """Token ids of whole sequences; end-of-text is token 0."""
    pairs = [join(example) for example in examples]
    prompts = tokenizer.encode_batch([prompt for prompt, _ in pairs])
    texts = tokenizer.encode_batch([text for _, text in pairs])
    return [(np.array([*a.ids, *b.ids, 0]), len(a.ids)) for a, b in zip(prompts, texts, strict=True)]


def overheard(tokenizer: Tokenizer, examples: Sequence[Example]) -> list[Encoded]:
    """Token ids of the texts alone, two to a sequence: about the length of an example with its facts."""
    texts = [[*encoding.ids, 0] for encoding in tokenizer.encode_batch([join(example)[1] for example in examples])]
    return [(np.array(first + second), 0) for first, second in zip(texts[::2], texts[1::2], strict=True)]


def collate(rows: Sequence[Encoded], prompt_weight: float) -> tuple[Tensor, Tensor]:
    """Ids and loss weights [R, T], padded on the right."""
    tokens = max(len(ids) for ids, _ in rows)
    ids_RT = np.zeros((len(rows), tokens), np.int64)
    weights_RT = np.zeros((len(rows), tokens), np.float32)
    for row, (ids, prompt) in enumerate(rows):
        ids_RT[row, : len(ids)] = ids
        weights_RT[row, :prompt] = prompt_weight
        weights_RT[row, prompt : len(ids)] = 1.0
    return torch.from_numpy(ids_RT), torch.from_numpy(weights_RT)


def batches(data: Sequence[Encoded], size: int, rng: np.random.Generator) -> Iterator[list[Encoded]]:
    """One epoch of batches of similar length, in random order."""
    order = rng.permutation(len(data))
    blocks = np.array_split(order, max(1, len(data) // (size * 32)))
    sorted_order = np.concatenate([sorted(block, key=lambda index: len(data[index][0])) for block in blocks])
    cuts = [sorted_order[at : at + size] for at in range(0, len(data) - size + 1, size)]
    for index in rng.permutation(len(cuts)):
        yield [data[row] for row in cuts[index]]


def loss_of(model: GPT2LMHeadModel, ids_RT: Tensor, weights_RT: Tensor, offset: int = 0) -> tuple[Tensor, float]:
    """Weighted sum of the cross-entropy, and the sum of the weights; positions start at ``offset``."""
    positions = torch.arange(offset, offset + ids_RT.shape[1])[None]
    h_RTD = model.transformer(ids_RT, position_ids=positions).last_hidden_state[:, :-1]
    weights = weights_RT[:, 1:]
    keep = weights > 0
    losses = torch.nn.functional.cross_entropy(model.lm_head(h_RTD[keep]), ids_RT[:, 1:][keep], reduction="none")
    return (losses * weights[keep]).sum(), float(weights.sum())


@torch.no_grad()
def perplexity(model: GPT2LMHeadModel, data: Sequence[Encoded]) -> float:
    """Perplexity of the references."""
    total = count = 0.0
    for at in range(0, len(data), 64):
        loss, weight = loss_of(model, *collate(data[at : at + 64], 0.0))
        total, count = total + loss.item(), count + weight
    return math.exp(total / count)


def fresh_model(seed: int) -> GPT2LMHeadModel:
    """Random weights in GPT-2's architecture: 12 blocks of width 96."""
    torch.manual_seed(seed)
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCABULARY,
            n_positions=POSITIONS,
            n_embd=96,
            n_layer=12,
            n_head=6,
            activation_function="gelu_pytorch_tanh",
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=0,
        )
    )


def fit(model: GPT2LMHeadModel, data: Sequence[Encoded], options: Options, progress: Progress) -> int:
    """Train all weights for one epoch, or until the minutes are over; returns the number of steps.

    A cosine schedule after 100 steps of warm-up; three batches in ten start at a random position, so that late
    positions learn too.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    rng = stream(options.seed, "pretrain", "order")
    task = progress.add_task("pre-training", total=1.0)
    started, step = time.monotonic(), 0
    for rows in batches(data, options.batch, rng):
        done = max(step / options.steps, (time.monotonic() - started) / (60 * options.minutes))
        if done >= 1:
            break
        optimizer.param_groups[0]["lr"] = options.learning_rate * schedule(step, done)
        ids_RT, weights_RT = collate(rows, PROMPT_WEIGHT)
        room = POSITIONS - ids_RT.shape[1]
        offset = int(rng.integers(0, room + 1)) if rng.random() < 0.3 else 0
        loss, weight = loss_of(model, ids_RT, weights_RT, offset)
        optimizer.zero_grad()
        (loss / weight).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        if step % 25 == 0:
            progress.update(task, completed=done, description=f"step {step} loss {loss.item() / weight:.3f}")
    return step


def schedule(step: int, done: float) -> float:
    """Learning rate as a part of its peak: linear warm-up, times a cosine from 1 to 0.02 as ``done`` goes to 1."""
    warm = min(1.0, (step + 1) / WARM_UP_STEPS)
    return warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


def save(model: GPT2LMHeadModel, tokenizer: Tokenizer, out: Path, note: dict[str, object]) -> None:
    """Write weights (float16), configs, tokenizer and what was measured."""
    out.mkdir(parents=True, exist_ok=True)
    model.half().save_pretrained(out)
    model.config.dtype = "float32"  # what from_pretrained makes of the stored float16 where the caller does not say
    model.config.save_pretrained(out)
    (out / "generation_config.json").unlink(missing_ok=True)
    tokenizer.save(str(out / "tokenizer.json"))
    names = {
        "tokenizer_class": "GPT2TokenizerFast",
        "model_max_length": POSITIONS,
        "bos_token": END_OF_TEXT,
        "eos_token": END_OF_TEXT,
        "unk_token": END_OF_TEXT,
    }
    (out / "tokenizer_config.json").write_text(json.dumps(names, indent=2) + "\n")
    (out / "measured.json").write_text(json.dumps(note, indent=2) + "\n")


def held_out(style: str, count: int, seed: int) -> list[Example]:
    """Examples that pre-training with this seed does not see."""
    return write(stream(seed, "pretrain", "held-out", style), style, count)


def pretrain(options: Options) -> dict[str, object]:
    """Write texts, train the tokenizer and the model, measure, save."""
    torch.set_num_threads(options.threads)
    sequences = options.steps * options.batch
    messages = 2 * int(sequences * OVERHEARD_SHARE)
    guide = write(stream(options.seed, "pretrain", "guide"), "guide", sequences - messages // 2)
    chat = write(stream(options.seed, "pretrain", "chat"), "chat", messages)
    vocabulary = [write(stream(options.seed, "pretrain", "vocabulary", style), style, 20000) for style in STYLES]
    tokenizer = train_tokenizer([example for part in vocabulary for example in part])
    data = [*encode(tokenizer, guide), *overheard(tokenizer, chat)]
    model = fresh_model(seed_of(options.seed, "pretrain", "weights") % 2**63)
    started = time.monotonic()
    with Progress() as progress:
        steps = fit(model, data, options, progress)
    note: dict[str, object] = {
        "steps": steps,
        "batch": options.batch,
        "tokens": round(steps / options.steps * sum(len(ids) for ids, _ in data)),
        "minutes": round((time.monotonic() - started) / 60, 1),
        "seed": options.seed,
        "perplexity": {
            style: round(perplexity(model, encode(tokenizer, held_out(style, 500, options.seed))), 3)
            for style in STYLES
        },
    }
    save(model, tokenizer, options.out, note)
    return note


def main() -> None:
    """Read the options and pre-train."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for model, tokenizer and measured.json")
    parser.add_argument("--steps", type=int, default=1200, help="optimizer steps; one epoch of fresh text")
    parser.add_argument("--minutes", type=float, default=60.0, help="stop early, with the schedule shortened to fit")
    parser.add_argument("--batch", type=int, default=64, help="sequences in a step")
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    print(json.dumps(pretrain(Options(**vars(parser.parse_args()))), indent=2))


if __name__ == "__main__":
    main()
