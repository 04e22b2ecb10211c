"""A decoder whose blocks serve devices and server alike: one frozen base, one pass from embedding to loss.

There is one copy of the weights. "Split after block k" means that for a client's rows the blocks 0 .. k-1 use that
client's adapters and the rest use the server's. Because the base is the same on both sides this is exactly what two
machines with a cut in between compute; what crosses the cut is the hidden state in front of block k (and its gradient
on the way back), and a codec may change it there (`cut.py`). Shape legend in `layout.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from simulator.training.attention import IN_FLOAT32, KEYED_DROPOUT
from simulator.training.bank import AdapterRows
from simulator.training.cut import Codec, cut
from simulator.training.dropout import KeyedDropout, Masks
from simulator.training.families import chosen, family_of
from simulator.training.layout import Piece
from simulator.training.lora import LoraProjection, Stack
from simulator.training.loss import head_loss


@dataclass(frozen=True, slots=True)
class Batch:
    """Token ids [R, T] (right padding, no attention mask needed) and the M label positions among the R * T."""

    ids_RT: Tensor
    positions_M: Tensor  # flat index r * T + t of each label position
    targets_M: Tensor
    weights_M: Tensor


@dataclass(frozen=True, slots=True)
class Regime:
    """How passes are computed: probabilities of dropout, and whether a block's activations are computed twice."""

    dropout: float = 0.0  # of the base: behind the embedding, in attention, in front of residual sums
    lora_dropout: float = 0.0  # of the adapters' inputs
    checkpointing: bool = False


@dataclass(frozen=True, slots=True)
class Cohort:
    """Who computes which rows: N clients, deepest split first, each with ``sequences`` rows of the batch."""

    splits: tuple[int, ...]
    sequences: int
    clients: AdapterRows
    server: AdapterRows
    masks: Masks | None = None  # None: no dropout in this pass

    def on_device(self, block: int) -> int:
        """How many clients (a prefix of them) still compute this block themselves."""
        return sum(split > block for split in self.splits)

    def cut_rows(self, block: int) -> tuple[int, int]:
        """First row and number of rows whose activations cross the network in front of this block."""
        clients = [index for index, split in enumerate(self.splits) if split == block]
        return (clients[0] * self.sequences, len(clients) * self.sequences) if clients else (0, 0)


PLAIN: Final = Regime()


