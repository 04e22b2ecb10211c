"""An asyncio event loop on SimPy time: ordinary coroutines, in which only timers move the clock.

Actors are plain ``async def`` with ``asyncio.sleep``, ``Queue``, ``TaskGroup``, ``timeout``. Each ``call_at`` becomes
an event in the queue of a `simpy.Environment`, whose key is (time, priority, sequence). When nothing is runnable the
loop steps that environment once, and runs all that became runnable before it steps again. So only timers move time, and
timers of one instant ring in the order in which they were armed; stock asyncio leaves that order open.

**Time is a float in seconds**, because devices and links give seconds. It resolves 2e-11 s after a simulated day and
4e-9 s after a year. The trap is rounding: a thousand sleeps of 0.1 s end at 99.9999999999986 s, so compare times with a
tolerance, never with ``==``; and a delay below the resolution takes no time, so stop at a nanosecond left, not at zero.

Not modelled: threads, executors, sockets, pipes, subprocesses and signal handlers (each is refused: to the loop a busy
thread looks like idleness), and the wall-clock time of callbacks, which is zero here. Two things the loop cannot know:
a task that spins on ``asyncio.sleep(0)`` stops the clock for ever, and a SimPy event nobody waits for still moves it.

The loop extends asyncio's own base class through six private names that have stayed the same since Python 3.4:
``_run_once``, ``_ready``, ``_stopping``, ``_write_to_self``, ``_debug``, ``_closed``. Debug mode does not trace
timers.
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
from itertools import count
from types import FrameType
from typing import Any, Final, Never, Protocol, TypeVar, TypeVarTuple

import simpy
from simpy.events import NORMAL

from simulator.handles import RING, Soon, Task, Timer
from simulator.mailbox import Mailbox

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_COMPACT_ABOVE: Final = 64  # cancelled timers; fewer cost less than sorting the queue again
_NAMES_SHOWN: Final = 12  # waiting actors in an error message
_INF: Final = math.inf
_NEVER: Final = (math.inf, math.inf, 0)  # behind every place in SimPy's queue


class Stalled(RuntimeError):  # noqa: N818 - like its kinds below, named for what happened
    """The clock stops at ``time_s`` while ``waiting``, sorted pairs of (actor, what it waits for), still wait."""

    def __init__(self, reason: str, time_s: float, waiting: list[tuple[str, str]]) -> None:
        self.time_s: Final = time_s
        self.waiting: Final = tuple(waiting)
        shown = ", ".join(f"{actor} on {what}" for actor, what in waiting[:_NAMES_SHOWN])
        hidden = f" and {len(waiting) - _NAMES_SHOWN} more" if len(waiting) > _NAMES_SHOWN else ""
        super().__init__(f"{reason} at t={time_s:.6f} s; waiting: {shown or 'nobody'}{hidden}")


class Deadlock(Stalled):
    """No task is runnable and no timer is armed: what the tasks wait for can never happen."""


class HorizonReached(Stalled):
    """The next event lies beyond the horizon of the run."""


class Source(Protocol):
    """What has events of its own, which come and go by the thousand, such as a network."""

    def next_event_s(self) -> float:
        """When the next one happens, in seconds; infinity for never."""

    def play(self, until_s: float) -> float:
        """Let the next event happen, and those after it before ``until_s``, at most up to one that concerns others.

        Return the time of the last; nothing else happens before.
        """

    def tell(self) -> None:
        """Tell the others what concerns them, now that the clock shows that time."""


class _Silence:
    """The source that has no events."""

    def next_event_s(self) -> float:
        return math.inf

    def play(self, until_s: float) -> float:
        return until_s

    def tell(self) -> None:
        pass


_SILENCE: Final = _Silence()


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop whose time is that of its own SimPy environment, ``env``.

    *start_s* is the time at first, *horizon_s* the last instant that still happens: the first event beyond it raises
    `HorizonReached`. *shuffle_seed* replaces "ties break by arrival" by a seeded permutation of timers and SimPy events
    of one instant: a test mode, to show that a result does not hang on ties. An exception in a callback, or in a task
    whose outcome nobody takes, ends the run with that exception. Raises ValueError for times that make no sense.
    """

    _closed: bool
    _debug: bool
    _ready: deque[asyncio.Handle]
    _stopping: bool

    def __init__(self, *, start_s: float = 0.0, horizon_s: float = math.inf, shuffle_seed: int | None = None) -> None:
        super().__init__()
        if not (math.isfinite(start_s) and horizon_s >= start_s):
            self.close()  # or its finaliser would complain on top
            raise ValueError(f"start_s must be finite and horizon_s not before it, got {start_s} and {horizon_s}")
        self.env: Final = simpy.Environment(start_s)
        if shuffle_seed is not None:
            draw = random.Random(shuffle_seed).getrandbits
            self.env._eid = ((draw(32) << 64) + number for number in count())  # type: ignore[assignment]  # is any iterator
        self._serials = count()
        self.set_task_factory(Task)
        self._horizon_s = horizon_s
        self._beyond_s = math.nextafter(horizon_s, math.inf)
        self._queue: list[Any] = self.env._queue  # of (time, priority, sequence, event)
        self._num_cancelled = 0  # timers that still stand in the queue
        self._failure: BaseException | None = None
        self._source: Source = _SILENCE
        self._stale = False  # the source has changed since it was asked
        self._turn: tuple[float, float, int] = _NEVER

    def time(self) -> float:
        """Virtual seconds."""
        return self.env._now

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run *callback* at *when* seconds: at this instant if that is past, never if it is infinite.

        Raises ValueError for NaN and minus infinity.
        """
        if not when > -math.inf:
            raise ValueError(f"a timer needs a time or a delay in seconds, got {when}")
        timer = Timer(when, callback, args, copy_context() if context is None else context)
        timer._loop = self
        if when != math.inf:
            timer.callbacks = RING
            now_s = self.env._now
            heappush(self._queue, (when if when > now_s else now_s, NORMAL, next(self.env._eid), timer))
        return timer

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run *callback* in *delay* seconds; see `call_at`."""
        return self.call_at(self.env._now + delay, callback, *args, context=context)

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Run *callback* at this instant, after all that were called soon before it."""
        if self._debug or self._closed:
            return super().call_soon(callback, *args, context=context)
        handle = Soon(callback, args, copy_context() if context is None else context)
        handle._loop = self
        self._ready.append(handle)
        return handle

    def drive(self, source: Source) -> None:
        """Let the events of *source* happen among the timers, without a timer of their own; RuntimeError for a second.

        Whenever it has changed it has to say so (`reconsider`). Among timers of the same instant its turn is that of
        one armed once all who act at that change have acted.
        """
        if self._source is not _SILENCE:
            raise RuntimeError(f"the loop drives {self._source!r} already")
        self._source = source
        self.reconsider()

    def reconsider(self) -> None:
        """Ask the source that is driven for its next event, once everybody who acts at this instant has acted."""
        self._stale = True

    async def wait_event(self, event: simpy.Event, what: str = "") -> object:
        """Wait for a SimPy *event* of ``env``; return its value or raise what it failed with.

        *what* names it in a `Deadlock`. A cancelled wait lets go of the event: give a Resource request back yourself.
        Raises ValueError for an event of another environment.
        """
        if event.env is not self.env:
            raise ValueError(f"this {type(event).__name__} belongs to another SimPy environment than the loop's own")
        future = self.create_future()
        settle = partial(_settle, future)
        if event.callbacks is None:
            settle(event)
        else:
            event.callbacks.append(settle)
        try:
            return await future
        finally:
            if event.callbacks is not None and settle in event.callbacks:
                event.callbacks.remove(settle)

    def run_in_executor(self, executor: object, func: Callable[[*Ts], T], *args: *Ts) -> Never:
        """Refuse: while a thread works the loop looks idle, and would move the clock or report a false deadlock."""
        name = getattr(func, "__qualname__", repr(func))
        raise RuntimeError(f"virtual time has no threads: call {name} inline and asyncio.sleep() as long as it takes")

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """End the run with the exception nobody handled; log it, as asyncio does, where no run is left to end."""
        error = context.get("exception")
        if error is None or self._failure is not None or self.is_closed():
            super().default_exception_handler(context)
            return
        task = context.get("future")
        error.add_note(f"{context.get('message')}{f': {_name(task)}' if isinstance(task, asyncio.Task) else ''}")
        self._failure = error
        if self.is_running():
            self.stop()

    def _run_once(self) -> None:
        """Run until `stop`; asyncio expects one round of callbacks here, but staying inside is faster."""
        ready = self._ready
        while True:
            while not ready and not self._stopping:
                self._step()
            for _ in range(len(ready)):
                handle = ready.popleft()
                if not handle._cancelled:
                    handle._run()
            if self._stopping:
                if (error := self._failure) is not None:
                    self._failure = None
                    raise error
                return

    def _step(self) -> None:
        """Let the next event happen, SimPy's or the source's: the only place where time moves."""
        queue, env = self._queue, self.env
        if self._stale:
            self._stale = False
            next_s = self._source.next_event_s()
            self._turn = _NEVER if next_s == _INF else (next_s, NORMAL, next(env._eid))
        first: tuple[Any, ...] = queue[0] if queue else _NEVER
        turn = self._turn
        if first < turn:
            event = first[3]
            if event.__class__ is not Timer:
                self._keep_within(first[0])
                env.step()
                return
            heappop(queue)
            if event._cancelled:
                self._num_cancelled -= 1
                return
            when_s = first[0]
            if when_s > self._horizon_s:
                self._keep_within(when_s)
            env._now = when_s  # as `Environment.step` does it, for what we know it to be
            event.callbacks = None
            event._run()
        elif turn is not _NEVER:
            if turn[0] > self._horizon_s:
                self._keep_within(turn[0])
            self._stale = True
            source = self._source
            reached_s = source.play(first[0] if first[0] < self._beyond_s else self._beyond_s)
            env._now = max(env._now, reached_s)
            source.tell()
        else:
            raise Deadlock("no timer is armed", env.now, _waiting(self))

    def _keep_within(self, when_s: float) -> None:
        """Raise HorizonReached, at the horizon, before an event beyond it."""
        if when_s > self._horizon_s:
            if self.env.now < self._horizon_s:
                self.env.run(until=self._horizon_s)
            raise HorizonReached("the horizon is reached", self.env.now, _waiting(self))

    def timer_was_cancelled(self) -> None:
        """Count it; rebuild the queue without the cancelled timers once they are the larger half."""
        self._num_cancelled += 1
        if self._num_cancelled > _COMPACT_ABOVE and 2 * self._num_cancelled > len(self._queue):
            self._queue[:] = [entry for entry in self._queue if not (type(entry[3]) is Timer and entry[3]._cancelled)]
            heapify(self._queue)
            self._num_cancelled = 0

    def _write_to_self(self) -> None:
        """Wake nobody: this loop never sleeps in the operating system."""


def run(
    main: Coroutine[Any, Any, T], *, horizon_s: float = math.inf, start_s: float = 0.0, shuffle_seed: int | None = None
) -> T:
    """Run *main* to its end on a fresh `VirtualLoop` and return its result; cancel what is left, like ``asyncio.run``.

    Raises `Deadlock`, `HorizonReached`, what SimPy, a callback or a forgotten task raised, and RuntimeError inside
    another loop. Clean-up may take virtual time within the horizon; what fails in it becomes a note on the first error.
    """
    loop = VirtualLoop(start_s=start_s, horizon_s=horizon_s, shuffle_seed=shuffle_seed)
    runner = asyncio.Runner(loop_factory=lambda: loop)
    try:
        try:
            result = runner.run(main)
        finally:
            for task in sorted(asyncio.all_tasks(loop), key=hash):  # in the order of their making: parents first
                task.cancel()
        runner.close()
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
    """Return the running loop's time in seconds."""
    return asyncio.get_running_loop().time()


