"""Pydantic's errors as our sentences: key path, what was given, what is allowed, a guess."""

import types
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Final, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from simulator.scenario.errors import KeyPath
from simulator.scenario.words import guess, show, unknown

KEY_MARK: Final = "[key]"  # pydantic's last step to the key, rather than the value, of a mapping
NOT_A_MAPPING: Final = frozenset({"model_type", "model_attributes_type", "dict_type", "mapping_type"})
MISSING: Final = "missing: "  # how the sentence begins that asks for a key
NOT_A_LIST: Final = frozenset({"tuple_type", "list_type"})


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong at a key path; ``at_key`` says that the key itself is, rather than its value."""

    path: KeyPath
    message: str
    at_key: bool = False
    meant: KeyPath | None = None  # of an unknown key: where the one stands that was probably meant


def explain(error: ValidationError, root: type[BaseModel]) -> Iterator[Finding]:
    """One finding for each of pydantic's errors."""
    for details in error.errors(include_url=False):
        path = details["loc"]
        at_key = details["type"] == "extra_forbidden" or path[-1:] == (KEY_MARK,)
        path = path[:-1] if path[-1:] == (KEY_MARK,) else path
        near = guess(str(path[-1]), _fields(root, path[:-1])) if details["type"] == "extra_forbidden" else None
        yield Finding(path, _sentence(details, path, root), at_key, None if near is None else (*path[:-1], near))


def told_once(findings: Iterable[Finding]) -> list[Finding]:
    """Without the key that is missing only because it is there with a misspelt name, which is told with the guess."""
    found = list(findings)
    meant = {each.meant for each in found}
    return [each for each in found if each.path not in meant or not each.message.startswith(MISSING)]


def _sentence(details: ErrorDetails, path: KeyPath, root: type[BaseModel]) -> str:
    kind, given = details["type"], show(details["input"])
    if kind == "value_error":
        return str(details["ctx"]["error"])
    if kind == "missing":
        return f"{MISSING}{_fields(root, path[:-1])[str(path[-1])].description}"
    sentences = {
        "extra_forbidden": unknown("key", str(path[-1]), _fields(root, path[:-1])),
        **dict.fromkeys(NOT_A_LIST, f"must be a list, got {given}"),
        **dict.fromkeys(NOT_A_MAPPING, f"must be a mapping{_with_keys(root, path)}, got {given}"),
    }
    return sentences.get(kind, details["msg"])


def _with_keys(root: type[BaseModel], path: KeyPath) -> str:
    keys = ", ".join(_fields(root, path))
    return f" with the keys {keys}" if keys else ""


def _fields(root: type[BaseModel], path: KeyPath) -> dict[str, FieldInfo]:
    """The keys that the schema has at a path; none where names are free."""
    current: object = root
    for part in path:
        keys = keys_of(current)
        if part in keys:
            current = _bare(keys[str(part)].annotation)
        else:  # a table's values, a list's entries
            inner = [argument for argument in get_args(current) if argument is not ...]
            current = _bare(inner[-1]) if inner else None
    return keys_of(current)


def keys_of(section: object) -> dict[str, FieldInfo]:
    """The keys of a section as the file writes them; none for what is no section."""
    if not (isinstance(section, type) and issubclass(section, BaseModel)):
        return {}
    return {field.alias or name: field for name, field in section.model_fields.items()}


def _bare(annotation: object) -> object:
    """An annotation without ``Annotated`` and ``| None``."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (types.UnionType, typing.Union):
        return _bare(next(argument for argument in get_args(annotation) if argument is not type(None)))
    return annotation
