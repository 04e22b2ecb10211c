"""What one section of a scenario demands of another.

The checks read the unvalidated mapping, and skip what cannot be read there: so they still speak when other fields are
wrong, and all problems are shown together. Each yields the key path at fault and a sentence.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias, TypeVar, cast, get_args

from devices.backends import on_backend
from devices.catalog import extended, find
from devices.profile import Backend, figures_of_training
from simulator.scenario.access import access_findings
from simulator.scenario.algorithms import ALGORITHMS
from simulator.scenario.data import data_findings
from simulator.scenario.errors import KeyPath, path_text
from simulator.scenario.fields import DIGITS, Section, betas, one_of, quantity, share, to_number, to_text, to_whole
from simulator.scenario.fields import targets as to_targets
from simulator.scenario.groups import apportion
from simulator.scenario.model import Lora, Model, Training
from simulator.scenario.paths import HUB_NAME, MODELS, find_path, resolve_model
from simulator.scenario.tree import Raw
from simulator.scenario.units import DURATION
from simulator.scenario.waiting import waiting_findings
from simulator.scenario.words import unknown
from simulator.workload import TARGETS_OF, Outline, outline_of, shape_of, timed_targets

Unmet: TypeAlias = tuple[KeyPath, str]

SUM_TOLERANCE: Final = 1e-6
PARTIES: Final = ("server", "aggregator", "backhaul")  # names that messages use for somebody else

T = TypeVar("T")


class Lenient:
    """Reads values by path; None where a value is absent or wrong by itself (validation says so)."""

    def __init__(self, raw: Raw) -> None:
        self.raw = raw

    def at(self, *path: str | int) -> Raw:
        """What stands there, unread."""
        value = self.raw
        for part in path:
            if isinstance(value, dict) and isinstance(part, str):
                value = value.get(part)
            elif isinstance(value, list) and isinstance(part, int):
                value = value[part]
            else:
                return None
        return value

    def read(self, read: Callable[[object], T], *path: str | int, default: T | None = None) -> T | None:
        """What stands there, read; the default where nothing does."""
        value = self.at(*path)
        if value is None:
            return default
        try:
            return read(value)
        except ValueError:
            return None

    def names(self, *path: str | int) -> list[str]:
        """The keys of a mapping."""
        value = self.at(*path)
        return list(value) if isinstance(value, dict) else []

    @property
    def groups(self) -> range:
        """The numbers of the device groups."""
        devices = self.at("devices")
        return range(len(devices) if isinstance(devices, list) else 0)


def findings(raw: Raw, base_folder: Path) -> Iterator[Unmet]:
    """Everything that one section demands of another, and that does not hold."""
    scenario = Lenient(raw)
    yield from _model_bounds(scenario, base_folder)
    yield from _optimizer(scenario)
    yield from _links(scenario)
    yield from access_findings(scenario, base_folder)
    yield from _availability(scenario)
    counts = [count for count in _counts(scenario) if count is not None]
    yield from waiting_findings(scenario, sum(counts) if len(counts) == len(scenario.groups) else None)
    yield from _group_names(scenario)
    yield from _cell_names(scenario)
    yield from _machines(scenario, base_folder)
    yield from _of_algorithms(scenario)
    yield from _fleet(scenario)
    yield from data_findings(scenario, base_folder)


def _default(section: type[Section], field: str) -> int:
    default = section.model_fields[field].default
    assert isinstance(default, int), f"{field} has no whole number as its default"
    return default


def _model_bounds(scenario: Lenient, base_folder: Path) -> Iterator[Unmet]:
    """Splits, ranks and sequences that the model does not have room for; nothing for a model of the hub."""

    def resolved(value: object) -> str:
        return resolve_model(to_text(value), base_folder)

    name = scenario.read(resolved, "model", "name", default=str(Model.model_fields["name"].default))
    timed_as = scenario.read(to_text, "model", "timed_as")
    if name is None:
        return
    if name not in MODELS and HUB_NAME.fullmatch(name):
        if timed_as is None:
            yield ("model", "timed_as"), f"missing: {name} is not looked up here, so say as which model it is timed"
        return
    model = outline_of(name)
    yield from _costs(scenario, name, model, timed_as)
    yield from _targets(scenario, name, model)
    blocks, width, positions = model.num_blocks, model.width, model.num_positions
    splits = _everywhere(scenario, ("model", "split"), _default(Model, "split"))
    ranks = _everywhere(scenario, ("lora", "rank"), _default(Lora, "rank"))
    tokens: dict[KeyPath, int | None] = {("training", "tokens"): _default(Training, "tokens")}
    yield from _within(scenario, splits, f"0..{blocks} for {name} ({blocks} blocks)", blocks)
    yield from _within(scenario, ranks, f"1..{width} for {name} (width {width})", width)
    yield from _within(scenario, tokens, f"2..{positions} for {name} ({positions} positions)", positions)


def _costs(scenario: Lenient, name: str, model: Outline, timed_as: str | None) -> Iterator[Unmet]:
    """A model whose costs are not known, or timed as one of another depth."""
    if timed_as is None and model.family != "gpt2":
        known = ", ".join(each for each in MODELS if outline_of(each).num_blocks == model.num_blocks)
        yield (
            ("model", "timed_as"),
            f"missing: what a {model.family} model costs is not known here, so say as which model {name} is timed "
            f"(of {model.num_blocks} blocks: {known or 'none'})",
        )
    if timed_as in MODELS and shape_of(timed_as).num_blocks != model.num_blocks:
        yield (
            ("model", "timed_as"),
            f"must have as many blocks as the trained model, so that a split means the same: "
            f"{timed_as} has {shape_of(timed_as).num_blocks}, {name} has {model.num_blocks}"
            f"{f'; null times {name} as itself' if name in MODELS else ''}",
        )


def _targets(scenario: Lenient, name: str, model: Outline) -> Iterator[Unmet]:
    """LoRA targets that the model's family does not have, or whose cost is not known."""
    targets = scenario.read(to_targets, "lora", "targets", default=Lora.model_fields["targets"].default)
    if targets is None:
        return
    allowed = TARGETS_OF[model.family]
    for target in targets:
        if target not in allowed:
            text = f"{target!r} is in no block of {name}, a {model.family} model (allowed: {', '.join(allowed)})"
            yield ("lora", "targets"), text
            return
    try:
        timed_targets(targets)
    except ValueError as error:
        yield ("lora", "targets"), str(error)


