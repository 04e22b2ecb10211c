"""Matrix-product FLOPs of GPT-2 blocks with LoRA, forward and backward, as torch's FlopCounterMode counts them.

Two FLOPs a multiply-add; d width, m width inside the MLP, T positions of a sequence, r rank, V vocabulary. A block
costs 2 (4 d^2 + 2 d m) + 4 T d a token forward, which is 24 d^2 + 4 T d for m = 4 d: attention is counted over all
T x T pairs, as plain implementations compute it (a causal kernel may skip half of that term).

Backward, with a frozen base: each projection makes the gradient of its input only, which costs what its forward pass
costs; attention costs 8 T d; an adapter makes the gradients of A, of B, of x A and of x, twice its forward pass. Where
the model begins nobody asks for gradients: the embedding is frozen, so in the model's first block nothing is computed
for what lies before its first adapter, nor for the input of the projections that this adapter sits on. With LoRA on
c_attn that saves 6 d^2 + 2 d r a token.

The adapters of q, k and v are taken to be added to their thirds of c_attn's output, as the SplitLoRA code does, so
attention makes all three gradients whichever of them is adapted. That code also multiplies A B out and pays 6 d^2 more
a token each way; here adapters stay two thin products.

Not counted: layer norms, GELU, softmax, residual sums, embedding look-ups and the optimizer. They are no matrix
products, and their time is mostly memory traffic (see `split`).
"""

from typing import Final

from simulator.workload.lora import TARGETS, Lora
from simulator.workload.shapes import ModelShape

ATTENTION: Final = "attention"


def block_forward(shape: ModelShape, lora: Lora, tokens: int) -> int:
    """FLOPs a token of one block's forward pass in sequences of ``tokens`` positions."""
    adapters = sum(2 * lora.rank * (num_in + num_out) for num_in, num_out in lora.projections(shape).values())
    return sum(_products(shape, tokens).values()) + adapters


def block_backward(shape: ModelShape, lora: Lora, tokens: int, *, first: bool) -> int:
    """FLOPs a token of one block's backward pass; ``first``: it is the model's first block, whose input needs none."""
    flops = 0
    wanted = not first  # does anything before this product need a gradient?
    for product, forward in _products(shape, tokens).items():
        if wanted:
            flops += 2 * forward if product == ATTENTION else forward
        adapted = [size for target, size in lora.projections(shape).items() if TARGETS[target] == product]
        for num_in, num_out in adapted:
            gradients_of_a_and_b = 2 * lora.rank * (num_in + num_out)
            flops += gradients_of_a_and_b + 2 * lora.rank * num_out + (2 * lora.rank * num_in if wanted else 0)
        wanted = wanted or bool(adapted)
    return flops


def head(shape: ModelShape) -> int:
    """FLOPs a position of the language-model head, forward; its input gradient costs the same."""
    return 2 * shape.width * shape.vocab_size


def _products(shape: ModelShape, tokens: int) -> dict[str, int]:
    """Return forward FLOPs a token of a block's matrix products without adapters, in the order of the forward pass."""
    d, m = shape.width, shape.mlp_width
    return {
        "attn.c_attn": 2 * d * 3 * d,
        ATTENTION: 4 * tokens * d,
        "attn.c_proj": 2 * d * d,
        "mlp.c_fc": 2 * d * m,
        "mlp.c_proj": 2 * m * d,
    }
