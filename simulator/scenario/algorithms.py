"""What a scenario has to know of an algorithm before it runs: who holds the model, and whose adapters are trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

Holder = Literal["both", "device", "server"]
"""Who holds blocks: devices those in front of the cut and the server those behind it, or one of them all."""


@dataclass(frozen=True, slots=True)
class Traits:
    """``copies``: every device trains a copy of the whole model, wherever its blocks are computed."""

    about: str
    holder: Holder = "both"
    copies: bool = False

    def trained_split(self, split: int, blocks: int) -> int:
        """How many of the blocks have adapters of each device's own; those of the others are common to all."""
        return blocks if self.copies else 0 if self.holder == "server" else split


ALGORITHMS: Final[Mapping[str, Traits]] = MappingProxyType(
    {
        "splitlora": Traits("split, all devices at once, one set of adapters at the server (arXiv 2407.00952)"),
        "splitlora-queued": Traits("the same with a queue before the server: a step for each batch as it comes"),
        "sequential": Traits("split, one device after another, the adapters handed on (arXiv 1812.00564)"),
        "splitfed-v1": Traits("split, a copy of the server's adapters for each device (arXiv 2004.12088)", copies=True),
        "splitfed-v2": Traits("split, server steps device after device in random order (arXiv 2004.12088)"),
        "fedlora": Traits("the whole model on the devices, adapters averaged", holder="device", copies=True),
        "centralized": Traits("the data collected once, trained at the server", holder="server"),
    }
)
