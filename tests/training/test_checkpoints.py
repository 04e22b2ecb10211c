"""PEFT checkpoints there and back: what a run exports, and what it can start from."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from simulator.training.checkpoints import Checkpoint, Fit
from simulator.training.engine import Engine
from simulator.training.model import Cohort

EVERYWHERE = ("c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
FORMS = [("c_attn",), ("q", "v"), ("v", "mlp.c_proj"), EVERYWHERE]
FAMILIES = [("llama", ("q_proj", "v_proj")), ("qwen2", ("k_proj", "o_proj", "gate_proj", "up_proj", "down_proj"))]
ALL = [*(("gpt2", form) for form in FORMS), *FAMILIES]
CASES = [([1] * 3, [4] * 3, 4), ([6] * 3, [4] * 3, 4), ([11] * 3, [4] * 3, 4), ([5, 2, 9], [8, 2, 4], 6)]


def base_of(scene):
    """The reference's model without PEFT's adapters."""
    base = copy.deepcopy(scene.whole.model.base_model.model)
    for block in base.get_submodule(scene.engine.model.family.blocks):
        for module in scene.engine.client_layout.modules:
            parent, _, name = module.rpartition(".")
            setattr(block.get_submodule(parent), name, block.get_submodule(module).base_layer)
    return base


def save(files, folder):
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def engine_logits(engine, device, sequences):
    """What the split model of one device and the server says, position by position."""
    rows = engine._clients(engine.bank.params(engine.rows_of([device])), [device])
    cohort = Cohort((engine.clients.splits[device],), sequences.ids_RT.shape[0], rows, engine._server())
    with torch.no_grad():
        hidden = engine.model.hidden(engine._batch([sequences], 1.0), cohort)
        return engine.model.final_norm(hidden) @ engine.model.head_VD.T


def peft_logits(base, folder, sequences):
    whole = PeftModel.from_pretrained(base, folder).to(next(base.parameters()).dtype).eval()
    with torch.no_grad():
        return whole(input_ids=torch.from_numpy(sequences.ids_RT)).logits


@pytest.mark.parametrize(("family", "targets"), ALL)
@pytest.mark.parametrize("case", CASES)
def test_a_device_s_checkpoint_has_the_logits_of_its_split_model(world, tmp_path, case, family, targets):
    splits, ranks, rank = case
    scene = world(splits, ranks, family=family, targets=targets, rank=rank, dtype=torch.float32)
    batch = scene.engine.data.batch(0, 0)
    for device in scene.devices:
        folder = save(scene.engine.export(device), tmp_path / str(device))
        ours, theirs = engine_logits(scene.engine, device, batch), peft_logits(base_of(scene), folder, batch)
        theirs = theirs[:, : ours.shape[1]]  # the engine leaves out what is padding in every row
        assert (ours - theirs).abs().max() < 1e-5 * max(1.0, theirs.abs().max().item())


def test_the_pattern_names_the_blocks_whose_rank_is_not_the_usual_one(world):
    config = json.loads(world([5, 2, 9], [8, 2, 4], rank=6).engine.export(1)["adapter_config.json"])
    assert config["r"] == 6
    assert config["rank_pattern"] == {f"transformer.h.{block}.attn.c_attn": 2 for block in range(2)}
    assert config["alpha_pattern"] == {}  # one alpha for all, so the scales are alpha / 2 and alpha / 6


def test_q_and_v_are_one_adapter_of_twice_the_rank(world):
    config = json.loads(world([3], [4], targets=("q", "v")).engine.export(0)["adapter_config.json"])
    assert (config["r"], config["lora_alpha"], config["target_modules"]) == (8, 32.0, ["c_attn"])
    assert config["rank_pattern"] == {}


def test_a_device_that_never_trained_exports_the_global_adapters_and_gets_no_row(world, tmp_path):
    scene = world([3] * 2, [4] * 2)
    engine = fresh_engine(scene.engine)
    assert engine.export(1) == engine.export()
    assert not engine.bank.knows(1)


def fresh_engine(engine, start=None):
    settings = type(engine.settings)(
        engine.settings.targets,
        engine.settings.rank,
        engine.settings.alpha,
        engine.settings.optimizer,
        start=start,
    )
    return Engine(engine.model, engine.data, engine.clients, settings, np.random.default_rng(8))


def starting_from(scene, folder, **changes):
    engine = scene.engine
    numbers = {
        "base_model": "gpt2",
        "config": engine.model.config,
        "room": min(engine.settings.rank, *engine.clients.ranks),
        "scale": engine.settings.alpha / engine.settings.rank,
    }
    fit = Fit(**(numbers | changes))
    return fresh_engine(engine, lambda layout, fresh: Checkpoint.read(folder).fill(layout, fresh, fit))


@pytest.mark.parametrize(("family", "targets"), ALL)
@pytest.mark.parametrize("split", [0, 3, 12])
def test_a_run_that_starts_from_an_export_evaluates_as_the_one_that_ended(world, tmp_path, split, family, targets):
    scene = world([split] * 2, [4, 4], family=family, targets=targets, rank=4)
    again = starting_from(scene, save(scene.engine.export(), tmp_path))
    assert again.evaluate().mean == pytest.approx(scene.engine.evaluate().mean, rel=1e-12)
    assert again.export() == scene.engine.export()


@pytest.mark.parametrize("ranks", [[8, 4], [4, 8]])
@pytest.mark.parametrize("rslora", [False, True])
def test_a_run_starts_from_what_peft_itself_has_saved(world, tmp_path, ranks, rslora):
    """Other rank and alpha than the run's: the model is the same, and the rows that are left over can learn."""
    scene = world([3, 3], ranks, targets=EVERYWHERE, rank=6)
    config = LoraConfig(
        r=3, lora_alpha=5, target_modules=["c_attn", "c_proj", "c_fc"], fan_in_fan_out=True, use_rslora=rslora,
        rank_pattern={"h.1.mlp.c_proj": 2}, alpha_pattern={"h.1.mlp.c_proj": 7}, init_lora_weights=False,
    )  # fmt: skip
    base = base_of(scene)
    get_peft_model(copy.deepcopy(base), config).to(torch.float32).save_pretrained(tmp_path)
    engine = starting_from(scene, tmp_path)
    batch = engine.data.batch(0, 0)
    theirs = peft_logits(base, tmp_path, batch)[:, : batch.length]
    for device in scene.devices:
        assert (engine_logits(engine, device, batch) - theirs).abs().max() < 1e-9
    tickets = [engine.forward(device, 0) for device in scene.devices]
    _, gradients, _ = engine.gradients(tickets)
    (piece, _, b_slice) = engine.client_layout.matrices(0)[0]
    for device, rank in zip(scene.devices, ranks, strict=True):
        assert (gradients[device][b_slice].view(-1, piece.out)[:rank] != 0).any(dim=1).all()


