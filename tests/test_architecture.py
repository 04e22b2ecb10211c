"""Who may import whom: read from the sources, and from a fresh interpreter."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = ("netmodels", "devices", "simulator", "cli")
TORCH = {"torch", "transformers", "peft", "tokenizers", "safetensors"}

# A module may import what stands in its own line or in a line above it. "simulator" alone is the package's top.
LAYERS = [
    ["netmodels", "devices", "simulator.streams", "simulator.clock", "simulator.handles", "simulator.mailbox",
     "simulator.sequences", "simulator.failure", "simulator.versions", "simulator.policies", "simulator.selection",
     "simulator.metrics", "simulator.shell"],
    ["simulator.messages", "simulator.record", "simulator.restaurants", "simulator.numerics"],
    ["simulator.workload", "simulator.analysis"],
    ["simulator.scenario", "simulator.transport", "simulator.run_folder", "simulator.run_reader",
     "simulator.views"],
    ["simulator.queueing", "simulator.serving"],
    ["simulator.actors", "simulator.fitting", "simulator.links", "simulator.fleet", "simulator.rounds",
     "simulator.presence", "simulator.calendar", "simulator.crew", "simulator.attendance", "simulator.pace",
     "simulator.extension", "simulator.participation"],
    ["simulator.energy", "simulator.batteries"],
    ["simulator.algorithms", "simulator.training"],
    ["simulator.world"],
    ["simulator.whatif.tape", "simulator.whatif.knobs", "simulator.whatif.sensitivity"],
    ["simulator.session", "simulator.checking"],
    ["simulator.whatif"],
    ["cli"],
]  # fmt: skip


def modules() -> dict[str, Path]:
    files = [ROOT / "cli.py"]
    for package in OURS[:-1]:
        files += sorted((ROOT / package).rglob("*.py"))
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def imports(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names.add(node.module or "")
            if node.module == "simulator":
                names |= {f"simulator.{alias.name}" for alias in node.names}
    return names - {"simulator"}


def layer(module: str) -> int:
    for depth, names in enumerate(LAYERS):
        if any(module == name or module.startswith(f"{name}.") for name in names):
            return depth
    raise AssertionError(f"{module} has no place in LAYERS")


@pytest.mark.parametrize("module", [name for name in modules() if name != "simulator"])
def test_imports_point_down(module):
    for name in imports(modules()[module]):
        if name.split(".")[0] in OURS:
            assert layer(name) <= layer(module), f"{module} must not import {name}"


@pytest.mark.parametrize("package", ["netmodels", "devices"])
def test_the_models_of_links_and_devices_know_nobody_else(package):
    for module, file in modules().items():
        if module.split(".")[0] == package:
            used = {name.split(".")[0] for name in imports(file)}
            assert not used & ({"simulator", "cli", "asyncio", "simpy", "netmodels", "devices"} - {package} | TORCH)


def test_only_the_training_folder_names_torch():
    for module, file in modules().items():
        if not module.startswith("simulator.training"):
            assert not {name.split(".")[0] for name in imports(file)} & TORCH, module


def test_a_fresh_interpreter_that_imports_everything_else_has_not_loaded_torch():
    wanted = [name for name in modules() if not name.startswith("simulator.training")]
    code = (
        f"import sys, importlib\nfor name in {wanted!r}: importlib.import_module(name)\nprint('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_a_timing_only_run_never_loads_torch():
    code = (
        "import sys\nfrom pathlib import Path\nfrom simulator import world\nfrom simulator.scenario import load\n"
        "world.run(load(Path('scenarios/two_devices.yaml')), timing_only=True)\nprint('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_rooms_are_small():
    for module, file in modules().items():
        assert file.read_text().count("\n") <= 400, module
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno - node.lineno < 60, f"{module}.{node.name}"
