"""The links that devices draw: from quantiles, recordings and radio channels, each by a stream of its own."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest

from netmodels.capacity import Constant
from netmodels.catalog import find
from simulator import world
from simulator.fleet import members
from simulator.links import latencies_s, provenance, rates
from simulator.scenario import loads

TEXT = """\
name: links
seed: 3
model: {name: mini, timed_as: gpt2, split: 3}
training: {rounds: 1, batch: 1, tokens: 16, aggregate_every: 1}
devices:
  - {name: first, profile: phone-mid, count: COUNT, access: radio}
network:
  model: MODEL
  access:
    radio: {ACCESS}
"""


def scenario(access: str, count: int = 1, *overrides: str, model: str = "tcp", folder=None):
    text = TEXT.replace("ACCESS", access).replace("COUNT", str(count)).replace("MODEL", model)
    return loads(text, overrides, base_folder=folder)


def pipes(access: str, count: int, *overrides: str, folder=None):
    return [member.access for member in members(scenario(access, count, *overrides, folder=folder))]


def test_devices_of_a_class_have_its_quantiles_and_their_directions_are_independent():
    fleet = pipes("class: 5g-low-band", 4000)
    up, down, latency_s = np.array([(pipe.up.bps, pipe.down.bps, pipe.latency_s) for pipe in fleet]).T
    link = find("5g-low-band")
    levels = np.array([0.1, 0.25, 0.5, 0.75, 0.9])
    for drawn, known in ((up, link.up_bps), (down, link.down_bps), (2 * latency_s, link.rtt_s)):
        shares = [(drawn <= value).mean() for value in known.at(levels)]
        assert shares == pytest.approx(levels, abs=0.03)  # 4 standard errors at 4,000
    assert abs(np.corrcoef(up, down)[0, 1]) < 0.06


def test_a_class_of_medians_gives_everybody_the_medians_unless_there_is_a_spread():
    assert {pipe.up for pipe in pipes("class: home-wifi", 5)} == {Constant(48.36e6)}
    assert {pipe.latency_s for pipe in pipes("class: home-wifi", 5)} == {0.005}
    spread = [pipe.up.bps for pipe in pipes("class: home-wifi, spread: 0.3", 500)]
    assert np.log(spread).std() == pytest.approx(0.3, abs=0.04)


def test_rates_that_vary_have_outages_and_each_device_its_own():
    first, second = pipes("class: lte-driving", 2)
    seconds = np.array([[pipe.up.at(k) for k in range(3000)] for pipe in (first, second)])
    assert (seconds == 0).mean() == pytest.approx(find("lte-driving").up_bps.zero_share, abs=0.05)
    assert abs(np.corrcoef(seconds)[0, 1]) < 0.2


@pytest.mark.parametrize(
    "access",
    [
        "class: lte-driving",
        "class: 5g-low-band",
        "up: 3 Mbit/s, down: 4 Mbit/s, latency: 10 ms, spread: 0.3",
        "wireless: {bandwidth: 10 MHz, radius: 500 m, coherence: 1 s}, latency: 10 ms",
    ],
)
def test_factors_multiply_rates_and_latency_however_they_are_given(access):
    before = pipes(access, 5)
    after = pipes(f"{access}, up_factor: 2, down_factor: 0.5, latency_factor: 3", 5)
    for old, new in zip(before, after, strict=True):
        assert new.latency_s == 3 * old.latency_s
        assert new.up.peak_bps == 2 * old.up.peak_bps
        for when_s in (0.0, 7.3, 100.0):
            assert new.up.at(when_s) == 2 * old.up.at(when_s)
            assert new.down.at(when_s) == 0.5 * old.down.at(when_s)
            assert new.down.next_change_s(when_s) == old.down.next_change_s(when_s)
    group, faster = (scenario(f"{access}{more}", 5) for more in ("", ", up_factor: 2, latency_factor: 3"))
    assert rates("up", faster, faster.groups[0]).peak_bps == pytest.approx(
        2 * rates("up", group, group.groups[0]).peak_bps
    )
    assert latencies_s(faster, faster.groups[0]) == pytest.approx(3 * latencies_s(group, group.groups[0]))


def test_devices_of_twice_the_speed_compute_in_half_the_time():
    text = "up: 3 Mbit/s, down: 4 Mbit/s, latency: 10 ms"
    slow, fast = (
        world.run(scenario(text, 2, f"devices.0.speed={speed}", "devices.0.heat=off"), timing_only=True).record
        for speed in (1, 2)
    )
    took = [
        {(row.actor, row.what): row.end_s - row.start_s for row in record.computes if row.actor.startswith("first")}
        for record in (slow, fast)
    ]
    assert took[0].keys() == took[1].keys()
    for key, seconds in took[0].items():
        assert took[1][key] == pytest.approx(seconds / 2, rel=0.05)  # launching a kernel takes what it takes


def test_another_group_or_more_devices_leave_everybodys_links_as_they_were():
    for access in ("class: lte", "class: lte-driving", "latency: 1 ms, wireless: {bandwidth: 10 MHz, radius: 1 km}"):
        few, many = pipes(access, 3), pipes(access, 30)
        for one, other in zip(few, many, strict=False):
            assert [one.up.at(t) for t in (0, 5, 77)] == [other.up.at(t) for t in (0, 5, 77)]
            assert one.latency_s == other.latency_s


def test_recordings_are_dealt_out_in_turn_and_each_device_begins_elsewhere(tmp_path):
    folder = tmp_path / "traces"
    folder.mkdir()
    (folder / "a.csv").write_text("0,1\n10,2\n")
    (folder / "b.csv").write_text("0,3\n10,4\n")
    peaks = [pipe.up.peak_bps for pipe in pipes("trace: traces, latency: 1 ms", 4, folder=tmp_path)]
    assert peaks == [2e6, 4e6, 2e6, 4e6]
    offsets = {pipe.up.offset_s for pipe in pipes("trace: traces/a.csv, latency: 1 ms", 50, folder=tmp_path)}
    assert len(offsets) == 50
    assert all(0 <= offset_s < 20 for offset_s in offsets)
    (still,) = pipes("trace: traces/a.csv, latency: 1 ms, offset: 12 s", 1, folder=tmp_path)
    assert (still.up.at(0), still.down.at(9)) == (2e6, 1e6)


def test_phones_far_from_the_mast_have_slower_radio_links():
    fleet = pipes("latency: 1 ms, wireless: {bandwidth: 10 MHz, radius: 2 km, shadowing: 0 dB}", 300)
    downs = np.array([pipe.down.bps for pipe in fleet])
    # at 2 km: 128.1 + 37.6 log10(2) = 139.4 dB, so 16.6 dB over the noise
    edge_bps = 10e6 * 0.6 * math.log2(1 + 10 ** ((46 + 15 - 139.419 - (-174 + 70 + 9)) / 10))
    assert downs.min() == pytest.approx(edge_bps, rel=0.01)
    assert downs.max() == 44e6
    ups = np.array([pipe.up.bps for pipe in fleet])
    assert (np.diff(downs[np.lexsort((downs, ups))]) >= 0).all()  # who is faster up is not slower down


def test_an_outage_delays_a_run_by_its_length_and_nothing_is_lost(tmp_path):
    """The uplink is dead from 0.05 s to 40.05 s, in the middle of the first upload."""
    (tmp_path / "steady.csv").write_text("0,2\n1000,2\n")
    (tmp_path / "tunnel.csv").write_text("0,2\n0.15,0\n40.15,2\n1000,2\n")
    runs = {
        name: world.run(
            scenario(f"trace: {name}.csv, latency: 10 ms, offset: 0 s", 1, model="pure", folder=tmp_path),
            timing_only=True,
        )
        for name in ("steady", "tunnel")
    }
    assert runs["tunnel"].summary["bytes_up"] == runs["steady"].summary["bytes_up"]
    delay_s = runs["tunnel"].summary["virtual_s"] - runs["steady"].summary["virtual_s"]
    assert delay_s == pytest.approx(40.0, abs=1e-6)


def test_the_manifest_names_the_source_of_every_link(tmp_path):
    sources = provenance(scenario("class: lte-driving, latency: 30 ms"))["radio"]
    assert sources["up"].startswith("link class lte-driving, ar1: github ravinet/mahimahi")
    assert sources["latency"] == "the scenario's own"
    (tmp_path / "t.csv").write_text("0,1\n1,2\n")
    sources = provenance(scenario("trace: t.csv, latency: 1 ms, up: 1 Mbit/s", folder=tmp_path))["radio"]
    assert (sources["up"], sources["down"]) == ("the scenario's own", f"recorded in {tmp_path / 't.csv'}")


def test_a_device_with_varying_links_takes_a_few_kilobytes_however_far_ahead_one_looks():
    tracemalloc.start()
    fleet = pipes("class: lte-driving", 20)
    for pipe in fleet:
        for day in range(2):
            pipe.up.at(day * 86400.0), pipe.down.at(day * 86400.0)
    assert tracemalloc.get_traced_memory()[1] < 20 * 20e3
    tracemalloc.stop()
