"""Access classes: what a link class, a trace or a radio channel brings, and what does not fit together."""

from pathlib import Path

import pytest

from simulator.scenario import dump, loads

WIFI = "wifi: {up: 40 Mbit/s, down: 100 Mbit/s, latency: 5 ms}"


def with_wifi(door, keys: str) -> str:
    """The plain scenario whose line 21 says these keys of network.access.wifi."""
    return door.changed((WIFI, f"wifi: {{{keys}}}"))


@pytest.mark.parametrize(
    ("name", "vary"),
    [("lte", "once"), ("5g-low-band", "once"), ("home-wifi", "once"), ("lte-driving", "ar1")],
)
def test_a_link_class_is_all_that_an_access_class_needs_and_varies_as_it_was_measured(door, name, vary):
    access = door.load(with_wifi(door, f"class: {name}")).network.access["wifi"]
    assert (access.link_class, access.vary, access.up, access.latency) == (name, vary, None, None)


def test_what_is_given_beside_a_class_wins(door):
    access = door.load(with_wifi(door, "class: 3g, latency: 80 ms, vary: ar1")).network.access["wifi"]
    assert (access.link_class, access.latency) == ("3g", 0.08)
    access = door.load(with_wifi(door, "class: lte-walking, up: 5 Mbit/s")).network.access["wifi"]
    assert (access.up, access.down, access.vary) == (5e6, None, "ar1")


def test_a_dump_says_how_a_class_varies_and_reads_back(door):
    scenario = door.load(with_wifi(door, "class: lte-driving"))
    text = dump(scenario)
    assert "      class: lte-driving\n      vary: ar1\n" in text
    assert loads(text, find_profile=lambda _: None) == scenario


def test_a_radio_channel_reads_back_with_its_units(door):
    keys = "latency: 20 ms, wireless: {bandwidth: 10 MHz, radius: 0.5 km, shadowing: 6 dB, coherence: 50 ms}"
    scenario = door.load(with_wifi(door, keys))
    wireless = scenario.network.access["wifi"].wireless
    assert (wireless.bandwidth, wireless.radius, wireless.shadowing, wireless.margin) == (10e6, 500.0, 6.0, 0.0)
    text = dump(scenario)
    assert "        bandwidth: 10 MHz\n        radius: 500 m\n        shadowing: 6 dB\n" in text
    assert loads(text, find_profile=lambda _: None) == scenario


def test_a_trace_is_looked_up_beside_the_scenario_and_reads_back(door):
    Path("bus.csv").write_text("0,1\n5,2\n")
    scenario = door.load(with_wifi(door, "trace: bus.csv, latency: 30 ms, offset: 2 s"))
    access = scenario.network.access["wifi"]
    assert (access.trace, access.offset) == (str(Path("bus.csv").resolve()), 2.0)
    assert loads(dump(scenario), find_profile=lambda _: None) == scenario


def test_a_cell_may_be_shared_by_airtime(door):
    scenario = door.load(door.changed(("capacity: 100 Mbit/s", "airtime: equal-times, count: 2")))
    assert scenario.network.cells["mast"].airtime == "equal-times"
    assert loads(dump(scenario), find_profile=lambda _: None) == scenario


def test_a_users_table_of_link_classes_extends_the_shipped_ones(door):
    Path("mine.csv").write_text("id,up_mbps,down_mbps,rtt_ms\nlab,10,20,4\n")
    text = door.changed((WIFI, "wifi: {class: lab}"), ("seed: 7", "link_catalog: mine.csv"))
    assert door.load(text).network.access["wifi"].link_class == "lab"
    Path("mine.csv").write_text("id,up_mbps\nlab,quick\n")
    (line,) = door.refused(text)
    assert line.startswith("s.yaml:2: link_catalog: ")
    assert line.endswith("mine.csv:2: up_mbps: must be a number or empty, got 'quick'")


