"""Algorithms and selections of the user's own: what may run when, and whose mistake is told how."""

from __future__ import annotations

import json
import pickle
import shutil
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

import cli
from simulator import world
from simulator.algorithms import splitlora
from simulator.clock import Deadlock
from simulator.failure import RunFailed
from simulator.scenario import ScenarioError, dump, load, loads
from simulator.scenario.code import allowed

ROOT = Path(__file__).parents[1]
SCENARIOS = ROOT / "scenarios"
EXTENDING = SCENARIOS / "extending"
SAME = "from simulator.algorithms.splitlora import train\n"
RANDOM = "def select(round, population, rng):\n    return rng.permutation(population.size)\n"


@pytest.fixture
def mine(tmp_path):
    """A scenario with files of its own beside it, loaded with permission."""

    def make(*overrides, permission=True, **files):
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(text)
        shutil.copy(SCENARIOS / "four_phones.yaml", tmp_path / "mine.yaml")
        overrides = [*(f"algorithm=./{name}.py" for name in files if name != "own_select"), *overrides]
        if "own_select" in files:
            overrides += ["training.select=./own_select.py", "training.participants=2"]
        if not permission:
            return load(tmp_path / "mine.yaml", overrides)
        with allowed(lambda _: None):
            return load(tmp_path / "mine.yaml", overrides)

    return make


def traced(scenario):
    return world.run(scenario, timing_only=True).summary["trace_hash"]


# --- permission


def test_a_file_that_is_splitlora_leaves_the_trace_of_splitlora(mine):
    assert traced(mine(algo=SAME)) == traced(load(SCENARIOS / "four_phones.yaml"))


def test_a_selection_that_draws_as_ours_leaves_its_trace(mine):
    plain = load(SCENARIOS / "four_phones.yaml", ["training.participants=2"])
    assert traced(mine(own_select=RANDOM)) == traced(plain)


def test_without_permission_nothing_runs_and_the_line_the_file_and_the_way_are_told(mine, tmp_path):
    ran = tmp_path / "ran"
    for name, key in (("algo", "algorithm"), ("own_select", r"training\.select")):
        text = f"open({str(ran)!r}, 'w')\n" + (SAME if name == "algo" else RANDOM)
        scenario = mine(permission=False, **{name: text})
        world.check_feasible(scenario)
        with pytest.raises(ValueError, match=rf"--set \S+: {key}: would run the code of .*{name}\.py; .* --allow-code"):
            world.run(scenario, timing_only=True)
    assert not ran.exists()


def test_whoever_permits_is_told_of_each_file_once_and_before_it_runs(mine, tmp_path):
    (tmp_path / "algo.py").write_text(SAME)
    shutil.copy(SCENARIOS / "four_phones.yaml", tmp_path / "mine.yaml")
    told = []
    with allowed(told.append):
        for rounds in (1, 2, 3):
            load(tmp_path / "mine.yaml", ["algorithm=./algo.py", f"training.rounds={rounds}"])
    digest = sha256(SAME.encode()).hexdigest()
    assert told == [f"may run the code of {tmp_path / 'algo.py'} (SHA-256 {digest[:16]}...)"]


def test_permission_goes_with_a_scenario_to_another_process_and_not_to_another_scenario(mine):
    permitted = mine(algo=SAME)
    assert traced(pickle.loads(pickle.dumps(permitted))) == traced(permitted)
    with pytest.raises(ValueError, match="--allow-code"):
        world.run(loads(dump(permitted)), timing_only=True)


def test_a_file_that_was_changed_after_it_was_announced_does_not_run(mine, tmp_path):
    scenario = mine(algo=SAME)
    (tmp_path / "algo.py").write_text(SAME + "# changed\n")
    with pytest.raises(ValueError, match=r"algo\.py has changed since it was announced"):
        world.run(scenario, timing_only=True)


def test_the_command_line_announces_on_standard_error_and_notes_what_ran(tmp_path, capsys):
    (tmp_path / "algo.py").write_text(SAME)
    shutil.copy(SCENARIOS / "four_phones.yaml", tmp_path / "mine.yaml")
    words = ["run", str(tmp_path / "mine.yaml"), "--set", "algorithm=./algo.py", "--timing-only", "--json"]
    assert cli.main([*words, "--out", str(tmp_path / "out")]) == cli.BAD_INPUT
    assert "--allow-code" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert cli.main([*words, "--out", str(tmp_path / "out"), "--allow-code"]) == 0
    out, err = capsys.readouterr()
    assert err.splitlines()[0].startswith(f"splitwire: may run the code of {tmp_path / 'algo.py'} (SHA-256 ")
    summary = json.loads(out)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    digest = sha256(SAME.encode()).hexdigest()
    assert manifest["provenance"]["code"] == {str(tmp_path / "algo.py"): digest}
    again = ["run", str(tmp_path / "out" / "scenario.yaml"), "--timing-only", "--json", "--out", str(tmp_path / "more")]
    assert cli.main(["--allow-code", *again]) == 0
    assert json.loads(capsys.readouterr().out)["trace_hash"] == summary["trace_hash"]


