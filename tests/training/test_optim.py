"""Optimizers, schedules and clipping against torch's and transformers'; what becomes of moments at an aggregation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import get_scheduler

from simulator.training.bank import ClientBank
from simulator.training.engine import Engine
from simulator.training.layout import Layout, Piece
from simulator.training.optim import SGD, AdamW, Optimizer, Schedule

LAYOUT = Layout.of([Piece("c_attn", "attn.c_attn", 6, 0, 18, 18)], blocks=range(2), rank=4)
ROUNDS = 7


def bank(optimizer: Optimizer, rank: int = 4) -> ClientBank:
    rng = torch.Generator().manual_seed(1)
    return ClientBank(LAYOUT, torch.randn(LAYOUT.size, generator=rng, dtype=torch.float64), rank, optimizer)


def gradients(count: int) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(2)
    return [torch.randn(count, LAYOUT.size, generator=rng, dtype=torch.float64) for _ in range(ROUNDS)]


@pytest.mark.parametrize("clip", [0.0, 3.0, 1000.0])
@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("rule", [AdamW(0.1, weight_decay=0.2), SGD(0.1), SGD(0.1, momentum=0.9, weight_decay=0.2)])
def test_every_row_goes_the_way_that_torch_s_optimizer_goes(rule, schedule, clip):
    ours = bank(Optimizer(rule, Schedule(schedule, warmup_rounds=2, rounds=ROUNDS), clip))
    rows = ours.rows([0, 1, 2], [4, 4, 4])
    truth = [row.clone().requires_grad_() for row in ours.params(rows)]
    if isinstance(rule, AdamW):
        optimizers = [torch.optim.AdamW([row], lr=0.1, eps=1e-6, weight_decay=0.2) for row in truth]
    else:
        more = {"momentum": rule.momentum, "weight_decay": rule.weight_decay}
        optimizers = [torch.optim.SGD([row], lr=0.1, **more) for row in truth]
    name = "constant_with_warmup" if schedule == "constant" else schedule
    steps = {} if schedule == "constant" else {"num_training_steps": ROUNDS}
    schedulers = [get_scheduler(name, each, num_warmup_steps=2, **steps) for each in optimizers]
    for round, grads in enumerate(gradients(3), 1):
        ours.update(rows, grads.clone(), [round] * 3)
        for row, grad, optimizer, scheduler in zip(truth, grads, optimizers, schedulers, strict=True):
            row.grad = grad.clone()
            if clip:
                torch.nn.utils.clip_grad_norm_([row], clip)
            optimizer.step()
            scheduler.step()
    assert torch.allclose(ours.params(rows), torch.stack([row.detach() for row in truth]), rtol=1e-10, atol=1e-12)


def test_rows_that_do_not_lie_together_are_updated_alike():
    together, apart = (bank(Optimizer(AdamW(0.1))) for _ in range(2))
    rows = {"together": together.rows([0, 1, 2], [4] * 3), "apart": apart.rows([0, 9, 1, 8, 2], [4] * 5)[[4, 0, 2]]}
    grads = gradients(3)[0]
    together.update(rows["together"], grads.clone(), [1] * 3)
    apart.update(rows["apart"], grads[[2, 0, 1]].clone(), [1] * 3)
    assert torch.equal(together.params(rows["together"]), apart.params(rows["apart"][[1, 2, 0]]))


def test_a_released_row_is_used_again_and_its_client_starts_from_the_global_row():
    ours = bank(Optimizer(AdamW(0.1)))
    first = ours.rows([5, 6], [4, 4])
    ours.update(first, gradients(2)[0], [1, 1])
    ours.release([5])
    assert not ours.knows(5)
    assert ours.rows([7], [4]).tolist() == first[:1].tolist()
    assert torch.equal(ours.params(ours.rows([5], [4]))[0], ours.global_row_P)
    assert len(ours._updates_N) == 4  # 2, doubled once for the third client


def step(engine, devices, round):
    tickets = [engine.forward(device, round) for device in devices]
    engine.server_step(tickets)
    for ticket in tickets:
        engine.backward(ticket)


def first_moments(engine, devices):
    engine._apply_returned()
    return engine.bank._state_SNP[1][torch.from_numpy(engine.rows_of(devices))]


@pytest.mark.parametrize("moments", ["keep", "reset", "average"])
def test_moments_at_an_aggregation_stay_or_go_or_are_averaged(world, moments):
    engine = world([2, 2], [4, 4], moments=moments).engine
    for round in (1, 2):
        step(engine, [0, 1], round)
    before = first_moments(engine, [0, 1]).clone()
    engine.aggregate([0, 1], [3, 1])
    mean = 0.75 * before[0] + 0.25 * before[1]
    expected = {"keep": before, "reset": torch.zeros_like(before), "average": torch.stack([mean, mean])}[moments]
    assert engine.bank.knows(0) == (moments == "keep")
    assert torch.allclose(first_moments(engine, [0, 1]), expected, rtol=1e-13, atol=0)
    updates = engine.bank._updates_N[engine.rows_of([0, 1])]
    assert updates.tolist() == {"keep": [2, 2], "reset": [0, 0], "average": [2, 2]}[moments]


def test_averaged_moments_of_other_ranks_keep_the_scale_of_their_gradients(world):
    """Rank 2 of 8 at alpha 16: its B counts 4 times as much, so its gradient is 4 times that of the common scale."""
    engine = world([1], [2], rank=8, moments="average").engine
    step(engine, [0], 1)
    before = first_moments(engine, [0]).clone()
    engine.aggregate([0], [1])
    assert torch.allclose(first_moments(engine, [0]), before, rtol=1e-13)
    _, _, b_slice = engine.client_layout.matrices(0)[0]
    ratio = engine.bank.global_SP[1][b_slice] / before[0][b_slice]
    assert torch.allclose(ratio[ratio.isfinite()], torch.tensor(0.25).double())


@pytest.mark.parametrize("moments", ["keep", "reset", "average"])
def test_clients_that_take_turns_need_rows_only_between_aggregations(world, moments):
    engine = world([1] * 60, [4] * 60, moments=moments).engine
    engine = Engine(engine.model, engine.data, engine.clients, engine.settings, np.random.default_rng(1))
    for round in range(6):
        turn = range(10 * round, 10 * round + 10)
        step(engine, turn, round)
        engine.aggregate(turn, [1] * 10)
    assert len(engine.bank._updates_N) == (80 if moments == "keep" else 10)


def test_a_schedule_starts_and_ends_where_the_paper_s_does():
    linear = Schedule("linear", warmup_rounds=10, rounds=110)
    assert [linear.factor(round) for round in (1, 6, 11, 61, 111)] == [0.0, 0.5, 1.0, 0.5, 0.0]
    assert np.isclose(Schedule("cosine", rounds=100).factor(51), 0.5)
