"""What a scenario as a whole must satisfy: names that exist, splits the model has, shares that sum.

The rules read the tree of words, not the finished model, so that their findings appear beside those of single values.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from devices.catalog import find
from simulator.scenario.errors import Path as KeyPath
from simulator.scenario.units import NUMBER, parse_share
from simulator.scenario.words import Word, show, unknown
from simulator.workload import SHAPES, ModelShape, shape_of

Finding = tuple[KeyPath, str]
MODELS: Final = ("mini", *SHAPES)


class Words:
    """Lenient access to the tree: None for what is absent or is not what one looks for."""

    def __init__(self, root: dict[str, Any]) -> None:
        """Wrap the top level."""
        self.root = root

    def get(self, *path: str | int) -> Any:  # noqa: ANN401 -- whatever stands there
        """The value at a path."""
        at: Any = self.root
        for part in path:
            if isinstance(at, dict):
                at = at.get(str(part))
            elif isinstance(at, list) and isinstance(part, int) and part < len(at):
                at = at[part]
            else:
                return None
        return at

    def text(self, *path: str | int) -> str | None:
        """A scalar's text."""
        value = self.get(*path)
        return str(value) if isinstance(value, str) else None

    def whole(self, *path: str | int) -> int | None:
        """A whole number."""
        text = self.text(*path)
        if text is None or not NUMBER.fullmatch(text):
            return None
        number = float(text)
        return int(number) if number.is_integer() else None

    def keys(self, *path: str | int) -> list[str]:
        """The keys of a mapping."""
        value = self.get(*path)
        return list(value) if isinstance(value, dict) else []

    def groups(self) -> list[int]:
        """Indices of the device groups that are mappings."""
        devices = self.get("devices")
        return (
            [index for index, group in enumerate(devices) if isinstance(group, dict)]
            if isinstance(devices, list)
            else []
        )


def findings(root: dict[str, Any]) -> Iterator[Finding]:
    """Everything that is wrong with the scenario as a whole."""
    words = Words(root)
    yield from _check_model(words)
    yield from _check_lora(words)
    yield from _check_groups(words)
    yield from _check_counts(words)
    yield from _check_pairs(words)
    yield from _check_data(words)
    for section in ("server", "aggregator"):
        if name := words.text(section, "profile"):
            yield from _check_profile((section, "profile"), name)


def _shape(words: Words) -> ModelShape | None:
    """The shape of the model that is split; None where it cannot be known here."""
    try:
        return shape_of(words.text("model", "name") or "mini")
    except ValueError:
        return None


def _check_model(words: Words) -> Iterator[Finding]:
    name, timed_as = words.text("model", "name") or "mini", words.text("model", "timed_as")
    shape = _shape(words)
    if shape is None:
        if Path(name).is_dir() or timed_as is None:
            try:
                shape_of(name)
            except ValueError as error:
                reason = str(error) if Path(name).is_dir() else unknown("model", name, MODELS)
                more = "" if Path(name).is_dir() else "; or a local folder; another hub name needs timed_as"
                yield ("model", "name"), reason + more
        return
    if timed_as in MODELS and (timed := shape_of(timed_as)).num_blocks != shape.num_blocks:
        yield (
            ("model", "timed_as"),
            f"must have as many blocks as the model, or split points would not mean the same: "
            f"{timed_as} has {timed.num_blocks}, {name} has {shape.num_blocks}",
        )
    for path in [("model", "split"), *(("devices", index, "split") for index in words.groups())]:
        split = words.whole(*path)
        if split is not None and split > shape.num_blocks:
            blocks = shape.num_blocks
            yield path, f"must be in 0..{blocks} for {name} ({blocks} blocks), got {split}"
    tokens = words.whole("training", "tokens")
    if tokens is not None and tokens > shape.num_positions:
        yield ("training", "tokens"), f"must be in 2..{shape.num_positions} (the positions of {name}), got {tokens}"


def _check_lora(words: Words) -> Iterator[Finding]:
    targets = words.get("lora", "targets")
    if isinstance(targets, list) and sorted(map(str, targets)) not in (["c_attn"], ["q", "v"]):
        yield ("lora", "targets"), f"must be [c_attn] or [q, v], got [{', '.join(map(str, targets))}]"
    shape = _shape(words)
    if shape is None:
        return
    for path in [("lora", "rank"), *(("devices", index, "rank") for index in words.groups())]:
        rank = words.whole(*path)
        if rank is not None and rank > shape.width:
            yield path, f"must be in 1..{shape.width} (the width of {shape.name}), got {rank}"


