"""Families of decoders: one module each says where its parts lie; the engine knows no other difference.

The key is Hugging Face's ``config.model_type``.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from transformers import PretrainedConfig

from simulator.training.families.family import Family
from simulator.training.families.gpt2 import Gpt2
from simulator.training.families.llama import Llama
from simulator.training.families.qwen2 import Qwen2
from simulator.training.layout import Piece
from simulator.workload import in_order

__all__ = ["FAMILIES", "Family", "chosen", "family_of"]

FAMILIES: Final[Mapping[str, Family]] = MappingProxyType({"gpt2": Gpt2(), "llama": Llama(), "qwen2": Qwen2()})
"""config.model_type -> what the engine must know of the family."""


def family_of(config: PretrainedConfig) -> Family:
    """The family of a model by its config; raises ValueError for one that nobody has described."""
    if config.model_type not in FAMILIES:
        raise ValueError(
            f"models of type {config.model_type!r} cannot be split here; known families: {', '.join(FAMILIES)}"
        )
    return FAMILIES[config.model_type]


def chosen(family: Family, config: PretrainedConfig, targets: Sequence[str]) -> tuple[Piece, ...]:
    """The pieces of some LoRA targets of every block, in the order of a forward pass.

    Raises ValueError for a target that the family does not have, and for two that overlap.
    """
    pieces = family.pieces(config)
    return tuple(pieces[name] for name in in_order(targets, pieces))
