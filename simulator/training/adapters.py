"""Adapters as standard PEFT checkpoints, so that any model with PEFT can load what a run has learned."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from peft import LoraConfig
from safetensors.torch import save
from torch import Tensor
from transformers import PretrainedConfig

from simulator.training.families import Family, family_of
from simulator.training.layout import Layout

WEIGHTS: Final = "adapter_model.safetensors"
CONFIG: Final = "adapter_config.json"
PREFIX: Final = "base_model.model."


@dataclass(frozen=True, slots=True)
class Part:
    """The adapters of some blocks: a flat row [P] with its layout, its rank, and the scale alpha / r of its B.

    Only the leading ``rank`` rows of a padded layout are written.
    """

    layout: Layout
    row_P: Tensor
    blocks: range
    rank: int
    scale: float


def to_peft(parts: Sequence[Part], config: PretrainedConfig, *, base_model: str) -> dict[str, bytes]:
    """The files of a PEFT checkpoint for a model of that config: name -> content.

    PEFT stores A [r, in] and B [out, r]. Several pieces on one projection, such as q and v on GPT-2's c_attn, are
    exactly one adapter of their summed rank whose B is zero outside their own outputs; alpha grows with the rank, so
    that the scale stays. Where ranks differ (a device's blocks and the server's), ``rank_pattern`` and
    ``alpha_pattern`` name the blocks that are not as most are.
    """
    family = family_of(config)
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, tuple[int, float]] = {}
    for part in parts:
        for block in part.blocks:
            for module in part.layout.modules:
                name = f"{family.blocks}.{block}.{module}"
                a, b = _matrices(part, block, module)
                tensors[f"{PREFIX}{name}.lora_A.weight"], tensors[f"{PREFIX}{name}.lora_B.weight"] = a, b
                numbers[name] = (a.shape[0], part.scale * a.shape[0])
    (rank, alpha), _ = Counter(numbers.values()).most_common(1)[0]
    settings = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        rank_pattern={name: each for name, (each, _) in numbers.items() if each != rank},
        alpha_pattern={name: each for name, (_, each) in numbers.items() if each != alpha},
        target_modules=[peft_name(family, config, module) for module in parts[0].layout.modules],
        fan_in_fan_out=family.fan_in_fan_out,
        lora_dropout=0.0,
        task_type="CAUSAL_LM",
        base_model_name_or_path=base_model,
        inference_mode=True,
    )
    return {WEIGHTS: save(tensors, {"format": "pt"}), CONFIG: _json(settings)}


def peft_name(family: Family, config: PretrainedConfig, module: str) -> str:
    """The shortest name by which PEFT finds a projection and no other: it matches the ends of names."""
    last = module.rpartition(".")[2]
    modules = {piece.module for piece in family.pieces(config).values()}
    return last if sum(each.rpartition(".")[2] == last for each in modules) == 1 else module


def _matrices(part: Part, block: int, module: str) -> tuple[Tensor, Tensor]:
    """One projection's A [r * pieces, in] and B [O, r * pieces]."""
    layout, rank = part.layout, part.rank
    matrices = layout.matrices(block, module)
    b = part.row_P.new_zeros(matrices[0][0].width, rank * len(matrices))
    a = []
    for index, (piece, a_slice, b_slice) in enumerate(matrices):
        a.append(part.row_P[a_slice].view(layout.rank, piece.inputs)[:rank])
        columns = slice(index * rank, (index + 1) * rank)
        b[piece.offset : piece.offset + piece.out, columns] = part.row_P[b_slice].view(layout.rank, piece.out)[:rank].T
    return torch.cat(a).cpu().contiguous(), b.cpu().contiguous()


def _json(config: LoraConfig) -> bytes:
    def plain(value: Any) -> Any:  # noqa: ANN401 -- whatever PEFT keeps in its config
        return sorted(value) if isinstance(value, set) else str(value)

    return json.dumps(config.to_dict(), indent=2, default=plain, sort_keys=True).encode()
