"""LoRA adapters as numbers: which projections carry one, how large it is.

An adapter adds (alpha / r) x A B to a frozen projection of ``in`` inputs and ``out`` outputs, with A of in x r and B of
r x out numbers (Hu et al. 2021, arXiv 2106.09685).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final, Literal

from simulator.workload.shapes import ModelShape

__all__ = ["TARGETS", "Lora", "in_order"]

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


def in_order(targets: Sequence[str], allowed: Iterable[str]) -> tuple[str, ...]:
    """Targets in the order of ``allowed``, which is that of a forward pass.

    Raises ValueError for no target, one that is not allowed or ambiguous, one named twice, and c_attn together with its
    parts.
    """
    names = list(allowed)
    if not targets:
        raise ValueError(f"LoRA needs at least one target (allowed: {', '.join(names)}), got none")
    for target in targets:
        if target not in names:
            raise ValueError(_unknown(target, names))
    if len(set(targets)) < len(targets):
        raise ValueError(f"each LoRA target may be named once, got {', '.join(targets)}")
    if "c_attn" in targets and {"q", "k", "v"} & set(targets):
        raise ValueError(f"c_attn already holds q, k and v; name one form of them, got {', '.join(targets)}")
    return tuple(name for name in names if name in targets)


def _unknown(target: str, names: list[str]) -> str:
    meant = [name for name in names if name.rpartition(".")[2] == target]  # PEFT matches the ends of names
    if len(meant) > 1:
        return f"LoRA target {target!r} could mean {' or '.join(meant)}; name the one, or both"
    guess = meant or get_close_matches(target, names, n=1)
    did_you_mean = f"; did you mean {guess[0]!r}?" if guess else ""
    return f"unknown LoRA target {target!r}{did_you_mean} (allowed: {', '.join(names)})"


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
        in_order(self.targets, TARGETS)
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
