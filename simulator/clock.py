"""An asyncio event loop on SimPy time: ordinary coroutines, in which only timers move the clock.

Actors are plain ``async def`` with ``asyncio.sleep``, ``Queue``, ``TaskGroup``, ``timeout``. Each ``call_at`` is an event in the queue
of a `simpy.Environment`, whose key is (time, priority, sequence). When nothing is runnable the loop steps that environment once, and
runs whatever became runnable before it steps again. So time moves by timers only, and timers of one instant ring in the order in which
they were armed. Stock asyncio compares timers by time alone and leaves that order open.

**Time is a float in seconds.** Devices and links give seconds, and a float resolves 2e-12 s after a simulated day (4e-9 s after a
year). The trap is rounding: a thousand sleeps of 0.1 s end at 99.9999999999986 s, so compare times with a tolerance, never with ``==``.
A delay below the resolution takes no time at all: a loop that waits for "what is left" must stop at a nanosecond, not at zero.

Not modelled: threads, executors, sockets, pipes, subprocesses and signals (each is refused: the loop cannot tell a busy thread from
idleness), and the wall-clock time of callbacks, which is zero seconds here. Two things the loop cannot know: a task that spins on
``asyncio.sleep(0)`` keeps the clock where it is for ever, and a SimPy event nobody waits for still moves it.

The loop extends asyncio's own base class through names that are private but the same from CPython 3.11 to 3.14 (``_run_once``,
``_ready``, ``_stopping``, ``_write_to_self``). Debug mode has no effect on the loop's own code.
"""

import asyncio
import math
import random
import re
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context, copy_context
from functools import partial
from heapq import heapify, heappop, heappush
from types import FrameType
from typing import Any, ClassVar, Final, Generic, Never, TypeVar, TypeVarTuple

import simpy
from simpy.events import NORMAL

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_COMPACT_ABOVE: Final = 64  # cancelled timers; below this they cost less than sorting the queue again
_NAMES_SHOWN: Final = 12  # waiting actors in an error message


class Stalled(RuntimeError):
    """The clock cannot go on. ``time_s`` says when, ``waiting`` lists (actor, what it waits for), sorted by name."""

    def __init__(self, reason: str, time_s: float, waiting: list[tuple[str, str]]) -> None:
        self.time_s: Final = time_s
        self.waiting: Final = tuple(waiting)
        shown = [f"{who} on {what}" for who, what in waiting[:_NAMES_SHOWN]] or ["nobody"]
        hidden = f" and {len(waiting) - _NAMES_SHOWN} more" if len(waiting) > _NAMES_SHOWN else ""
        super().__init__(f"{reason} at t={time_s:.6f} s; waiting: {', '.join(shown)}{hidden}")


class Deadlock(Stalled):
    """No task is runnable and no timer is armed: what the tasks wait for can never happen."""


class HorizonReached(Stalled):
    """The next event lies beyond the horizon of the run."""


class Mailbox(Generic[T]):
    """An unbounded first-in first-out queue with a name that a `Deadlock` can quote.

    Items leave in the order of ``put`` and go to getters in the order of ``get``. A getter that is cancelled at the very instant in
    which its item arrives leaves the item to the next getter. Works on any event loop, from one thread.
    """

    def __init__(self, name: str) -> None:
        self.name: Final = name
        self._items: deque[T] = deque()
        self._getters: deque[asyncio.Future[None]] = deque()
        self._num_promised = 0  # items at the head that belong to getters already woken, in order

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return f"<Mailbox {self.name} items={len(self._items)} getters={len(self._getters)}>"

    def put(self, item: T) -> None:
        """Leave *item*; never blocks and takes no time."""
        self._items.append(item)
        self._wake_next()

    async def get(self) -> T:
        """Take the oldest item that is not promised to an earlier getter; wait for one if there is none."""
        if len(self._items) > self._num_promised:
            item = self._items[self._num_promised]
            del self._items[self._num_promised]
            return item
        getter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._getters.append(getter)
        try:
            await getter
        except asyncio.CancelledError:
            if getter.cancelled():
                self._getters.remove(getter)
            else:
                self._num_promised -= 1
                self._wake_next()
            raise
        self._num_promised -= 1
        return self._items.popleft()

    def _wake_next(self) -> None:
        """Promise an item to the first getter that still waits. A cancelled one takes itself off the list when it runs."""
        for getter in self._getters:
            if not getter.done():
                self._getters.remove(getter)
                self._num_promised += 1
                getter.set_result(None)
                return