def running_loop() -> VirtualLoop:
    """Return the running `VirtualLoop`, whose ``env`` is the SimPy environment; RuntimeError on any other loop."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualLoop):
        raise RuntimeError(f"SimPy events need a VirtualLoop, but the running loop is a {type(loop).__name__}")
    return loop


async def wait(event: simpy.Event, what: str = "") -> object:
    """Wait for a SimPy event on the running `VirtualLoop`; see `VirtualLoop.wait_event`."""
    return await running_loop().wait_event(event, what)


def _settle(future: asyncio.Future[object], event: simpy.Event) -> None:
    """Hand the outcome of *event* to *future*. A failure nobody waits for any more stays SimPy's, and ends the run."""
    if event.ok and not future.done():
        future.set_result(event.value)
    elif not future.done():
        event.defused = True
        future.set_exception(event._value)


def _waiting(loop: VirtualLoop) -> list[tuple[str, str]]:
    """(actor, what it waits for) in natural order; who only waits for other tasks is left out if those are named."""
    found = [(_name(task), *_reason(task)) for task in asyncio.all_tasks(loop)]
    blocked = [(actor, what) for actor, what, joins in found if not joins] or [entry[:2] for entry in found]
    return sorted(blocked, key=lambda entry: [_natural(text) for text in entry])


