"""Matrix-product FLOPs of GPT-2 blocks with LoRA, forward and backward, as torch's FlopCounterMode counts them.

Two FLOPs a multiply-add; d width, m width inside the MLP, T positions of a sequence, r rank, V vocabulary. A block
costs 2 (3 d^2 + d^2 + 2 d m) + 4 T d a token forward, which is 24 d^2 + 4 T d for m = 4 d: attention is counted over all
T x T pairs, as plain implementations compute it. With a frozen base the backward pass makes input gradients only: the
same products once more, 8 T d for attention, and twice the products of an adapter, less what nobody
asks for: the input of the model's first block is the frozen embedding, so no gradient goes there.

Not counted: layer norms, GELU, softmax, residual sums, embedding look-ups and the optimizer, together below 1 % of a
block's arithmetic; they are memory traffic (see `split`).
"""

from simulator.workload.lora import Lora
from simulator.workload.shapes import ModelShape


def block_forward(shape: ModelShape, lora: Lora, tokens: int) -> float:
    """FLOPs a token of one block's forward pass in sequences of ``tokens`` positions."""
    return _projections(shape) + 4.0 * tokens * shape.width + _adapters(shape, lora)


def block_backward(shape: ModelShape, lora: Lora, tokens: int, *, first: bool) -> float:
    """FLOPs a token of one block's backward pass; ``first``: it is the model's first block, whose input needs none."""
    flops = _projections(shape) + 8.0 * tokens * shape.width + 2.0 * _adapters(shape, lora)
    if first:
        attention_targets = {target: size for target, size in lora.projections(shape).items() if target in _AT_INPUT}
        flops -= 2.0 * shape.width * 3 * shape.width
        flops -= sum(2.0 * num_in * lora.rank for num_in, _ in attention_targets.values())
    return flops


def head(shape: ModelShape) -> float:
    """FLOPs a position of the language-model head, forward; its input gradient costs the same."""
    return 2.0 * shape.width * shape.vocab_size


_AT_INPUT = frozenset({"c_attn", "q", "k", "v"})


def _projections(shape: ModelShape) -> float:
    d, m = shape.width, shape.mlp_width
    return 2.0 * (3 * d * d + d * d + 2 * d * m)


def _adapters(shape: ModelShape, lora: Lora) -> float:
    return sum(2.0 * lora.rank * (num_in + num_out) for num_in, num_out in lora.projections(shape).values())
