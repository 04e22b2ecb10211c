"""How a party holds weights and activations while it trains: the choices that decide how much memory that takes."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

Dtype = Literal["float32", "bfloat16"]
Kernel = Literal["plain", "fused"]

ELEMENT_BYTES: Final = MappingProxyType({"float32": 4, "bfloat16": 2})


@dataclass(frozen=True, slots=True)
class Storage:
    """Number format of frozen weights and activations, which kernels run, and what is kept for the backward pass.

    ``attention`` plain keeps the T x T matrices, fused (a FlashAttention-like kernel) one number a head and position.
    ``gelu`` plain is Hugging Face's ``gelu_new``, fused is one kernel. ``dropout`` keeps masks: with fused attention
    those of the residual stream only, as GPU kernels draw the others again. ``checkpointing`` keeps the input of every
    block and computes the block anew. Adapters, their gradients and moments are float32 always, as PEFT has them.

    The default is the heaviest: what plain PyTorch keeps of the published GPT-2, whose dropout is 0.1.
    """

    dtype: Dtype = "float32"
    attention: Kernel = "plain"
    gelu: Kernel = "plain"
    dropout: bool = True
    checkpointing: bool = False

    @property
    def element_bytes(self) -> int:
        """Bytes of a weight, and of an activation."""
        return ELEMENT_BYTES[self.dtype]


PLAIN: Final = Storage()
