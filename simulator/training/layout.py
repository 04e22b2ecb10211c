"""Where each LoRA matrix lies in a flat row of adapter parameters.

Shape legend, used in this whole folder: N clients, R rows of a batch (clients x sequences), T tokens, D model
width (in a projection: its input width), O output width of the adapted projection, K adapter rank, P parameters in a
row, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Piece:
    """One low-rank pair: ``y[..., offset:offset+out] += scale * (x A^T) B`` with A [K, inputs] and B [K, out].

    ``module`` is the path of the projection inside a block, such as ``attn.c_attn``; ``width`` is the width O of its
    whole output. Several pieces may sit on one projection: q and v are a third each of GPT-2's ``attn.c_attn``.
    """

    name: str
    module: str
    inputs: int
    offset: int
    out: int
    width: int

    @property
    def narrowest(self) -> int:
        """The largest rank that makes sense: the smaller of the two widths."""
        return min(self.inputs, self.out)


@dataclass(frozen=True, slots=True)
class Layout:
    """The flat row of a bank that holds the adapters of blocks ``first`` .. ``last - 1``.

    A is stored [K, D] and B [K, out] (PEFT stores B as [out, K]): both products then read rows of contiguous memory.
    """

    first: int
    last: int
    rank: int
    pieces: tuple[Piece, ...]

    @classmethod
    def of(cls, pieces: Iterable[Piece], *, blocks: range, rank: int) -> Layout:
        """Lay out the pieces of a block (see ``families``) over a range of blocks.

        Raises ValueError for a rank below 1 or above what the narrowest piece has room for.
        """
        chosen = tuple(pieces)
        tightest = min(chosen, key=lambda piece: piece.narrowest)
        if not 1 <= rank <= tightest.narrowest:
            raise ValueError(
                f"lora rank must be in 1..{tightest.narrowest} (the narrower side of {tightest.name}), got {rank}"
            )
        return cls(blocks.start, blocks.stop, rank, chosen)

    @property
    def block_size(self) -> int:
        """Parameters of one block's adapters at the full rank."""
        return sum(self.rank * (piece.inputs + piece.out) for piece in self.pieces)

    @property
    def size(self) -> int:
        """Parameters P of a row."""
        return self.block_size * (self.last - self.first)

    @property
    def modules(self) -> tuple[str, ...]:
        """The projections that carry an adapter, in the order in which a forward pass meets them."""
        return tuple(dict.fromkeys(piece.module for piece in self.pieces))

    def pieces_of(self, module: str) -> tuple[Piece, ...]:
        """The pieces that sit on one projection."""
        return tuple(piece for piece in self.pieces if piece.module == module)

    def block_slice(self, block: int) -> slice:
        """The part of a row that belongs to one block."""
        start = (block - self.first) * self.block_size
        return slice(start, start + self.block_size)

    def matrices(self, block: int, module: str | None = None) -> list[tuple[Piece, slice, slice]]:
        """Each piece of a block with the slices of its A (K x D) and its B (K x out); ``module``: of that one only."""
        found, at = [], self.block_slice(block).start
        for piece in self.pieces:
            middle = at + self.rank * piece.inputs
            end = middle + self.rank * piece.out
            if module is None or piece.module == module:
                found.append((piece, slice(at, middle), slice(middle, end)))
            at = end
        return found