def _optimizer(scenario: Lenient) -> Iterator[Unmet]:
    """Settings of the other optimizer, which would silently do nothing, and a warm-up that never ends."""
    rule = scenario.read(to_text, "training", "optimizer", default="adamw")
    readers: dict[str, tuple[Callable[[object], object], str]] = {
        "betas": (betas, "adamw"),
        "epsilon": (to_number, "adamw"),
        "momentum": (share, "sgd"),
    }
    for key, (read, owner) in readers.items():
        default = Training.model_fields[key].default
        value = scenario.read(read, "training", key, default=default)
        if value is not None and value != default and rule in {"adamw", "sgd"} and rule != owner:
            yield ("training", key), f"is read only by {owner}; the optimizer is {rule}"
    rounds = scenario.read(to_whole, "training", "rounds", default=_default(Training, "rounds"))
    warmup = scenario.read(to_whole, "training", "warmup", default=0)
    if rounds is not None and warmup is not None and warmup >= rounds >= 1:
        yield ("training", "warmup"), f"must be below the {rounds} rounds, got {warmup}"


def _everywhere(scenario: Lenient, path: KeyPath, default: int) -> dict[KeyPath, int | None]:
    """A setting with its default, and where groups of devices may set something else."""
    return {path: default} | {("devices", i, path[-1]): None for i in scenario.groups}


def _within(scenario: Lenient, defaults: Mapping[KeyPath, int | None], allowed: str, high: int) -> Iterator[Unmet]:
    """Whole numbers above ``high``; those that are too low are refused by themselves."""
    for path, default in defaults.items():
        value = scenario.read(to_whole, *path, default=default)
        if value is not None and value > high:
            yield path, f"must be in {allowed}, got {value}"


