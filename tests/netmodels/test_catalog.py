"""The table of link classes says what its sources say; what they do not say, it does not know."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest

from netmodels.catalog import UnknownFigureError, catalogue, extended, find, read

TRACES = Path(__file__).parents[2].parent / "shared" / "data" / "traces"
needs_data = pytest.mark.skipif(not TRACES.exists(), reason="the third-party traces are not beside the checkout")

SPEEDTESTS = {
    "lte": "Verizon/4G-LTE",
    "5g-low-band": "TMobile/5G-NSA-Low-Band",
    "5g-low-band-sa": "TMobile/5G-SA-Low-Band",
    "5g-mmwave": "Verizon/5G-NSA-mmWave",
}
WALKS = {"lte-walking": "4G/walking", "5g-walking": "5G/walking", "5g-driving": "5G/driving"}
RECORDINGS = {
    "lte-driving": "ATT-LTE-driving",
    "lte-driving-2016": "ATT-LTE-driving-2016",
    "3g": "TMobile-UMTS-driving",
}


@pytest.fixture(scope="module")
def radio():
    return json.loads((TRACES / "radio_quantiles.json").read_text())


@needs_data
@pytest.mark.parametrize(("name", "key"), SPEEDTESTS.items())
def test_the_speedtest_classes_have_the_quantiles_of_their_source(radio, name, key):
    levels = np.array(radio["quantile_levels_percent"]) / 100
    link, source = find(name), radio["radio"][key]
    assert link.down_bps.at(levels) / 1e6 == pytest.approx(source["down_mbps"])
    assert link.up_bps.at(levels) / 1e6 == pytest.approx(source["up_mbps"])
    assert link.rtt_s.at(levels) * 1e3 == pytest.approx(source["rtt_ms"])


@needs_data
@pytest.mark.parametrize(("name", "key"), WALKS.items())
def test_the_walking_and_driving_classes_have_the_quantiles_and_the_autocorrelation_of_their_source(radio, name, key):
    levels = np.array(radio["quantile_levels_percent"]) / 100
    link, source = find(name), radio["lumos5g_per_second_down_mbps"][key]
    assert link.down_bps.at(levels) / 1e6 == pytest.approx(source["quantiles"])
    assert link.down_lag1 == source["lag1_autocorr_median"]
    assert link.up_bps is None


def per_second_mbps(name: str) -> np.ndarray:
    with gzip.open(TRACES / "mahimahi" / f"{name}.gz", "rt") as lines:
        stamps_ms = np.array([int(line) for line in lines])
    return np.bincount(stamps_ms // 1000)[: stamps_ms[-1] // 1000] * 1500 * 8 / 1e6


@needs_data
@pytest.mark.parametrize("way", ["down", "up"])
@pytest.mark.parametrize(("name", "file"), RECORDINGS.items())
def test_the_recorded_classes_have_the_seconds_of_their_recording(name, file, way):
    seconds = per_second_mbps(f"{file}.{way}")
    rates = find(name).down_bps if way == "down" else find(name).up_bps
    levels = np.linspace(0, 1, 21)
    away = np.abs(rates.at(levels) / 1e6 - np.quantile(seconds, levels))
    assert away[levels > rates.zero_share].max() < 1e-3
    assert rates.zero_share == pytest.approx((seconds == 0).mean(), abs=1e-4)
    deviation = seconds - seconds.mean()
    lag1 = (deviation[1:] * deviation[:-1]).mean() / seconds.var()
    assert getattr(find(name), f"{way}_lag1") == pytest.approx(lag1, abs=1e-3)


@needs_data
def test_the_joules_are_the_slopes_that_were_measured(radio):
    fits = radio["phone_power_vs_throughput"]["fits"]
    for name, key in (("lte", "LTE"), ("5g-low-band", "NSALow"), ("5g-mmwave", "mmwave")):
        assert find(name).joules_per_mb_up == pytest.approx(fits[f"{key}/uplink"]["marginal_J_per_MB"])
        assert find(name).joules_per_mb_down == pytest.approx(fits[f"{key}/downlink"]["marginal_J_per_MB"])


def test_every_known_figure_has_a_source():
    for link in catalogue().values():
        assert all(link.provenance.values()), link
        assert "down_bps" in link.provenance


def test_a_figure_without_a_source_is_an_error_that_names_it_never_zero():
    with pytest.raises(UnknownFigureError, match="link class 'lte-walking': up_bps is unknown, no source was found"):
        find("lte-walking").known("up_bps")
    with pytest.raises(UnknownFigureError, match="link class '3g': radio_on_w is unknown"):
        find("3g").known("radio_on_w")


def test_an_unknown_class_is_refused_with_a_guess():
    with pytest.raises(ValueError, match=r"unknown link class '5g-lowband'; did you mean '5g-low-band'\? \(allowed: "):
        find("5g-lowband")


def test_a_users_table_extends_the_shipped_one_and_wins(tmp_path):
    table = tmp_path / "links.csv"
    table.write_text("id,up_mbps,down_mbps,rtt_ms,up_source\nlab,5:1 50:2 95:4,10,57,our own\nlte,1,2,3,ours\n")
    classes = extended(table)
    lab = find("lab", classes)
    assert (lab.kind, lab.up_bps.median, lab.down_bps.values, lab.rtt_s.median) == ("tests", 2e6, (10e6,), 0.057)
    assert lab.radio_on_w is None
    assert find("lte", classes).up_bps.median == 1e6
    assert find("home-wifi", classes) is find("home-wifi")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,up_mbit\nx,1", "t.csv:1: unknown column 'up_mbit'; did you mean 'up_mbps'?"),
        ("id,up_mbps\nx,fast", "t.csv:2: up_mbps: must be a number or empty, got 'fast'"),
        ("id,up_mbps\nx,1\n,2", "t.csv:3: id: missing: the name of the class"),
        ("id,up_mbps\nx,5:2 50:1", "t.csv:2: up_mbps: values must not decrease, got 1e+06 after 2e+06"),
        ("id,up_mbps\nx,nan", "t.csv:2: up_mbps: values must be finite and >= 0, got nan"),
        ("id,up_mbps\nx,0", "t.csv:2: up_bps must be above 0 somewhere"),
        ("id,up_mbps\nx,1,2", "t.csv:2: must have 2 columns"),
        ("id,down_lag1\nx,1.2", "t.csv:2: down_lag1 must be in 0..0.999, got 1.2"),
        ("id,radio_on_w\nx,-1", "t.csv:2: radio_on_w must be finite and >= 0, got -1.0"),
        ("id,kind\nx,guess", "t.csv:2: kind must be one of tests, seconds, median, got 'guess'"),
        ("id,up_mbps\nx,1\nx,2", "t.csv:3: the id 'x' is listed twice"),
        ("id,up_mbps\n", "t.csv: holds no link class"),
    ],
)
def test_a_wrong_table_is_refused_by_file_line_and_reason(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        read(text.splitlines(), "t.csv")


def test_a_class_shows_its_medians():
    assert repr(find("lte")) == "<LinkClass lte: 31.155 Mbit/s up, 117.2 Mbit/s down>"
    assert repr(find("lte-walking")) == "<LinkClass lte-walking: unknown up, 29 Mbit/s down>"
