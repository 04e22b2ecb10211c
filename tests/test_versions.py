"""Which code computes here."""

from __future__ import annotations

import os
import re
import shutil
from importlib import metadata
from pathlib import Path

import pytest

from simulator import versions
from simulator.versions import digest, trainers

ROOT = Path(__file__).parents[1]


@pytest.fixture
def code(tmp_path):
    """A copy of a folder of ours."""
    return shutil.copytree(ROOT / "simulator" / "numerics", tmp_path / "numerics")


def test_equal_sources_have_one_hash_wherever_they_lie_and_whenever_they_were_written(code):
    os.utime(code / "tape.py", (0, 0))
    (code / "notes.md").write_text("not read by any program")
    (code / "__pycache__").mkdir(exist_ok=True)
    (code / "__pycache__" / "tape.cpython-311.pyc").write_bytes(b"what Python leaves behind")
    assert digest([code]) == digest([ROOT / "simulator" / "numerics"])


@pytest.mark.parametrize("change", ["a line", "a name", "a new file", "a line moved to the next file", "one file less"])
def test_whatever_changes_in_the_sources_changes_the_hash(code, change):
    before = digest([code])
    first, second = sorted(code.glob("*.py"))[:2]
    match change:
        case "a line":
            first.write_text(f"{first.read_text()}# more\n")
        case "a name":
            first.rename(first.with_name("zzz.py"))
        case "a new file":
            (code / "catalog.csv").write_text("phone,1\n")
        case "a line moved to the next file":
            *kept, last = first.read_text().splitlines(keepends=True)
            first.write_text("".join(kept))
            second.write_text(last + second.read_text())
        case _:
            first.unlink()
    assert digest([code]) != before
    assert digest([code], without=code) == digest([])


def test_who_trains_is_told_without_loading_torch_and_names_its_version():
    torch = re.escape(metadata.version("torch"))
    assert re.fullmatch(rf"splitwire \S+ \(training code [0-9a-f]{{8}}\), torch {torch}", trainers())


@pytest.mark.parametrize("source", ["training/build.py", "streams.py", "sequences.py", "workload/outline.py"])
def test_other_batches_other_draws_and_other_adapters_are_other_training_code(tmp_path, monkeypatch, source):
    shutil.copytree(ROOT / "simulator", tmp_path / "simulator", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(versions, "PROJECT", tmp_path)

    def told():
        return trainers.__wrapped__()

    before = told()
    assert before == told()
    (tmp_path / "simulator" / source).open("a").write("# other\n")
    assert told() != before
