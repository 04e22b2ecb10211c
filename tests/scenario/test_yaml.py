"""What YAML makes of a text, and what we make of it instead."""

from pathlib import Path

import pytest

from simulator.scenario import ScenarioError, dump, load


def value(scenario, path):
    for part in path.split("."):
        scenario = getattr(scenario, part)
    return scenario


@pytest.mark.parametrize(
    ("old", "new", "path", "expected"),
    [
        ("rounds: 10", "rounds: 1e3", "training.rounds", 1000),  # a text in YAML 1.1
        ("rounds: 10", "rounds: 010", "training.rounds", 10),  # eight in YAML 1.1
        ("rounds: 10", "rounds: +10", "training.rounds", 10),
        ("rounds: 10", "rounds: 10.0", "training.rounds", 10),
        ("rounds: 10", "learning_rate: 1e-3", "training.learning_rate", 0.001),
        ("rounds: 10", "learning_rate: .5", "training.learning_rate", 0.5),
        ("seed: 7", "seed: 9007199254740993", "seed", 9007199254740993),  # not a float
        ("seed: 7", "seed: 9223372036854775807", "seed", 2**63 - 1),
        ("name: plain", "name: no", "name", "no"),  # false in YAML 1.1
        ("name: plain", "name: 12:30", "name", "12:30"),  # 750 in YAML 1.1
        ("name: plain", "name: 1e6", "name", "1e6"),
        ("name: plain", "name: 2024-01-01", "name", "2024-01-01"),
        ("name: plain", 'name: "null"', "name", "null"),
        ("name: plain", "name: null", "name", "s"),  # the file's stem
        ("name: plain", "name:", "name", "s"),
        ("name: plain", "# no name", "name", "s"),
        ("name: plain", "name: !!str 5", "name", "5"),
        ("split: 3", "timed_as: ~", "model.timed_as", None),
        ("split: 3", "timed_as:", "model.timed_as", None),
    ],
)
def test_a_word_means_what_its_key_says(door, old, new, path, expected):
    found = value(door.load(door.changed((old, new))), path)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("rounds: 10", "rounds: 12:30", "s.yaml:7: training.rounds: must be a whole number, got '12:30'"),
        ("rounds: 10", "rounds: yes", "s.yaml:7: training.rounds: must be a whole number, got 'yes'"),
        ("rounds: 10", "rounds: 0x10", "s.yaml:7: training.rounds: must be a whole number, got '0x10'"),
        ("rounds: 10", "rounds: 1_000", "s.yaml:7: training.rounds: must be a whole number, got '1_000'"),
        ("rounds: 10", 'rounds: "10"',
         "s.yaml:7: training.rounds: must be a whole number, got the text '10'; remove the quotes"),
        ("rounds: 10", "rounds:", "s.yaml:7: training.rounds: must be a whole number, got nothing (null)"),
        ("rounds: 10", "rounds: [10]", "s.yaml:7: training.rounds: must be a whole number, got a list"),
        ("rounds: 10", "rounds: 10.5", "s.yaml:7: training.rounds: must be a whole number, got 10.5"),
        ("rounds: 10", "rounds: .nan", "s.yaml:7: training.rounds: must be finite, got '.nan'"),
        ("rounds: 10", "alpha: 1e999", "s.yaml:7: training.alpha: unknown key 'alpha'"),
        ("seed: 7", "seed: 1e999", "s.yaml:2: seed: must be finite, got '1e999'"),
        ("seed: 7", "seed: 99999999999999999999",
         "s.yaml:2: seed: must be at most 9223372036854775807, got 99999999999999999999"),
        ("seed: 7", "seed: 7\nseed: 8", "s.yaml:3: seed: the key is given twice (first in line 2)"),
        ("seed: 7", "seed: !!int 7", "s.yaml:2: seed: tags are not read here, got 'tag:yaml.org,2002:int'"),
        ("seed: 7", "seed: !!python/object:os.system 7", "s.yaml:2: seed: tags are not read here, got"),
        ("seed: 7", "seed: *later", "s.yaml:2: seed: alias '*later' has no anchor '&later' before it"),
        ("seed: 7", "[a, b]: 7", "s.yaml:2: a key must be a word"),
        ("seed: 7", ": 7", "s.yaml:2: a key must be a word"),
        ("seed: 7", "seed: 7\n---\nseed: 8", "s.yaml:4: a second document begins here; a scenario is one document"),
        ("seed: 7", "seed: [7", "s.yaml:3: is not valid YAML"),
        ("seed: 7", "seed: a: 7", "s.yaml:2: is not valid YAML: mapping values are not allowed here"),
        ("seed: 7", "\tseed: 7", "s.yaml:2: is not valid YAML"),
        ("seed: 7", "  seed: 7", "s.yaml:2: is not valid YAML"),
        ("seed: 7", "seed: \x07", "s.yaml:2: is not a text file: control character 0x07"),
        ("seed: 7", "seed: {<<: 7}", "s.yaml:2: seed.<<: must be an alias of a mapping, or a list of such"),
        ("seed: 7", "seed: " + 40 * "[" + 40 * "]", "s.yaml:2: is nested more than 30 deep"),
    ],
)  # fmt: skip
def test_a_trap_of_yaml_is_refused_at_its_line(door, old, new, line):
    assert any(found.startswith(line) for found in door.refused(door.changed((old, new))))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "s.yaml:1: is empty; a scenario has at least the keys devices, network"),
        (b"# only a comment\n", "s.yaml:1: is empty"),
        (b"- a\n- b\n", "s.yaml:1: must be a mapping at the top level, got a list"),
        (b"hello\n", "s.yaml:1: must be a mapping at the top level, got 'hello'"),
        (b"seed: 1\nname: \xff\xfe\n", "s.yaml:2: is not UTF-8 text: byte 0xff at offset 14"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "s.yaml:1: is not UTF-8 text: byte 0x89 at offset 0"),
        (b"\x7fELF\x02\x01\x01\x00", "s.yaml:1: is not a text file: control character 0x7f"),
        (b"a" * (5 << 20), "s.yaml: is larger than 4 MiB, so it is not a scenario"),
    ],
)
def test_a_file_that_is_no_scenario_says_what_it_is(door, tmp_path, data, sentence):
    (tmp_path / "s.yaml").write_bytes(data)
    with pytest.raises(ScenarioError) as caught:
        load(Path("s.yaml"))
    assert str(caught.value).startswith(sentence)


