"""Adapters as standard PEFT checkpoints, so that any GPT-2 with PEFT can load what a run has learned."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from peft import LoraConfig
from safetensors.torch import save
from torch import Tensor

from simulator.training.layout import Layout

WEIGHTS: Final = "adapter_model.safetensors"
CONFIG: Final = "adapter_config.json"


@dataclass(frozen=True, slots=True)
class Part:
    """The adapters of some blocks: a flat row [P] with its layout, and the scale alpha / r that goes with it."""

    layout: Layout
    row_P: Tensor
    blocks: range


def to_peft(parts: Sequence[Part], *, rank: int, alpha: float, base_model: str) -> dict[str, bytes]:
    """The files of a PEFT checkpoint: name -> content.

    PEFT stores A [r, in] and B [out, r]. Separate adapters on q and v are exactly one adapter of rank 2 r on c_attn
    whose B is zero outside their own rows; alpha doubles with the rank, so that the scale stays. Only the leading
    ``rank`` rows of a padded layout are written.
    """
    pieces = len(parts[0].layout.pieces)
    tensors: dict[str, Tensor] = {}
    for part in parts:
        for block in part.blocks:
            root = f"base_model.model.transformer.h.{block}.attn.c_attn"
            a, b = _matrices(part, block, rank)
            tensors[f"{root}.lora_A.weight"], tensors[f"{root}.lora_B.weight"] = a, b
    config = LoraConfig(
        r=rank * pieces,
        lora_alpha=alpha * pieces,
        target_modules=["c_attn"],
        fan_in_fan_out=True,
        lora_dropout=0.0,
        task_type="CAUSAL_LM",
        base_model_name_or_path=base_model,
        inference_mode=True,
    )
    return {WEIGHTS: save(tensors, {"format": "pt"}), CONFIG: _json(config)}


def _matrices(part: Part, block: int, rank: int) -> tuple[Tensor, Tensor]:
    """One block's A [r * pieces, in] and B [3 D, r * pieces]."""
    layout = part.layout
    matrices = layout.matrices(block)
    b = part.row_P.new_zeros(3 * layout.width, rank * len(matrices))
    a = []
    for index, (piece, a_slice, b_slice) in enumerate(matrices):
        a.append(part.row_P[a_slice].view(layout.rank, layout.width)[:rank])
        columns = slice(index * rank, (index + 1) * rank)
        b[piece.offset : piece.offset + piece.out, columns] = part.row_P[b_slice].view(layout.rank, piece.out)[:rank].T
    return torch.cat(a).cpu().contiguous(), b.cpu().contiguous()


def _json(config: LoraConfig) -> bytes:
    def plain(value: Any) -> Any:  # noqa: ANN401 -- whatever PEFT keeps in its config
        return sorted(value) if isinstance(value, set) else str(value)

    return json.dumps(config.to_dict(), indent=2, default=plain, sort_keys=True).encode()