def test_after_the_command_nothing_is_permitted_any_more(tmp_path, capsys):
    (tmp_path / "algo.py").write_text(SAME)
    shutil.copy(SCENARIOS / "four_phones.yaml", tmp_path / "mine.yaml")
    words = ["run", str(tmp_path / "mine.yaml"), "--set", "algorithm=./algo.py", "--timing-only", "--json"]
    assert cli.main([*words, "--out", str(tmp_path / "one"), "--allow-code"]) == 0
    assert cli.main([*words, "--out", str(tmp_path / "two")]) == cli.BAD_INPUT


# --- what a file says of itself


def test_who_holds_the_model_is_read_from_the_file_and_not_run(mine):
    scenario = mine(algo=f'{SAME}HOLDER = "device"\nCOPIES = True\n1 / 0\n', permission=False)
    assert (scenario.traits.holder, scenario.traits.copies) == ("device", True)
    assert (mine(algo=SAME).traits.holder, mine(algo=SAME).traits.copies) == ("both", False)


def test_a_federated_algorithm_of_ones_own_is_fedlora(mine):
    text = 'from simulator.algorithms.fedlora import train\nHOLDER = "device"\nCOPIES = True\n'
    assert traced(mine(algo=text)) == traced(load(SCENARIOS / "four_phones.yaml", ["algorithm=fedlora"]))


# --- mistakes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def trian(job):\n    pass\n", r"algo\.py has no function 'train'; did you mean 'trian'\?"),
        ("def train(job:\n", r"algo\.py:1: "),
        (f"{SAME}HOLDER = 'phone'\n", r"algo\.py:2: HOLDER must be one of 'both', 'device', 'server', written out"),
        (f"{SAME}COPIES = 1 < 2\n", r"algo\.py:2: COPIES must be one of True, False, written out"),
    ],
)
def test_what_can_be_seen_without_running_is_refused_when_the_scenario_is_read(mine, text, message):
    with pytest.raises(ScenarioError, match=rf"algorithm: .*{message}"):
        mine(algo=text)


def test_a_file_that_is_not_there_is_told_with_where_it_was_looked_for(mine):
    with pytest.raises(ScenarioError, match=r"algorithm: './other\.py' does not exist \(looked in "):
        mine("algorithm=./other.py")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nowhere_to_be_found\n" + SAME, r"algo\.py:1: ModuleNotFoundError: No module named 'nowhere_to_be"),
        (SAME + "\n1 / 0\n", r"algo\.py:3: ZeroDivisionError: division by zero"),
        (SAME + "raise SystemExit('bye')\n", r"algo\.py:2: SystemExit: bye"),
        ("\n\ndef train(job):\n    pass\n", r"algo\.py:3: 'train' must be 'async def train\(job\)'"),
        ("async def train():\n    pass\n", r"algo\.py:1: 'train' must be 'async def train\(job\)'"),
        ("train = 3\n", r"algo\.py has no function 'train'"),
    ],
)
def test_what_goes_wrong_as_a_file_is_loaded_is_bad_input_at_its_line(mine, text, message):
    with pytest.raises(ValueError, match=rf"--set \S+: algorithm: .*{message}"):
        world.run(mine(algo=text), timing_only=True)


def broken(line):
    source = Path(splitlora.__file__).read_text()
    return source.replace("        ticket = job.numerics.forward(me.index, round)\n", f"        {line}\n")


def test_what_goes_wrong_in_a_device_while_it_runs_is_told_by_file_line_and_what(mine):
    text = broken("ticket = job.numerics.forwards(me.index, round)")
    number = next(at for at, line in enumerate(text.splitlines(), 1) if "forwards(" in line)
    with pytest.raises(RunFailed, match=rf"algo\.py:{number}: AttributeError: .*'forwards'") as caught:
        world.run(mine(algo=text), timing_only=True)
    assert "\n" not in str(caught.value)


def test_a_run_that_fails_in_code_of_ones_own_ends_with_1_and_says_how_to_see_it_again(tmp_path, capsys):
    (tmp_path / "algo.py").write_text(broken("raise LookupError('no more phones')"))
    shutil.copy(SCENARIOS / "four_phones.yaml", tmp_path / "mine.yaml")
    words = ["run", str(tmp_path / "mine.yaml"), "--set", "algorithm=./algo.py", "--timing-only", "--json"]
    assert cli.main([*words, "--out", str(tmp_path / "out"), "--allow-code"]) == cli.FAILED
    told = capsys.readouterr().err.splitlines()
    assert "algo.py:" in told[-2]
    assert told[-2].endswith("LookupError: no more phones")
    assert told[-1].endswith("--timing-only --allow-code")
    assert "Traceback" not in "".join(told)


