"""Where messages wait for an actor, and an actor for messages."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """An unbounded first-in first-out queue with a name that a `Deadlock` can quote, for any event loop.

    Items leave in the order of ``put`` and go to getters in the order of ``get``. Who is cancelled at the very instant
    at which his item arrives leaves it to the next: nothing is lost.
    """

    def __init__(self, name: str) -> None:
        self.name: Final = name
        self._items: deque[T] = deque()
        self._getters: deque[asyncio.Future[None]] = deque()
        self._num_promised = 0  # items at the head that belong to getters already woken, in their order
        self._loop: asyncio.AbstractEventLoop | None = None  # that of the first who waited
        self._enough: Callable[[T], bool] | None = None  # who takes items as they come
        self._taken: asyncio.Future[None] | None = None  # done once he has said yes, or no longer waits

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return f"<Mailbox {self.name} items={len(self._items)} getters={len(self._getters)}>"

    def put(self, item: T) -> None:
        """Leave *item*; never blocks and takes no time."""
        taken = self._taken
        if taken is not None and not taken.done():
            self._hand_over(item, taken)
            return
        self._items.append(item)
        if self._getters:
            self._promise_one()

    async def get(self) -> T:
        """Take the oldest item that is not promised to an earlier getter; wait for one if there is none."""
        if len(self._items) > self._num_promised:
            return self._take()
        getter = self._future()
        self._getters.append(getter)
        try:
            await getter
        except BaseException:
            getter.cancel()
            if getter.cancelled():
                self._getters.remove(getter)
            else:  # woken and cancelled at one instant
                self._num_promised -= 1
                self._promise_one()
            raise
        self._num_promised -= 1
        return self._items.popleft()

    async def take_until(self, enough: Callable[[T], bool]) -> None:
        """Hand every item to *enough* as soon as it is there, until it says yes; wake only then.

        What *enough* raises is raised here. RuntimeError if somebody waits already: items are for one or the other.
        """
        if self._getters or self._taken is not None:
            raise RuntimeError(f"somebody waits for {self.name} already")
        while len(self._items) > self._num_promised:
            if enough(self._take()):
                return
        self._enough, self._taken = enough, self._future()
        try:
            await self._taken
        finally:
            self._enough = self._taken = None

    def _hand_over(self, item: T, taken: asyncio.Future[None]) -> None:
        """To whoever takes items as they come; what he does may bring others meanwhile, which he is handed first."""
        enough = self._enough
        assert enough is not None
        try:
            if not enough(item):
                return
        except Exception as error:  # it is his
            if not taken.done():
                taken.set_exception(error)
            return
        if not taken.done():
            taken.set_result(None)

    def _take(self) -> T:
        """The oldest item that is not promised."""
        item = self._items[self._num_promised]
        del self._items[self._num_promised]
        return item

    def _future(self) -> asyncio.Future[None]:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop.create_future()

    def _promise_one(self) -> None:
        """Promise an item to the first getter that still waits; cancelled ones take themselves off the list."""
        for getter in self._getters:
            if not getter.done():
                self._getters.remove(getter)
                self._num_promised += 1
                getter.set_result(None)
                return