class SplitModel:
    """The frozen model with a `LoraProjection` in place of every projection that carries an adapter."""

    def __init__(self, model: PreTrainedModel, regime: Regime = PLAIN) -> None:
        """Take over a loaded model of a known family: freeze it, switch its own dropout off."""
        self.regime = regime
        self.dropouts: list[KeyedDropout] = []
        self.model = model.eval().requires_grad_(False)
        self.config = model.config
        self.family = family_of(model.config)
        self.family.tune(model)
        self.blocks: Sequence[nn.Module] = list(model.get_submodule(self.family.blocks))
        self.final_norm: nn.Module = self.family.norm(model)
        self.head_VD: Tensor = self.family.head(model)
        self.projections: list[dict[str, LoraProjection]] = [{} for _ in self.blocks]
        if regime.dropout:
            self._put_dropout()
        elif self.head_VD.dtype == torch.bfloat16 and self.head_VD.device.type == "cpu":
            self.config._attn_implementation = IN_FLOAT32

    def adapt(self, targets: Sequence[str]) -> tuple[Piece, ...]:
        """Make room for adapters on these targets of every block; returns their pieces, in the order of a pass.

        Raises ValueError for a target that this family does not have, and for two that overlap.
        """
        pieces = chosen(self.family, self.config, targets)
        for block, known in zip(self.blocks, self.projections, strict=True):
            for piece in pieces:
                if piece.module not in known:
                    parent, _, name = piece.module.rpartition(".")
                    weight_DO, bias_O = self.family.frozen(block.get_submodule(piece.module))
                    known[piece.module] = LoraProjection(weight_DO, bias_O)
                    if self.regime.lora_dropout:
                        known[piece.module].dropout = self._dropout(self.regime.lora_dropout)
                    setattr(block.get_submodule(parent), name, known[piece.module])
        return pieces

    @property
    def adapter_dtype(self) -> torch.dtype:
        """Precision of adapters, moments and losses: that of the base, but never below float32."""
        return torch.promote_types(self.head_VD.dtype, torch.float32)

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
        return self.loss_at_labels(self.hidden(batch, cohort, upload=upload, download=download), batch)

    def hidden(
        self, batch: Batch, cohort: Cohort, *, upload: Codec | None = None, download: Codec | None = None
    ) -> Tensor:
        """Hidden states [R, T, D] behind the last block, in front of the last norm and the head."""
        self._install(cohort, batch.ids_RT.shape[0])
        h_RTD, beside = self.family.embed(self.model, batch.ids_RT)
        if self.regime.dropout:
            h_RTD = self.dropouts[0](h_RTD)
        for index in range(self.num_blocks + 1):
            start, rows = cohort.cut_rows(index)
            if rows and (upload or download):
                h_RTD = cut(h_RTD, start, rows, upload=upload or _lossless, download=download or _lossless)
            if index < self.num_blocks:
                h_RTD = self._block(index, h_RTD, beside)
        return h_RTD

    def _block(self, index: int, h_RTD: Tensor, beside: dict[str, Any]) -> Tensor:
        """One block; with checkpointing only its input is kept, and the rest computed again in the backward pass."""
        block = self.blocks[index]
        if self.regime.checkpointing and torch.is_grad_enabled():
            out_RTD: Tensor = checkpoint(block, h_RTD, use_reentrant=False, preserve_rng_state=False, **beside)
        else:
            out_RTD = block(h_RTD, **beside)
        return out_RTD

    def _put_dropout(self) -> None:
        """Replace the base's own dropout layers by keyed ones; the first of all stands behind the embedding."""
        self.config._attn_implementation = KEYED_DROPOUT
        self._dropout(self.regime.dropout)
        for block in self.blocks:
            block.get_submodule(self.family.attention).keyed_dropout = self._dropout(self.regime.dropout)
            for path in self.family.dropouts:
                parent, _, name = path.rpartition(".")
                setattr(block.get_submodule(parent), name, self._dropout(self.regime.dropout))

    def _dropout(self, probability: float) -> KeyedDropout:
        """A dropout layer whose place no other has."""
        self.dropouts.append(KeyedDropout(len(self.dropouts), probability))
        return self.dropouts[-1]

    def put_masks(self, masks: Masks | None) -> None:
        """Let all dropout layers use these masks; None: drop nothing."""
        for dropout in self.dropouts:
            dropout.masks = masks

    def loss_at_labels(self, h_RTD: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Last layer norm, head and cross-entropy, at label positions only."""
        h_MD = h_RTD.reshape(-1, h_RTD.shape[-1]).index_select(0, batch.positions_M)
        return head_loss(self.final_norm(h_MD), self.head_VD, batch.targets_M, batch.weights_M)

    def _install(self, cohort: Cohort, num_rows: int) -> None:
        """Hand every block the adapters and the masks of this pass."""
        self.put_masks(cohort.masks)
        for index, projections in enumerate(self.projections):
            clients = cohort.on_device(index)
            mine = clients * cohort.sequences
            for module, projection in projections.items():
                stacks: list[Stack] = []
                if clients and module in cohort.clients.layout.modules:
                    stacks.append(cohort.clients.stack(index, module, clients=clients, start=0, num_rows=mine))
                if mine < num_rows and module in cohort.server.layout.modules:
                    rest = num_rows - mine
                    stacks.append(cohort.server.stack(index, module, clients=1, start=mine, num_rows=rest))
                projection.stacks = tuple(replace(stack, dropout=projection.dropout) for stack in stacks)


def _lossless(x: Tensor) -> Tensor:
    return x
