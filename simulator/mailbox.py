"""Where messages wait for an actor, and an actor for messages."""

import asyncio
from collections import deque
from typing import Final, Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """An unbounded first-in first-out queue with a name that a `Deadlock` can quote, for any event loop.

    Items leave in the order of ``put`` and go to getters in the order of ``get``. A getter that is cancelled at the
    very instant at which its item arrives leaves the item to the next getter: nothing is lost.
    """

    def __init__(self, name: str) -> None:
        self.name: Final = name
        self._items: deque[T] = deque()
        self._getters: deque[asyncio.Future[None]] = deque()
        self._num_promised = 0  # items at the head that belong to getters already woken, in their order
        self._loop: asyncio.AbstractEventLoop | None = None  # that of the first who waited

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return f"<Mailbox {self.name} items={len(self._items)} getters={len(self._getters)}>"

    def put(self, item: T) -> None:
        """Leave *item*; never blocks and takes no time."""
        self._items.append(item)
        self._promise_one()

    async def get(self) -> T:
        """Take the oldest item that is not promised to an earlier getter; wait for one if there is none."""
        if len(self._items) > self._num_promised:
            item = self._items[self._num_promised]
            del self._items[self._num_promised]
            return item
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        getter: asyncio.Future[None] = self._loop.create_future()
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

    def _promise_one(self) -> None:
        """Promise an item to the first getter that still waits; cancelled ones take themselves off the list."""
        getters = self._getters
        if not getters:
            return
        getter = getters[0] if not getters[0].done() else next((each for each in getters if not each.done()), None)
        if getter is not None:
            getters.remove(getter)
            self._num_promised += 1
            getter.set_result(None)
