"""Examples from files: E2E (Novikova et al., SIGDIAL 2017) in its four forms, JSON lines of any fields, plain text.

A file is read whole. Raises ValueError, with file and line, for a line that is of no known form, and for a file
without a usable line.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeVar

from simulator.scenario.words import unknown
from simulator.sequences import Encoded, Example, Passage, parse
from simulator.training.files import listing, part_of, read_text
from simulator.training.plan import Fields

Sample = Example | Passage | Encoded

T = TypeVar("T")

E2E_SUFFIXES: Final = (".txt", ".csv", ".jsonl", ".txt.gz", ".csv.gz", ".jsonl.gz")
TEXT_SUFFIXES: Final = (".txt", ".txt.gz")
JSONL_SUFFIXES: Final = (".jsonl", ".jsonl.gz")

PAIRS: Final = (("context", "completion"), ("mr", "ref"), ("meaning_representation", "human_reference"))
"""What the two halves of an E2E example are called: by SplitLoRA's and LoRA's code, the official CSV, the GEM copy."""

_MEANING: Final = re.compile(r"\s*([^\[\],]+)\[([^\]]*)\]\s*,?")
_ALIASES: Final = {"eatType": "type", "priceRange": "price", "familyFriendly": "family", "Type": "type"}
_BLANK: Final = re.compile(r"\n[^\S\n]*\n\s*")


def find(path: Path, part: str) -> Path:
    """The file of one part ("train" or "valid") in a folder of E2E files; a file stands for itself.

    In a folder, names beginning with ``part`` count (the official CSVs are called trainset and devset).
    """
    if not path.exists():
        raise ValueError(f"data path {path} does not exist")
    if path.is_file():
        return path
    found = part_of(path, part, E2E_SUFFIXES)
    if found is None:
        endings = ",".join(E2E_SUFFIXES)
        raise ValueError(f"{path} has no {part} file: looked for {part}*{{{endings}}}, found {listing(path)}")
    return found


def read(path: Path) -> list[Example | Encoded]:
    """All E2E examples of a file: lines ``slots||text``, a CSV with columns mr and ref, or JSON lines as in `PAIRS`.

    Slot names are brought to one spelling (eatType and Type become type, priceRange price, familyFriendly family).
    JSON lines may also hold token ids, as SplitLoRA's and LoRA's code encodes its files.
    """
    if ".csv" in path.suffixes[-2:]:
        return _some(path, _csv(path))
    return _some(path, _json_pairs(path) if ".jsonl" in path.suffixes[-2:] else _lines(path))


def read_text_file(path: Path) -> list[Passage]:
    """The paragraphs of a text file: what stands between blank lines is one example."""
    parts = _BLANK.split(read_text(path).replace("\r\n", "\n"))
    return _some(path, (Passage("", part.strip()) for part in parts if part.strip()))


def read_jsonl(path: Path, fields: Fields) -> list[Passage]:
    """One example a line: its prompt and its text are fields of an object; other texts and numbers there are slots."""
    return _some(path, (passage(entry, fields, f"{path}:{number}") for number, entry in _objects(path)))


def passage(entry: dict[str, object], fields: Fields, where: str) -> Passage:
    """An object as an example; ``where`` names it in a refusal."""
    prompt = "" if fields.prompt is None else _word(entry, fields.prompt, "data.prompt_field", where)
    text = _word(entry, fields.text, "data.text_field", where)
    if not text.strip():
        raise ValueError(f"{where}: the field {fields.text!r} is empty, so there is nothing to learn")
    used = {fields.prompt, fields.text}
    rest = ((key, str(value)) for key, value in entry.items() if key not in used and isinstance(value, str | int))
    return Passage(prompt, text, tuple(rest))


def _word(entry: dict[str, object], field: str, key: str, where: str) -> str:
    if field not in entry:
        raise ValueError(f"{where}: {key}: {unknown('field', field, [str(name) for name in entry])}")
    value = entry[field]
    if not isinstance(value, str):
        raise ValueError(f"{where}: the field {field!r} must be a text, got {json.dumps(value, default=str)[:60]}")
    return value


def _some(path: Path, examples: Iterator[T]) -> list[T]:
    try:
        found = list(examples)
    except csv.Error as error:
        raise ValueError(f"data file {path} cannot be read: {error}") from error
    if not found:
        raise ValueError(f"data file {path} has no usable line")
    return found


def _lines(path: Path) -> Iterator[Example]:
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        yield _spelled(_parsed(line, f"{path}:{number}"))


def _parsed(line: str, where: str) -> Example:
    try:
        example = parse(line)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    if not example.text:
        raise ValueError(f"{where}: there is no text behind the slots, so there is nothing to learn")
    return example


def _csv(path: Path) -> Iterator[Example]:
    rows = csv.DictReader(io.StringIO(read_text(path)))
    if not {"mr", "ref"} <= set(rows.fieldnames or ()):
        raise ValueError(f"{path}:1: a CSV of examples needs the columns mr and ref, got {rows.fieldnames}")
    for row in rows:
        yield _from_meaning(row["mr"] or "", row["ref"] or "", f"{path}:{rows.line_num}")


def _ids(values: list[object], where: str) -> tuple[int, ...]:
    ids = tuple(value for value in values if type(value) is int and value >= 0)
    if not ids or len(ids) < len(values):
        raise ValueError(f"{where}: a list of token ids must have whole numbers >= 0, got {str(values)[:60]}")
    return ids


def _json_pairs(path: Path) -> Iterator[Example | Encoded]:
    for number, entry in _objects(path):
        where = f"{path}:{number}"
        keys = next((pair for pair in PAIRS if set(pair) <= set(entry)), None)
        if keys is None:
            wanted = ", or ".join(f"{first} and {second}" for first, second in PAIRS)
            raise ValueError(f"{where}: a line of E2E needs the fields {wanted}; got {', '.join(entry) or 'none'}")
        meaning, text = (entry[key] for key in keys)
        if isinstance(meaning, list) and isinstance(text, list):
            yield Encoded(_ids(meaning, where), _ids(text, where))
        elif not isinstance(meaning, str) or not isinstance(text, str):
            raise ValueError(f"{where}: {keys[0]} and {keys[1]} must both be texts, or both lists of token ids")
        elif keys[0] == "context":
            yield _spelled(_parsed(f"{meaning}||{text}", where))
        else:
            yield _from_meaning(meaning, text, where)


def _from_meaning(meaning: str, text: str, where: str) -> Example:
    """An example of the official form ``name[X], food[Y]``."""
    slots = _MEANING.findall(meaning)
    if not slots or not text:
        raise ValueError(f"{where}: expected name[value], ... and a reference, got {meaning!r}")
    return _spelled(Example(tuple((key.strip(), value) for key, value in slots), text.strip()))


def _spelled(example: Example) -> Example:
    return Example(tuple((_ALIASES.get(key, key), value) for key, value in example.slots), example.text)


def _objects(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """The objects of a file of JSON lines, with their line numbers."""
    for number, line in enumerate(read_text(path).split("\n"), 1):  # a text may hold other line breaks
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            if "\\ud" in line.lower():  # the half of a pair is no text
                json.dumps(entry, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError(f"{path}:{number}: a \\u escape stands for half a character") from None
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}:{number}: not JSON: {error}") from error
        if not isinstance(entry, dict):
            raise ValueError(f"{path}:{number}: a line must be a JSON object, got {line.strip()[:60]}")
        yield number, entry
