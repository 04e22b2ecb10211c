"""What stands in the queues of the virtual loop: timers, callbacks of this instant, tasks. A run makes millions."""

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any, ClassVar, Final, Protocol, TypeVar

T = TypeVar("T")

RING: Final = (asyncio.TimerHandle._run,)
"""The SimPy callbacks of every armed timer."""


class Loop(Protocol):
    """What a timer needs of its loop."""

    def timer_was_cancelled(self) -> None:
        """A timer that stands in the queue was cancelled."""


class Timer(asyncio.TimerHandle):
    """A timer that is its own SimPy event: when SimPy processes it, it runs its callback.

    SimPy looks at ``_ok`` and ``callbacks``; the latter is None unless the timer stands in SimPy's queue. The base
    constructor, half of whose work is for debug mode, is left out for speed.
    """

    __slots__ = ("callbacks",)

    _ok: ClassVar = True
    _repr: ClassVar = None
    _source_traceback: ClassVar = None
    _loop: Loop

    def __init__(self, when_s: float, callback: Callable[..., object], args: tuple[Any, ...], context: Context) -> None:
        self._when = when_s
        self._callback: Callable[..., object] | None = callback
        self._args = args
        self._context = context
        self._cancelled = False
        self.callbacks: tuple[Callable[[asyncio.Handle], None]] | None = None

    def cancel(self) -> None:
        """Take the timer back: it lets go of its callback, moves no time and delays no deadlock."""
        if not self._cancelled:
            self._cancelled = True
            self._callback = None
            self._args = ()
            if self.callbacks is not None:
                self._loop.timer_was_cancelled()


class Soon(asyncio.Handle):
    """A callback of this instant; the base constructor is left out as for `Timer`."""

    __slots__ = ()

    _repr: ClassVar = None
    _source_traceback: ClassVar = None
    _loop: Loop

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...], context: Context) -> None:
        self._callback: Callable[..., object] | None = callback
        self._args = args
        self._context = context
        self._cancelled = False

    def cancel(self) -> None:
        """Take the callback back."""
        self._cancelled = True
        self._callback = None
        self._args = ()


class Task(asyncio.Task[T]):
    """A task whose hash is its serial number: asyncio cancels a `TaskGroup` in the order of a set, here a fixed one."""

    __slots__ = ("_serial",)

    def __init__(self, loop: Any, coro: Any, **options: Any) -> None:  # noqa: ANN401 - as each Python's task factories
        self._serial: int = next(loop._serials)
        super().__init__(coro, loop=loop, **options)

    def __hash__(self) -> int:
        return self._serial
