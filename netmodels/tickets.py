"""Numbers that are given out once."""


class Tickets:
    """1, 2, 3, ...: who came before whom, and which entry of a heap still holds."""

    __slots__ = ("last",)

    def __init__(self) -> None:
        self.last = 0

    def draw(self) -> int:
        """The next number."""
        self.last += 1
        return self.last
