"""Split equals whole, batched equals one by one: the engine against unsplit HF GPT-2 with PEFT and torch's AdamW."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from simulator.training.groups import Grouping, Sequences
from simulator.training.optim import AdamW

EVERYWHERE = ("c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
FORMS = [("c_attn",), ("q", "v"), EVERYWHERE]
OTHERS = [("q", "k", "v"), ("k",), ("attn.c_proj",), ("mlp.c_fc",), ("mlp.c_proj",), ("v", "mlp.c_proj")]
MIXED = ([5, 2, 9, 1, 12, 0], [8, 4, 8, 2, 8, 8])


def relative(ours: torch.Tensor, truth: torch.Tensor) -> float:
    return ((ours - truth).norm() / truth.norm().clamp_min(1e-300)).item() if truth.numel() else 0.0


def torch_adamw(parameters, rule: AdamW) -> torch.optim.AdamW:
    betas = (rule.beta1, rule.beta2)
    return torch.optim.AdamW(
        parameters, lr=rule.learning_rate, betas=betas, eps=rule.epsilon, weight_decay=rule.weight_decay
    )


def compare_one_step(scene) -> tuple[float, float, float]:
    """Relative differences of loss, worst client gradient and server gradient between engine and reference."""
    engine = scene.engine
    before = engine.server.params(engine.server_rows)[0].clone()
    batches = [engine.data.batch(device, 0) for device in scene.devices]
    truth = scene.whole.step(scene.devices, batches, engine.bank.params(scene.rows), before)
    captured = {}
    update = engine.server.update
    engine.server.update = lambda rows, grads, rounds: (captured.update(grad=grads[0]), update(rows, grads, rounds))
    loss = engine.server_step([engine.forward(device, 0) for device in scene.devices])
    worst = max(relative(engine._gradients[d], grad) for d, grad in zip(scene.devices, truth.clients, strict=True))
    return abs(loss.mean / truth.loss - 1), worst, relative(captured["grad"], truth.server)


@pytest.mark.parametrize("targets", FORMS)
@pytest.mark.parametrize("split", range(13))
def test_split_training_of_three_clients_has_the_gradients_of_the_whole_model(world, split, targets):
    differences = compare_one_step(world([split] * 3, [4] * 3, targets=targets))
    assert max(differences) < 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("targets", OTHERS)
@pytest.mark.parametrize("split", range(13))
def test_any_choice_of_projections_has_them_at_every_split(world, split, targets):
    assert max(compare_one_step(world([split] * 3, [4] * 3, targets=targets))) < 1e-12


@pytest.mark.parametrize("targets", [("q", "v"), EVERYWHERE])
@pytest.mark.parametrize("split", range(13))
def test_the_same_holds_in_single_precision_to_1e_5(world, split, targets):
    differences = compare_one_step(world([split] * 3, [4] * 3, targets=targets, dtype=torch.float32))
    assert max(differences) < 1e-5


@pytest.mark.parametrize("targets", FORMS + OTHERS)
def test_clients_with_different_splits_and_ranks_share_one_pass(world, targets):
    assert max(compare_one_step(world(*MIXED, targets=targets))) < 1e-12


@pytest.mark.parametrize("targets", FORMS + OTHERS)
def test_the_same_holds_for_mixed_clients_in_single_precision(world, targets):
    assert max(compare_one_step(world(*MIXED, targets=targets, dtype=torch.float32))) < 1e-5


def test_the_order_in_which_targets_are_named_changes_nothing(world):
    one, other = world(*MIXED, targets=("q", "mlp.c_fc")).engine, world(*MIXED, targets=("mlp.c_fc", "q")).engine
    assert torch.equal(one.bank.global_row_P, other.bank.global_row_P)


@pytest.mark.parametrize(
    ("targets", "sentence"),
    [
        (("c_proj",), r"LoRA target 'c_proj' could mean attn.c_proj or mlp.c_proj; name the one, or both"),
        (("c_fc",), r"unknown LoRA target 'c_fc'; did you mean 'mlp.c_fc'\? \(allowed: c_attn, q, k, v, attn.c_proj"),
        (("c_attn", "q"), "c_attn already holds q, k and v"),
        ((), "LoRA needs at least one target"),
    ],
)
def test_a_target_that_is_not_there_is_refused_with_what_would_fit(world, targets, sentence):
    with pytest.raises(ValueError, match=sentence):
        world([1], [4], targets=targets)


@pytest.mark.parametrize("rank", [0, 33])
def test_a_rank_that_the_model_has_no_room_for_is_refused(world, rank):
    with pytest.raises(ValueError, match=rf"lora rank must be in 1..32 \(the narrower side of c_attn\), got {rank}"):
        world([1], [rank or 0], rank=rank or None)


def test_cutting_a_cohort_into_groups_changes_nothing(world):
    assert max(compare_one_step(world(*MIXED, grouping=Grouping(40)))) < 1e-12


@pytest.mark.parametrize(
    ("splits", "ranks"), [([3] * 3, [4] * 3), ([0] * 3, [4] * 3), ([12] * 3, [4] * 3), ([5, 2, 9], [4] * 3), MIXED]
)
def test_five_steps_with_two_aggregations_end_where_the_whole_model_ends(world, splits, ranks):
    scene = world(splits, ranks)
    engine = scene.engine
    weights = [1.0 + device for device in scene.devices]
    rows = [row.clone().requires_grad_() for row in engine.bank.params(scene.rows)]
    server = engine.server.params(engine.server_rows)[0].clone().requires_grad_()
    optimizers = [torch_adamw([row], engine.settings.optimizer.rule) for row in rows]
    server_optimizer = torch_adamw([server], engine.settings.optimizer.rule)
    for round in range(5):
        tickets = [engine.forward(device, round) for device in scene.devices]
        engine.server_step(tickets)
        for ticket in tickets:
            engine.backward(ticket)
        batches = [engine.data.batch(device, round) for device in scene.devices]
        truth = scene.whole.step(scene.devices, batches, torch.stack([r.detach() for r in rows]), server.detach())
        for row, grad, optimizer in zip(rows, truth.clients, optimizers, strict=True):
            row.grad = grad
            optimizer.step()
        server.grad = truth.server
        server_optimizer.step()
        if round % 2 == 1 and len(set(ranks)) == 1:
            engine.aggregate(scene.devices, weights)
            if max(splits):
                for block in range(max(splits)):
                    part = engine.client_layout.block_slice(block)
                    mine = [device for device in scene.devices if splits[device] > block]
                    shares = torch.tensor([weights[device] for device in mine], dtype=torch.float64)
                    mean = shares @ torch.stack([rows[device].detach()[part] for device in mine]) / shares.sum()
                    for device in mine:
                        rows[device].data[part] = mean
    engine._apply_returned()
    assert (engine.server.params(engine.server_rows)[0] - server).abs().max().item() < 1e-10 if server.numel() else True
    for split, ours, truth in zip(splits, engine.bank.params(scene.rows), rows, strict=True):
        own = slice(0, split * engine.client_layout.block_size)  # what lies behind the split is nobody's
        assert (ours - truth)[own].abs().max().item() < 1e-10 if split else True


@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("split", range(13))
def test_one_update_ends_where_the_whole_model_s_does_at_every_split(world, split, dtype, allowed):
    scene = world([split] * 3, [4] * 3, dtype=dtype)
    engine = scene.engine
    rows = [row.clone().requires_grad_() for row in engine.bank.params(scene.rows)]
    server = engine.server.params(engine.server_rows)[0].clone().requires_grad_()
    batches = [engine.data.batch(device, 0) for device in scene.devices]
    truth = scene.whole.step(scene.devices, batches, torch.stack([r.detach() for r in rows]), server.detach())
    for parameter, gradient in zip([*rows, server], [*truth.clients, truth.server], strict=True):
        parameter.grad = gradient
        torch_adamw([parameter], engine.settings.optimizer.rule).step()
    tickets = [engine.forward(device, 0) for device in scene.devices]
    engine.server_step(tickets)
    for ticket in tickets:
        engine.backward(ticket)
    engine._apply_returned()
    assert relative(engine.server.params(engine.server_rows)[0], server.detach()) < allowed
    for ours, row in zip(engine.bank.params(scene.rows), rows, strict=True):
        assert relative(ours, row.detach()) < allowed


def test_a_cohort_without_any_label_is_refused(world):
    engine = world([3, 3], [4, 4]).engine
    batch = engine.data.batch(0, 0)
    nothing = Sequences(batch.ids_RT, np.full_like(batch.labels_RT, -100))
    engine.data.batch = lambda device, round: nothing
    with pytest.raises(ValueError, match=r"round 2: no position of the batches of devices 0, 1 has a label"):
        engine.server_step([engine.forward(device, 2) for device in (0, 1)])


def test_who_came_first_does_not_change_an_average(world):
    engines = [world([3] * 5, [4] * 5).engine for _ in range(2)]
    engines[0].aggregate([0, 1, 2, 3, 4], [1, 2, 3, 4, 5])
    engines[1].aggregate([3, 0, 4, 2, 1], [4, 1, 5, 3, 2])
    assert torch.equal(engines[0].bank.global_row_P, engines[1].bank.global_row_P)


def test_a_device_that_comes_later_starts_from_the_average_at_its_own_scale(world):
    engine = world([3] * 2, [8, 4]).engine
    engine.aggregate([0], [1])
    late, early = engine.bank.share(4), engine.bank.share(8)
    _, a_slice, b_slice = engine.client_layout.matrices(0)[0]
    half = slice(b_slice.start, b_slice.start + 4 * 96)
    assert torch.equal(late[a_slice][: 4 * 32], early[a_slice][: 4 * 32])
    assert relative(late[half] * (16 / 4), early[half] * (16 / 8)) < 1e-15  # equal products at alpha 16


def test_evaluation_gives_nobody_a_row(world):
    engine = world([3] * 2, [4] * 2).engine
    fresh = type(engine)(engine.model, engine.data, engine.clients, engine.settings, np.random.default_rng(1))
    fresh.evaluate()
    assert not fresh.bank.knows(0)


def test_batched_training_equals_one_by_one(world):
    together, apart = world(*MIXED).engine, world(*MIXED, grouping=Grouping(1)).engine
    devices = range(6)
    for round in range(3):
        for engine in (together, apart):
            tickets = [engine.forward(device, round) for device in devices]
            engine.server_step(tickets)
            for ticket in tickets:
                engine.backward(ticket)
    assert abs(together.evaluate().mean - apart.evaluate().mean) < 1e-12


def test_an_update_happens_only_when_the_gradients_are_back(world):
    engine = world([3, 3], [4, 4]).engine
    before = engine.bank.params(engine.rows_of([0, 1])).clone()
    tickets = [engine.forward(device, 0) for device in (0, 1)]
    engine.server_step(tickets)
    engine.backward(tickets[1])
    engine._apply_returned()
    after = engine.bank.params(engine.rows_of([0, 1]))
    assert torch.equal(after[0], before[0])
    assert not torch.equal(after[1], before[1])


def test_aggregation_weights_count_as_shares(world):
    engine = world([2, 2], [4, 4]).engine
    first, second = engine.bank.params(engine.rows_of([0, 1]))
    engine.aggregate([0, 1], [30, 10])
    for row in engine.bank.params(engine.rows_of([0, 1])):
        assert relative(row, 0.75 * first + 0.25 * second) < 1e-15


def test_a_block_is_averaged_over_the_devices_that_hold_it(world):
    engine = world([3, 1], [4, 4]).engine
    first, second = engine.bank.params(engine.rows_of([0, 1]))
    engine.aggregate([0, 1], [1, 1])
    shared, alone = engine.client_layout.block_slice(0), engine.client_layout.block_slice(2)
    assert relative(engine.bank.global_row_P[shared], (first + second)[shared] / 2) < 1e-15
    assert torch.equal(engine.bank.global_row_P[alone], first[alone])


def test_averaging_adapters_of_equal_products_but_different_ranks_keeps_the_scale(world):
    """Two devices, ranks 8 and 2, alpha 16: scales 2 and 8. Equal deltas must stay equal through an aggregation."""
    engine = world([1, 1], [8, 2]).engine
    rows = engine.rows_of([0, 1])
    _, a_slice, b_slice = engine.client_layout.matrices(0)[0]
    values = torch.zeros_like(engine.bank.params(rows))
    values[:, a_slice.start : a_slice.start + 32] = 1.0  # first row of A
    values[0, b_slice.start : b_slice.start + 96] = 4.0  # 2 * 4 = 8
    values[1, b_slice.start : b_slice.start + 96] = 1.0  # 8 * 1 = 8
    engine.bank.overwrite(rows, values)
    engine.aggregate([0, 1], [1, 1])
    assert torch.equal(engine.bank.params(rows), values)


def test_a_device_that_leaves_is_forgotten_and_counts_no_more(world):
    one, both = (world([3, 3], [8, 8]).engine for _ in range(2))
    for engine, devices in ((one, [0]), (both, [0, 1])):
        for device in devices:
            engine.join(device)
        tickets = [engine.forward(device, 1) for device in devices]
        engine.server_step(tickets[:1])
        engine.backward(tickets[0])
    both.leave(1)
    assert both.evaluate() == one.evaluate()
    both.leave(0)
    global_row = both.bank.global_row_P
    assert torch.equal(both.bank.params(both.rows_of([0]))[0], global_row * both.bank.mask(8))


def test_gradients_of_a_device_that_left_are_dropped(world):
    engine = world([3, 3], [8, 8]).engine
    tickets = [engine.forward(device, 1) for device in (0, 1)]
    engine.server_step(tickets)
    engine.leave(1)
    engine.backward(tickets[0])
    engine.join(1)
    before = engine.bank.params(engine.rows_of([1])).clone()
    engine.evaluate()  # applies what has returned
    assert torch.equal(engine.bank.params(engine.rows_of([1])), before)
    assert not engine._gradients


def test_out_of_memory_names_the_size_of_a_pass_and_what_to_lower(world, monkeypatch):
    engine = world([3] * 2, [4] * 2, grouping=Grouping(640)).engine

    def exhausted(*_, **__):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(engine.model, "losses", exhausted)
    with pytest.raises(MemoryError, match="a pass over 640 positions at a time.*can't allocate memory"):
        engine.server_step([engine.forward(device, 0) for device in range(2)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_base_in_half_precision_keeps_adapters_moments_and_losses_in_single(world, dtype):
    engine = world([3, 5], [4, 4], dtype=dtype).engine
    tickets = [engine.forward(device, 0) for device in range(2)]
    loss, clients, server = engine.gradients(tickets)
    assert engine.model.head_VD.dtype == dtype
    assert {engine.bank._state_SNP.dtype, clients[0].dtype, server.dtype} == {torch.float32}
    exact = world([3, 5], [4, 4]).engine
    truth, _, exact_server = exact.gradients(tickets)
    error = {torch.float32: 1e-5, torch.bfloat16: 2**-8}[dtype]  # a bfloat16 has 8 bits
    assert abs(loss.mean / truth.mean - 1) < error
    assert relative(server.double(), exact_server) < 12 * error  # one rounding a block


def test_a_base_in_half_precision_learns_what_it_learns_in_single(world):
    curves = {}
    for dtype in (torch.float32, torch.bfloat16):
        engine = world([3, 5], [4, 4], dtype=dtype).engine
        curves[dtype] = []
        for _ in range(20):  # the same batch over and over
            tickets = [engine.forward(device, 1) for device in range(2)]
            curves[dtype].append(engine.server_step(tickets).mean)
            for ticket in tickets:
                engine.backward(ticket)
    first, last = curves[torch.float32][0], curves[torch.float32][-1]
    assert last < first / 2
    assert abs(curves[torch.bfloat16][-1] - last) < 0.05 * (first - last)
