"""The table of real devices: complete, in the right units, and found by name."""

import csv
import re
from dataclasses import fields
from importlib.resources import files

import pytest

from devices.catalog import ALIASES, LEFT_OUT, catalogue, extended, find, names, read
from devices.compute import Work, seconds
from devices.profile import PEAK_OF_BACKEND, Profile

DEVICES = list(catalogue().values())
G = 1e9

# Orders of magnitude of the hardware itself, not of our table: what a factor of 1000 or of 8 in a unit would break.
# Effective training FLOP/s (lowest, highest), memory bandwidth in bytes/s, RAM in bytes.
SANE_BY_CLASS = {
    "phone-low": ((10 * G, 40 * G), (8 * G, 20 * G), (2 * G, 8 * G)),
    "phone-mid": ((15 * G, 80 * G), (10 * G, 60 * G), (3 * G, 16 * G)),
    "phone-high": ((20 * G, 300 * G), (25 * G, 100 * G), (3 * G, 24 * G)),
    "sbc": ((5 * G, 100 * G), (3 * G, 40 * G), (0.9 * G, 20 * G)),
    "jetson": ((50 * G, 20e3 * G), (20 * G, 250 * G), (4 * G, 70 * G)),
    "laptop": ((100 * G, 10e3 * G), (40 * G, 500 * G), (8 * G, 70 * G)),
    "desktop-gpu": ((10e3 * G, 200e3 * G), (300 * G, 2e3 * G), (10 * G, 40 * G)),
    "server": ((10e3 * G, 500e3 * G), (300 * G, 6e3 * G), (15 * G, 200 * G)),
}
TEXTS = {"id", "name", "device_class", "soc", "backend", "source", "derived_fields", "note"}
TEXTS |= {"efficiency_source", "kernel_overhead_source", "half_efficiency_source", "power_source"}


def table() -> list[dict[str, str]]:
    with files("devices").joinpath("catalog.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_at_least_twenty_real_devices_are_listed():
    assert len(DEVICES) >= 20
    assert {device.device_class for device in DEVICES} == set(SANE_BY_CLASS)


def test_the_table_has_exactly_the_fields_of_a_profile():
    assert sorted(table()[0]) == sorted(field.name for field in fields(Profile))


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.id)
def test_every_device_names_its_sources(device):
    assert device.source.strip()
    assert re.match(r"(measured|derived|assumed): \S", device.efficiency_source)
    if device.kernel_overhead_s is not None:
        assert re.match(r"(measured|derived|assumed): \S", device.kernel_overhead_source)
    if device.half_efficiency_tokens is not None:
        assert re.match(r"(measured|derived|assumed): \S", device.half_efficiency_source)
    if device.training_power_w is not None:
        assert re.match(r"(measured|derived|assumed): \S", device.power_source)
    assert {"source", "efficiency"} <= device.provenance.keys()


def test_every_cell_with_a_figure_reads_as_that_positive_figure_and_an_empty_one_as_unknown():
    for row, device in zip(table(), DEVICES, strict=True):
        for column in row.keys() - TEXTS:
            value = getattr(device, column)
            if row[column]:
                assert value == float(row[column]) > 0, (device.id, column)
            else:
                assert value is None, (device.id, column)


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.id)
def test_every_device_has_all_that_compute_time_and_memory_need(device):
    assert 0 < device.efficiency <= 1
    assert device.peak_flops_per_s >= device.training_flops_per_s > 0
    assert device.known("memory_bandwidth_bytes_per_s") > 0
    assert 0 < device.known("usable_ram_bytes") <= device.known("ram_bytes")
    if device.backend != "cpu":
        assert device.known("kernel_overhead_s") < 1e-3
        assert 1 <= device.known("half_efficiency_tokens") < 4096


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.id)
def test_figures_are_of_the_size_that_the_class_of_device_has(device):
    """A figure in GFLOP/s, GiB or bits would fall out of these ranges."""
    for value, (lowest, highest) in zip(
        (device.training_flops_per_s, device.memory_bandwidth_bytes_per_s, device.ram_bytes),
        SANE_BY_CLASS[device.device_class],
        strict=True,
    ):
        assert lowest <= value <= highest
    if device.year is not None:
        assert 2010 <= device.year <= 2030


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.id)
def test_half_precision_is_at_least_as_fast_as_single_and_a_cpu_slower_than_a_server_card(device):
    if device.gpu_fp16_flops_per_s is not None:
        assert device.gpu_fp16_flops_per_s >= device.gpu_fp32_flops_per_s
    if device.backend == "cpu":
        assert device.peak_flops_per_s < find("a100").gpu_fp32_flops_per_s


def test_phones_train_on_their_cpu():
    assert {device.backend for device in DEVICES if device.device_class.startswith("phone")} == {"cpu"}


def test_ids_are_slugs():
    for device_id, device in catalogue().items():
        assert device.id == device_id
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", device_id)


def test_every_alias_names_a_listed_device_and_hides_none():
    for alias, device_id in ALIASES.items():
        assert find(alias).id == device_id
        assert alias not in catalogue()


@pytest.mark.parametrize(
    "name",
    [
        "phone-low",
        "phone-mid",
        "phone-high",
        "raspberry-pi-4",
        "raspberry-pi-5",
        "jetson-nano",
        "jetson-orin-nano",
        "jetson-agx-orin",
        "laptop",
        "desktop-gpu",
        "server",
        "t4",
        "v100",
        "a100",
        "h100",
        "h200",
        "galaxy-s23-ultra",
        "rtx-4090",
        "macbook-air-m1",
        "h100-sxm",
    ],
)
def test_the_names_people_use_are_known(name):
    assert isinstance(find(name), Profile)
    assert name in names()