REFUSED = [
    ("class: let, latency: 1 ms",
     "s.yaml:21: network.access.wifi.class: unknown link class 'let'; did you mean 'lte'? (allowed: ethernet, "),
    ("class: lte-walking",
     "s.yaml:21: network.access.wifi.up: missing: link class 'lte-walking' has no uplink, as no source was found "
     "for it"),
    ("class: 3g",
     "s.yaml:21: network.access.wifi.latency: missing: link class '3g' has no round trip, as no source was "
     "found for it"),
    ("class: 5g-low-band, vary: ar1",
     "s.yaml:21: network.access.wifi.vary: 'ar1' needs an autocorrelation, and that of the uplink of link class "
     "'5g-low-band' is unknown; allowed: once"),
    ("class: lte-driving, vary: once",
     "s.yaml:21: network.access.wifi.vary: 'once' would leave 9.29 % of the devices of link class 'lte-driving' "
     "without uplink for ever; allowed: ar1"),
    ("class: lte, vary: arl",
     "s.yaml:21: network.access.wifi.vary: unknown way to vary 'arl'; did you mean 'ar1'? (allowed: once, ar1)"),
    ("class: lte, up: 1 Mbit/s, down: 1 Mbit/s, latency: 1 ms",
     "s.yaml:21: network.access.wifi.class: is not used, as up, down and latency are given; leave one of them out"),
    ("class: lte, spread: 0.3",
     "s.yaml:21: network.access.wifi.spread: is read only with up or down, or with a class that has medians alone"),
    ("class: lte, offset: 1 s", "s.yaml:21: network.access.wifi.offset: is read only with trace"),
    ("up: 1 Mbit/s, down: 1 Mbit/s, latency: 1 ms, vary: ar1",
     "s.yaml:21: network.access.wifi.vary: is read only with class"),
    ("class: lte, trace: bus.csv",
     "s.yaml:21: network.access.wifi.trace: of class, trace, wireless only one can give the rates, and class does"),
    ("trace: bus.csv", "s.yaml:21: network.access.wifi.latency: missing: one-way latency"),
    ("trace: bus.csv, latency: 1 ms, offset: 5",
     "s.yaml:21: network.access.wifi.offset: 5 needs a unit, e.g. '5 s' (or ms, min, h)"),
    ("trace: bus.csv, latency: 1 ms, up: 1 Mbit/s, down: 1 Mbit/s",
     "s.yaml:21: network.access.wifi.trace: is not used, as up and down are given; leave it or one of them out"),
    ("trace: nowhere, latency: 1 ms", "s.yaml:21: network.access.wifi.trace: 'nowhere' does not exist (looked in "),
    ("wireless: {bandwidth: 10 MHz, radius: 500 m}",
     "s.yaml:21: network.access.wifi.latency: missing: one-way latency"),
    ("wireless: {bandwidth: 10 MHz, radius: 500 m}, latency: 1 ms, up: 1 Mbit/s",
     "s.yaml:21: network.access.wifi.up: leave it out: wireless gives the rates"),
    ("wireless: {bandwidth: 10 MHz, radius: 20 m}, latency: 1 ms",
     "s.yaml:21: network.access.wifi.wireless.radius: must be > 35.0, got '20 m'"),
    ("wireless: {bandwidth: 10, radius: 50 m}, latency: 1 ms",
     "s.yaml:21: network.access.wifi.wireless.bandwidth: 10 needs a unit, e.g. '10 MHz'"),
    ("wireless: {bandwidth: 10 MHz, radius: 50 ms}, latency: 1 ms",
     "s.yaml:21: network.access.wifi.wireless.radius: '50 ms' is not a length (ms is a unit of duration); write e.g. "
     "'20 m'"),
    ("wireless: {bandwidth: 10 MHz, radius: 50 m, shadowing: 8}, latency: 1 ms",
     "s.yaml:21: network.access.wifi.wireless.shadowing: 8 needs a unit, e.g. '8 dB'"),
    ("wireless: {bandwidth: 10 MHz, radius: 1000000 km}, latency: 1 ms",
     "s.yaml:21: network.access.wifi.wireless: reaches too far: a channel that loses 354 dB carries less than 1 bit/s"),
    ("class: home-wifi, vary: ar1",
     "s.yaml:21: network.access.wifi.vary: 'ar1' needs quantiles, and of the uplink of link class 'home-wifi' only one "
     "rate is known; allowed: once"),
    ("wireless: {radius: 50 m}, latency: 1 ms",
     "s.yaml:21: network.access.wifi.wireless.bandwidth: missing: what the cell has for each direction"),
    ("wireless: {bandwith: 10 MHz, radius: 50 m}, latency: 1 ms",
     "s.yaml:21: network.access.wifi.wireless.bandwith: unknown key 'bandwith'; did you mean 'bandwidth'? (allowed: "
     "bandwidth, radius, shadowing, margin, coherence)"),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "line"), REFUSED, ids=[keys for keys, _ in REFUSED])
def test_keys_that_do_not_fit_together_are_refused_in_one_sentence(door, keys, line):
    Path("bus.csv").write_text("0,1\n5,2\n")
    lines = door.refused(with_wifi(door, keys))
    assert lines[0].startswith(line)
    if not line.endswith((", ", "looked in ")):  # else the sentence goes on with a list, or a folder
        assert lines[0] == line


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("t.csv", "0,1\n4,2\n3.5,1\n", "t.csv:3: time must increase from row to row, got 3.5 after 4"),
        ("t.csv", "", "t.csv: is empty; a trace needs at least one line"),
        ("t.csv", "0,1\n1,nan\n", "t.csv:2: must be finite, got 'nan'"),
        ("t.csv", "0,1\n1,-2\n", "t.csv:2: a rate must be >= 0, got -2"),
        ("t.csv", "t_s,rate\n0,1\n", "t.csv:1: column 'rate' names no unit; call it rate_mbps, rate_kbps or rate_bps"),
        ("t.csv", "0,0\n1,0\n", "t.csv: the rate is 0 in every row, so the link would carry nothing for ever"),
        ("t", "1\n5\n4\n", "t:3: time must not go back, got 4 ms after 5 ms"),
    ],
)
def test_a_trace_that_cannot_be_used_is_refused_by_both_files_both_lines_and_the_reason(door, name, text, reason):
    Path(name).write_text(text)
    lines = door.refused(with_wifi(door, f"trace: {name}, latency: 1 ms"))
    assert lines == [f"s.yaml:21: network.access.wifi.trace: {Path.cwd() / reason}"]


def test_a_recording_of_one_direction_asks_for_the_other(door):
    Path("bus.down").write_text("10\n20\n")
    (line,) = door.refused(with_wifi(door, "trace: bus.down, latency: 1 ms"))
    reason = f"{Path.cwd()}/bus.down has no uplink: bus.up is not beside it; give up here"
    assert line == f"s.yaml:21: network.access.wifi.up: missing: {reason}"
    assert door.load(with_wifi(door, "trace: bus.down, latency: 1 ms, up: 1 Mbit/s")).network.access["wifi"].up == 1e6


def test_airtime_leaves_no_room_for_a_capacity(door):
    (line,) = door.refused(door.changed(("capacity: 100 Mbit/s", "capacity: 100 Mbit/s, airtime: equal-times")))
    assert line == (
        "s.yaml:23: network.cells.mast: airtime shares it at the rates of its devices' access links; leave out capacity"
    )
    (line,) = door.refused(door.changed(("capacity: 100 Mbit/s", "airtime: equal-time")))
    assert line.startswith("s.yaml:23: network.cells.mast.airtime: unknown airtime 'equal-time'; did you mean 'equal-t")
