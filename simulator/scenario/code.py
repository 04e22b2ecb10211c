"""Python files that a scenario names: an algorithm or a selection of one's own. They are read here, and never run.

Running such a file is running a program, which a scenario from elsewhere must not do unasked. So it takes permission,
given by `allowed` around the loading of a scenario, and whoever gives it is told of every file and its hash. Without
permission a scenario is loaded all the same, and can be looked at; what would run the file refuses.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Final, get_args

from pydantic import ValidationInfo

from simulator.scenario.algorithms import Holder, Traits
from simulator.scenario.fields import Validator, existing_path, one_of, to_text
from simulator.scenario.words import guess, show

SUFFIX: Final = ".py"
Tell = Callable[[str], None]

_tell: ContextVar[Tell | None] = ContextVar("who is told of code that runs", default=None)


@contextmanager
def allowed(tell: Tell) -> Iterator[None]:
    """Within it a scenario that is loaded may run its files; ``tell`` gets one line for each, before it runs."""
    told: set[str] = set()

    def once(line: str) -> None:
        if line not in told:
            told.add(line)
            tell(line)

    token = _tell.set(once)
    try:
        yield
    finally:
        _tell.reset(token)


def permitted(files: list[Path]) -> Mapping[str, str]:
    """The SHA-256 of each file, by its path, once somebody has been told; nothing without permission."""
    tell = _tell.get()
    if tell is None:
        return {}
    hashes = {str(path): sha256(path.read_bytes()).hexdigest() for path in files}
    for path, digest in hashes.items():
        tell(f"may run the code of {path} (SHA-256 {digest[:16]}...)")
    return hashes


def is_file(name: str) -> bool:
    """True for what names a Python file, false for what names a choice of ours."""
    return name.endswith(SUFFIX)


def name_or_file(what: str, names: tuple[str, ...], function: str) -> Callable[[object, ValidationInfo], str]:
    """A reader of one of some words, or of a Python file with that function, which becomes an absolute path."""

    def validate(value: object, info: ValidationInfo) -> str:
        text = to_text(value)
        if not is_file(text):
            read: Validator[str] = one_of(what, names)
            return read(text)
        path = existing_path(text, info)
        _defined(Path(path), function)
        return path

    return validate


def traits_of(path: Path) -> Traits:
    """What an algorithm's file says of itself in its constants HOLDER and COPIES; those of a split where it does not.

    Raises ValueError for anything but ``HOLDER = "both"``, ``"device"`` or ``"server"`` and ``COPIES = True`` or False.
    """
    allowed_values: dict[str, tuple[object, ...]] = {"HOLDER": get_args(Holder), "COPIES": (True, False)}
    found: dict[str, object] = {}
    for node in _parsed(path, path.stat().st_mtime_ns).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        name = target.id if isinstance(target, ast.Name) else ""
        if name in allowed_values and isinstance(node, ast.Assign | ast.AnnAssign):
            value = node.value.value if isinstance(node.value, ast.Constant) else None
            if value not in allowed_values[name]:
                choices = ", ".join(map(repr, allowed_values[name]))
                raise ValueError(f"{path}:{node.lineno}: {name} must be one of {choices}, written out")
            found[name.lower()] = value
    return Traits(f"the algorithm of {path.name}", **found)  # type: ignore[arg-type]  # checked above


def _defined(path: Path, function: str) -> None:
    """Refuse a file without that function, read and not run."""
    names: list[str] = []
    for node in _parsed(path, path.stat().st_mtime_ns).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.append(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names += [alias.asname or alias.name for alias in node.names]
        elif isinstance(node, ast.Assign):
            names += [target.id for target in node.targets if isinstance(target, ast.Name)]
    if function not in names:
        meant = guess(function, names)
        raise ValueError(f"{path} has no function {function!r}{f'; did you mean {meant!r}?' if meant else ''}")


@lru_cache(maxsize=64)
def _parsed(path: Path, changed_ns: int) -> ast.Module:
    """The file's syntax; ``changed_ns`` is when it was changed, so that an edited file is read anew."""
    try:
        return ast.parse(path.read_bytes(), str(path))
    except SyntaxError as error:
        raise ValueError(f"{path}:{error.lineno}: {error.msg}") from None
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{show(str(path))} cannot be read: {error}") from None
