"""Bytes that blocks keep for their backward pass, held against what PyTorch's autograd really saves.

Real Hugging Face GPT-2 blocks with PEFT adapters run forward under `saved_tensors_hooks`; every storage that is saved
and is no weight counts once. The issue asks for 10 %; on a CPU the formula is exact but for one number in a thousand.
"""

from __future__ import annotations

import itertools

import peft
import pytest
import torch
import transformers
from torch.utils.checkpoint import checkpoint

from simulator.workload import SHAPES, Lora, ModelShape, SplitWorkload, Storage
from simulator.workload.memory import block_activation_bytes, saved_activation_bytes

SMALL, NARROW, THIN = SHAPES["gpt2"], ModelShape("mini", 12, 96, 6, 10, 256), ModelShape("thin", 3, 64, 4, 10, 256, 96)
C_ATTN, EVERYWHERE = ("c_attn",), ("c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
ALL = [
    Storage(dtype, attention, gelu, dropout, checkpointing)
    for dtype, attention, gelu, dropout, checkpointing in itertools.product(
        ("float32", "bfloat16"), ("plain", "fused"), ("plain", "fused"), (False, True), (False, True)
    )
    if not (attention == "fused" and dropout)  # on a CPU torch has no fused attention with dropout
]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def blocks(shape: ModelShape, lora: Lora, count: int, storage: Storage) -> torch.nn.Module:
    """The first blocks of a GPT-2 in training, with adapters as PEFT makes them."""
    model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            n_layer=count,
            n_embd=shape.width,
            n_head=shape.num_heads,
            n_inner=shape.inner_width,
            vocab_size=10,
            n_positions=shape.num_positions,
            bos_token_id=0,
            eos_token_id=0,
            attn_implementation="eager" if storage.attention == "plain" else "sdpa",
            activation_function="gelu_new" if storage.gelu == "plain" else "gelu_pytorch_tanh",
            **dict.fromkeys(("attn_pdrop", "resid_pdrop"), 0.1 if storage.dropout else 0.0),
        )
    ).to(DTYPES[storage.dtype])
    settings = {"r": lora.rank, "lora_alpha": lora.alpha, "lora_dropout": 0.0, "fan_in_fan_out": True}
    adapted = peft.get_peft_model(model, peft.LoraConfig(target_modules=list(lora.targets), **settings))
    return adapted.train().base_model.model.transformer.h


def saved_bytes(shape: ModelShape, lora: Lora, sizes: tuple[int, int, int], storage: Storage) -> int:
    """What autograd keeps of a forward pass through so many blocks, the weights left out."""
    count, batch, tokens = sizes
    layers = blocks(shape, lora, count, storage)
    weights = {parameter.untyped_storage().data_ptr() for parameter in layers.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}  # held, so that no address is used twice

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    hidden = torch.randn(batch, tokens, shape.width, dtype=DTYPES[storage.dtype], requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        for layer in layers:
            if storage.checkpointing:
                hidden = checkpoint(layer, hidden, None, None, use_reentrant=False)
            else:
                hidden = layer(hidden, None, None)
    return sum(each.nbytes() for each in kept.values())


def formula(shape: ModelShape, lora: Lora, sizes: tuple[int, int, int], storage: Storage) -> int:
    """The same by arithmetic. While nothing is computed anew, a checkpointed block is its input alone."""
    count, batch, tokens = sizes
    total = saved_activation_bytes(shape, lora, batch, tokens, storage, blocks=count)
    recomputed = batch * tokens * block_activation_bytes(shape, lora, tokens, storage)
    return total - recomputed if storage.checkpointing else total


@pytest.mark.parametrize("storage", ALL, ids=str)
@pytest.mark.parametrize(("targets", "rank"), [(C_ATTN, 8), (EVERYWHERE, 3)])
def test_every_way_of_holding_activations_keeps_what_autograd_keeps(storage, targets, rank):
    lora = Lora(targets, rank, 16.0)
    for shape, sizes in ((NARROW, (1, 2, 128)), (THIN, (2, 3, 40))):
        measured, counted = saved_bytes(shape, lora, sizes, storage), formula(shape, lora, sizes, storage)
        assert counted == pytest.approx(measured, rel=1e-3), (shape.name, sizes)


@pytest.mark.parametrize(
    ("storage", "sizes"),
    [
        (Storage(), (1, 2, 128)),  # the default: plain PyTorch on the published model
        (Storage(attention="fused", gelu="fused", dropout=False), (2, 1, 64)),
        (Storage("bfloat16", dropout=False), (1, 1, 200)),
        (Storage(dropout=False, checkpointing=True), (3, 1, 64)),
    ],
    ids=str,
)
def test_blocks_of_gpt2_small_keep_what_autograd_keeps(storage, sizes):
    lora = Lora(C_ATTN, 8, 16.0)
    assert formula(SMALL, lora, sizes, storage) == pytest.approx(saved_bytes(SMALL, lora, sizes, storage), rel=1e-3)


def test_weights_and_adapters_of_a_device_are_those_of_the_module():
    lora = Lora(C_ATTN, 8, 16.0)
    for storage in (Storage(), Storage("bfloat16")):
        layers = blocks(SMALL, lora, 2, storage)
        need = SplitWorkload(SMALL, lora, 2, 1, 64, storage=storage).client_memory
        held = {True: 0, False: 0}
        for parameter in layers.parameters():
            held[parameter.requires_grad] += parameter.nbytes
        assert held == {True: need["adapters"], False: need["blocks"]}


def test_adam_keeps_two_moments_of_every_adapter():
    lora = Lora(C_ATTN, 8, 16.0)
    layers = blocks(NARROW, lora, 2, Storage())
    trainable = [parameter for parameter in layers.parameters() if parameter.requires_grad]
    adam = torch.optim.AdamW(trainable)
    for parameter in trainable:
        parameter.grad = torch.zeros_like(parameter)
    adam.step()
    moments = sum(state.nbytes for slot in adam.state.values() for state in slot.values() if state.ndim)
    need = SplitWorkload(NARROW, lora, 2, 1, 64).client_memory
    assert moments == need["optimizer moments"]


@pytest.mark.parametrize("storage", ALL, ids=str)
def test_the_lighter_choice_is_never_heavier(storage):
    """Half precision, fused kernels, no masks and checkpointing each take at most what their opposite takes."""
    lora = Lora(C_ATTN, 8, 16.0)

    def need(**choice):
        changed = Storage(**{key: choice.get(key, getattr(storage, key)) for key in Storage.__slots__})
        return sum(SplitWorkload(SMALL, lora, 6, 4, 128, storage=changed).client_memory.values())

    for light in ({"dtype": "bfloat16"}, {"attention": "fused"}, {"gelu": "fused"}, {"dropout": False}):
        assert need(**light) <= need()
    assert need(checkpointing=True) < need(checkpointing=False)


def test_checkpointing_costs_one_more_forward_pass():
    lora = Lora(C_ATTN, 8, 16.0)
    kept, anew = (SplitWorkload(SMALL, lora, 3, 2, 64, storage=Storage(checkpointing=flag)) for flag in (False, True))
    assert anew.client_backward == kept.client_backward + kept.client_forward
    assert anew.client_forward == kept.client_forward
    assert anew.server_backward == kept.server_backward
