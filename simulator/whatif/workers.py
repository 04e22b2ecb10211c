"""Processes of this machine that compute cells, one at a time each; one that dies takes only its own cell with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import Any, Final, NamedTuple, Protocol

from simulator.whatif.cells import Failure, Outcome, Round, Task, work

Done = tuple[Task, Outcome]
Heard = Callable[[Task, Round], None]
LEAVE_S: Final = 5.0  # seconds for a worker to end by itself before it is killed


class Executor(Protocol):
    """Computes tasks somewhere."""

    def run(self, tasks: Sequence[Task], heard: Heard) -> Iterator[Done]:
        """Every task's outcome, as it comes. Leaving the iteration early gives up what has not come.

        ``heard`` is called between two outcomes, with how far a task is that trains.
        """


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Local:
    """So many worker processes, which live until all tasks are done."""

    def __init__(self, workers: int) -> None:
        """Take the number of processes, at least 1; each computes with its part of the processors."""
        self._workers = workers
        self._threads = max(1, cores() // workers)
        kind = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
        self._context: Any = multiprocessing.get_context(kind)
        if kind == "forkserver":
            self._context.set_forkserver_preload(["simulator.whatif.cells"])  # imported once for all workers

    def run(self, tasks: Sequence[Task], heard: Heard) -> Iterator[Done]:
        """Every task's outcome, as it comes; the outcome of a task whose worker died says how it died."""
        waiting = deque(tasks)
        crew = [self._hired() for _ in range(min(self._workers, len(waiting)))]
        at_work: dict[connection.Connection, tuple[_Worker, Task]] = {}
        try:
            while waiting or at_work:
                for place, idle in enumerate(crew):
                    if waiting and idle.line not in at_work:
                        worker = crew[place] = idle if idle.process.is_alive() else self._hired()
                        task = waiting.popleft()
                        at_work[worker.line] = (worker, task)
                        with suppress(OSError):  # it has died: its line says so below
                            worker.line.send(task)
                for line in connection.wait(list(at_work)):
                    assert isinstance(line, connection.Connection)
                    worker, task = at_work[line]
                    said: Round | Outcome
                    try:
                        said = line.recv()
                    except (EOFError, OSError):
                        said = Failure("failed", _death(worker.process))
                        crew.remove(worker)
                        if waiting:
                            crew.append(self._hired())
                    if isinstance(said, Round):
                        heard(task, said)
                    else:
                        del at_work[line]
                        yield task, said
        finally:
            _dismiss(crew, at_once=bool(at_work or waiting))

    def _hired(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._threads), daemon=True)
        process.start()
        theirs.close()  # so that our end hears when the worker is gone
        return _Worker(process, ours)


class _Worker(NamedTuple):
    process: BaseProcess
    line: connection.Connection


def _serve(line: connection.Connection, threads: int) -> None:
    """A worker's life: compute what comes until the line is closed. Ctrl-C is the parent's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = str(threads)  # read when torch is loaded
    with suppress(EOFError, OSError):
        while True:
            line.send(work(line.recv(), tell=line.send))
    sys.stdout.flush()


def _end_with_parent() -> None:
    """A study that is killed takes its workers with it, in the middle of whatever they compute."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "workers are started by a study"
    parent.join()
    os._exit(1)


def _death(process: BaseProcess) -> str:
    process.join(LEAVE_S)
    code = process.exitcode
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        memory = " (out of memory?)" if name == "SIGKILL" else ""
        return f"its worker process was ended by {name}{memory}"
    return f"its worker process ended with exit code {code}"


def _dismiss(crew: Sequence[_Worker], *, at_once: bool) -> None:
    """End the workers: closing the line lets an idle one leave; one that is at work is stopped."""
    for worker in crew:
        worker.line.close()
        if at_once:
            worker.process.terminate()
    for worker in crew:
        worker.process.join(LEAVE_S)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
