"""A GPT-2 whose blocks serve devices and server alike: one frozen base, one pass from embedding to loss.

There is one copy of the weights. "Split after block k" means that for a client's rows the blocks 0 .. k-1 use that
client's adapters and the rest use the server's. Because the base is the same on both sides this is exactly what two
machines with a cut in between compute; what crosses the cut is the hidden state in front of block k (and its gradient
on the way back), and a codec may change it there (`cut.py`). Shape legend in `layout.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import GPT2LMHeadModel

from simulator.training.bank import AdapterRows
from simulator.training.cut import Codec, cut
from simulator.training.lora import LoraProjection
from simulator.training.loss import head_loss


@dataclass(frozen=True, slots=True)
class Batch:
    """Token ids [R, T] (right padding, no attention mask needed) and the M label positions among the R * T."""

    ids_RT: Tensor
    positions_M: Tensor  # flat index r * T + t of each label position
    targets_M: Tensor
    weights_M: Tensor


@dataclass(frozen=True, slots=True)
class Cohort:
    """Who computes which rows: N clients, deepest split first, each with ``sequences`` rows of the batch."""

    splits: tuple[int, ...]
    sequences: int
    clients: AdapterRows
    server: AdapterRows

    def on_device(self, block: int) -> int:
        """How many clients (a prefix of them) still compute this block themselves."""
        return sum(split > block for split in self.splits)

    def cut_rows(self, block: int) -> tuple[int, int]:
        """First row and number of rows whose activations cross the network in front of this block."""
        clients = [index for index, split in enumerate(self.splits) if split == block]
        return (clients[0] * self.sequences, len(clients) * self.sequences) if clients else (0, 0)


class SplitModel:
    """The frozen GPT-2 with a `LoraProjection` in place of every block's ``c_attn``."""

    def __init__(self, gpt2: GPT2LMHeadModel) -> None:
        """Take over a loaded model: freeze it, switch dropout off, swap the projections in."""
        self.gpt2 = gpt2.eval().requires_grad_(False)
        self.embedding: nn.Embedding = gpt2.transformer.wte
        self.positions: nn.Embedding = gpt2.transformer.wpe
        self.blocks: Sequence[nn.Module] = list(gpt2.transformer.h)
        self.final_norm: nn.Module = gpt2.transformer.ln_f
        self.head_VD: Tensor = gpt2.lm_head.weight
        self.projections: list[LoraProjection] = []
        for block in gpt2.transformer.h:
            # Conv1D keeps its weight as [in, out]; the tanh GELU in one kernel equals NewGELU to rounding.
            block.attn.c_attn = LoraProjection(block.attn.c_attn.weight, block.attn.c_attn.bias)
            block.mlp.act = nn.GELU(approximate="tanh")
            self.projections.append(block.attn.c_attn)

    @property
    def num_blocks(self) -> int:
        """Blocks L; a split point lies in 0 .. L."""
        return len(self.blocks)

    def losses(
        self, batch: Batch, cohort: Cohort, *, upload: Codec | None = None, download: Codec | None = None
    ) -> tuple[Tensor, Tensor]:
        """Weighted loss of the batch, and the loss of each label position [M].

        ``upload`` changes activations at the cut, ``download`` their gradients; both rows [n, T, D] at once.
        """
        self._install(cohort, batch.ids_RT.shape[0])
        h_RTD = self.embed(batch.ids_RT)
        for index in range(self.num_blocks + 1):
            start, rows = cohort.cut_rows(index)
            if rows and (upload or download):
                h_RTD = cut(h_RTD, start, rows, upload=upload or _lossless, download=download or _lossless)
            if index < self.num_blocks:
                h_RTD = self.blocks[index](h_RTD)
        return self.loss_at_labels(h_RTD, batch)

    def embed(self, ids_RT: Tensor) -> Tensor:
        """Token plus position embeddings [R, T, D]."""
        where_T = torch.arange(ids_RT.shape[1], device=ids_RT.device)
        h_RTD: Tensor = self.embedding(ids_RT) + self.positions(where_T)
        return h_RTD

    def loss_at_labels(self, h_RTD: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Last layer norm, head and cross-entropy, at label positions only."""
        h_MD = h_RTD.reshape(-1, h_RTD.shape[-1]).index_select(0, batch.positions_M)
        return head_loss(self.final_norm(h_MD), self.head_VD, batch.targets_M, batch.weights_M)

    def _install(self, cohort: Cohort, num_rows: int) -> None:
        """Hand every block the adapters of this pass."""
        for index, projection in enumerate(self.projections):
            clients = cohort.on_device(index)
            mine = clients * cohort.sequences
            stacks = []
            if clients:
                stacks.append(cohort.clients.stack(index, clients=clients, start=0, num_rows=mine))
            if mine < num_rows:
                stacks.append(cohort.server.stack(index, clients=1, start=mine, num_rows=num_rows - mine))
            projection.stacks = tuple(stacks)


def _lossless(x: Tensor) -> Tensor:
    return x
