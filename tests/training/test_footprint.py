"""The predicted memory of training against what torch's allocator hands out while it trains."""

from __future__ import annotations

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from simulator.training.footprint import footprint, pass_cost
from simulator.training.model import Regime


def peak_bytes(work) -> int:
    """The most that was allocated and not yet freed at any moment of ``work``."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        work()
    events = [(each.start_ns(), each.nbytes()) for each in record.profiler.kineto_results.events()
              if each.name() == "[memory]"]  # fmt: skip
    now = most = 0
    for _, size in sorted(events, key=lambda event: event[0]):
        now += size
        most = max(most, now)
    return most


def train(engine, clients: int, round: int) -> None:
    tickets = [engine.forward(client, round) for client in range(clients)]
    engine.server_step(tickets)
    for ticket in tickets:
        engine.backward(ticket)
    engine._apply_returned()


@pytest.mark.parametrize("targets", [("c_attn",), ("q", "v"), ("c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")])
@pytest.mark.parametrize(
    ("dtype", "regime"),
    [
        (torch.float32, Regime()),
        (torch.bfloat16, Regime()),
        (torch.float64, Regime()),
        (torch.float32, Regime(checkpointing=True)),
        (torch.float32, Regime(dropout=0.1, lora_dropout=0.1)),
    ],
)
def test_the_predicted_peak_is_within_15_percent(world, dtype, regime, targets):
    def work():
        engine = world([3] * 16, [4] * 16, dtype=dtype, regime=regime, targets=targets).engine
        made.append(engine)
        train(engine, 16, 1)
        train(engine, 16, 2)

    made: list = []
    world([3], [4], dtype=dtype)  # what is loaded once and for all
    measured = peak_bytes(work)
    predicted = footprint(made[0], cohort=16, sequences=2, tokens=10)
    assert sum(predicted.values()) == pytest.approx(measured, rel=0.15)


def test_a_budget_buys_as_many_positions_as_stay_within_it(world):
    cost = pass_cost(world([3], [4]).engine.model, 10, 1000)
    for budget in (1e6, 1e7, 1e9):
        most = cost.most_positions(budget, 10)
        assert cost.bytes(most, clients=most // 10) <= budget < cost.bytes(most + 10, clients=most // 10 + 1)
    assert cost.most_positions(1.0, 10) == 10  # one sequence must be possible, whatever it takes
