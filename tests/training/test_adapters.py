"""What a run exports, loaded by PEFT on the whole, unsplit model."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import PeftModel

TARGETS = [
    ("c_attn",), ("q", "v"), ("mlp.c_proj",), ("q", "v", "mlp.c_fc"),
    ("c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
]  # fmt: skip


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize(
    ("splits", "ranks", "rank"),
    [
        ([1, 1], [4, 4], 4), ([3, 3], [4, 4], 4), ([11, 11], [4, 4], 4), ([5, 2, 9], [8, 4, 8], 8),
        ([3, 3], [8, 8], 4), ([5, 2, 9], [6, 4, 8], 5),
    ],
)  # fmt: skip
def test_peft_on_the_whole_model_has_the_loss_that_the_engine_evaluates(world, tmp_path, splits, ranks, rank, targets):
    """Also where a device's rank is above the rank of the server's adapters."""
    scene = world(splits, ranks, targets=targets, rank=rank)
    engine = scene.engine
    for name, data in engine.export().items():
        (tmp_path / name).write_bytes(data)
    base = copy.deepcopy(scene.whole.model.base_model.model)
    for block in base.transformer.h:  # take the reference's adapters out again
        for module in engine.client_layout.modules:
            parent, _, name = module.rpartition(".")
            setattr(block.get_submodule(parent), name, block.get_submodule(module).base_layer)
    whole = PeftModel.from_pretrained(base, tmp_path).to(torch.float64).eval()
    data = engine.data.validation()
    with torch.no_grad():
        logits = whole(input_ids=torch.from_numpy(data.ids_RT)).logits
    labels = torch.from_numpy(data.labels_RT).reshape(-1)
    loss = torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels, ignore_index=-100)
    assert engine.evaluate().mean == pytest.approx(loss.item(), rel=1e-10)