def edited(folder, **changes):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"base_model_name_or_path": "gpt2-medium"}, "its base model is 'gpt2-medium', this scenario trains 'gpt2'"),
        ({"use_dora": True}, "use_dora must be False: only A and B are trained here, got True"),
        ({"bias": "all"}, "bias must be 'none'"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save must be None"),
        ({"lora_alpha": "x"}, "lora_alpha must be a number, got 'x'"),
        ({"peft_type": "IA3"}, "peft_type must be 'LORA', got 'IA3'"),
    ],
)
def test_a_checkpoint_that_says_something_else_is_refused(world, tmp_path, changes, sentence):
    scene = world([3], [4])
    folder = edited(save(scene.engine.export(), tmp_path), **changes)
    with pytest.raises(ValueError, match=sentence):
        starting_from(scene, folder)


@pytest.mark.parametrize("base", ["openai-community/gpt2", "/models/gpt2", None])
def test_another_place_of_the_same_base_is_accepted(world, tmp_path, base):
    scene = world([3], [4])
    again = starting_from(scene, edited(save(scene.engine.export(), tmp_path), base_model_name_or_path=base))
    assert again.evaluate().mean == pytest.approx(scene.engine.evaluate().mean, rel=1e-12)


@pytest.mark.parametrize(
    ("theirs", "ours", "sentence"),
    [
        (("mlp.c_fc",), ("c_attn",), r"adapts mlp.c_fc, but lora.targets asks for attn.c_attn; "
         r"lora.targets \[mlp.c_fc\] would fit"),
        (("c_attn", "mlp.c_proj"), ("c_attn",), r"lora.targets \[c_attn, mlp.c_proj\] would fit"),
        (("c_attn",), ("q", "v"), r"attn.c_attn holds one adapter over the whole projection, not one each for q, v"),
    ],
)  # fmt: skip
def test_a_checkpoint_of_other_targets_is_refused_with_those_that_would_fit(world, tmp_path, theirs, ours, sentence):
    folder = save(world([3], [4], targets=theirs).engine.export(), tmp_path)
    with pytest.raises(ValueError, match=sentence):
        starting_from(world([3], [4], targets=ours), folder)


def test_a_checkpoint_of_q_and_v_starts_a_run_on_the_whole_of_c_attn(world, tmp_path):
    scene = world([3], [4], targets=("q", "v"))
    folder = save(scene.engine.export(), tmp_path)
    again = starting_from(world([3], [8]), folder)
    assert again.evaluate().mean == pytest.approx(scene.engine.evaluate().mean, rel=1e-12)


def test_a_rank_that_some_device_has_no_room_for_is_refused(world, tmp_path):
    folder = save(world([3], [8]).engine.export(), tmp_path)
    with pytest.raises(ValueError, match=r"its rank of 8 on transformer.h.0.attn.c_attn is above the smallest rank of "
                       r"the scenario, 4; set lora.rank and every devices\[i\].rank to 8 or more"):  # fmt: skip
        starting_from(world([3, 3], [8, 4]), folder)


def test_a_checkpoint_of_another_width_or_depth_is_refused(world, tmp_path):
    from safetensors.torch import load_file, save_file

    scene = world([3], [4])
    folder = save(scene.engine.export(), tmp_path)
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    save_file({key: value for key, value in tensors.items() if ".h.11." not in key}, file)
    with pytest.raises(ValueError, match=r"adapters in 11 blocks up to 10, gpt2 has blocks 0..11, each of which needs"):
        starting_from(scene, folder)
    save_file({key: value[:, :16].contiguous() if "lora_A" in key else value for key, value in tensors.items()}, file)
    with pytest.raises(ValueError, match=r"A \[4, 16\] and B \[96, 4\] of transformer.h.0.attn.c_attn do not fit gpt2"):
        starting_from(scene, folder)
    save_file(tensors | {"base_model.model.lm_head.lora_A.weight": torch.zeros(2, 2)}, file)
    with pytest.raises(ValueError, match="base_model.model.lm_head.lora_A.weight is no LoRA matrix of a block of gpt2"):
        starting_from(scene, folder)
    file.write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="lora.init: the checkpoint in .* cannot be read"):
        starting_from(scene, folder)
    file.unlink()
    with pytest.raises(ValueError, match="has no adapter_model.safetensors; a PEFT checkpoint has adapter_config.json"):
        starting_from(scene, folder)
