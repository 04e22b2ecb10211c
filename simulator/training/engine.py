"""One batched training step for many split clients: the numerics behind an algorithm.

A device's forward pass is only noted down. When the server consumes a cohort, everything from embedding to loss is one
autograd pass for all its clients (exact, because a client's adapters do not change between its upload and its
gradients' return). Server adapters are updated there and then; a client's update is applied when, and only if, its
backward is reported. Shape legend in `layout.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from simulator.numerics import Loss, Ticket
from simulator.training.adapters import Part, to_peft
from simulator.training.bank import AdapterRows, ClientBank, Rows, initial_row
from simulator.training.dropout import Masks
from simulator.training.groups import IGNORED, Grouping, Sequences
from simulator.training.layout import Layout
from simulator.training.model import Batch, Cohort, SplitModel
from simulator.training.optim import Optimizer


class Data(Protocol):
    """Where batches come from."""

    def batch(self, device: int, round: int) -> Sequences:
        """The sequences that a device trains on in a round; equally many for every device."""

    def tokens(self, device: int, round: int) -> int:
        """Positions of each of these sequences that count as computed and sent, padding included."""

    def validation(self) -> Sequences:
        """Held-out sequences."""


@dataclass(frozen=True, slots=True)
class Clients:
    """Split point, adapter rank and weight of every device, by index."""

    splits: tuple[int, ...]
    ranks: tuple[int, ...]
    weights: tuple[float, ...]  # in the global model, as in an aggregation of all; any scale


Moments = Literal["keep", "reset", "average"]
"""What happens to a client's optimizer state when its adapters are replaced by the average.

``keep``: it stays with the client (the published code). ``reset``: it is dropped, as on a device that remembers nothing
between rounds. ``average``: it is averaged with the same weights. With the latter two a client needs no memory from an
aggregation to its next step.
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """How adapters are made and updated, and how much is computed at a time."""

    targets: tuple[str, ...]
    rank: int
    alpha: float
    optimizer: Optimizer
    grouping: Grouping = field(default_factory=Grouping)
    moments: Moments = "keep"
    base_model: str = "gpt2"
    start: Callable[[Layout, Tensor], Tensor] | None = None  # fresh adapters [P] of all blocks -> those to begin with
    seed: int = 0  # of dropout's masks


class _Part(NamedTuple):
    """What one autograd pass has found: each client's sum of losses and gradient row [P], and the server's row."""

    tickets: list[Ticket]
    losses: list[float]
    clients_NP: Tensor
    server_P: Tensor


