"""Named random streams: one root seed, one stream per name, no order between them.

Every draw of a run belongs to a stream with a name such as ``("link", "wifi-3", "loss")``. A stream depends on the root
seed and on its own name only, so adding a device, removing a feature or drawing more often elsewhere never changes it.
Where the *number* of draws depends on timing (retries, losses), put the round into the name: then a shift in time
cannot re-roll what follows.
"""

from hashlib import sha256

import numpy as np

__all__ = ["seed_of", "stream"]


def stream(root_seed: int, *name: str | int) -> np.random.Generator:
    """Return the random stream of that name, at its beginning.

    Equal arguments give equal draws on every machine; calling twice gives two generators that draw the same numbers, so
    the owner keeps its generator. Name parts are compared as text: ``3`` and ``"3"`` are the same part. The bit
    generator is fixed to PCG64; numpy may still change how a distribution is made from its bits (NEP 19).

    Raises ValueError if the root seed is negative or the name is empty.
    """
    return np.random.Generator(np.random.PCG64(_sequence(root_seed, name)))


def seed_of(root_seed: int, *name: str | int) -> int:
    """Return a 64-bit seed (0..2**64 - 1) of that name, for generators that are not numpy's (``torch.Generator``).

    Raises ValueError if the root seed is negative or the name is empty.
    """
    return int(_sequence(root_seed, name).generate_state(1, np.uint64)[0])


def _sequence(root_seed: int, name: tuple[str | int, ...]) -> np.random.SeedSequence:
    if root_seed < 0:
        raise ValueError(f"the root seed must be >= 0, got {root_seed}")
    if not name:
        raise ValueError("a random stream needs a name of at least one part, got none")
    # The length before each part keeps ("a", "bc") and ("ab", "c") apart. All 256 bits are kept: with 32 bits per part
    # two of a million devices would share a stream.
    digest = sha256()
    for part in name:
        text = str(part).encode()
        digest.update(len(text).to_bytes(8, "big") + text)
    words = np.frombuffer(digest.digest(), dtype=">u4")
    return np.random.SeedSequence(root_seed, spawn_key=tuple(int(word) for word in words))
