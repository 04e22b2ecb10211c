"""A study on a local Ray with two workers, one of which is killed in the middle."""

from __future__ import annotations

import json
import pickle
import sys
import threading
import time
from pathlib import Path

import pytest

import cli
from simulator import world
from simulator.failure import RunFailed
from simulator.scenario import load
from simulator.whatif.cells import Result, Round, Task
from simulator.whatif.on_ray import OnRay, connected

ROOT = Path(__file__).parents[2]
FOUR = ROOT / "scenarios" / "four_phones.yaml"


def test_without_ray_it_is_said_what_to_install(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    command = ["study", str(FOUR), "--vary", "model.split=1,2", "--on", "ray", "--out", str(tmp_path / "s")]
    assert cli.main(command) == 2
    assert capsys.readouterr().err == "splitwire: --on ray needs Ray: pip install 'splitwire[ray]'\n"


def with_ray():
    return pytest.importorskip("ray", reason="Ray is not installed: pip install 'splitwire[ray]'")


def test_an_address_where_nobody_answers_is_told_at_once():
    with_ray()
    with pytest.raises(RunFailed, match=r"^no Ray cluster answers at 127\.0\.0\.1:9: Connection refused$"):
        connected("127.0.0.1:9", None).__enter__()
    with pytest.raises(ValueError, match=r"^--address must be HOST:PORT, ray://HOST:PORT or auto, got 'cluster'$"):
        connected("cluster", None).__enter__()


@pytest.mark.slow
def test_a_study_on_ray_is_the_study_on_this_machine(capsys, tmp_path):
    with_ray()
    options = ["study", str(FOUR), "--vary", "network.access.lte.up=1,20Mbit/s", "--train", "--jobs", "2", "--json"]
    assert cli.main([*options, "--on", "ray", "--out", str(tmp_path / "ray")]) == 0
    far = json.loads(capsys.readouterr().out)
    assert [cell["way"] for cell in far["cells"]] == ["trained", "re-timed"]
    for cell in far["cells"]:
        alone = world.run(load(FOUR, [f"network.access.lte.up={cell['network.access.lte.up']}"])).summary
        assert cell["trace_hash"] == alone["trace_hash"]
        assert cell["loss"] == pytest.approx(alone["loss"], rel=1e-6)  # other threads, other roundings


@pytest.mark.slow
def test_a_cell_that_trains_on_ray_says_how_far_it_is():
    with_ray()
    told: list[Round] = []
    task = Task("a", "trained", pickle.dumps(load(FOUR, ["training.rounds=40"])))  # of a tenth of a second each
    with connected(None, 2) as ray:
        ((_, outcome),) = OnRay(ray, alone=True).run([task], lambda _, round: told.append(round))
    assert isinstance(outcome, Result)
    assert told == sorted(told)
    assert len({each.round for each in told}) > 2
    assert {each.rounds for each in told} == {40}


@pytest.mark.slow
def test_the_cell_of_a_ray_worker_that_is_killed_is_done_again():
    with_ray()
    psutil = pytest.importorskip("psutil")
    changes = [["training.rounds=2"], *([f"training.rounds={rounds}"] for rounds in (3000, 3001, 5))]
    tasks = [
        Task(str(place), "timing-only", pickle.dumps(load(FOUR, each)))
        for place, each in enumerate(changes)
    ]  # fmt: skip
    killed: list[int] = []

    def kill_one() -> None:
        """The first worker that is seen at work for half a second."""
        seen: dict[int, float] = {}
        while not killed:
            for child in psutil.Process().children(recursive=True):
                at_work = "_compute" in "".join(child.cmdline())
                if at_work and time.monotonic() - seen.setdefault(child.pid, time.monotonic()) > 0.5:
                    child.kill()
                    killed.append(child.pid)
                    return
            time.sleep(0.05)

    with connected(None, 2) as ray:
        outcomes, killer = {}, None
        for task, outcome in OnRay(ray, alone=False).run(tasks, lambda *_: None):
            if killer is None:  # the workers live, and are at the long ones
                killer = threading.Thread(target=kill_one)
                killer.start()
            outcomes[task.key] = outcome
        assert killer is not None
        killer.join(timeout=1)
    assert len(killed) == 1
    assert set(outcomes) == {"0", "1", "2", "3"}
    assert all(isinstance(outcome, Result) for outcome in outcomes.values())
    assert [len(outcomes[key].curve) for key in "0123"] == [3, 3001, 3002, 6]