class _Timer(asyncio.TimerHandle):
    """A timer that is its own SimPy event: when SimPy processes it, it joins the loop's ready queue.

    ``callbacks`` and ``_ok`` are what `simpy.Environment.step` looks at; ``callbacks`` is None unless the timer stands in SimPy's queue.
    The base constructor is left out because it costs as much as all the rest of a sleep's timer.
    """

    __slots__ = ("callbacks",)

    _ok: ClassVar = True
    _repr: ClassVar = None  # only debug mode sets these two
    _source_traceback: ClassVar = None
    _scheduled: ClassVar = False  # asyncio's own queue is not used
    _loop: "VirtualLoop"
    callbacks: "tuple[Callable[[_Timer], None]] | None"

    def __init__(
        self, when: float, callback: Callable[..., object], args: tuple[Any, ...], loop: "VirtualLoop", context: Context
    ) -> None:
        self._when = when
        self._callback: Callable[..., object] | None = callback
        self._args: tuple[Any, ...] | None = args
        self._loop = loop
        self._context = context
        self._cancelled = False
        self.callbacks = None

    def cancel(self) -> None:
        """Take the timer back; it no longer holds its callback, moves no time and delays no deadlock."""
        if not self._cancelled:
            self._cancelled = True
            self._callback = self._args = None
            if self.callbacks is not None:
                self._loop._timer_was_cancelled()


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop whose time is that of its own SimPy environment.

    *start_s* is the time at first, *horizon_s* the last instant that still happens; the first event beyond it raises `HorizonReached`.
    *shuffle_seed* replaces "ties break by arrival" by a seeded permutation: a test mode, to show that a result does not hang on ties.
    An exception in a callback, or in a task whose outcome nobody takes, ends the run with that exception.
    """

    _ready: deque[asyncio.Handle]
    _stopping: bool

    def __init__(self, *, start_s: float = 0.0, horizon_s: float = math.inf, shuffle_seed: int | None = None) -> None:
        super().__init__()
        if not (math.isfinite(start_s) and horizon_s >= start_s):
            self.close()  # or its finaliser would complain on top
            raise ValueError(f"start_s must be finite and horizon_s not before it, got {start_s} s and {horizon_s} s")
        self.env: Final = simpy.Environment(start_s)
        if shuffle_seed is not None:
            self.env._eid = _shuffled(shuffle_seed)  # type: ignore[assignment]  # any source of distinct integers will do
        self._horizon_s = horizon_s
        self._queue: list[Any] = self.env._queue  # (time, priority, sequence, event)
        self._on_ring = (self._ready.append,)  # every timer's SimPy callbacks
        self._num_cancelled = 0  # cancelled timers still in the queue
        self._failure: BaseException | None = None

    def time(self) -> float:
        """Virtual seconds."""
        return self.env._now

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Run *callback* at this instant, after what is already runnable."""
        self._check_closed()
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run *callback* after *delay* seconds; see `call_at`."""
        return self.call_at(self.env._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run *callback* at *when* seconds: at this instant if that is past, never if it is infinite. NaN and -inf are refused."""
        self._check_closed()
        timer = _Timer(when, callback, args, self, context or copy_context())
        now = self.env._now
        if now < when < math.inf:
            now = when
        elif when == math.inf:
            return timer
        elif not when > -math.inf:
            raise ValueError(f"a timer needs a time or a delay in seconds, got {when}")
        timer.callbacks = self._on_ring
        heappush(self._queue, (now, NORMAL, next(self.env._eid), timer))
        return timer

    async def wait_event(self, event: simpy.Event, what: str = "") -> Any:
        """Wait for a SimPy *event* of this loop's environment; return its value, or raise the exception it failed with.

        *what* names it in a `Deadlock`. A cancelled wait lets go of the event and leaves it as it is: give a Resource request back.
        """
        if event.env is not self.env:
            raise ValueError(f"{type(event).__name__} belongs to another SimPy environment than this loop's")
        future = self.create_future()
        if event.callbacks is None:
            _settle(future, event)
            return await future
        settle = partial(_settle, future)
        event.callbacks.append(settle)
        try:
            return await future
        except asyncio.CancelledError:
            if event.callbacks is not None:
                event.callbacks.remove(settle)
            raise

    def run_in_executor(self, executor: object, func: Callable[[*Ts], T], *args: *Ts) -> Never:
        """Refuse: while a thread works the loop looks idle, and would move the clock or report a false deadlock."""
        name = getattr(func, "__qualname__", repr(func))
        raise RuntimeError(
            f"virtual time has no threads: call {name} inline and await asyncio.sleep() for the time it should take"
        )

    def set_default_executor(self, executor: object) -> Never:
        """Refuse; see `run_in_executor`."""
        raise RuntimeError("virtual time has no threads: a default executor would never be used")

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """End the run with the exception nobody handled; log it, as asyncio does, where there is no run left to end."""
        error = context.get("exception")
        if error is None or self._failure is not None or self.is_closed():
            super().default_exception_handler(context)
            return
        error.add_note(str(context.get("message", "")))
        self._failure = error
        if self.is_running():
            self.stop()

    def raise_failure(self) -> None:
        """Raise the exception nobody handled, if there is one."""
        if self._failure is not None:
            error, self._failure = self._failure, None
            raise error

    def _run_once(self) -> None:
        """Run until `stop`. (Asyncio expects one round of callbacks here; staying inside is faster and otherwise the same.)"""
        ready = self._ready
        while True:
            while not ready and not self._stopping:
                self._step()
            for _ in range(len(ready)):
                handle = ready.popleft()
                if not handle._cancelled:
                    handle._run()
            if self._stopping:
                self.raise_failure()
                return

    def _step(self) -> None:
        """Let SimPy process its next event: the only place where time moves."""
        queue = self._queue
        while queue:
            when, _, _, event = queue[0]
            if event.__class__ is _Timer and event._cancelled:
                heappop(queue)
                self._num_cancelled -= 1
            elif when > self._horizon_s:
                if self.env.now < self._horizon_s:
                    self.env.run(until=self._horizon_s)
                raise HorizonReached("the horizon is reached", self.env.now, _waiting(self))
            else:
                self.env.step()
                return
        raise Deadlock("no timer is armed", self.env.now, _waiting(self))

    def _timer_was_cancelled(self) -> None:
        """Count it; sort the queue anew without the cancelled timers once they are the larger half."""
        self._num_cancelled += 1
        if self._num_cancelled > _COMPACT_ABOVE and 2 * self._num_cancelled > len(self._queue):
            self._queue[:] = [entry for entry in self._queue if not (type(entry[3]) is _Timer and entry[3]._cancelled)]
            heapify(self._queue)
            self._num_cancelled = 0

    def _write_to_self(self) -> None:
        """Nothing to wake: this loop never sleeps in the operating system."""


