"""What the engine must know of a family of decoders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from simulator.training.layout import Piece


class Family(Protocol):
    """Where the parts of a Hugging Face causal language model lie, and how its blocks are called.

    All of them share one form: an embedding, a row of blocks that map [R, T, D] to [R, T, D], a last norm and a head.
    """

    blocks: str
    """Path of the list of blocks in the whole model; PEFT's names begin with it."""

    fan_in_fan_out: bool
    """PEFT's word for projections whose weight is stored [in, out], as GPT-2's Conv1D does; nn.Linear is [out, in]."""

    attention: str
    """Path of the attention module in a block."""

    @property
    def dropouts(self) -> tuple[str, ...]:
        """Paths of a block's other dropout layers."""

    def check(self, config: PretrainedConfig) -> None:
        """Refuse, with ValueError, variants that this description would compute wrongly."""

    def quiet(self, config: PretrainedConfig) -> None:
        """Switch off dropout in a config, and choose the fused attention kernel."""

    def pieces(self, config: PretrainedConfig) -> Mapping[str, Piece]:
        """Every LoRA target by name, in the order in which a block's forward pass meets them."""

    def frozen(self, projection: nn.Module) -> tuple[Tensor, Tensor | None]:
        """A projection's weight as [in, out] (a view) and its bias [out], if it has one."""

    def tune(self, model: PreTrainedModel) -> None:
        """Swap in faster parts that compute the same to rounding."""

    def unround(self, model: PreTrainedModel) -> None:
        """Swap in parts that compute in float64 in a float64 model, where Hugging Face's round to float32 inside."""

    def embed(self, model: PreTrainedModel, ids_RT: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Hidden states [R, T, D] in front of the first block, and what every block is called with beside them."""

    def norm(self, model: PreTrainedModel) -> nn.Module:
        """The norm behind the last block."""

    def head(self, model: PreTrainedModel) -> Tensor:
        """The head's weight [V, D]; no family here has a bias in it."""
