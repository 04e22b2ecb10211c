"""Copies of the whole model and adapters that are handed on, against unsplit HF GPT-2 with PEFT and torch's AdamW."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from simulator.numerics import Loss, Ticket, TimingOnly
from simulator.numerics.company import Company
from simulator.training.groups import Grouping
from tests.training.test_engine import relative, torch_adamw

BLOCKS = 12


def whole_rows(scene) -> list[torch.Tensor]:
    return [row.clone().requires_grad_() for row in scene.engine.bank.params(scene.rows)]


@pytest.mark.parametrize("ranks", [[4, 4, 4], [8, 2, 4]])
def test_three_copies_trained_apart_and_averaged_twice_end_where_three_whole_models_end(world, ranks):
    """FedLoRA on paper: every client's own AdamW on the unsplit model, and the mean of A and of B after two steps."""
    scene = world([BLOCKS] * 3, ranks)
    engine, server = scene.engine, torch.zeros(0, dtype=torch.float64)
    rows = whole_rows(scene)
    optimizers = [torch_adamw([row], engine.settings.optimizer.rule) for row in rows]
    weights = [1.0, 2.0, 3.0]
    for round in range(4):
        losses = engine.local_steps([engine.forward(device, round) for device in scene.devices])
        for device, (row, optimizer) in enumerate(zip(rows, optimizers, strict=True)):
            batch = engine.data.batch(device, round)
            alone = torch.stack([each.detach() for each in rows])[device : device + 1]
            truth = scene.whole.step([device], [batch], alone, server)
            assert losses[device].mean == pytest.approx(truth.loss, rel=1e-12)
            assert losses[device].positions == batch.num_labels
            row.grad = truth.clients[0]
            optimizer.step()
        if round % 2 == 1 and len(set(ranks)) == 1:
            engine.aggregate(scene.devices, weights)
            mean = sum(weight * row.detach() for weight, row in zip(weights, rows, strict=True)) / 6
            for row in rows:
                row.data.copy_(mean)
    ours = engine.bank.params(scene.rows)
    assert max(relative(mine, row.detach()) for mine, row in zip(ours, rows, strict=True)) < 1e-11


def test_copies_of_clients_with_one_and_the_same_batch_learn_what_the_server_learns_from_it(world):
    """FedLoRA with all clients identical is centralised training on that batch."""
    federated, central = world([BLOCKS] * 3, [4] * 3), world([0] * 3, [4] * 3)
    whole = federated.engine.bank.params(federated.rows)[:1].clone()
    federated.engine.bank.overwrite(federated.rows, whole.expand(3, -1))
    central.engine.server.overwrite(central.engine.server_rows, whole)
    for scene in (federated, central):
        scene.engine.data = SameForAll(scene.engine.data)
    for round in range(3):
        tickets = [federated.engine.forward(device, round) for device in range(3)]
        losses = federated.engine.local_steps(tickets)
        federated.engine.aggregate([0, 1, 2], [1.0, 1.0, 1.0])
        step = central.engine.server_step([central.engine.forward(device, round) for device in range(3)])
        assert [loss.mean for loss in losses] == pytest.approx([step.mean] * 3, rel=1e-12)
        assert federated.engine.evaluate().mean == pytest.approx(central.engine.evaluate().mean, rel=1e-12)


class SameForAll:
    """Everybody has the data of the first device."""

    def __init__(self, data) -> None:
        self._data = data

    def batch(self, device: int, round: int):
        return self._data.batch(0, round)

    def tokens(self, device: int, round: int) -> int:
        return self._data.tokens(0, round)

    def validation(self):
        return self._data.validation()


def test_local_steps_are_the_same_one_by_one_and_in_company(world):
    apart, together = world([BLOCKS] * 4, [4, 8, 2, 4]), world([BLOCKS] * 4, [4, 8, 2, 4])
    apart.engine.settings = replace(apart.engine.settings, grouping=Grouping(1))
    one = [apart.engine.local_steps([apart.engine.forward(device, 1)])[0].mean for device in range(4)]
    all_at_once = together.engine.local_steps([together.engine.forward(device, 1) for device in range(4)])
    assert [loss.mean for loss in all_at_once] == pytest.approx(one, rel=1e-12)
    assert relative(apart.engine.bank.params(apart.rows), together.engine.bank.params(together.rows)) < 1e-12


def test_a_local_step_without_a_copy_of_the_whole_model_is_refused(world):
    scene = world([5, BLOCKS], [4, 4])
    with pytest.raises(ValueError, match=r"devices \[0\] have no copy of the whole model"):
        scene.engine.local_steps([scene.engine.forward(0, 1), scene.engine.forward(1, 1)])


@pytest.mark.parametrize("moments", ["keep", "average"])
def test_adapters_that_are_handed_on_are_one_training_of_one_model(world, moments):
    """Vanilla split learning: with the moments handed on too, two devices in turn are one AdamW over their batches."""
    scene = world([5, 5], [4, 4], moments=moments)
    engine = scene.engine
    engine.bank.overwrite(scene.rows, engine.bank.params(scene.rows)[:1].expand(2, -1))
    row = engine.bank.params(scene.rows)[0].clone().requires_grad_()
    server = engine.server.params(engine.server_rows)[0].clone().requires_grad_()
    optimizers = [torch_adamw([row], engine.settings.optimizer.rule) for _ in range(2)]
    behind = torch_adamw([server], engine.settings.optimizer.rule)
    engine.aggregate([0], [1.0])
    for turn in range(6):
        device = turn % 2
        engine.adopt(device)
        ticket = engine.forward(device, turn)
        loss = engine.server_step([ticket])
        engine.backward(ticket)
        engine.aggregate([device], [1.0])
        batch = engine.data.batch(device, turn)
        truth = scene.whole.step([device], [batch], row.detach()[None], server.detach())
        assert loss.mean == pytest.approx(truth.loss, rel=1e-12), turn
        row.grad, server.grad = truth.clients[0], truth.server
        optimizers[device if moments == "keep" else 0].step()
        behind.step()
    assert relative(engine.bank.global_row_P, row.detach()) < 1e-11


class Counting(TimingOnly):
    """Notes which local steps are computed together."""

    def __init__(self) -> None:
        super().__init__(sequences=1, lengths=lambda device, round: 4)
        self.passes: list[list[Ticket]] = []

    def local_steps(self, tickets):
        self.passes.append(list(tickets))
        return [Loss(float(ticket.device), 1) for ticket in tickets]


def test_steps_that_are_put_off_are_one_pass_for_each_round_and_those_of_a_device_that_goes_are_none():
    numerics = Counting()
    company = Company(numerics)
    losses = {(d, r): company.local_step(company.forward(d, r)) for d in (2, 0, 1) for r in (1, 2)}
    company.leave(1)
    assert numerics.passes == []
    assert losses[0, 1]() == Loss(0.0, 1)
    assert [[ticket.device for ticket in each] for each in numerics.passes] == [[0, 2]]
    assert losses[1, 1]().positions == 0
    assert math.isnan(losses[1, 2]().mean)
    company.aggregate([0, 2], [1.0, 1.0])
    assert [[(ticket.device, ticket.round) for ticket in each] for each in numerics.passes][1:] == [[(0, 2), (2, 2)]]
    assert losses[2, 2]() == Loss(2.0, 1)
