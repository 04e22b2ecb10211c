"""A PEFT checkpoint as the starting point of a run: the reverse of `adapters.to_peft`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor
from transformers import PretrainedConfig

from simulator.training.adapters import CONFIG, PREFIX, WEIGHTS
from simulator.training.families import family_of
from simulator.training.layout import Layout, Piece

PLAIN: Final = {
    "use_dora": False,
    "lora_bias": False,
    "bias": "none",
    "modules_to_save": None,
    "trainable_token_indices": None,
}
"""What a checkpoint must not ask for, beside A and B: the engine trains nothing else."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What a checkpoint is to fit: the base model, by name and config, and the smallest rank of all parties."""

    base_model: str
    config: PretrainedConfig
    room: int
    scale: float  # alpha / r of the row that it fills


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The two files of a PEFT checkpoint, read."""

    folder: Path
    settings: dict[str, Any]
    tensors: dict[str, Tensor]

    @classmethod
    def read(cls, folder: Path) -> Checkpoint:
        """Read the files of a folder; raises ValueError where one is missing or broken."""
        for name in (CONFIG, WEIGHTS):
            if not (folder / name).is_file():
                raise ValueError(f"lora.init: {folder} has no {name}; a PEFT checkpoint has {CONFIG} and {WEIGHTS}")
        try:
            settings = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            tensors = load((folder / WEIGHTS).read_bytes())
        except (OSError, ValueError, SafetensorError) as error:
            raise ValueError(f"lora.init: the checkpoint in {folder} cannot be read: {error}") from error
        if not isinstance(settings, dict) or settings.get("peft_type") != "LORA":
            kind = settings.get("peft_type") if isinstance(settings, dict) else settings
            raise ValueError(f"lora.init: {folder / CONFIG}: peft_type must be 'LORA', got {kind!r}")
        return cls(folder, settings, tensors)

    def fill(self, layout: Layout, fresh_P: Tensor, fit: Fit) -> Tensor:
        """A row [P] of all blocks with the checkpoint's adapters in it.

        B is brought to the row's scale. Where the row has room for a larger rank, the rows of A beyond it stay as
        they are in ``fresh_P`` and those of B zero, so that the model is the checkpoint's and all of it can learn.

        Raises ValueError, with what would fit, for another base, width, number of blocks or set of targets, a rank
        that some party has no room for, and anything but plain LoRA.
        """
        self._check_plain()
        self._check_base(fit)
        self._check_modules(layout, fit)
        row_P = fresh_P.clone()
        for block in range(layout.first, layout.last):
            for module in layout.modules:
                self._fill_module(row_P, layout, block, module, fit)
        return row_P

    def _fill_module(self, row_P: Tensor, layout: Layout, block: int, module: str, fit: Fit) -> None:
        name = f"{family_of(fit.config).blocks}.{block}.{module}"
        a = self.tensors[f"{PREFIX}{name}.lora_A.weight"].to(row_P)
        b = self.tensors[f"{PREFIX}{name}.lora_B.weight"].to(row_P)
        matrices = layout.matrices(block, module)
        first = matrices[0][0]
        if a.shape[1] != first.inputs or b.shape[0] != first.width or a.shape[0] != b.shape[1]:
            raise self._refusal(
                f"A {list(a.shape)} and B {list(b.shape)} of {name} do not fit {fit.base_model}, "
                f"which needs [r, {first.inputs}] and [{first.width}, r]"
            )
        rank, rest = divmod(a.shape[0], len(matrices))
        if rest or not _apart([piece for piece, _, _ in matrices], b, rank):
            names = ", ".join(piece.name for piece, _, _ in matrices)
            raise self._refusal(f"{name} holds one adapter over the whole projection, not one each for {names}")
        if rank > fit.room:
            raise self._refusal(
                f"its rank of {rank} on {name} is above the smallest rank of the scenario, {fit.room}; "
                f"set lora.rank and every devices[i].rank to {rank} or more"
            )
        b = b * (self._scale(name, a.shape[0]) / fit.scale)
        for index, (piece, a_slice, b_slice) in enumerate(matrices):
            part = slice(index * rank, (index + 1) * rank)
            row_P[a_slice].view(layout.rank, piece.inputs)[:rank] = a[part]
            row_P[b_slice].view(layout.rank, piece.out)[:rank] = b[piece.offset : piece.offset + piece.out, part].T

    def _scale(self, name: str, rank: int) -> float:
        """PEFT's alpha / r (alpha / sqrt r for rsLoRA) of one projection; a pattern matches the end of its name."""
        patterns = self.settings.get("alpha_pattern") or {}
        found = (alpha for pattern, alpha in patterns.items() if re.match(rf"(.*\.)?({pattern})$", name))
        alpha = next(found, self.settings.get("lora_alpha"))
        if not isinstance(alpha, int | float):
            raise self._refusal(f"lora_alpha must be a number, got {alpha!r}")
        return float(alpha) / (rank**0.5 if self.settings.get("use_rslora") else rank)

    def _check_plain(self) -> None:
        for key, wanted in PLAIN.items():
            value = self.settings.get(key, wanted)
            if value != wanted and value:
                raise self._refusal(f"{key} must be {wanted!r}: only A and B are trained here, got {value!r}")

    def _check_base(self, fit: Fit) -> None:
        base = self.settings.get("base_model_name_or_path")
        if base and Path(str(base)).name != Path(fit.base_model).name:
            raise self._refusal(
                f"its base model is {base!r}, this scenario trains {fit.base_model!r}; set model.name to the former "
                f"or, where both are the same weights, base_model_name_or_path in {CONFIG} to the latter"
            )

    def _check_modules(self, layout: Layout, fit: Fit) -> None:
        """The same projections in all blocks, and nothing else."""
        family = family_of(fit.config)
        form = re.compile(re.escape(f"{PREFIX}{family.blocks}.") + r"(\d+)\.(.+)\.lora_([AB])\.weight")
        found: set[tuple[int, str, str]] = set()
        for key in sorted(self.tensors):
            match = form.fullmatch(key)
            if not match:
                raise self._refusal(f"{key} is no LoRA matrix of a block of {fit.base_model}")
            found.add((int(match[1]), match[2], match[3]))
        modules, blocks = {module for _, module, _ in found}, {block for block, _, _ in found}
        if modules != set(layout.modules):
            pieces = family.pieces(fit.config).values()
            fitting = [piece.name for piece in pieces if piece.module in modules and piece.out == piece.width]
            there = f"; lora.targets [{', '.join(fitting)}] would fit" if fitting else ""
            raise self._refusal(
                f"it adapts {', '.join(sorted(modules)) or 'nothing'}, "
                f"but lora.targets asks for {', '.join(layout.modules)}{there}"
            )
        if blocks != set(range(layout.last)):
            raise self._refusal(
                f"it has adapters in {len(blocks)} blocks up to {max(blocks)}, "
                f"{fit.base_model} has blocks 0..{layout.last - 1}, each of which needs one"
            )
        missing = {(i, m, ab) for i in blocks for m in modules for ab in "AB"} - found
        if missing:
            block, module, letter = min(missing)
            raise self._refusal(f"{family.blocks}.{block}.{module}.lora_{letter}.weight is missing")

    def _refusal(self, why: str) -> ValueError:
        return ValueError(f"lora.init: {self.folder} does not fit: {why}")


def _apart(pieces: list[Piece], b: Tensor, rank: int) -> bool:
    """True where each piece's columns of B [O, r] are zero outside the piece's own outputs."""
    for index, piece in enumerate(pieces):
        columns = b[:, index * rank : (index + 1) * rank]
        own = columns[piece.offset : piece.offset + piece.out]
        if torch.count_nonzero(columns) != torch.count_nonzero(own):
            return False
    return True
