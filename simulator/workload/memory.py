"""Bytes that a party must hold to train its part of the model; `tests/test_memory_against_torch.py` measures them."""

from typing import Final

from simulator.workload.lora import TARGETS, Lora
from simulator.workload.shapes import ModelShape
from simulator.workload.storage import PLAIN, Storage

FLOAT_BYTES: Final = 4
RUNTIME_BYTES: Final = 300_000_000
"""A PyTorch-like runtime with its libraries: 250 to 400 MB (general knowledge, not measured by us; C++ about 50 MB)."""


def saved_activation_bytes(
    shape: ModelShape, lora: Lora, batch: int, tokens: int, storage: Storage = PLAIN, *, blocks: int = 1
) -> int:
    """What ``blocks`` blocks keep for their backward pass, at its peak.

    Without checkpointing that is `block_activation_bytes` each; with it, the input of each, and one block as a whole
    while it is computed anew. Not counted: what a framework holds besides (fragmentation, caches of its allocator).
    """
    whole = batch * tokens * block_activation_bytes(shape, lora, tokens, storage)
    if not storage.checkpointing or not blocks:
        return whole * blocks
    return whole + blocks * storage.element_bytes * batch * tokens * shape.width


def block_activation_bytes(shape: ModelShape, lora: Lora, tokens: int, storage: Storage = PLAIN) -> int:
    """What one block keeps a position, without checkpointing: tensors that PyTorch autograd saves, each counted once.

    With e bytes an element, d wide, m inside the MLP, H heads, T positions: the inputs of both norms 2 e d and their
    statistics 4 e; queries, keys, values 3 e d; plain attention e H T (three times that with dropout, whose masks are
    full numbers on CPUs), fused attention its output e d and 4 H; plain GELU 4 e m, fused GELU e m; masks of the
    residual dropout 2 e d; for every adapted projection its input in float32, and 4 r for every adapter. At the default
    that is the b T (96 d + 144 T) that was measured for d 768, 12 heads, and 48 r more.
    """
    e, d, m = storage.element_bytes, shape.width, shape.mlp_width
    matrices = e * shape.num_heads * tokens * (3 if storage.dropout else 1)
    fused = e * d + FLOAT_BYTES * shape.num_heads
    inputs = {TARGETS[target]: size_in for target, (size_in, _) in lora.projections(shape).items()}
    if storage.attention == "fused" and storage.dtype == "float32":
        inputs.pop("attn.c_proj", None)  # the very tensor that fused attention keeps
    return (
        2 * e * d
        + 4 * e
        + 3 * e * d
        + (matrices if storage.attention == "plain" else fused)
        + (4 if storage.gelu == "plain" else 1) * e * m
        + (2 * e * d if storage.dropout else 0)
        + FLOAT_BYTES * sum(inputs.values())
        + FLOAT_BYTES * lora.rank * len(lora.targets)
    )


def blocks_memory(
    shape: ModelShape, lora: Lora, *, blocks: int, batch: int, tokens: int, storage: Storage
) -> dict[str, int]:
    """Blocks with adapters, gradients and Adam's two moments, and what the blocks save for the backward pass."""
    adapters = FLOAT_BYTES * lora.block_parameters(shape) * blocks
    return {
        "blocks": storage.element_bytes * shape.block_parameters * blocks,
        "adapters": adapters,
        "adapter gradients": adapters,
        "optimizer moments": 2 * adapters,
        "saved activations": saved_activation_bytes(shape, lora, batch, tokens, storage, blocks=blocks),
    }


def client_memory(
    shape: ModelShape, lora: Lora, *, split: int, batch: int, tokens: int, storage: Storage = PLAIN
) -> dict[str, int]:
    """Parts of a device's peak memory in bytes: embeddings, its ``split`` blocks, temporaries, messages, runtime.

    The largest temporary is the MLP's inner activation; message buffers hold one activation and one gradient, which
    travel in float32. Example (d 768, k 3, b 8, T 128): 157 + 85 + 283 + 13 + 6 MB, 1.2 MB for adapters of rank 8, and
    the runtime.
    """
    return {
        "embeddings": storage.element_bytes * shape.embedding_parameters,
        **blocks_memory(shape, lora, blocks=split, batch=batch, tokens=tokens, storage=storage),
        "largest temporary": storage.element_bytes * batch * tokens * shape.mlp_width if split else 0,
        "message buffers": 2 * FLOAT_BYTES * batch * tokens * shape.width,
        "runtime": RUNTIME_BYTES,
    }


def server_memory(
    shape: ModelShape, lora: Lora, *, split: int, batch: int, tokens: int, storage: Storage = PLAIN
) -> dict[str, int]:
    """Parts of the server's peak memory in bytes, when it takes one client's batch at a time.

    A concatenated batch may be cut into parts without changing its result, so this is the least it must hold. Logits
    are held twice: once for the loss, once for their gradient.
    """
    return {
        "head": storage.element_bytes * shape.vocab_size * shape.width,
        **blocks_memory(shape, lora, blocks=shape.num_blocks - split, batch=batch, tokens=tokens, storage=storage),
        "logits": 2 * storage.element_bytes * batch * tokens * shape.vocab_size,
        "message buffers": 2 * FLOAT_BYTES * batch * tokens * shape.width,
        "runtime": RUNTIME_BYTES,
    }
