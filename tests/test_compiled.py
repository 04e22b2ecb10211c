"""The network compiled to C: the same traces to the last bit, and never older than its sources."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import netmodels
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


def test_once_a_source_has_been_edited_all_of_the_network_runs_from_its_sources(tmp_path):
    """The compiled files here are empty: to load one would fail."""
    shutil.copytree(ROOT / "netmodels", tmp_path / "netmodels", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    ending = importlib.machinery.EXTENSION_SUFFIXES[0]
    (tmp_path / f"netmodels__mypyc{ending}").touch()
    for name in ("rates", "sharing"):
        (tmp_path / "netmodels" / f"{name}{ending}").touch()

    def names(which=""):
        command = [sys.executable, "-c", "import netmodels, netmodels.flows; print(netmodels.COMPILED)"]
        told = os.environ | {"SPLITWIRE_NETWORK": which}
        return subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True, env=told)

    assert "ImportError" in names().stderr, "they are younger than their sources, so they are taken"
    assert names("sources").stdout == "False\n"
    edited = tmp_path / "netmodels" / "sharing.py"
    later_s = (tmp_path / "netmodels" / f"sharing{ending}").stat().st_mtime + 1
    os.utime(edited, (later_s, later_s))
    assert names().stdout == "False\n"
    os.utime(edited, (0, 0))
    (tmp_path / f"netmodels__mypyc{ending}").unlink()
    assert names().stdout == "False\n", "what all share is missing"


def test_where_nothing_is_compiled_the_sources_run():
    assert netmodels.COMPILED is network.__file__.endswith(tuple(importlib.machinery.EXTENSION_SUFFIXES))