def _links(scenario: Lenient) -> Iterator[Unmet]:
    """Access classes and cells that the network does not have."""
    if not isinstance(scenario.at("network"), dict):
        return
    for i in scenario.groups:
        for key, what, table in (("access", "access class", "access"), ("cell", "cell", "cells")):
            name = scenario.read(to_text, "devices", i, key)
            names = scenario.names("network", table)
            if name is not None and name not in names and (names or key == "cell"):
                yield ("devices", i, key), unknown(what, name, names)


def _availability(scenario: Lenient) -> Iterator[Unmet]:
    """Classes of availability that there are not."""
    names = scenario.names("availability")
    for i in scenario.groups:
        name = scenario.read(to_text, "devices", i, "availability")
        if name is not None and name not in names:
            yield ("devices", i, "availability"), unknown("class of availability", name, names)


def unused(before: Raw, after: Raw) -> Iterator[Unmet]:
    """Links that overrides have added and no group uses: a slip of the pen in ``network.cells.LTE.capacity=...``.

    Left alone it would change nothing, and its author would conclude that a better cell does not help.
    """
    old, new = Lenient(before), Lenient(after)
    for key, what, table in (("access", "access class", "access"), ("cell", "cell", "cells")):
        used = {new.read(to_text, "devices", i, key) for i in new.groups}
        for name in new.names("network", table):
            if name not in old.names("network", table) and name not in used:
                yield ("network", table, name), unknown(what, name, old.names("network", table))
    kept, used = old.names("availability"), {new.read(to_text, "devices", i, "availability") for i in new.groups}
    for name in new.names("availability"):
        if name not in kept and name not in used:
            yield ("availability", name), unknown("class of availability", name, kept)


def _machines(scenario: Lenient, base_folder: Path) -> Iterator[Unmet]:
    """Processors that a group's device lacks, and figures that any run needs and nobody knows."""
    name = scenario.read(to_text, "device_catalog")
    own = None if name is None else find_path(name, base_folder)
    places: list[KeyPath] = [("devices", i) for i in scenario.groups]
    for place in [*places, ("server",), ("aggregator",)]:
        profile = scenario.read(to_text, *place, "profile")
        try:
            device = None if profile is None else find(profile, None if own is None else extended(own))
        except ValueError:  # told by itself
            device = None
        if device is None:
            continue
        backend = scenario.read(one_of("backend", get_args(Backend)), *place, "backend", default=device.backend)
        try:
            device = on_backend(device, cast(Backend, backend))
        except ValueError as error:
            yield (*place, "backend"), str(error)
            continue
        needed = ("memory_bandwidth_bytes_per_s",) if place == ("aggregator",) else figures_of_training(device)
        missing = [figure for figure in needed if getattr(device, figure) is None]
        if missing:
            yield (*place, "profile"), device.unknown(*missing)


def _of_algorithms(scenario: Lenient) -> Iterator[Unmet]:
    """Settings that the scenario's algorithm does not read, or cannot do."""
    algorithm = scenario.read(to_text, "algorithm", default="splitlora")
    window_s = scenario.read(quantity(DURATION), "server", "window", default=0.0)
    queue = scenario.read(to_text, "server", "queue", default="fifo")
    steps = scenario.read(to_text, "training", "server_steps", default="one")
    for path, of, unset in (
        (("server", "queue"), "splitlora-queued", queue in (None, "fifo")),
        (("server", "window"), "splitlora-queued", not window_s),
        (("training", "server_steps"), "splitlora", steps in (None, "one")),
    ):
        if not unset and algorithm != of:
            yield path, f"is read only with algorithm: {of}"
    rounds = scenario.read(to_whole, "training", "rounds", default=_default(Training, "rounds"))
    every = scenario.read(to_whole, "training", "aggregate_every", default=_default(Training, "aggregate_every"))
    copies = algorithm is not None and algorithm in ALGORITHMS and ALGORITHMS[algorithm].copies
    if copies and rounds and every and every > rounds:
        text = f"must be at most training.rounds, {rounds}, with algorithm: {algorithm}, got {every}"
        yield ("training", "aggregate_every"), f"{text}: every device would train a copy that is never averaged"
    if algorithm == "centralized" and scenario.read(to_whole, "training", "participants") is not None:
        yield ("training", "participants"), "must be null with algorithm: centralized, which collects everybody's data"


