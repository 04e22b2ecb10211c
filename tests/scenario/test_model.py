"""What a scenario says once it is accepted."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from simulator.scenario import Group, Scenario, ScenarioError, load
from simulator.scenario.groups import apportion, default_names

ROOT = Path(__file__).parents[2]


def test_defaults_fill_what_the_file_leaves_out(door, plain):
    scenario = door.load(plain)
    assert (scenario.name, scenario.seed, scenario.horizon, scenario.algorithm) == (
        "plain",
        7,
        31_536_000.0,
        "splitlora",
    )
    assert (scenario.lora.targets, scenario.lora.rank, scenario.lora.alpha) == (("c_attn",), 8, 16.0)
    assert (scenario.training.rounds, scenario.training.batch, scenario.training.memory) == (10, 4, 2.0**30)
    assert (scenario.data.partition, scenario.data.slot, scenario.data.path) == ("dirichlet", "food", None)
    assert scenario.network.server.rates == (10e9, 10e9)
    assert scenario.network.aggregator.rates == (1e9, 1e9)
    assert scenario.network.server.latency == scenario.network.aggregator.latency == 0.001
    assert scenario.network.cells["mast"].count == 1
    assert scenario.network.backhaul is None
    assert (scenario.server.profile, scenario.aggregator.profile) == ("a100", "laptop")


def test_quantities_are_floats_in_si(door, plain):
    lte = door.load(plain).network.access["lte"]
    assert (lte.up, lte.down, lte.latency, lte.loss, lte.spread) == (20e6, 50e6, 0.025, 0.01, 0.0)


def test_groups_have_their_split_and_rank_filled_in(door):
    text = door.changed(("cell: mast", "cell: mast\n    split: 5\n    rank: 2"), ("split: 3", "timed_as: gpt2"))
    scenario = door.load(text)
    assert scenario.groups == (
        Group("cheap", "phone-low", 3, "lte", "mast", split=5, rank=2, speed_spread=0.3),
        Group("dear", "phone-high", 1, "wifi", None, split=3, rank=8, speed_spread=0.3),
    )
    assert scenario.fleet_size == 4
    assert scenario.timed_model == "gpt2"


def test_the_messages_are_timed_as_the_trained_model_unless_another_is_named(door, plain):
    assert door.load(plain).timed_model == "gpt2"
    assert door.load(plain, "model.name=mini", "model.timed_as=gpt2").timed_model == "gpt2"


def test_a_model_of_the_hub_is_taken_at_its_word(door, plain):
    scenario = door.load(plain, "model.name=someone/my-gpt2", "model.timed_as=gpt2", "model.split=40")
    assert (scenario.model.name, scenario.timed_model) == ("someone/my-gpt2", "gpt2")


def test_every_block_or_none_may_be_on_the_device(door, plain):
    for split in (0, 12):
        assert door.load(plain, f"model.split={split}").model.split == split


def test_groups_without_a_name_are_called_after_their_profile(door):
    text = door.changed(
        ("name: cheap\n    profile", "profile"), ("name: dear\n    profile: phone-high", "profile: phone-low")
    )
    assert [group.name for group in door.load(text, "devices.1.count=2").groups] == ["phone-low", "phone-low-2"]


@pytest.mark.parametrize(
    ("names", "profiles", "expected"),
    [
        ([None, None, None], ["a", "a", "a"], ["a", "a-2", "a-3"]),
        ([None, "a", None], ["a", "b", "a"], ["a-2", "a", "a-3"]),
        ([None, "a-2", None], ["a", "b", "a"], ["a", "a-2", "a-3"]),
        ([None], ["Jetson Nano_4GB"], ["jetson-nano-4gb"]),
        ([None], ["?"], ["group"]),
    ],
)
def test_default_names_are_unique(names, profiles, expected):
    assert default_names(names, profiles) == expected


@pytest.mark.parametrize(
    ("shares", "total", "counts"),
    [
        ([0.6, 0.4], 10, [6, 4]),
        ([0.29, 0.71], 100, [29, 71]),
        ([0.25, 0.25, 0.5], 10, [3, 2, 5]),  # 2.5, 2.5, 5: the tie goes to the first
        ([1 / 3, 1 / 3, 1 / 3], 100, [34, 33, 33]),
        ([0.5, 0.3, 0.2], 7, [4, 2, 1]),  # 3.5, 2.1, 1.4
        ([1.0], 1, [1]),
    ],
)
def test_shares_become_whole_devices_by_largest_remainder(shares, total, counts):
    assert apportion(shares, total) == counts


@given(parts=st.lists(st.integers(1, 1000), min_size=1, max_size=8), total=st.integers(1, 1_000_000))
def test_apportioned_devices_sum_to_the_fleet_and_are_less_than_one_off_their_quota(parts, total):
    shares = [part / sum(parts) for part in parts]
    counts = apportion(shares, total)
    assert sum(counts) == total
    assert all(abs(count - share * total) < 1 + 1e-6 for count, share in zip(counts, shares, strict=True))


def test_shares_of_a_fleet_are_resolved(door):
    text = door.changed(("count: 3", "share: 75 %"), ("count: 1", "share: 0.25"), ("seed: 7", "num_devices: 1000000"))
    scenario = door.load(text)
    assert [group.count for group in scenario.groups] == [750_000, 250_000]
    assert scenario.fleet_size == 1_000_000


def test_up_and_down_may_differ_on_a_shared_link(door):
    scenario = door.load(door.changed(("capacity: 100 Mbit/s", "up: 10 Mbit/s, down: 90 Mbit/s, count: 4")))
    cell = scenario.network.cells["mast"]
    assert (cell.rates, cell.count) == ((10e6, 90e6), 4)


def test_up_and_down_of_the_server_replace_its_default_capacity(door, plain):
    server = door.load(plain, "network.server={up: 1 Gbit/s, down: 2 Gbit/s}").network.server
    assert (server.capacity, server.rates, server.latency) == (None, (1e9, 2e9), 0.001)


def test_paths_are_looked_up_beside_the_scenario_first_and_then_where_one_stands(tmp_path, monkeypatch, plain):
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        (folder / "both").mkdir(parents=True)
    (here / "only").mkdir()
    monkeypatch.chdir(here)
    file = there / "s.yaml"
    file.write_text(plain)
    for name, expected in (("both", there / "both"), ("only", here / "only"), (str(here / "both"), here / "both")):
        scenario = load(file, ["data.source=e2e", f"data.path={name}"], find_profile=lambda _: None)
        assert scenario.data.path == str(expected)
        assert scenario.resolve(scenario.data.path) == expected
    assert scenario.source_path == file
    assert scenario.base_folder == there


def test_where_a_scenario_was_read_is_no_part_of_its_value(door, plain, tmp_path):
    first = door.load(plain)
    (tmp_path / "elsewhere.yaml").write_text(plain)
    second = load(tmp_path / "elsewhere.yaml", find_profile=lambda _: None)
    assert first == second
    assert hash(first) == hash(second)
    assert first != door.load(plain, "seed=8")
    assert first.source_path != second.source_path


def test_a_scenario_survives_pickling(door, plain):
    scenario = door.load(plain)
    assert pickle.loads(pickle.dumps(scenario)) == scenario


def test_nothing_of_a_scenario_can_be_changed(door, plain):
    scenario = door.load(plain)
    with pytest.raises(ValidationError, match="frozen"):
        scenario.seed = 2
    with pytest.raises(ValidationError, match="frozen"):
        scenario.training.rounds = 2
    with pytest.raises(TypeError):
        scenario.network.access["new"] = scenario.network.access["lte"]
    with pytest.raises(TypeError):
        scenario.devices[0] = scenario.devices[1]


def test_every_field_of_every_section_is_documented_in_the_schema():
    schema = Scenario.model_json_schema(mode="serialization")
    undocumented = [
        (name, key)
        for name, section in [("Scenario", schema), *schema["$defs"].items()]
        for key, field in section["properties"].items()
        if not field.get("description")
    ]
    assert undocumented == []


def test_two_devices_is_the_scenario_it_says_it_is():
    scenario = load(ROOT / "scenarios" / "two_devices.yaml")
    assert scenario.network.model == "pure"
    assert [group.count for group in scenario.groups] == [1, 1]
    assert all(group.speed_spread == 0 for group in scenario.groups)
    assert all(access.spread == 0 for access in scenario.network.access.values())


@pytest.mark.parametrize("path", sorted((ROOT / "scenarios").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_scenario_is_accepted(path, tmp_path):
    needs_the_user_s_data = "data.path=FOLDER" in path.read_text()
    assert load(path, [f"data.path={tmp_path}"] if needs_the_user_s_data else []).fleet_size >= 1


def test_the_scenario_for_e2e_says_that_it_needs_the_data():
    with pytest.raises(ScenarioError, match=r"data.path: missing: source 'e2e' needs a folder with train and valid"):
        load(ROOT / "scenarios" / "gpt2_e2e.yaml")


def test_reading_a_scenario_loads_no_torch_and_takes_a_moment():
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom simulator.scenario import load\n"
        "start = time.process_time()\nload(Path('scenarios/two_devices.yaml'))\n"
        "print(time.process_time() - start < 0.3, 'torch' in sys.modules, 'asyncio' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False", "False"]