def test_a_phone_class_stands_for_a_phone_of_that_class():
    for alias in ("phone-low", "phone-mid", "phone-high", "laptop", "desktop-gpu", "server"):
        assert find(alias).device_class == alias


def test_the_low_phone_trains_as_much_slower_as_was_measured():
    """A Redmi Note 8 took 1.9x (LSTM) to 2.6x (dense) of a Galaxy Note10, a Snapdragon 855 phone (FLASH)."""
    work = Work(1e10, 0.0)
    assert 1.9 <= seconds(work, find("phone-low")) / seconds(work, find("galaxy-s10")) <= 2.6


def test_phone_classes_are_in_order():
    low, mid, high = (find(f"phone-{rank}").training_flops_per_s for rank in ("low", "mid", "high"))
    assert low < mid < high


def test_a_misspelt_name_is_refused_with_a_guess():
    with pytest.raises(ValueError, match=r"unknown device profile 'phone-hihg'; did you mean 'phone-high'\?"):
        find("phone-hihg")


def test_a_name_as_it_is_printed_on_the_box_is_guessed():
    with pytest.raises(ValueError, match=r"did you mean 'rtx-4090'\?"):
        find("RTX 4090")


def test_a_name_like_no_other_is_refused_with_what_is_allowed_and_no_guess():
    with pytest.raises(ValueError, match=r"unknown device profile 'zzz'; allowed: phone-low, ") as refusal:
        find("zzz")
    assert "did you mean" not in str(refusal.value)


def test_a_device_that_was_left_out_says_which_figure_is_missing():
    assert not LEFT_OUT.keys() & set(names())
    with pytest.raises(ValueError, match="'rtx-3060' is not in the catalogue: memory bandwidth not found"):
        find("rtx-3060")


def test_every_backend_has_its_peak_among_the_columns():
    assert set(PEAK_OF_BACKEND.values()) <= {field.name for field in fields(Profile)}


def test_the_catalogue_cannot_be_changed():
    with pytest.raises(TypeError):
        catalogue()["phone-low"] = find("a100")


HEADER = "id,name,device_class,backend,efficiency,efficiency_source,ram_bytes"
ROW = "board,A board,sbc,cpu,0.5,assumed: for this test,"


def test_a_table_of_ones_own_is_read_alike():
    board = read([HEADER, ROW + "1024"], "my.csv")["board"]
    assert (board.efficiency, board.ram_bytes, board.cpu_fp32_flops_per_s) == (0.5, 1024, None)


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([ROW + "4 GB"], r"my.csv:2: ram_bytes: must be a whole number or empty, got '4 GB'"),
        ([ROW, ROW], r"my.csv:3: id: 'board' is listed twice"),
        ([ROW + "0"], r"my.csv:2: device 'board': ram_bytes must be positive"),
        ([ROW.replace("cpu", "npu")], r"my.csv:2: device 'board': backend must be one of cpu, gpu-fp32, gpu-fp16"),
        ([ROW.replace("0.5", "half")], r"my.csv:2: efficiency: must be a number or empty, got 'half'"),
        ([ROW.replace("0.5", "")], r"my.csv:2: efficiency: missing"),
        ([ROW.replace("0.5", "nan")], r"my.csv:2: device 'board': efficiency must be positive and finite"),
        ([ROW + "1,2"], r"my.csv:2: must have 7 columns"),
        (["board"], r"my.csv:2: must have 7 columns"),
        ([], r"my.csv: holds no device"),
    ],
)
def test_a_table_with_a_mistake_is_refused_with_its_place(rows, complaint):
    with pytest.raises(ValueError, match=complaint):
        read([HEADER, *rows], "my.csv")


@pytest.mark.parametrize(
    ("header", "complaint"),
    [
        (HEADER.replace("ram_bytes", "ram_byte"), r"my.csv:1: unknown column 'ram_byte'; did you mean 'ram_bytes'\?"),
        (HEADER.replace("efficiency,", ""), r"my.csv:1: the column 'efficiency' is missing; needed are id, name"),
    ],
)
def test_a_table_with_a_wrong_column_is_refused_with_a_guess(header, complaint):
    with pytest.raises(ValueError, match=complaint):
        read([header, ROW], "my.csv")


def test_a_users_own_table_extends_the_shipped_one_and_wins(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(f"{HEADER}\n{ROW}1024\n{ROW.replace('board,A board', 'raspberry-pi-5,My own Pi')}\n")
    mine = extended(path)
    assert find("board", mine).ram_bytes == 1024
    assert find("raspberry-pi-5", mine).name == "My own Pi"
    assert find("phone-low", mine) is find("phone-low")
    path.write_text(f"{HEADER}\n{ROW}2048\n\n")
    assert extended(path)["board"].ram_bytes == 2048, "a changed file is read again"


def test_a_table_that_is_not_there_or_no_text_is_refused(tmp_path):
    (tmp_path / "image.csv").write_bytes(b"\xff\xd8")
    for name in ("image.csv", "absent.csv"):
        with pytest.raises(ValueError, match=f"{name}: cannot be read as a table of devices"):
            extended(tmp_path / name)