def _group_names(scenario: Lenient) -> Iterator[Unmet]:
    """Names given twice, and names that some device of another group gets."""
    names = [scenario.read(to_text, "devices", i, "name") for i in scenario.groups]
    counts = _counts(scenario)
    by_name = {name: count for name, count in zip(names, counts, strict=True) if name is not None}
    first: dict[str, int] = {}
    for i, name in enumerate(names):
        if name is None:
            continue
        if name in PARTIES:
            yield ("devices", i, "name"), f"must not be {name!r}, which is the name of another party"
        elif first.setdefault(name, i) != i:
            yield ("devices", i, "name"), f"the name {name!r} is used twice (also by devices[{first[name]}])"
        elif counts[i] == 1 and (group := _member_of(name, by_name, padded=True)):
            yield ("devices", i, "name"), f"{name!r} is also the name of one of the {by_name[group]} of {group!r}"


def _cell_names(scenario: Lenient) -> Iterator[Unmet]:
    """Names of cells that one of several equal cells gets."""
    names = scenario.names("network", "cells")
    by_name = {name: scenario.read(to_whole, "network", "cells", name, "count", default=1) for name in names}
    for name, count in by_name.items():
        if count == 1 and (kind := _member_of(name, by_name, padded=False)):
            yield (
                ("network", "cells", name),
                f"{name!r} is also the name of one of the {by_name[kind]} of {kind!r}",
            )


def _member_of(name: str, counts: Mapping[str, int | None], *, padded: bool) -> str | None:
    """The group of several things, called group-1, group-2, ..., of which one has that name; None where none has."""
    group, _, number = name.rpartition("-")
    count = counts.get(group)
    if count is None or count < 2 or not DIGITS.fullmatch(number):
        return None
    width = len(str(count)) if padded else 1
    return group if 1 <= int(number) <= count and number == f"{int(number):0{width}d}" else None


def _counts(scenario: Lenient) -> list[int | None]:
    """The number of devices of each group; None where it cannot be known."""
    counts = [scenario.read(to_whole, "devices", i, "count") for i in scenario.groups]
    read = [scenario.read(share, "devices", i, "share") for i in scenario.groups]
    shares = [part for part in read if part is not None]
    total = scenario.read(to_whole, "num_devices")
    if total is None or total < 1 or len(shares) < len(read) or sum(shares) == 0:
        return counts
    return [*apportion(shares, total)]


def _fleet(scenario: Lenient) -> Iterator[Unmet]:
    """Counts and shares: one of the two for all groups, and shares of a known number that sum to a whole."""
    shared = [i for i in scenario.groups if scenario.at("devices", i, "share") is not None]
    counted = [i for i in scenario.groups if scenario.at("devices", i, "count") is not None]
    for i in scenario.groups:
        if i in shared and i in counted:
            yield ("devices", i, "share"), "a group has a count or a share, not both"
        elif i not in shared and i not in counted and isinstance(scenario.at("devices", i), dict):
            yield ("devices", i, "count"), "missing: the number of devices (or a share of num_devices)"
        elif i in shared and counted:
            yield ("devices", i, "share"), f"all groups have a count or all have a share; {_first(counted)} has a count"
    total = scenario.at("num_devices")
    if total is not None and counted and not shared:
        yield ("num_devices",), "is read only with shares, and these groups have counts; set devices[i].count"
    if shared and total is None and not counted:
        yield ("num_devices",), f"missing: {_first(shared)} has a share, so the size of the fleet is needed"
    if shared and not counted:
        yield from _shares(scenario)


def _shares(scenario: Lenient) -> Iterator[Unmet]:
    read = [scenario.read(share, "devices", i, "share") for i in scenario.groups]
    shares = [part for part in read if part is not None]
    if len(shares) < len(read):
        return
    if abs(sum(shares) - 1) > SUM_TOLERANCE:
        yield ("devices",), f"the shares must sum to 100 %, got {100 * sum(shares):.9g} %"
        return
    for i, count in enumerate(_counts(scenario)):
        if count == 0:
            text = f"{100 * shares[i]:.9g} % of {scenario.read(to_whole, 'num_devices')} devices"
            yield ("devices", i, "share"), f"{text} is not one whole device"


def _first(groups: list[int]) -> str:
    return path_text(("devices", groups[0]))
