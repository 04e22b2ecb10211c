"""Taking messages as they come: at their instants, in their order, none lost. The queue's own laws: test_clock.py."""

import asyncio

import pytest

from simulator import clock
from simulator.mailbox import Mailbox


def test_every_item_is_taken_at_its_own_instant_and_the_taker_wakes_once_at_the_last():
    seen: list[tuple[float, str]] = []

    def enough(item: str) -> bool:
        seen.append((clock.now(), item))
        return len(seen) == 4

    async def main() -> float:
        box: Mailbox[str] = Mailbox("box")
        box.put("waiting since before")
        loop = asyncio.get_running_loop()
        for when_s, item in ((1.0, "a"), (2.0, "b"), (2.0, "c"), (2.0, "too late"), (3.0, "much too late")):
            loop.call_at(when_s, box.put, item)
        await box.take_until(enough)
        woken_s = clock.now()
        await asyncio.sleep(9)
        assert [await box.get(), await box.get()] == ["too late", "much too late"]
        return woken_s

    assert clock.run(main()) == 2.0
    assert seen == [(0.0, "waiting since before"), (1.0, "a"), (2.0, "b"), (2.0, "c")]


def test_what_the_taker_raises_is_raised_where_it_waits_and_later_items_stay():
    def enough(item: str) -> bool:
        raise ValueError(f"no {item} please")

    async def main() -> str:
        box: Mailbox[str] = Mailbox("box")
        asyncio.get_running_loop().call_at(1.0, box.put, "spam")
        asyncio.get_running_loop().call_at(1.0, box.put, "eggs")
        with pytest.raises(ValueError, match="no spam please"):
            await box.take_until(enough)
        assert clock.now() == 1.0
        return await box.get()

    assert clock.run(main()) == "eggs"


def test_items_that_the_taker_itself_brings_about_are_handed_to_it_too():
    """Whoever is given up for a message leaves a notice in the very box that the message came to."""
    seen: list[str] = []

    async def main() -> int:
        box: Mailbox[str] = Mailbox("box")

        def enough(item: str) -> bool:
            seen.append(item)
            if item == "message":
                box.put("notice")
            return len(seen) >= 2

        asyncio.get_running_loop().call_at(1.0, box.put, "message")
        await box.take_until(enough)
        return len(box)

    assert clock.run(main()) == 0
    assert seen == ["message", "notice"]


def test_nobody_takes_what_another_waits_for():
    async def main() -> None:
        box: Mailbox[str] = Mailbox("box")
        first = asyncio.create_task(box.get())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="somebody waits for box already"):
            await box.take_until(lambda item: True)
        first.cancel()
        taker = asyncio.create_task(box.take_until(lambda item: True))
        await asyncio.sleep(1)
        with pytest.raises(RuntimeError, match="somebody waits for box already"):
            await box.take_until(lambda item: True)
        box.put("his")
        await taker

    clock.run(main())


def test_a_taker_that_is_cancelled_leaves_what_comes_later_to_the_next():
    async def main() -> str:
        box: Mailbox[str] = Mailbox("box")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await box.take_until(lambda item: False)
        box.put("later")
        return await box.get()

    assert clock.run(main()) == "later"


def test_what_comes_at_the_instant_at_which_the_taker_is_cancelled_is_left_to_the_next():
    seen: list[str] = []

    async def main() -> str:
        box: Mailbox[str] = Mailbox("box")
        taker = asyncio.create_task(box.take_until(lambda item: seen.append(item) is not None))
        await asyncio.sleep(1)
        taker.cancel()
        box.put("for the next")
        await asyncio.wait([taker])
        return await box.get()

    assert clock.run(main()) == "for the next"
    assert seen == []


def test_a_deadlock_names_the_box_that_somebody_takes_from():
    async def main() -> None:
        await Mailbox("server.activations").take_until(lambda item: True)

    with pytest.raises(clock.Deadlock, match=r"main on server\.activations"):
        clock.run(main())
