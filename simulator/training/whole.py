"""The reference that the engine is held against: the whole, unsplit model with PEFT's LoRA, one client at a time.

Shares no code with the engine's pass: Hugging Face's blocks as they are, PEFT's adapters, torch's loss over full
logits. Only the layout of a flat row is common, so that the two can be compared number by number.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import PreTrainedModel

from simulator.training.engine import Engine
from simulator.training.groups import Sequences
from simulator.training.layout import Layout


@dataclass(frozen=True, slots=True)
class Truth:
    """Loss of a cohort (mean over label positions) and the gradients of each client's row and of the server's."""

    loss: float
    clients: list[Tensor]
    server: Tensor


class Whole:
    """A client's adapters in front of its cut, the server's behind, in one unsplit model."""

    def __init__(self, model: PreTrainedModel, engine: Engine) -> None:
        """Put PEFT's adapters on a fresh copy of the model that ``engine`` trains; the model is changed."""
        self._engine = engine
        # The q,v form is exactly a c_attn adapter of twice the rank whose B is block diagonal.
        layout, family = engine.client_layout, engine.model.family
        if next(model.parameters()).dtype == torch.float64:
            family.unround(model)
        ranks = {module: layout.rank * len(layout.pieces_of(module)) for module in layout.modules}
        config = LoraConfig(
            r=layout.rank,
            lora_alpha=layout.rank,  # alpha / r is 1: the engine's scale goes into B
            rank_pattern=ranks,
            alpha_pattern=ranks,
            target_modules=list(layout.modules),
            fan_in_fan_out=family.fan_in_fan_out,
            lora_dropout=0.0,
        )
        with warnings.catch_warnings():  # of transformers, about its own code
            warnings.simplefilter("ignore", FutureWarning)
            self.model = get_peft_model(model, config).to(next(model.parameters()).dtype).eval()

    def follow(self, engine: Engine) -> None:
        """Be the reference of another engine on the same base, with equal pieces and ranks."""
        self._engine = engine

    def step(self, devices: Sequence[int], batches: Sequence[Sequences], clients_NP: Tensor, server_P: Tensor) -> Truth:
        """Loss and gradients of a cohort with these rows of parameters."""
        positions = sum(int((batch.labels_RT >= 0).sum()) for batch in batches)
        clients, server, total = [torch.zeros_like(row) for row in clients_NP], torch.zeros_like(server_P), 0.0
        for device, batch, row_P, grad_P in zip(devices, batches, clients_NP, clients, strict=True):
            self._load(device, row_P, server_P)
            self.model.zero_grad()
            loss = self._loss(batch) / positions
            loss.backward()
            total += loss.item()
            for block, layout, gradient, rank in self._owners(device, grad_P, server):
                self._read(block, gradient, layout, rank)
        return Truth(total, clients, server)

    def _loss(self, batch: Sequences) -> Tensor:
        device = self._engine.model.head_VD.device
        logits = self.model(input_ids=torch.from_numpy(batch.ids_RT.astype("int64")).to(device)).logits
        labels = torch.from_numpy(batch.labels_RT.astype("int64")).to(device).reshape(-1)
        flat = logits.reshape(-1, logits.shape[-1])
        return torch.nn.functional.cross_entropy(flat, labels, ignore_index=-100, reduction="sum")

    def _owners(self, device: int, client_P: Tensor, server_P: Tensor) -> list[tuple[int, Layout, Tensor, int]]:
        """For every block: whose row it is in, that row's layout, and its rank."""
        engine, clients = self._engine, self._engine.clients
        mine = (engine.client_layout, client_P, clients.ranks[device])
        theirs = (engine.server_layout, server_P, engine.settings.rank)
        split = clients.splits[device]
        return [(block, *(mine if block < split else theirs)) for block in range(engine.model.num_blocks)]

    def _load(self, device: int, client_P: Tensor, server_P: Tensor) -> None:
        for block, layout, row_P, rank in self._owners(device, client_P, server_P):
            self.load(block, row_P, layout, rank)

    def load(self, block: int, row_P: Tensor, layout: Layout, rank: int) -> None:
        """Copy one block's adapters out of a flat row into PEFT's matrices; the scale alpha / r goes into B."""
        for module in layout.modules:
            lora_a, lora_b = self._weights(block, module)
            lora_b.data.zero_()
            for index, (piece, a_slice, b_slice) in enumerate(layout.matrices(block, module)):
                part = slice(index * layout.rank, (index + 1) * layout.rank)
                lora_a.data[part] = row_P[a_slice].view(layout.rank, piece.inputs)
                b = row_P[b_slice].view(layout.rank, piece.out).T * (self._engine.settings.alpha / rank)
                lora_b.data[piece.offset : piece.offset + piece.out, part] = b

    def _read(self, block: int, gradient_P: Tensor, layout: Layout, rank: int) -> None:
        """Add the gradients of PEFT's matrices to a flat row: the reverse of `load`."""
        for module in layout.modules:
            lora_a, lora_b = self._weights(block, module)
            for index, (piece, a_slice, b_slice) in enumerate(layout.matrices(block, module)):
                part = slice(index * layout.rank, (index + 1) * layout.rank)
                gradient_P[a_slice] += lora_a.grad[part].reshape(-1)
                b_grad = lora_b.grad[piece.offset : piece.offset + piece.out, part]
                gradient_P[b_slice] += (b_grad * (self._engine.settings.alpha / rank)).T.reshape(-1)

    def _weights(self, block: int, module: str) -> tuple[Any, Any]:
        """PEFT's A [r, in] and B [out, r] of one projection."""
        name = f"{self._engine.model.family.blocks}.{block}.{module}"
        layer = self.model.base_model.model.get_submodule(name)
        return layer.lora_A["default"].weight, layer.lora_B["default"].weight
