"""Scenarios and recorded runs for what-if tests."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import pytest

from simulator import world
from simulator.numerics.tape import Tape
from simulator.scenario import load
from simulator.whatif.tape import Recorder

FOUR = Path(__file__).parents[2] / "scenarios" / "four_phones.yaml"


@lru_cache
def _trained(overrides: tuple[str, ...]) -> tuple[world.Outcome, Tape]:
    recorder = Recorder()
    outcome = world.run(load(FOUR, overrides), learner=recorder)
    return outcome, Tape.from_bytes(recorder.tape.to_bytes())


@pytest.fixture
def trained():
    """A run of four phones with real training and its tape, as read from its bytes; done once for equal overrides."""
    return lambda *overrides: _trained(overrides)


@pytest.fixture
def scenario_of():
    """The scenario of such a run."""
    return lambda *overrides: load(FOUR, overrides)


@pytest.fixture
def without_torch(tmp_path):
    """Environment variables under which whoever imports torch fails, in child processes too."""
    package = tmp_path / "forbidden" / "torch"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('torch is not to be loaded here')")
    return {**os.environ, "PYTHONPATH": str(package.parent)}