def run(
    main: Coroutine[Any, Any, T], *, horizon_s: float = math.inf, start_s: float = 0.0, shuffle_seed: int | None = None
) -> T:
    """Run *main* to its end on a fresh `VirtualLoop` and return its result; then cancel what is left, as ``asyncio.run`` does.

    Raises `Deadlock` and `HorizonReached`; SimPy's, callbacks' and forgotten tasks' exceptions; RuntimeError inside another loop.
    Clean-up may take virtual time, but not beyond the horizon; what goes wrong in it is a note on the exception that caused it.
    """
    loop = VirtualLoop(start_s=start_s, horizon_s=horizon_s, shuffle_seed=shuffle_seed)
    runner = asyncio.Runner(loop_factory=lambda: loop)
    try:
        result = runner.run(main)
        runner.close()
        loop.raise_failure()
    except BaseException as error:
        try:
            runner.close()
        except Exception as second:
            error.add_note(f"while cancelling what was left: {type(second).__name__}: {second}")
        raise
    finally:
        loop.close()
    return result


def now() -> float:
    """Return the running loop's time, in seconds."""
    return asyncio.get_running_loop().time()


def environment() -> simpy.Environment:
    """Return the SimPy environment of the running `VirtualLoop`. Raises RuntimeError on any other loop."""
    return _virtual_loop().env