def test_what_ends_a_run_by_itself_is_not_blamed_on_the_code_it_passes_through(mine):
    text = broken("raise RunFailed('nobody is to blame')").replace(
        "import asyncio\n", "import asyncio\nfrom simulator.failure import RunFailed\n"
    )
    with pytest.raises(RunFailed, match=r"^nobody is to blame$"):
        world.run(mine(algo=text), timing_only=True)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("[0, 4]", r"own_select\.py: 'select' returned device 4 of 0\.\.3 in round 1"),
        ("[-1]", r"returned device -1 of 0\.\.3"),
        ("[2, 1, 2]", r"returned device 2 more than once in round 1"),
        ("[0.5]", r"must return devices by index, got array\(\[0\.5\]\) in round 1"),
        ("None", r"must return devices by index, got array\(None"),
        ("population.stepz", r"own_select\.py:2: AttributeError: .*stepz"),
    ],
)
def test_a_selection_that_returns_anything_but_devices_is_told(mine, result, message):
    scenario = mine(own_select=f"def select(round, population, rng):\n    return {result}\n")
    with pytest.raises(RunFailed, match=message):
        world.run(scenario, timing_only=True)


def test_a_selection_that_takes_something_else_is_refused_at_its_line(mine):
    scenario = mine(own_select="\ndef select(round):\n    return [0]\n")
    with pytest.raises(ValueError, match=r"own_select\.py:2: 'select' must be 'def select\(round, population, rng"):
        world.run(scenario, timing_only=True)


def test_a_device_that_does_not_wait_for_the_server_is_told_and_not_left_untrained(mine):
    text = (EXTENDING / "frozen.py").read_text().replace('        await me.receive("control")  # a4\n', "")
    with pytest.raises(RunFailed, match=r"algo\.py:\d+: ValueError: \S+ has finished round 1 before its activations"):
        world.run(mine(algo=text), timing_only=True)


def test_a_step_after_its_round_is_refused_at_the_line_that_reports_it(mine):
    text = (EXTENDING / "frozen.py").read_text().replace("job.rounds.trained(round, ", "job.rounds.trained(round - 1, ")
    with pytest.raises(
        RunFailed, match=r"algo\.py:\d+: ValueError: a step of round 0 ends when all devices have finish"
    ):
        world.run(mine(algo=text), timing_only=True)


def test_an_algorithm_that_returns_before_the_last_round_is_a_failure(mine):
    with pytest.raises(RunFailed, match=r"algo\.py returned after round 0 of 2"):
        world.run(mine(algo="async def train(job):\n    pass\n"), timing_only=True)


def test_who_waits_for_what_never_comes_is_named(mine):
    text = (EXTENDING / "frozen.py").read_text().replace('me.receive("control")', 'me.receive("gradients")')
    with pytest.raises(Deadlock, match=r"high-1 on high-1\.gradients, .*server on server\.activations"):
        world.run(mine(algo=text), timing_only=True)


# --- the tutorial: docs/extending.md


def example(*overrides):
    with allowed(lambda _: None):
        return load(EXTENDING / "frozen.yaml", overrides)


def test_the_tutorials_files_are_short_and_shown_as_they_are():
    page = (ROOT / "docs" / "extending.md").read_text()
    for name, most in (("frozen.py", 60), ("by_group.py", 20)):
        text = (EXTENDING / name).read_text()
        assert text.count("\n") < most
        assert f"```python\n{text}```" in page, name


def test_frozen_devices_send_activations_up_and_next_to_nothing_down():
    outcome = world.run(example(), timing_only=True)
    assert set(outcome.summary["bytes_by_kind"]) == {"activations", "control"}
    assert {row.what for row in outcome.record.computes} == {"client forward", "server forward and backward"}
    assert outcome.summary["bytes_down"] < outcome.summary["bytes_up"] / 10_000
    split = world.run(example("algorithm=splitlora"), timing_only=True)
    assert outcome.summary["virtual_s"] < split.summary["virtual_s"]


def test_frozen_devices_obey_the_rules_of_whom_to_wait_for():
    outcome = world.run(example("training.wait=first", "training.first=5"), timing_only=True)
    assert {(row.participants, row.late) for row in outcome.record.rounds[1:]} == {(8, 3)}


@pytest.mark.slow
def test_frozen_devices_learn_and_their_own_adapters_stay_as_they_were():
    outcome = world.run(example("training.rounds=6", "data.validation_samples=16"))
    assert outcome.summary["perplexity"] < outcome.record.rounds[0].perplexity / 3
    weights = outcome.adapter["adapter_model.safetensors"]
    from safetensors.numpy import load as read

    sizes = {name: float(np.abs(values).max()) for name, values in read(weights).items() if "lora_B" in name}
    on_device = [size for name, size in sizes.items() if any(f".h.{block}." in name for block in range(3))]
    assert len(on_device) == 3
    assert max(on_device) == 0
    assert min(size for name, size in sizes.items() if ".h.11." in name) > 0


def test_the_selection_draws_from_every_group_its_share():
    """Of 12, 18 and 6 phones eight are drawn: 2.7, 4 and 1.3 would be the shares."""
    outcome = world.run(example(), timing_only=True)
    everybody = {"budget": 12, "middle": 18, "at-home": 6}
    for round in range(1, 21):
        drawn = {row.actor for row in outcome.record.computes if row.round == round and row.what == "client forward"}
        assert len(drawn) == 8
        for group, count in everybody.items():
            assert abs(sum(name.startswith(group) for name in drawn) - 8 * count / 36) < 1
