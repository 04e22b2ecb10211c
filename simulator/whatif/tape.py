"""What a scenario trains, apart from how long that takes, and the tape of a run that trains it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from simulator import world
from simulator.fitting import placements
from simulator.fleet import Fleet
from simulator.numerics import Numerics
from simulator.numerics.tape import MOST_BYTES, Recording, Replay, Tape
from simulator.scenario import Scenario
from simulator.versions import trainers
from simulator.workload import shape_of

_TIMES_ONLY: Final = frozenset(
    {"name", "study", "horizon", "energy", "on_oom", "memory", "device_catalog", "link_catalog", "num_devices",
     "network", "availability", "starts_at", "server", "aggregator", "model.timed_as", "model.split",
     "training.timeout", "training.wait", "training.deadline", "training.first", "training.export"}
)  # fmt: skip
"""Keys that decide when something happens and what it costs, or what is kept; whatever is not here may decide about
what is trained. Some do so through the schedule (a deadline drops somebody): that is found when a tape is replayed. The
split is where the devices' adapters end (`devices` of `training_settings`), except for algorithms with whole copies."""

_WHOLE_BYTES: Final = 64 << 20
_SAMPLE_BYTES: Final = 1 << 20


def training_settings(scenario: Scenario) -> dict[str, Any]:
    """Everything that decides what is trained under a given schedule, by key; of files and folders the content's hash.

    ``devices`` has, for each kind of device in the order of the fleet, how many blocks have adapters of its own, their
    rank, and how many such devices there are: what they are called, how fast they are and which group they belong to
    decides about times only. Raises ValueError as `simulator.fitting.placements` does.
    """
    found = dict(_flat(scenario.model_dump(mode="json", by_alias=True, exclude={"devices"})))
    settings = {key: _content(value) for key, value in found.items() if not _only_times(key)}
    return {**settings, "devices": _kinds(scenario)}


def training_key(scenario: Scenario) -> str:
    """One hash over `training_settings`: equal where the same is trained under the same schedule."""
    text = json.dumps(training_settings(scenario), sort_keys=True)
    return blake2b(text.encode(), digest_size=16).hexdigest()


class Recorder:
    """A `world.Learner` that trains for real and keeps the tape; for one run."""

    def __init__(self, learner: world.Learner = world.trained) -> None:
        """``learner`` makes the numerics that are recorded."""
        self._learner = learner
        self._recording: Recording | None = None

    def __call__(
        self, scenario: Scenario, everybody: Fleet, phase: Callable[[str], None]
    ) -> tuple[Numerics, Sequence[float]]:
        """The numerics of a run, with a recording before them."""
        numerics, weights = self._learner(scenario, everybody, phase)
        self._recording = Recording(
            numerics, training_key(scenario), weights, tokens=_tokens(scenario), made_by=trainers()
        )
        return self._recording, weights

    @property
    def tape(self) -> Tape:
        """What the run has computed."""
        assert self._recording is not None, "a run has begun"
        return self._recording.tape


def replayed(tape: Tape) -> world.Learner:
    """A `world.Learner` that replays a tape; see `simulator.whatif.retime`."""

    def learner(scenario: Scenario, everybody: Fleet, phase: Callable[[str], None]) -> tuple[Numerics, Sequence[float]]:
        phase("replaying the tape")
        numerics = Replay(
            tape,
            sequences=scenario.training.batch,
            tokens=_tokens(scenario),
            name=lambda index: everybody.place(index)[0],
        )
        return numerics, tape.weights

    return learner


def read_tape(path: Path) -> Tape:
    """The tape in a file. Raises ValueError for what is not a whole, unchanged tape of this version."""
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{path} is too large for a tape: at most {MOST_BYTES:,} bytes")
    try:
        return Tape.from_bytes(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} {error}") from None


def made_elsewhere(tape: Tape) -> str | None:
    """One sentence on who has recorded a tape, where that was other code or another torch than today's."""
    here = trainers()
    return None if tape.made_by == here else f"with {tape.made_by}; here is {here}: losses are those of the recording"


def _tokens(scenario: Scenario) -> int | None:
    """Positions per sequence of every batch; None where they depend on the data."""
    return None if scenario.data.padding == "longest" else scenario.training.tokens


def _kinds(scenario: Scenario) -> list[list[int]]:
    """Blocks with own adapters, rank and number of the devices, as they are placed; neighbours of one kind together."""
    blocks = shape_of(scenario.timed_model).num_blocks
    kinds: list[list[int]] = []
    for place in placements(scenario):
        if place.split is None:
            continue
        kind = [scenario.traits.trained_split(place.split, blocks), place.group.rank]
        if kinds and kinds[-1][:2] == kind:
            kinds[-1][2] += place.group.count
        else:
            kinds.append([*kind, place.group.count])
    return kinds


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _only_times(key: str) -> bool:
    parts = key.split(".")
    return any(".".join(parts[:length]) in _TIMES_ONLY for length in range(1, len(parts) + 1))


def _content(value: object) -> object:
    """The value; in place of an existing file or folder (loading made paths absolute) the hash of what is in it."""
    if isinstance(value, str) and value.startswith("/") and Path(value).exists():
        return _digest(Path(value))
    return value


def _digest(path: Path) -> str:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    names = [(str(file.relative_to(path)), file) for file in files if file.is_file()]
    digests = [f"{name} {_digest_file(file, file.stat().st_size, file.stat().st_mtime_ns)}" for name, file in names]
    return blake2b("\n".join(digests).encode(), digest_size=16).hexdigest()


@lru_cache(maxsize=4096)
def _digest_file(path: Path, size_bytes: int, changed_ns: int) -> str:
    """Hash of a file as it was changed last; above 64 MiB, as for a model's weights, of its length and 64 parts."""
    digest = blake2b(str(size_bytes).encode(), digest_size=16)
    with path.open("rb") as file:
        if size_bytes <= _WHOLE_BYTES:
            digest.update(file.read())
        else:
            steps = _WHOLE_BYTES // _SAMPLE_BYTES
            for step in range(steps):
                file.seek((size_bytes - _SAMPLE_BYTES) * step // (steps - 1))
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()
