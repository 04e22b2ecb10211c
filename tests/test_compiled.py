"""The network compiled to C: the same traces to the last bit, and never older than its sources."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from netmodels import network

ROOT = Path(__file__).parents[1]
PACKAGES = ("netmodels", "devices", "simulator", "scenarios")
RUN = """
import sys
from pathlib import Path
from netmodels import network
from simulator import world
from simulator.scenario import load
assert network.__file__.endswith(sys.argv[1]), network.__file__
for name in ("four_phones", "mixed_lab"):
    for model in ("tcp", "tcp-fast", "pure"):
        scenario = load(Path(f"scenarios/{name}.yaml"), [f"network.model={model}", "training.rounds=4"])
        print(name, model, world.run(scenario, timing_only=True).summary["trace_hash"])
"""


def hashes(folder: Path, ending: str) -> str:
    command = [sys.executable, "-c", RUN, ending]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.mark.slow
def test_the_compiled_network_gives_the_traces_of_its_sources(tmp_path):
    if importlib.util.find_spec("mypyc") is None or shutil.which("cc") is None:
        pytest.skip("compiling needs mypyc and a C compiler")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE", "cli.py"):
        shutil.copy(ROOT / file, tmp_path)
    interpreted = hashes(tmp_path, ".py")
    build = [sys.executable, str(tmp_path / "netmodels" / "compile.py"), "--quiet", "build_ext", "--inplace"]
    subprocess.run(build, cwd=tmp_path.parent, check=True, capture_output=True)
    assert hashes(tmp_path, ".so") == interpreted
    assert interpreted.count("\n") == 6


def test_what_is_compiled_here_is_no_older_than_its_source():
    if network.__file__.endswith(".py"):
        pytest.skip("nothing is compiled here")
    for file in (ROOT / "netmodels").glob("*.so"):
        source = ROOT / "netmodels" / f"{file.name.partition('.')[0]}.py"
        assert file.stat().st_mtime >= source.stat().st_mtime, f"{source} has changed: make fast, or make slow-network"
