"""Options of the test suite."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/golden from what happens now")


@pytest.fixture
def golden(request):
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