def _natural(text: str) -> list[str | int]:
    """Sort key that puts device[9] before device[10]."""
    return [int(part) if place % 2 else part for place, part in enumerate(re.split("([0-9]+)", text))]


def _name(task: asyncio.Task[Any]) -> str:
    """Its own name, or its function's: asyncio's "Task-17" says nothing and differs from run to run."""
    name = task.get_name()
    nameless = re.fullmatch("Task-[0-9]+|None", name)  # Python 3.13.0 writes None
    return _short(getattr(task.get_coro(), "__qualname__", name)) if nameless else name


def _reason(task: asyncio.Task[Any]) -> tuple[str, bool]:
    """What the task waits for, and whether that is only the end of other tasks: read off its suspended frames."""
    frames = list(_frames(task.get_coro()))
    if not frames:
        return "something without a frame", False
    inner, module = frames[-1], frames[-1].f_globals["__name__"]
    if inner.f_code in {Mailbox.get.__code__, Mailbox.take_until.__code__}:
        return inner.f_locals["self"].name, False
    what = _short(inner.f_code.co_qualname)
    if inner.f_code is VirtualLoop.wait_event.__code__:
        what = inner.f_locals["what"] or type(inner.f_locals["event"]).__name__
    waiter = getattr(task, "_fut_waiter", None)
    joins = isinstance(waiter, asyncio.Task) or type(waiter).__name__ == "_GatheringFuture"
    joins = joins or (module in {"asyncio.taskgroups", "asyncio.tasks"} and what != "sleep")
    own = [
        frame
        for frame in frames
        if not re.match(rf"asyncio\.|{__name__}$|{Mailbox.__module__}$", frame.f_globals["__name__"])
    ]
    return f"{what} in {_short(own[-1].f_code.co_qualname)}" if own and own[-1] is not inner else what, joins


def _frames(awaitable: object) -> Iterator[FrameType]:
    """Yield the suspended frames of a coroutine, outermost first."""
    kinds = (("cr_frame", "cr_await"), ("gi_frame", "gi_yieldfrom"), ("ag_frame", "ag_await"))
    while kind := next((kind for kind in kinds if getattr(awaitable, kind[0], None)), None):
        yield getattr(awaitable, kind[0])
        awaitable = getattr(awaitable, kind[1])


def _short(qualname: str) -> str:
    return qualname.rpartition("<locals>.")[2]
