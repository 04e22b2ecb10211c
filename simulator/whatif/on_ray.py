"""Cells on a Ray cluster: each is a task of its own, and one whose worker is lost is done again by another.

Ray is an optional dependency. A cluster of several machines needs splitwire on each of them, and the files that the
scenario names under the same paths; tapes travel by themselves.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import simulator
from simulator.failure import RunFailed
from simulator.whatif.cells import TRAINED, Failure, Outcome, Round, Task, work
from simulator.whatif.workers import Done, Heard, cores

RETRIES: Final = 3  # so often a cell is given to another worker when its own is lost
ANSWER_S: Final = 10.0  # seconds for a cluster to answer
AHEAD: Final = 4  # tasks for each processor that Ray holds at a time
LISTEN_S: Final = 1.0  # real seconds between two looks at how far the cells are that train


class OnRay:
    """Computes tasks on the Ray to which this process is connected; see `connected`."""

    def __init__(self, ray: Any, *, alone: bool) -> None:  # noqa: ANN401 -- a module that may not be there
        """``alone``: a task has all processors of its machine, as training wants; else one."""
        self._ray = ray
        machines = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
        sizes = [int(size) for size in machines if size >= 1]
        if not sizes:
            raise RunFailed("the Ray cluster has no machine with a processor")
        self._window = AHEAD * (len(sizes) if alone else sum(sizes))
        self._compute = ray.remote(max_retries=RETRIES, num_cpus=min(sizes) if alone else 1)(_compute)
        self._tapes: dict[str, Any] = {}

    def run(self, tasks: Sequence[Task], heard: Heard) -> Iterator[Done]:
        """Every task's outcome, as it comes."""
        ray = self._ray
        waiting, at_work = deque(tasks), dict[Any, Task]()
        trains = any(task.way == TRAINED for task in tasks)
        board = ray.remote(num_cpus=0)(_Board).remote() if trains else None
        try:
            while waiting or at_work:
                while waiting and len(at_work) < self._window:
                    task = waiting.popleft()
                    at_work[self._compute.remote(task, self._tape(task.tape), board)] = task
                ready, _ = ray.wait(list(at_work), num_returns=1, timeout=LISTEN_S if trains else None)
                for reference in ready:
                    yield at_work.pop(reference), self._outcome(reference)
                if trains:
                    rounds = self._rounds(board)
                    for task in at_work.values():
                        if task.key in rounds:
                            heard(task, rounds[task.key])
        finally:
            for reference in at_work:
                ray.cancel(reference, force=True)

    def _rounds(self, board: Any) -> dict[str, Round]:  # noqa: ANN401 -- as above
        """How far the cells are; nothing while the board cannot be asked."""
        try:
            rounds: dict[str, Round] = self._ray.get(board.rounds.remote(), timeout=LISTEN_S)
        except self._ray.exceptions.RayError:
            return {}
        return rounds

    def _outcome(self, reference: Any) -> Outcome:  # noqa: ANN401 -- as above
        try:
            outcome: Outcome = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            first = str(error).strip().partition("\n")[0]
            return Failure("failed", f"its Ray worker was lost {RETRIES + 1} times: {type(error).__name__}: {first}")
        return outcome

    def _tape(self, path: str | None) -> Any:  # noqa: ANN401 -- as above
        """A tape's content, brought to the cluster once."""
        if path is None:
            return None
        if path not in self._tapes:
            self._tapes[path] = self._ray.put(Path(path).read_bytes())
        return self._tapes[path]


class _Board:
    """An actor on which workers note how far they are; it lives as long as somebody holds it."""

    def __init__(self) -> None:
        self._rounds: dict[str, Round] = {}

    def note(self, key: str, round: Round) -> None:
        self._rounds[key] = round

    def rounds(self) -> dict[str, Round]:
        return self._rounds


def _compute(task: Task, tape: bytes | None, board: Any) -> Outcome:  # noqa: ANN401 -- as above
    """What a Ray worker does; it has the tape's content already, and waits for nobody to read the board."""
    return work(task, tape, None if board is None else lambda round: board.note.remote(task.key, round))


def _reach(address: str) -> None:
    """Find out at once, and quietly, whether anybody answers; Ray itself tries for two minutes and says a lot."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if address in {"auto", "local"}:
        return
    if not (host and colon and port.isdigit()):
        raise ValueError(f"--address must be HOST:PORT, ray://HOST:PORT or auto, got {address!r}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
    except OSError as error:
        raise RunFailed(f"no Ray cluster answers at {address}: {error.strerror or error}") from None


@contextmanager
def connected(address: str | None, jobs: int | None) -> Iterator[Any]:
    """Connect to a Ray cluster, or start a small one here for as long as this lasts (``address`` None).

    Raises ValueError where Ray is not installed, RunFailed where no cluster answers.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray  # noqa: PLC0415 -- optional, and takes a second
    except ImportError:
        raise ValueError("--on ray needs Ray: pip install 'splitwire[ray]'") from None
    if address is not None:
        _reach(address)
    sources = str(Path(simulator.__file__).parents[1])  # a checkout's, where it is not installed
    options: dict[str, Any] = {
        "runtime_env": {"env_vars": {"PYTHONPATH": os.pathsep.join([sources, os.environ.get("PYTHONPATH", "")])}},
        "log_to_driver": False,
        "logging_level": "ERROR",
    }
    if address is None:
        options |= {"num_cpus": jobs or cores(), "include_dashboard": False}
    try:
        ray.init(address=address or "local", **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise RunFailed(f"no Ray at {address or 'this machine'}: {' '.join(str(error).split())}") from error
    try:
        yield ray
    finally:
        ray.shutdown()
