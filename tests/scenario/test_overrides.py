"""``--set`` goes through the same door as the file."""

import pytest


@pytest.mark.parametrize(
    ("setting", "path", "expected"),
    [
        ("seed=8", "seed", 8),
        ("training.rounds=3", "training.rounds", 3),
        ("training.batch=2", "training.batch", 2),  # the section is there, the key is not
        ("lora.rank=4", "lora.rank", 4),  # the section is not there
        ("lora={rank: 4, alpha: 2}", "lora.alpha", 2.0),
        ("lora.targets=[v, q]", "lora.targets", ("q", "v")),
        ("training.betas=[0.8, 0.9]", "training.betas", (0.8, 0.9)),
        ("devices.1.profile=phone-low", "devices.1.profile", "phone-low"),
        ("devices[1].profile=phone-low", "devices.1.profile", "phone-low"),
        ("devices[0].cell=null", "devices.0.cell", None),
        ("devices[0].cell=", "devices.0.cell", None),
        ("network.access.lte.up=1 Mbit/s", "network.access.lte.up", 1e6),
        ("network.access.lte.loss=5%", "network.access.lte.loss", 0.05),
        ("network.backhaul.capacity=2 Gbit/s", "network.backhaul.capacity", 2e9),
        ("network.server.latency=4 ms", "network.server.capacity", 10e9),  # the default stays
        ('name="a: b"', "name", "a: b"),
        ("name=a=b", "name", "a=b"),
        (" seed = 9 ", "seed", 9),
    ],
)
def test_an_override_sets_one_value(door, plain, setting, path, expected):
    value = door.load(plain, setting)
    for part in path.split("."):
        value = value[int(part)] if part.isdigit() else value[part] if isinstance(value, dict) else at(value, part)
    assert value == expected


def at(value, part):
    return getattr(value, part) if hasattr(value, part) else value[part]


def test_the_last_of_two_overrides_of_one_key_wins(door, plain):
    assert door.load(plain, "seed=8", "seed=9").seed == 9


def test_an_override_mends_a_file_that_would_be_refused(door):
    text = door.changed(("seed: 7", "seed: x"), ("rounds: 10", "rounds: 0"))
    assert door.load(text, "seed=1", "training.rounds=2").training.rounds == 2


def test_an_override_of_an_alias_leaves_what_it_repeats_as_it_was(door):
    text = door.changed(
        ("lte: {", "lte: &link {"), ("wifi: {up: 40 Mbit/s, down: 100 Mbit/s, latency: 5 ms}", "wifi: *link")
    )
    access = door.load(text, "network.access.wifi.up=1 Mbit/s").network.access
    assert (access["wifi"].up, access["lte"].up) == (1e6, 20e6)


@pytest.mark.parametrize(
    ("setting", "rest"),
    [
        ("seed=x", "seed: must be a whole number, got 'x'"),
        ("trainig.rounds=3", "trainig: unknown key 'trainig'; did you mean 'training'? (allowed: name, seed, horizon,"),
        ("training.ruonds=3", "training.ruonds: unknown key 'ruonds'; did you mean 'rounds'? (allowed: rounds, batch,"),
        ("devices.1.profle=x", "devices[1].profle: unknown key 'profle'; did you mean 'profile'? (allowed: name,"),
        ("devices[1].access=wfi",
         "devices[1].access: unknown access class 'wfi'; did you mean 'wifi'? (allowed: lte, wifi)"),
        ("devices.1.profile=phone-hihg",
         "devices[1].profile: unknown device profile 'phone-hihg'; did you mean 'phone-high'? (allowed: phone-low,"),
        ("model.split=13", "model.split: must be in 0..12 for gpt2 (12 blocks), got 13"),
        ("network.access.lte.up=20", "network.access.lte.up: 20 needs a unit, e.g. '20 Mbit/s'"),
        ("devices.2.profile=x", "devices[2]: there is no such entry (allowed: 0..1)"),
        ("devices[99]=x", "devices[99]: there is no such entry (allowed: 0..1)"),
        ("devices.dear.profile=x", "devices: is a list; name an entry by its number (0..1), got 'dear'"),
        ("devices.-1.profile=x", "devices: is a list; name an entry by its number (0..1), got '-1'"),
        ("devices.²=x", "devices: is a list; name an entry by its number (0..1), got '²'"),
        ("seed.x=1", "seed: is a single value, so it has no 'x'"),
        ("lora.targets.0=q",
         "lora.targets: is not in the file, so its entry 0 cannot be set; set the whole list, e.g. [a, b]"),
        ("seed", "must be key.path=value"),
        ("=5", "'' is not a key path such as devices[2].profile"),
        ("a..b=5", "'a..b' is not a key path such as devices[2].profile"),
        ("devices[x].profile=5", "'devices[x].profile' is not a key path such as devices[2].profile"),
        ("lora={rank: 4", "is not valid YAML: "),
        ("lora={rank: 4, rank: 5}", "rank: the key is given twice"),
        ("seed=*x", "alias '*x' has no anchor '&x' before it"),
        ("devices=[]", "devices: must have at least one entry"),
        ("network.cells.mast.up=1 Mbit/s",
         "network.cells.mast: needs either capacity (that much each way) or both up and down, got capacity and up"),
    ],
)  # fmt: skip
def test_a_wrong_override_is_refused_by_its_own_name(door, plain, setting, rest):
    lines = door.refused(plain, setting)
    if setting.startswith("network.cells.mast"):
        assert lines == [f"s.yaml:23: {rest}"]  # the whole cell is at fault, and that is in the file
    else:
        assert lines[-1].startswith(f"--set {setting}: {rest}")
        assert all("s.yaml" not in line for line in lines)


def test_a_value_of_the_file_that_an_override_makes_wrong_is_shown_in_the_file(door):
    text = door.changed(("cell: mast", "split: 9"))
    assert door.refused(text, "model.name=distilgpt2") == [
        "s.yaml:13: devices[0].split: must be in 0..6 for distilgpt2 (6 blocks), got 9"
    ]


def test_every_wrong_override_is_shown(door, plain):
    lines = door.refused(plain, "seed", "devices.9.count=1", "seed=x", "foo=1")
    assert [line.split(": ")[0] for line in lines] == [
        "--set seed",
        "--set devices.9.count=1",
        "--set seed=x",
        "--set foo=1",
    ]