def test_a_missing_file_a_folder_and_a_near_name_are_told_apart(door, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "scenario.yaml").write_text("")
    (tmp_path / "two_devices.yaml").write_text("")
    for name, sentence in [
        ("nowhere/x.yaml", "nowhere/x.yaml: no such file"),
        ("folder", "folder: is a folder, not a scenario file"),
        ("run", "run: is a folder, not a scenario file; the run's own is 'run/scenario.yaml'"),
        ("two_device.yaml", "two_device.yaml: no such file; did you mean 'two_devices.yaml'?"),
    ]:
        with pytest.raises(ScenarioError) as caught:
            load(Path(name))
        assert str(caught.value) == sentence


def test_windows_line_ends_and_a_byte_order_mark_do_not_matter(door, plain):
    assert door.load("\ufeff" + plain.replace("\n", "\r\n")) == door.load(plain)


def test_an_old_yaml_directive_does_not_change_what_words_mean(door, plain):
    assert door.load("%YAML 1.1\n---\n" + plain.replace("rounds: 10", "rounds: 010")) == door.load(plain)


def test_anchors_and_merge_keys_repeat_a_group_and_its_own_keys_win(door):
    text = """\
devices:
  - &phone {profile: phone-low, count: 2, access: lte}
  - <<: *phone
    name: more
    count: 5
  - {<<: [*phone, {cell: mast}], name: most}
network:
  access:
    lte: &link {up: 20 Mbit/s, down: 50 Mbit/s, latency: 25 ms}
    spare: *link
  cells: {mast: {capacity: 1 Gbit/s}}
"""
    scenario = door.load(text)
    assert [(g.name, g.count, g.cell) for g in scenario.groups] == [
        ("phone-low", 2, None),
        ("more", 5, None),
        ("most", 2, "mast"),
    ]
    assert scenario.network.access["spare"] == scenario.network.access["lte"]
    assert "&" not in dump(scenario)


def test_a_fault_that_an_alias_repeats_is_shown_where_it_is_written(door, plain):
    text = plain.replace("count: 3", "count: &n 0").replace("count: 1", "count: *n")
    assert door.refused(text) == [
        "s.yaml:11: devices[0].count: must be >= 1, got 0",
        "s.yaml:11: devices[1].count: must be >= 1, got 0",
    ]


def test_aliases_of_aliases_cannot_fill_the_memory(door, plain):
    bomb = "".join(f"x{i}: &x{i} [{', '.join(10 * [f'*x{i - 1}'])}]\n" for i in range(1, 12))
    (line,) = door.refused("x0: &x0 [0]\n" + bomb + plain)
    assert line.endswith("holds more than 200000 values, aliases repeated")
    chain = "".join(f"x{i}: &x{i} [*x{i - 1}]\n" for i in range(1, 300))
    (line,) = door.refused("x0: &x0 [0]\n" + chain + plain)
    assert line.endswith("is nested more than 30 deep")


def test_an_alias_of_what_it_stands_in_is_refused(door, plain):
    assert door.refused(plain + "x: &x [*x]\n") == ["s.yaml:24: x[0]: alias '*x' has no anchor '&x' before it"]
