"""Dropout whose masks are a function of who, when and where, not of the order in which things are computed.

Every mask element is a hash of (seed, client, round, sequence, block, place, position, channel). So a client's masks
are the same whether it is computed alone or in a batch, however a cohort is cut into groups or trimmed, in a
recomputed forward pass, and on any machine. The hash is the finaliser of SplitMix64 (Steele, Lea, Flood: "Fast
splittable pseudorandom number generators", OOPSLA 2014), in signed 64-bit arithmetic that wraps.

Not modelled: the numbers that torch's own dropout would draw; only their law is the same. Shape legend in `layout.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

_GOLDEN: Final = 0x9E3779B97F4A7C15 - 2**64  # 2^64 / golden ratio, as a signed number
_MIX: Final = ((30, 0xBF58476D1CE4E5B9 - 2**64), (27, 0x94D049BB133111EB - 2**64))
_LAST: Final = 31
_UNIT_BITS: Final = 24  # of the hash that become a number in [0, 1): enough for a probability, exact in float32


def _hash(z: Tensor) -> Tensor:
    """SplitMix64's finaliser of int64 values; a shift must not bring in the sign."""
    for shift, factor in _MIX:
        z = (z ^ ((z >> shift) & ((1 << (64 - shift)) - 1))) * factor
    return z ^ ((z >> _LAST) & ((1 << (64 - _LAST)) - 1))


def _signed(number: int) -> int:
    """The same 64 bits as a signed number."""
    return (number + 2**63) % 2**64 - 2**63


@dataclass(frozen=True, slots=True)
class Masks:
    """The masks of one pass: a key for each row of the batch, [R] int64."""

    keys_R: Tensor

    @classmethod
    def of(cls, seed: int, devices: list[int], rounds: list[int], sequences: int, device: torch.device) -> Masks:
        """Keys of N clients' rows, each with so many sequences."""
        who = torch.tensor([devices, rounds], dtype=torch.int64).repeat_interleave(sequences, dim=1)
        which_R = torch.arange(sequences, dtype=torch.int64).repeat(len(devices))
        keys_R = _hash(torch.full_like(which_R, seed % 2**63))
        for part_R in (*who, which_R):
            keys_R = _hash(keys_R + _GOLDEN * (part_R + 1))
        return cls(keys_R.to(device))

    def keep(self, place: int, shape: tuple[int, ...], probability: float, dtype: torch.dtype) -> Tensor:
        """What to multiply with: 0 with ``probability``, else 1 / (1 - probability). ``shape`` begins with R, T.

        What lies at one position is hashed from that position and from its place there, so a longer T adds to it.
        """
        rows, tokens, *rest = shape
        width = torch.Size(rest).numel()
        keys_R = _hash(self.keys_R + _signed(_GOLDEN * (place + 1)))
        where_T = torch.arange(tokens, device=keys_R.device)
        keys_RT = _hash(keys_R[:, None] + _GOLDEN * (where_T + 1))
        where_C = torch.arange(width, device=keys_R.device)
        unit_RTC = _hash(keys_RT[:, :, None] + _GOLDEN * (where_C + 1)) & ((1 << _UNIT_BITS) - 1)
        kept = unit_RTC >= round(probability * 2**_UNIT_BITS)
        return kept.view(rows, tokens, *rest).to(dtype).mul_(1 / (1 - probability))


class KeyedDropout(nn.Module):
    """Stands in for a dropout layer of a frozen model; does nothing in a pass without masks."""

    def __init__(self, place: int, probability: float) -> None:
        """Take the number of the place (any two places of a model differ) and the probability."""
        super().__init__()
        self.place = place
        self.probability = probability
        self.masks: Masks | None = None

    def forward(self, x_RTD: Tensor) -> Tensor:
        """Drop elements of x and scale up the rest."""
        if self.masks is None:
            return x_RTD
        return x_RTD * self.keep(x_RTD, 0, x_RTD.shape[0])

    def keep(self, x_RTD: Tensor, start: int, rows: int) -> Tensor:
        """The mask of some rows of x."""
        assert self.masks is not None
        keys_R = self.masks.keys_R.narrow(0, start, rows)
        return Masks(keys_R).keep(self.place, (rows, *x_RTD.shape[1:]), self.probability, x_RTD.dtype)
