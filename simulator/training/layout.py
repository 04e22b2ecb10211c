"""Where each LoRA matrix lies in a flat row of adapter parameters.

Shape legend, used in this whole folder: N clients, R rows of a batch (clients x sequences), T tokens, D model
width, O output width of the adapted projection, K adapter rank, P parameters in a row, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

TARGETS: Final = {"c_attn": (("c_attn", 0, 3),), "q,v": (("q", 0, 1), ("v", 2, 1))}
"""Target set -> pieces (name, first third, number of thirds) of the fused query-key-value projection.

`c_attn` is PEFT's form, one A and B over query, key and value; `q,v` is the form of SplitLoRA's published code, an
adapter each for query and value and none for key (MergedLinear with enable_lora [T, F, T]).
"""


@dataclass(frozen=True, slots=True)
class Piece:
    """One low-rank pair: ``y[..., offset:offset+out] += scale * (x A^T) B`` with A [K, D] and B [K, out]."""

    name: str
    offset: int
    out: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The flat row of a bank that holds the adapters of blocks ``first`` .. ``last - 1``.

    A is stored [K, D] and B [K, out] (PEFT stores B as [out, K]): both products then read rows of contiguous memory.
    """

    first: int
    last: int
    width: int
    rank: int
    pieces: tuple[Piece, ...]

    @classmethod
    def of(cls, targets: tuple[str, ...], *, blocks: range, width: int, rank: int) -> Layout:
        """Lay out the pieces of a target set such as ``("c_attn",)`` or ``("q", "v")`` over a range of blocks."""
        key = ",".join(targets)
        if key not in TARGETS:
            allowed = " or ".join(f"[{name.replace(',', ', ')}]" for name in TARGETS)
            raise ValueError(f"lora targets [{', '.join(targets)}] are not known; allowed: {allowed}")
        if not 1 <= rank <= width:
            raise ValueError(f"lora rank must be in 1..{width} (the model's width), got {rank}")
        pieces = tuple(Piece(name, first * width, thirds * width) for name, first, thirds in TARGETS[key])
        return cls(blocks.start, blocks.stop, width, rank, pieces)

    @property
    def block_size(self) -> int:
        """Parameters of one block's adapters at the full rank."""
        return sum(self.rank * (self.width + piece.out) for piece in self.pieces)

    @property
    def size(self) -> int:
        """Parameters P of a row."""
        return self.block_size * (self.last - self.first)

    def block_slice(self, block: int) -> slice:
        """The part of a row that belongs to one block."""
        start = (block - self.first) * self.block_size
        return slice(start, start + self.block_size)

    def matrices(self, block: int) -> list[tuple[Piece, slice, slice]]:
        """Each piece of a block with the slices of its A (K x D) and its B (K x out)."""
        found, at = [], self.block_slice(block).start
        for piece in self.pieces:
            middle = at + self.rank * self.width
            end = middle + self.rank * piece.out
            found.append((piece, slice(at, middle), slice(middle, end)))
            at = end
        return found
