"""The head's loss against torch's own cross-entropy, and what a codec at the cut does."""

from __future__ import annotations

import pytest
import torch

from simulator.training import loss as loss_module
from simulator.training.cut import cut
from simulator.training.loss import head_loss


@pytest.mark.parametrize("chunk", [3, 128, 10_000])
def test_the_loss_in_chunks_is_torchs_cross_entropy(monkeypatch, chunk):
    monkeypatch.setattr(loss_module, "chunk_rows", lambda *_: chunk)
    rng = torch.Generator().manual_seed(1)
    h = torch.randn(37, 16, generator=rng, dtype=torch.float64, requires_grad=True)
    head = torch.randn(50, 16, generator=rng, dtype=torch.float64)
    targets = torch.randint(50, (37,), generator=rng)
    weights = torch.rand(37, generator=rng, dtype=torch.float64)
    truth = (torch.nn.functional.cross_entropy(h @ head.T, targets, reduction="none") * weights).sum()
    (expected,) = torch.autograd.grad(truth, h)
    ours, each = head_loss(h, head, targets, weights)
    (got,) = torch.autograd.grad(3 * ours, h)
    assert torch.allclose(ours, truth, rtol=1e-14)
    assert torch.allclose((each * weights).sum(), truth, rtol=1e-14)
    assert torch.allclose(got, 3 * expected, rtol=1e-12)


def test_a_codec_changes_only_the_rows_that_are_cut_and_their_gradients():
    x = torch.arange(12.0).view(4, 1, 3).requires_grad_()
    y = cut(x, 1, 2, upload=lambda rows: rows + 100, download=lambda rows: rows * 0)
    assert torch.equal(y[0], x[0])
    assert torch.equal(y[1:3], x[1:3] + 100)
    y.sum().backward()
    assert x.grad[:, 0, 0].tolist() == [1, 0, 0, 1]


def test_a_codec_sees_the_activations_that_a_device_would_have_sent(world):
    """The hidden state in front of block 3, as the unsplit model has it."""
    scene = world([3, 3], [4, 4])
    engine, sent = scene.engine, []
    batches = [engine.data.batch(device, 0) for device in scene.devices]
    from simulator.training.model import Cohort

    clients = engine._clients(engine.bank.params(scene.rows), scene.devices)
    cohort = Cohort((3, 3), 2, clients, engine._server())
    engine.model.losses(engine._batch(batches, [1.0] * len(batches)), cohort, upload=lambda x: sent.append(x) or x)
    for block in range(12):
        scene.whole.load(block, engine.bank.params(scene.rows)[0], engine.client_layout, 4) if block < 3 else None
    hidden = scene.whole.model(input_ids=torch.from_numpy(batches[0].ids_RT), output_hidden_states=True).hidden_states
    tokens = sent[0].shape[1]  # what lies behind the last label is not computed
    assert torch.allclose(sent[0][:2], hidden[3][:, :tokens], rtol=1e-12, atol=1e-12)
