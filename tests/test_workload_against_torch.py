"""The arithmetic of a split GPT-2, held against what torch, PEFT and transformers do."""

import peft
import pytest
import torch
import transformers
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from simulator.workload import SHAPES, Lora, ModelShape, SplitWorkload, shape_from_config

SMALL = SHAPES["gpt2"]
TINY = ModelShape("tiny", 3, 64, 4, vocab_size=100, num_positions=32, inner_width=96)
PEFT = Lora(("c_attn",), 8, 16.0)
PASSES = ("client_forward", "client_backward", "server_forward", "server_backward")


@pytest.fixture(autouse=True)
def one_thread():
    """Tensors this small are slower with more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def peft_model(device, shape, lora, **config):
    """GPT-2 with PEFT adapters; q and v, which PEFT does not know, are written by hand below."""
    numbers = {
        "n_layer": shape.num_blocks,
        "n_embd": shape.width,
        "n_head": shape.num_heads,
        "n_inner": shape.inner_width,
        "vocab_size": shape.vocab_size,
        "n_positions": shape.num_positions,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    # torch counts no FLOPs for the CPU's fused attention, so attention is eager unless a test wants otherwise
    options = {"attn_implementation": "eager", "attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0} | config
    with device:
        model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**numbers, **options))
        thirds = [target for target in lora.targets if target in ("q", "k", "v")]
        if thirds:
            adapt_thirds_of_c_attn(model, thirds, lora)
            return model
        settings = {"r": lora.rank, "lora_alpha": lora.alpha, "lora_dropout": 0.0, "fan_in_fan_out": True}
        return peft.get_peft_model(
            model,
            peft.LoraConfig(target_modules=list(lora.targets), **settings),
            low_cpu_mem_usage=device.type == "meta",
        ).base_model.model


def adapt_thirds_of_c_attn(model, thirds, lora):
    """Add one adapter to each named third of the fused output, as the SplitLoRA code does, but as two thin products."""

    class Thirds(torch.nn.Module):
        def __init__(self, base):
            super().__init__()
            self.base = base
            self.a = torch.nn.ModuleDict({t: torch.nn.Linear(base.nx, lora.rank, bias=False) for t in thirds})
            self.b = torch.nn.ModuleDict({t: torch.nn.Linear(lora.rank, base.nx, bias=False) for t in thirds})

        def forward(self, x):
            nothing = torch.zeros_like(x)
            added = [self.b[t](self.a[t](x)) * lora.scale if t in self.a else nothing for t in ("q", "k", "v")]
            return self.base(x) + torch.cat(added, dim=-1)

    model.requires_grad_(False)
    for block in model.transformer.h:
        block.attn.c_attn = Thirds(block.attn.c_attn)


def counted_flops(model, split, batch, tokens, head_positions=None):
    """The four passes of a split step under torch's own counter."""

    def count(work):
        with FlopCounterMode(display=False) as counter:
            result = work()
        return counter.get_total_flops(), result

    trunk, device = model.transformer, model.transformer.wte.weight.device
    ids = torch.zeros(batch, tokens, dtype=torch.long, device=device)
    positions = batch * tokens if head_positions is None else head_positions

    def device_part():
        hidden = trunk.wte(ids) + trunk.wpe(torch.arange(tokens, device=device))
        for block in trunk.h[:split]:
            hidden = block(hidden, None, None)
        return hidden

    def server_part():
        hidden = cut
        for block in trunk.h[split:]:
            hidden = block(hidden, None, None)
        logits = model.lm_head(trunk.ln_f(hidden).flatten(0, 1)[:positions])
        return torch.nn.functional.cross_entropy(logits, ids.flatten()[:positions])

    client_forward, upload = count(device_part)
    cut = upload.detach().requires_grad_(split > 0)
    server_forward, loss = count(server_part)
    server_backward, _ = count(loss.backward)
    client_backward, _ = count(lambda: upload.backward(cut.grad)) if split else (0, None)
    return dict(zip(PASSES, (client_forward, client_backward, server_forward, server_backward), strict=True))


def our_flops(workload):
    return {name: getattr(workload, name).flops for name in PASSES}


def test_flops_of_gpt2_small_are_those_that_torch_counts_at_every_split():
    model = peft_model(torch.device("meta"), SMALL, PEFT)  # meta tensors: shapes without arithmetic
    for split in range(13):
        assert our_flops(SplitWorkload(SMALL, PEFT, split, 2, 16)) == counted_flops(model, split, 2, 16)


@pytest.mark.parametrize(
    "targets",
    [
        ("c_attn",),
        ("q", "v"),
        ("v",),
        ("q", "k", "v"),
        ("attn.c_proj",),
        ("mlp.c_fc",),
        ("mlp.c_proj",),
        ("c_attn", "attn.c_proj"),
        ("attn.c_proj", "mlp.c_proj"),
        ("c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"),
    ],
    ids=" ".join,
)
def test_flops_of_real_tensors_are_those_that_torch_counts_for_every_choice_of_targets(targets):
    lora = Lora(targets, 3, 16.0)
    model = peft_model(torch.device("cpu"), TINY, lora)
    for split, positions in ((0, None), (1, None), (2, 5), (3, 14)):
        workload = SplitWorkload(TINY, lora, split, 2, 7, head_positions=positions)
        assert our_flops(workload) == counted_flops(model, split, 2, 7, positions)


def test_kernels_are_about_those_that_torch_launches():
    views = {"view", "_unsafe_view", "t", "transpose", "slice", "split", "expand", "detach", "alias"}

    class Launches(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.count += func.overloadpacket.__name__ not in views
            return func(*args, **(kwargs or {}))

    model = peft_model(torch.device("cpu"), TINY, PEFT, attn_implementation="sdpa")
    hidden = torch.randn(2, 7, TINY.width, requires_grad=True)
    with Launches() as forward:
        output = model.transformer.h[1](hidden, None, None)
    gradient = torch.ones_like(output)
    with Launches() as backward:
        output.backward(gradient)
    one, two = (SplitWorkload(TINY, PEFT, split, 2, 7) for split in (1, 2))
    assert two.client_forward.kernels - one.client_forward.kernels == pytest.approx(forward.count, rel=0.1)
    assert two.client_backward.kernels - one.client_backward.kernels == pytest.approx(backward.count, rel=0.1)


def test_a_shape_is_read_from_a_hugging_face_config():
    config = transformers.GPT2Config(n_embd=1600, n_layer=48, n_head=25).to_dict()
    assert shape_from_config(config, "gpt2-xl") == SHAPES["gpt2-xl"]
    assert shape_from_config(config | {"n_inner": 3200}, "wide").mlp_width == 3200
    assert shape_from_config(config, "gpt2-xl").mlp_width == 6400


def test_peft_makes_as_many_adapter_parameters():
    for targets in (("c_attn",), ("attn.c_proj", "mlp.c_fc"), ("c_attn", "mlp.c_proj")):
        lora = Lora(targets, 4, 16.0)
        model = peft_model(torch.device("meta"), TINY, lora)
        trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        assert trainable == 3 * lora.block_parameters(TINY)
