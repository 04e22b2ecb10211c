"""LoRA adapters as numbers: which projections carry one, how large it is.

An adapter adds (alpha / r) x A B to a frozen projection of ``in`` inputs and ``out`` outputs, with A of in x r and B of
r x out numbers (Hu et al. 2021, arXiv 2106.09685).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final, Literal

from simulator.workload.shapes import ModelShape

__all__ = ["TARGETS", "Lora"]

Projection = Literal["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"]

TARGETS: Final[Mapping[str, Projection]] = MappingProxyType(
    {
        "c_attn": "attn.c_attn",
        "q": "attn.c_attn",
        "k": "attn.c_attn",
        "v": "attn.c_attn",
        "attn.c_proj": "attn.c_proj",
        "mlp.c_fc": "mlp.c_fc",
        "mlp.c_proj": "mlp.c_proj",
    }
)
"""What may carry an adapter, and the projection that it is added to. ``c_attn`` is one adapter over queries, keys and
values (PEFT's form); ``q``, ``k``, ``v`` are one each, on their third of c_attn (the SplitLoRA code uses q and v)."""


@dataclass(frozen=True, slots=True)
class Lora:
    """Which projections of every block carry an adapter, of which rank and scale.

    Parameters a block: (d + 3 d) r for ``("c_attn",)``, 2 x 2 d r for ``("q", "v")``: the same number.

    Raises ValueError for no target, an unknown or repeated one, c_attn together with its parts, a rank below 1 or an
    alpha that is not positive and finite.
    """

    targets: tuple[str, ...]
    rank: int
    alpha: float

    def __post_init__(self) -> None:
        """Refuse adapters that cannot be."""
        if not self.targets:
            raise ValueError(f"LoRA needs at least one target (allowed: {', '.join(TARGETS)}), got none")
        for target in self.targets:
            if target not in TARGETS:
                guess = get_close_matches(target, TARGETS, n=1)
                did_you_mean = f"; did you mean {guess[0]!r}?" if guess else ""
                raise ValueError(f"unknown LoRA target {target!r} (allowed: {', '.join(TARGETS)}){did_you_mean}")
        if len(set(self.targets)) < len(self.targets):
            raise ValueError(f"each LoRA target may be named once, got {', '.join(self.targets)}")
        if "c_attn" in self.targets and {"q", "k", "v"} & set(self.targets):
            raise ValueError(f"c_attn already holds q, k and v; name one form of them, got {', '.join(self.targets)}")
        if self.rank < 1:
            raise ValueError(f"the rank of LoRA must be >= 1, got {self.rank}")
        if not (self.alpha > 0 and math.isfinite(self.alpha)):
            raise ValueError(f"alpha of LoRA must be positive and finite, got {self.alpha}")

    @property
    def scale(self) -> float:
        """What A B is multiplied by: alpha / r."""
        return self.alpha / self.rank

    def projections(self, shape: ModelShape) -> dict[str, tuple[int, int]]:
        """Return (in, out) of every target, in the order in which a forward pass meets them."""
        d, m = shape.width, shape.mlp_width
        sizes = {
            "c_attn": (d, 3 * d),
            "q": (d, d),
            "k": (d, d),
            "v": (d, d),
            "attn.c_proj": (d, d),
            "mlp.c_fc": (d, m),
            "mlp.c_proj": (m, d),
        }
        return {target: size for target, size in sizes.items() if target in self.targets}

    def block_parameters(self, shape: ModelShape) -> int:
        """Return the adapter parameters of one block."""
        return sum(self.rank * (num_in + num_out) for num_in, num_out in self.projections(shape).values())
