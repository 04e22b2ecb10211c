"""The bench of the network runs and prints what it promises."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_bench_prints_a_row_per_size():
    command = [sys.executable, ROOT / "tests/bench/network.py", "--json", "--flows", "50,200", "--cells", "5"]
    rows = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert [(row["flows"], row["cells"]) for row in rows] == [(50, 5), (200, 5)]
    for row in rows:
        assert row["seconds"] > 0
        assert row["peak_bytes"] > 10_000_000
        assert row["virtual_seconds"] > 3e6 * 8 / 50e6 * 2  # nobody is faster than the fastest link
