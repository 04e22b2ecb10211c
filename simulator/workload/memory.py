"""Bytes that a party must hold to train its part of the model, in float32."""

from typing import Final

from simulator.workload.lora import Lora
from simulator.workload.shapes import ModelShape

FLOAT_BYTES: Final = 4
RUNTIME_BYTES: Final = 300_000_000
"""A PyTorch-like runtime with its libraries: 250 to 400 MB (general knowledge, not measured by us; C++ about 50 MB)."""


def saved_activation_bytes(shape: ModelShape, batch: int, tokens: int) -> int:
    """What one block keeps for its backward pass: b T (32 d + 16 m + 12 T heads) bytes, with m = 4 d inside the MLP.

    Measured with PyTorch autograd on a Hugging Face GPT-2 block in float32, dropout 0.1, LoRA r 8 on c_attn, attention
    matrices stored: 42.5 MB at b = 8, T = 64; 94.4 MB at 8 x 128; 113.3 MB at 4 x 256; 151.0 MB at 2 x 512 (d 768, 12
    heads). It leaves out 4 r bytes a token and adapter and 16 of the layer norms (below 0.1 % at r 8). An upper bound
    for leaner code: without dropout the same block keeps b T (24 d + 16 m + 4 T heads), 20 % less at T 128; a fused
    attention kernel saves most of the term in T, a fused GELU most of that in m, checkpointing nearly all. None of
    these is modelled.
    """
    return batch * tokens * (32 * shape.width + 16 * shape.mlp_width + 12 * shape.num_heads * tokens)


def blocks_memory(shape: ModelShape, lora: Lora, *, blocks: int, batch: int, tokens: int) -> dict[str, int]:
    """Blocks with adapters, gradients and Adam's two moments, and what the blocks save for the backward pass."""
    adapters = FLOAT_BYTES * lora.block_parameters(shape) * blocks
    return {
        "blocks": FLOAT_BYTES * shape.block_parameters * blocks,
        "adapters": adapters,
        "adapter gradients": adapters,
        "optimizer moments": 2 * adapters,
        "saved activations": saved_activation_bytes(shape, batch, tokens) * blocks,
    }


def client_memory(shape: ModelShape, lora: Lora, *, split: int, batch: int, tokens: int) -> dict[str, int]:
    """Parts of a device's peak memory in bytes: embeddings, its ``split`` blocks, temporaries, messages, runtime.

    The largest temporary is the MLP's inner activation; message buffers hold one activation and one gradient.
    Example (d 768, k 3, b 8, T 128): 157 + 85 + 283 + 13 + 6 MB, 1.2 MB for adapters of rank 8, and the runtime.
    """
    return {
        "embeddings": FLOAT_BYTES * shape.embedding_parameters,
        **blocks_memory(shape, lora, blocks=split, batch=batch, tokens=tokens),
        "largest temporary": FLOAT_BYTES * batch * tokens * shape.mlp_width if split else 0,
        "message buffers": 2 * FLOAT_BYTES * batch * tokens * shape.width,
        "runtime": RUNTIME_BYTES,
    }


def server_memory(shape: ModelShape, lora: Lora, *, split: int, batch: int, tokens: int) -> dict[str, int]:
    """Parts of the server's peak memory in bytes, when it takes one client's batch at a time.

    A concatenated batch may be cut into parts without changing its result, so this is the least it must hold. Logits
    are held twice: once for the loss, once for their gradient.
    """
    return {
        "head": FLOAT_BYTES * shape.vocab_size * shape.width,
        **blocks_memory(shape, lora, blocks=shape.num_blocks - split, batch=batch, tokens=tokens),
        "logits": 2 * FLOAT_BYTES * batch * tokens * shape.vocab_size,
        "message buffers": 2 * FLOAT_BYTES * batch * tokens * shape.width,
        "runtime": RUNTIME_BYTES,
    }