async def wait(event: simpy.Event, what: str = "") -> Any:
    """Wait for a SimPy event on the running `VirtualLoop`; see `VirtualLoop.wait_event`."""
    return await _virtual_loop().wait_event(event, what)


def _virtual_loop() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualLoop):
        raise RuntimeError(f"SimPy events need a VirtualLoop; the running loop is a {type(loop).__name__}")
    return loop


def _settle(future: asyncio.Future[Any], event: simpy.Event) -> None:
    """Hand the outcome of a processed *event* to *future*. A failure nobody waits for any more stays SimPy's, and ends the run."""
    if future.done():
        return
    if event.ok:
        future.set_result(event.value)
    else:
        event.defused = True
        future.set_exception(event.value)


def _shuffled(seed: int) -> Iterator[int]:
    """Distinct integers in random order."""
    draw = random.Random(seed).getrandbits
    count = 0
    while True:
        yield (draw(32) << 64) + count
        count += 1


def _waiting(loop: VirtualLoop) -> list[tuple[str, str]]:
    """(actor, what it waits for), in natural order. Who only waits for other tasks is left out where those are named."""
    found = [(_name(task), *_reason(task)) for task in asyncio.all_tasks(loop)]
    blocked = [(who, what) for who, what, joins in found if not joins] or [(who, what) for who, what, _ in found]
    return sorted(blocked, key=lambda entry: [_natural(part) for part in entry])


def _natural(text: str) -> list[int | str]:
    """Sort key that puts device[9] before device[10]."""
    return [int(part) if place % 2 else part for place, part in enumerate(re.split(r"([0-9]+)", text))]


def _name(task: asyncio.Task[Any]) -> str:
    """Its own name, or its function's: asyncio's Task-17 says nothing and differs from run to run."""
    if not re.fullmatch("Task-[0-9]+", task.get_name()):
        return task.get_name()
    coroutine = task.get_coro()
    return _short(getattr(coroutine, "__qualname__", repr(coroutine)))


def _reason(task: asyncio.Task[Any]) -> tuple[str, bool]:
    """What the task waits for, and whether that is only the end of other tasks; read off its suspended frames."""
    frames = list(_frames(task.get_coro()))
    if not frames:
        return "its first step", False
    inner, caller = frames[-1], next((frame for frame in reversed(frames) if not _is_library(frame)), frames[0])
    if inner.f_code is Mailbox.get.__code__:
        return inner.f_locals["self"].name, False
    if inner.f_code is VirtualLoop.wait_event.__code__:
        what = inner.f_locals["what"] or type(inner.f_locals["event"]).__name__
    else:
        what = _short(inner.f_code.co_qualname)
    waiter = getattr(task, "_fut_waiter", None)
    joins = isinstance(waiter, asyncio.Task) or type(waiter).__name__ == "_GatheringFuture"
    joins = joins or inner.f_globals["__name__"] == "asyncio.taskgroups" or what in {"_wait", "wait_for"}
    return (what if caller is inner else f"{what} in {_short(caller.f_code.co_qualname)}"), joins


def _frames(awaitable: object) -> Iterator[FrameType]:
    """The suspended frames of a coroutine, outermost first."""
    while awaitable is not None:
        for frame_name, next_name in (("cr_frame", "cr_await"), ("gi_frame", "gi_yieldfrom"), ("ag_frame", "ag_await")):
            if frame := getattr(awaitable, frame_name, None):
                yield frame
                awaitable = getattr(awaitable, next_name)
                break
        else:
            return


def _is_library(frame: FrameType) -> bool:
    return frame.f_globals["__name__"].partition(".")[0] == "asyncio" or frame.f_globals["__name__"] == __name__


def _short(qualname: str) -> str:
    return qualname.rpartition("<locals>.")[2]
