"""Options of the test suite.

Property tests try the same examples every time and know no deadline, so that a busy machine fails nobody;
``--hypothesis-profile fresh`` tries new ones, ``--hypothesis-profile thorough`` 2,000 new ones of each that names no
number of its own (whole runs do).
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Models are tiny here: threads that share their work only wait for each other, and tests run side by side.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("fresh", deadline=None)
settings.register_profile(
    "thorough",
    deadline=None,
    max_examples=2000,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("same")

ROOT = Path(__file__).parents[1]


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/golden from what happens now")


@pytest.fixture
def assert_golden(request):
    """Compare text with a file in tests/golden, or rewrite the file."""

    def compare(name: str, text: str) -> None:
        path = ROOT / "tests" / "golden" / name
        if request.config.getoption("--update-golden"):
            path.write_text(text)
        assert text == path.read_text(), f"{path} differs; if it should, run pytest --update-golden and read the diff"

    return compare


@pytest.fixture
def scenarios() -> Path:
    return ROOT / "scenarios"