def _check_groups(words: Words) -> Iterator[Finding]:
    devices = words.get("devices")
    if isinstance(devices, list) and not devices:
        yield ("devices",), "must name at least one group of devices, got an empty list"
    seen: dict[str, int] = {}
    for index in words.groups():
        place: KeyPath = ("devices", index)
        name, profile = words.text(*place, "name"), words.text(*place, "profile")
        if profile:
            yield from _check_profile((*place, "profile"), profile)
        if name and name in seen:
            yield (*place, "name"), f"the name {name!r} is already that of devices[{seen[name]}]"
        seen.setdefault(name or "", index)
        for key, table in (("access", "access"), ("cell", "cells")):
            wanted, known = words.text(*place, key), words.keys("network", table)
            if wanted and wanted not in known:
                what = "access class" if key == "access" else "cell"
                yield (*place, key), unknown(what, wanted, known)
    reserved = {"server", "aggregator"} & {name for name in seen if name}
    for name in reserved:
        yield ("devices", seen[name], "name"), f"must not be {name!r}, which is another party's name"


def _check_profile(path: KeyPath, name: str) -> Iterator[Finding]:
    try:
        find(name)
    except ValueError as error:
        yield path, str(error)


def _check_counts(words: Words) -> Iterator[Finding]:
    """Either every group has a count, or every group has a share of num_devices."""
    groups = words.groups()
    counted = [index for index in groups if words.get("devices", index, "count") is not None]
    shared = [index for index in groups if words.get("devices", index, "share") is not None]
    for index in groups:
        if index in counted and index in shared:
            yield ("devices", index), "give count or share, not both"
        elif index not in counted and index not in shared:
            yield ("devices", index), "needs count (a number) or share (of num_devices)"
    total = words.get("num_devices")
    if shared and counted:
        yield ("devices",), "every group needs count, or every group share; here they are mixed"
    elif shared and total is None:
        yield ("devices",), "shares need num_devices, the size of the fleet"
    elif total is not None and counted:
        yield ("num_devices",), "goes with share in the groups; with count, leave it out"
    if shared and not counted:
        yield from _check_shares(words, shared)


def _check_shares(words: Words, groups: list[int]) -> Iterator[Finding]:
    shares = []
    for index in groups:
        try:
            shares.append(parse_share(words.text("devices", index, "share") or ""))
        except ValueError:
            return
    if abs(sum(shares) - 1) > 1e-6:
        listed = " + ".join(f"{100 * share:g}" for share in shares)
        yield ("devices",), f"shares must sum to 100 %, got {listed} = {100 * sum(shares):g} %"
    total = words.whole("num_devices")
    if total is not None and 0 < total < len(groups):
        yield ("num_devices",), f"must be at least the number of groups ({len(groups)}), got {total}"


def _check_pairs(words: Words) -> Iterator[Finding]:
    places: list[KeyPath] = [("network", "cells", name) for name in words.keys("network", "cells")]
    places += [("network", key) for key in ("backhaul", "server", "aggregator")]
    for place in places:
        value = words.get(*place)
        if not isinstance(value, dict):
            continue
        both = value.get("up") is not None and value.get("down") is not None
        one = value.get("up") is not None or value.get("down") is not None
        if value.get("capacity") is not None and one:
            yield place, "give capacity (both directions) or up and down, not both forms"
        elif value.get("capacity") is None and not both:
            yield place, "needs capacity (both directions), or up and down"
    if isinstance(access := words.get("network", "access"), dict) and not access:
        yield ("network", "access"), "must name at least one class of device links"


def _check_data(words: Words) -> Iterator[Finding]:
    source, path = words.text("data", "source"), words.text("data", "path")
    if source == "e2e" and path is None:
        yield ("data", "source"), "e2e needs data.path, a folder with the train and valid files"
    for key in ("path", "validation_path"):
        name = words.text("data", key)
        if name is not None and not Path(name).exists():
            yield ("data", key), f"no such file or folder: {show(str(Path(name)))}"


def anchor_paths(root: dict[str, Any], base: Path) -> None:
    """Make paths absolute: relative to the scenario's folder where they exist there, else to the working directory."""
    for section, key in (("data", "path"), ("data", "validation_path"), ("model", "name"), ("model", "tokenizer")):
        table = root.get(section)
        if not isinstance(table, dict):
            continue
        name = table.get(key)
        if not isinstance(name, str) or not name or (key == "name" and name in MODELS):
            continue
        for candidate in (base / name, Path(name)):
            if candidate.exists():
                table[key] = Word(candidate.resolve())
                break
