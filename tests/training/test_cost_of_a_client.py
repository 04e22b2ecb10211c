"""What one more client costs: no kernel launch, and no byte beyond its adapters and their moments."""

from __future__ import annotations

import gc

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from simulator.training import loss
from simulator.training.groups import Grouping

# Operations that only look at memory in another way start no kernel.
VIEWS = {
    "view", "_unsafe_view", "reshape", "transpose", "t", "permute", "slice", "select", "narrow", "expand", "unsqueeze",
    "squeeze", "detach", "alias", "as_strided", "split", "unbind", "_reshape_alias", "lift_fresh", "is_same_size",
}  # fmt: skip


class Launches(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func._schema.name.split("::")[1] not in VIEWS
        return func(*args, **(kwargs or {}))


def launches_of_a_step(engine, clients: int) -> int:
    def step(round):
        tickets = [engine.forward(client, round) for client in range(clients)]
        engine.server_step(tickets)
        for ticket in tickets:
            engine.backward(ticket)
        engine._apply_returned()

    step(1)
    with Launches() as counter:
        step(2)
    return counter.count


@pytest.mark.parametrize("clients", [2, 8, 40, 100])
def test_a_step_of_12_blocks_launches_at_most_420_kernels_for_any_number_of_clients(world, monkeypatch, clients):
    monkeypatch.setattr(loss, "CHUNK_BYTES", 1)  # the most chunks of the loss there can be
    engine = world([3] * clients, [4] * clients, grouping=Grouping(10**9)).engine
    assert launches_of_a_step(engine, clients) <= 420


def test_launches_stop_growing_with_clients_once_the_loss_has_its_most_chunks(world, monkeypatch):
    """100 clients with 2 sequences have some 1,200 label positions, at least 128 a chunk."""
    monkeypatch.setattr(loss, "CHUNK_BYTES", 1)
    engines = {n: world([3] * n, [4] * n, grouping=Grouping(10**9)).engine for n in (100, 150)}
    assert len({launches_of_a_step(engine, clients) for clients, engine in engines.items()}) == 1


def test_mixed_splits_cost_a_second_adapter_in_the_blocks_where_they_meet_and_nothing_else(world):
    same, mixed = world([3] * 6, [4] * 6).engine, world([1, 2, 3, 4, 5, 6], [4] * 6).engine
    extra = launches_of_a_step(mixed, 6) - launches_of_a_step(same, 6)
    assert 0 <= extra <= 6 * 5  # blocks 1 to 5 hold clients and server: a pair of products forward, four back


def tensor_bytes() -> int:
    gc.collect()
    storages = {}
    for each in gc.get_objects():
        if issubclass(type(each), torch.Tensor):
            storages[each.untyped_storage().data_ptr()] = each.untyped_storage().nbytes()
    return sum(storages.values())


def test_a_client_keeps_its_adapters_and_two_moments_and_nothing_else(world):
    """d 32, rank 4, split 3: 3 x 4 x (32 + 96) = 1536 parameters; x 3 for the moments, 8 bytes each in float64."""
    engine = world([3] * 64, [4] * 64).engine
    before = tensor_bytes()
    engine.bank._make_room(64)
    assert tensor_bytes() - before == 64 * 1536 * 3 * 8
