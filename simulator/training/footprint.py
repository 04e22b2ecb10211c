"""Bytes that training holds on this machine: predicted, so that passes fit a budget and `check` can tell the peak.

What a block keeps for its backward pass is measured on the model itself, with autograd's saved-tensor hooks on a single
sequence; the rest is counted. `tests/training/test_footprint.py` holds the sum against what torch's allocator reports.
Not counted: torch and its libraries (some 400 MB), the data set, and what an allocator holds in reserve.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from simulator.training.dropout import Masks
from simulator.training.engine import Engine
from simulator.training.loss import chunk_rows
from simulator.training.model import SplitModel


@dataclass(frozen=True, slots=True)
class PassCost:
    """What one autograd pass holds at its peak, by what it is proportional to; all in bytes."""

    block_bytes: float  # saved for the backward pass, for a position of one block
    kept_bytes: float  # of it, what stays when a block is computed twice: its input
    num_blocks: int
    checkpointing: bool
    inner_bytes: float  # the widest hidden state of a block, for a position; twice that lives in a backward pass
    vocab_size: int
    width_bytes: float  # a hidden state, for a position
    element_bytes: int
    row_bytes: float  # a client's adapters as the pass holds them: scaled, their gradients, the factors

    def bytes(self, positions: int, *, labels: int | None = None, clients: int = 1) -> float:
        """Peak of a pass over so many positions R T; ``labels`` of them count in the loss (None: all)."""
        labels = positions if labels is None else labels
        blocks = self.num_blocks * (self.kept_bytes if self.checkpointing else self.block_bytes) * positions
        once = self.block_bytes * positions if self.checkpointing else 0.0
        chunk = chunk_rows(labels, self.vocab_size, 4)
        logits = chunk * self.vocab_size * (4 if self.element_bytes >= 4 else 4 + 2 * self.element_bytes)
        if self.element_bytes == 8:
            logits *= 2
        head = logits + 4 * labels * self.width_bytes
        return blocks + max(head, once + 2 * self.inner_bytes * positions) + clients * self.row_bytes

    def most_positions(self, budget_bytes: float, tokens: int) -> int:
        """The most positions, in sequences of ``tokens``, whose pass stays within the budget; at least one sequence."""
        low, high = 1, max(1, int(budget_bytes // (self.kept_bytes * tokens)))
        while low < high:
            middle = (low + high + 1) // 2
            if self.bytes(middle * tokens, clients=middle) <= budget_bytes:
                low = middle
            else:
                high = middle - 1
        return low * tokens


def pass_cost(model: SplitModel, tokens: int, row_size: int) -> PassCost:
    """Measure one block of a model on one sequence; ``row_size`` is the number of a client's adapter parameters."""
    head_VD = model.head_VD
    saved: dict[int, int] = {}
    frozen = {each.untyped_storage().data_ptr() for each in model.model.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in frozen:
            saved[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)  # an address must not be used twice while we count
        return tensor

    alive: list[Tensor] = []
    ids_RT = torch.zeros((1, tokens), dtype=torch.long, device=head_VD.device)
    for projection in model.projections[0].values():
        projection.stacks = ()
    model.put_masks(Masks.of(0, [0], [0], 1, head_VD.device))
    h_RTD, beside = model.family.embed(model.model, ids_RT)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.blocks[0](h_RTD.detach().requires_grad_(), **beside)
    model.put_masks(None)
    width_bytes = head_VD.shape[1] * head_VD.element_size()
    widest = max(max(weight.shape) for weight in model.blocks[0].parameters())
    return PassCost(
        block_bytes=sum(saved.values()) / tokens,
        kept_bytes=width_bytes,
        num_blocks=model.num_blocks,
        checkpointing=model.regime.checkpointing,
        inner_bytes=widest * head_VD.element_size(),
        vocab_size=head_VD.shape[0],
        width_bytes=width_bytes,
        element_bytes=head_VD.element_size(),
        row_bytes=row_size * (2 * head_VD.element_size() + model.adapter_dtype.itemsize),
    )


def footprint(engine: Engine, *, cohort: int, sequences: int, tokens: int) -> dict[str, int]:
    """Predicted peak of a run in bytes, by part, when ``cohort`` clients train at once with R x T positions each."""
    bank, state = engine.bank, len(engine.bank.scalings)
    item = engine.model.adapter_dtype.itemsize
    row, server_row = bank.layout.size * item, engine.server_layout.size * item
    parameters = {each.data_ptr(): each.nbytes for each in engine.model.model.parameters()}
    most = engine.settings.grouping.most_tokens
    most = min(most, engine.settings.grouping.bucket_tokens or most)
    clients = min(cohort, max(1, most // (sequences * tokens)))
    cost = pass_cost(engine.model, tokens, bank.layout.size)
    update = 4 * row * cohort  # gradients twice, denominators and steps of the optimizer, of all clients at once
    return {
        "base weights": sum(parameters.values()),
        "adapters and moments": (cohort + 1) * state * row + 3 * state * server_row,
        "largest pass": int(max(cost.bytes(clients * sequences * tokens, clients=clients), update)),
    }