class Engine:
    """Implements `simulator.numerics.Numerics` with real tensors."""

    def __init__(
        self, model: SplitModel, data: Data, clients: Clients, settings: Settings, rng: np.random.Generator
    ) -> None:
        """Draw the initial adapters from ``rng``; every client starts with the same ones, as in the published code."""
        self.model, self.data, self.clients, self.settings = model, data, clients, settings
        rank, pieces = max(settings.rank, *clients.ranks), model.adapt(settings.targets)
        whole = Layout.of(pieces, blocks=range(model.num_blocks), rank=rank)
        row_P = initial_row(whole, rng, model.adapter_dtype)
        row_P = (settings.start(whole, row_P) if settings.start else row_P).to(model.head_VD.device)
        # One draw for all blocks: a block starts with the same adapter whichever side of the cut it is on.
        self.client_layout = Layout.of(pieces, blocks=range(max(clients.splits)), rank=rank)
        self.bank = ClientBank(self.client_layout, row_P[: self.client_layout.size], settings.rank, settings.optimizer)
        self.server_layout = Layout.of(pieces, blocks=range(min(clients.splits), model.num_blocks), rank=rank)
        server_row_P = row_P[whole.size - self.server_layout.size :]
        self.server = ClientBank(self.server_layout, server_row_P, settings.rank, settings.optimizer)
        self.server_rows = self.server.rows([0], [settings.rank])
        self._gradients: dict[int, Tensor] = {}
        self._returned: list[Ticket] = []
        self._members: dict[int, None] | None = None  # who takes part; everybody until somebody joins
        self._relayed = False  # adapters go from one device to the next

    def join(self, device: int) -> None:
        """The device counts in the global model; it has the global adapters until it trains."""
        if self._members is None:
            self._members = {}
        self._members[device] = None

    def leave(self, device: int) -> None:
        """Forget the device's adapters, moments and gradients: when it comes back it is new."""
        self._apply_returned()
        if self._members is not None:
            self._members.pop(device, None)
        self._gradients.pop(device, None)
        self.bank.release([device])

    def forward(self, device: int, round: int) -> Ticket:
        """Note the batch down; it is computed when the server consumes it."""
        return Ticket(device, round, len(self.data.batch(device, round).ids_RT), self.data.tokens(device, round))

    def server_step(self, tickets: Sequence[Ticket]) -> Loss:
        """Forward and backward of the concatenated batch; the server's adapters take their step at once."""
        loss, clients, server_P = self.gradients(tickets)
        self._gradients.update(clients)
        self.server.update(self.server_rows, server_P[None], [tickets[0].round])
        return loss

    def gradients(self, tickets: Sequence[Ticket]) -> tuple[Loss, dict[int, Tensor], Tensor]:
        """Loss, each client's gradient row [P] by device, and the server's; nothing is updated.

        One pass over the concatenated batch, in groups that fit the memory budget. The loss is the mean over all label
        positions of the cohort, so groups add up exactly.
        """
        self._apply_returned()
        tickets = sorted(tickets, key=lambda ticket: ticket.device)  # sums must not depend on who came first
        batches = [self.data.batch(ticket.device, ticket.round) for ticket in tickets]
        positions = sum(batch.num_labels for batch in batches)
        if not positions:
            raise _no_labels(tickets)
        total, gradients = 0.0, dict[int, Tensor]()
        server_P = torch.zeros_like(self.server.global_row_P)
        for part in self._passes(tickets, batches, [1.0 / positions] * len(tickets)):
            total += sum(part.losses)
            gradients.update(zip((ticket.device for ticket in part.tickets), part.clients_NP, strict=True))
            server_P += part.server_P
        return Loss(total / positions, positions), gradients, server_P

    def _passes(
        self, tickets: Sequence[Ticket], batches: Sequence[Sequences], weights: Sequence[float]
    ) -> Iterator[_Part]:
        """Forward and backward in groups that fit the memory; each ticket's label positions have its weight."""
        splits = [self.clients.splits[ticket.device] for ticket in tickets]
        for group in self.settings.grouping.groups(batches, splits):
            chosen = [tickets[index] for index in group]
            devices = [ticket.device for ticket in chosen]
            clients = self._clients(self.bank.params(self.rows_of(devices)), devices)
            server = self._server()
            cohort = Cohort(
                tuple(splits[index] for index in group), chosen[0].sequences, clients, server, self._masks(chosen)
            )
            batch = self._batch([batches[index] for index in group], [weights[index] for index in group])
            losses_M = self._within_memory(batch, cohort).double().cpu().numpy()  # no launches for each client
            ends = np.cumsum([batches[index].num_labels for index in group])[:-1]
            sums = [float(part.sum()) for part in np.split(losses_M, ends)]
            yield _Part(chosen, sums, clients.gradients, server.gradients[0])

    def _within_memory(self, batch: Batch, cohort: Cohort) -> Tensor:
        """One autograd pass, and the loss of each label position [M]; MemoryError where there is not enough of it."""
        try:
            loss, losses_M = self.model.losses(batch, cohort)
            if loss.requires_grad:
                loss.backward()
        except RuntimeError as error:  # torch says "out of memory" on a GPU, "can't allocate memory" on a CPU
            if "memory" not in str(error):
                raise
            groups = f"{self.settings.grouping.most_tokens} positions at a time"
            raise MemoryError(f"a pass over {groups}: {str(error).splitlines()[0]}") from error
        return losses_M

    def backward(self, ticket: Ticket) -> None:
        """Mark a client's gradients as returned; the updates of a cohort are applied together, just before use."""
        self._returned.append(ticket)

    def local_steps(self, tickets: Sequence[Ticket]) -> list[Loss]:
        """One pass for all these devices; each takes the step of its own mean loss.

        A device's split must be that of the whole model, as `build` makes it for algorithms with copies.
        """
        self._apply_returned()
        if short := [each.device for each in tickets if self.clients.splits[each.device] != self.model.num_blocks]:
            raise ValueError(f"devices {short} have no copy of the whole model")
        batches = [self.data.batch(ticket.device, ticket.round) for ticket in tickets]
        counts = {ticket: batch.num_labels for ticket, batch in zip(tickets, batches, strict=True)}
        if blank := [ticket for ticket in tickets if not counts[ticket]]:
            raise _no_labels(blank)
        losses: dict[Ticket, Loss] = {}
        for part in self._passes(tickets, batches, [1.0 / counts[ticket] for ticket in tickets]):
            rows = self.rows_of([ticket.device for ticket in part.tickets])
            self.bank.update(rows, part.clients_NP, [ticket.round for ticket in part.tickets])
            for ticket, loss in zip(part.tickets, part.losses, strict=True):
                losses[ticket] = Loss(loss / counts[ticket], counts[ticket])
        return [losses[ticket] for ticket in tickets]

    def adopt(self, device: int) -> None:
        """Overwrite the device's adapters by its share of the global row; its moments as ``moments`` says.

        ``average`` means here that the moments are handed on with the adapters.
        """
        self._apply_returned()
        self._relayed = True
        if self.settings.moments == "keep" and self.bank.knows(device):
            self.bank.overwrite(self.rows_of([device]), self.bank.share(self.clients.ranks[device])[None])
        else:
            self.bank.release([device])

    def aggregate(self, devices: Sequence[int], weights: Sequence[float]) -> None:
        """FedAvg of A and B separately, block by block over the devices that have that block.

        Ranks may differ: B is brought to the scale alpha / r of ``settings.rank`` first, the shorter adapter is padded
        with zeros, and each device gets the leading rows that its own rank holds. Averaging A and B is not averaging
        their product (a known bias of LoRA under FedAvg, see arXiv 2409.05976).
        """
        rows, moments = self.rows_of(devices), self.settings.moments
        self.bank.set_global(self._average(devices, weights), rows, keep_moments=moments == "average")
        if moments == "keep":
            own_NP = torch.stack([self.bank.share(self.clients.ranks[device]) for device in devices])
            self.bank.overwrite(rows, own_NP)
        else:
            self.bank.release(devices)

    def evaluate(self) -> Loss:
        """Loss of the members' averaged adapters over the validation set, cut at the fleet's median split.

        At that cut every block has adapters that were trained: at least half the fleet trains the blocks in front of
        it on the device, at least half leaves those behind it to the server. Weights are those of an aggregation.
        """
        split, row_NP = self._global_split, self._global_row()[None]
        total, positions = 0.0, 0
        server = self._server()
        with torch.no_grad():
            for part in self.settings.grouping.parts(self.data.validation()):
                leaves = self._adapter_rows(self.client_layout, row_NP, [self.settings.rank])
                cohort = Cohort((split,), part.ids_RT.shape[0], leaves, server)
                _, losses_M = self.model.losses(self._batch([part], [1.0]), cohort)
                total += float(losses_M.double().sum())
                positions += losses_M.shape[0]
        return Loss(total / positions, positions)

    def export(self, device: int | None = None) -> dict[str, bytes]:
        """The global adapters as evaluated, or one device's, with the server's behind, as a PEFT checkpoint's files."""
        front = self._global_part() if device is None else self._own_part(device)
        rank, blocks = self.settings.rank, range(front.blocks.stop, self.model.num_blocks)
        row_P = self.server.params(self.server_rows)[0]
        back = Part(self.server_layout, row_P, blocks, rank, self.settings.alpha / rank)
        return to_peft([front, back], self.model.config, base_model=self.settings.base_model)

    def _global_part(self) -> Part:
        scale = self.settings.alpha / self.settings.rank  # that of an average, whatever the devices' ranks
        blocks = range(self._global_split)
        return Part(self.client_layout, self._global_row(), blocks, max(self.clients.ranks), scale)

    def _own_part(self, device: int) -> Part:
        self._apply_returned()
        rank, blocks = self.clients.ranks[device], range(self.clients.splits[device])
        own = self.bank.knows(device)
        row_P = self.bank.params(self.rows_of([device]))[0] if own else self.bank.share(rank)
        return Part(self.client_layout, row_P, blocks, rank, self.settings.alpha / rank)

    @property
    def _global_split(self) -> int:
        return sorted(self.clients.splits)[len(self.clients.splits) // 2]

    def _global_row(self) -> Tensor:
        """The average of all who take part, as it would be taken now; the last average where nobody does."""
        members = range(len(self.clients.splits)) if self._members is None else list(self._members)
        if not members or self.bank.is_untouched or self._relayed:
            return self.bank.global_row_P
        return self._average(members, [self.clients.weights[device] for device in members])[0]

    def _average(self, devices: Sequence[int], weights: Sequence[float]) -> Tensor:
        """Weighted mean of parameters and moments [S, P] at the common scale, in the order of the devices' indices.

        A block's weights are shared among the devices that train it themselves. A device that never trained counts as
        the global row, of which it would get a copy.
        """
        self._apply_returned()
        members = sorted(zip(devices, weights, strict=True))
        touched = [(device, weight) for device, weight in members if self.bank.knows(device)]
        ranks = [self.clients.ranks[device] for device, _ in touched]
        state_SNP = self.bank.state(self.rows_of([device for device, _ in touched]), ranks)
        state_SNP = torch.cat([state_SNP, self.bank.global_SP[:, None]], dim=1)
        average_SP = self.bank.global_SP.clone()
        for block in range(self.client_layout.last):
            mine = [weight * (self.clients.splits[device] > block) for device, weight in touched]
            total = sum(weight for device, weight in members if self.clients.splits[device] > block)
            if total > 0:
                shares_N = torch.tensor([*mine, total - sum(mine)], dtype=torch.float64).to(state_SNP) / total
                part = self.client_layout.block_slice(block)
                average_SP[:, part] = shares_N @ state_SNP[:, :, part]
        return average_SP

    def _apply_returned(self) -> None:
        if not self._returned:
            return
        tickets, self._returned = self._returned, []
        grads_NP = torch.stack([self._gradients.pop(ticket.device) for ticket in tickets])
        rows = self.rows_of([ticket.device for ticket in tickets])
        self.bank.update(rows, grads_NP, [ticket.round for ticket in tickets])

    def _batch(self, parts: Sequence[Sequences], weights: Sequence[float]) -> Batch:
        """Tensors of some clients' sequences, as long as the longest; label positions are found on the CPU."""
        counts = [part.num_labels for part in parts]
        tokens = max(part.length for part in parts)
        parts = [part.cut(tokens) for part in parts]
        labels = np.concatenate([part.labels_RT for part in parts]).reshape(-1)
        ids = np.concatenate([part.ids_RT for part in parts])
        positions = np.flatnonzero(labels >= 0)
        device, dtype = self.model.head_VD.device, self.model.adapter_dtype
        return Batch(
            torch.from_numpy(ids.astype(np.int64)).to(device),
            torch.from_numpy(positions).to(device),
            torch.from_numpy(labels[positions].astype(np.int64)).to(device),
            torch.from_numpy(np.repeat(weights, counts)).to(device, dtype),
        )

    def rows_of(self, devices: Sequence[int]) -> Rows:
        """Rows of the bank that hold these devices' adapters."""
        return self.bank.rows(devices, [self.clients.ranks[device] for device in devices])

    def _masks(self, tickets: Sequence[Ticket]) -> Masks | None:
        regime = self.model.regime
        if not (regime.dropout or regime.lora_dropout):
            return None
        devices, rounds = [ticket.device for ticket in tickets], [ticket.round for ticket in tickets]
        return Masks.of(self.settings.seed, devices, rounds, tickets[0].sequences, self.model.head_VD.device)

    def _clients(self, rows_NP: Tensor, devices: Sequence[int]) -> AdapterRows:
        return self._adapter_rows(self.client_layout, rows_NP, [self.clients.ranks[device] for device in devices])

    def _server(self) -> AdapterRows:
        return self._adapter_rows(self.server_layout, self.server.params(self.server_rows), [self.settings.rank])

    def _adapter_rows(self, layout: Layout, rows_NP: Tensor, ranks: Sequence[int]) -> AdapterRows:
        scale_N = self.settings.alpha / torch.tensor(ranks, dtype=torch.float64)
        return AdapterRows(layout, rows_NP, scale_N, self.model.head_VD.dtype)


def _no_labels(tickets: Sequence[Ticket]) -> ValueError:
    return ValueError(
        f"round {tickets[0].round}: no position of the batches of devices "
        f"{', '.join(str(ticket.device) for ticket in tickets[:8])} has a label, so there is no loss; "
        f"a label is >= 0, {IGNORED} is none"
    )
