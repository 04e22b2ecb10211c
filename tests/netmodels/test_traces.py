"""Recordings: each form on paper, Mahimahi against its own rule packet by packet, refusals, the real files."""

from __future__ import annotations

import gzip
import math
import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netmodels.capacity import Shifted
from netmodels.link import Link
from netmodels.network import Network
from netmodels.tcp import PURE
from netmodels.traces import open_traces, read

TRACES = Path(__file__).parents[2].parent / "shared" / "data" / "traces"
needs_data = pytest.mark.skipif(not TRACES.exists(), reason="the third-party traces are not beside the checkout")


@pytest.fixture
def write(tmp_path):
    def write(name: str, text: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def finish_s(capacity, size_bytes: float, start_s: float = 0.0) -> float:
    """When a transfer over one link of that capacity is done, by max-min sharing alone."""
    network = Network([Link("wire", capacity)], PURE)
    network.start(start_s, "flow", size_bytes, ("wire",))
    while True:
        for done in network.advance(network.next_event_s()):
            return done.delivered_s


def test_one_packet_a_millisecond_is_12_megabits_a_second(write):
    steps = read(write("one", "1\n")).way("down")
    assert (steps.at(0), steps.at(0.7), steps.next_change_s(0)) == (12e6, 12e6, math.inf)


def test_a_mahimahi_trace_starts_again_after_its_last_stamp(write):
    """Ten packets in the first 100 ms, none in the second, five in the third, which is 50 ms long: 250 ms in all."""
    lines = [10 * k for k in range(1, 11)] + [210, 220, 230, 240, 250]
    steps = read(write("t", "\n".join(map(str, lines)))).way("up")
    assert steps.period_s == 0.25
    assert [steps.at(t) for t in (0, 0.099, 0.1, 0.15, 0.2, 0.25, 0.36)] == [1.2e6, 1.2e6, 0, 0, 1.2e6, 1.2e6, 0]
    assert finish_s(steps, 15 * 1500) == pytest.approx(0.25)
    assert finish_s(steps, 40 * 1500) == pytest.approx(0.25 + 0.25 + 0.1)


def test_repeated_stamps_are_several_packets(write):
    assert read(write("t", "100\n100\n100\n")).way("down").at(0) == 3 * 12000 / 0.1


stamps = st.lists(st.integers(0, 400), min_size=1, max_size=60).map(sorted).filter(lambda ms: ms[-1] > 0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stamps_ms=stamps, packets=st.integers(1, 200), start_ms=st.integers(0, 900))
def test_a_transfer_ends_within_an_interval_of_the_last_packet_that_mahimahi_would_send(
    write, stamps_ms, packets, start_ms
):
    """Mahimahi's rule replayed: each stamp after the start, lap after lap, sends one packet."""
    left, lap = packets, 0
    while left:
        for stamp in stamps_ms:
            if left and lap * stamps_ms[-1] + stamp > start_ms:
                left, sent_s = left - 1, (lap * stamps_ms[-1] + stamp) / 1e3
        lap += 1
    steps = read(write("t", "\n".join(map(str, stamps_ms)))).way("down")
    begun = start_ms % stamps_ms[-1] // 100 * 100  # within an interval the fluid does not know what is over already
    rest = sum(begun < max(stamp, 1) <= begun + 100 for stamp in stamps_ms) * 1500
    early = finish_s(steps, max(packets * 1500 - rest, 1), start_ms / 1e3)
    late = finish_s(steps, packets * 1500 + rest, start_ms / 1e3)
    assert early - 0.1 <= sent_s + 1e-9
    assert sent_s <= late + 0.1 + 1e-9


def test_a_lap_carries_exactly_its_packets(write):
    lines = sorted(int(ms) for ms in np.random.default_rng(1).integers(1, 7777, 500))
    steps = read(write("t", "\n".join(map(str, lines)))).way("down")
    assert finish_s(steps, 500 * 1500) == pytest.approx(lines[-1] / 1e3)


def test_a_table_of_seconds_and_rates_holds_each_rate_until_the_next_row(write):
    for name, text in (
        ("c.csv", "0,10\n1,20\n4,0\n"),
        ("p.txt", "7.0\t10\n8.0\t20\n11.0\t0\n"),
        ("s", "0 10\n1 20\n4 0"),
    ):
        steps = read(write(name, text)).way("up")
        assert [steps.at(t) for t in (0, 0.9, 1, 3.9, 4, 6.9, 7)] == [10e6, 10e6, 20e6, 20e6, 0, 0, 10e6], name
        assert steps.period_s == 7  # the last row as long as the one before it


def test_a_heading_names_columns_and_units(write):
    trace = read(write("h.csv", "time_ms,place,down_kbps,up_mbps\n0,a,500,1\n500,b,250,2\n"))
    assert (trace.way("down").at(0.2), trace.way("down").at(0.7)) == (500e3, 250e3)
    assert (trace.way("up").at(0.2), trace.way("up").at(0.7)) == (1e6, 2e6)
    both = read(write("b.csv", "t_s,mbps\n0,3\n1,4\n"))
    assert both.way("up").at(1) == both.way("down").at(1) == 4e6


def test_a_log_of_downloads_knows_capacity_only_while_it_downloads_and_no_uplink(write):
    trace = read(write("log.csv", "t_s,dl_mbps,ul_mbps,state\n0,9,0.1,D\n1,0,0,I\n2,5,0.1,D\n3,7,0.1,D\n"))
    assert [trace.way("down").at(t) for t in (0, 1, 2, 3)] == [9e6, 9e6, 5e6, 7e6]
    with pytest.raises(ValueError, match=r"log\.csv has no uplink: the uplink of a log of downloads is only acknow"):
        trace.way("up")


def test_up_and_down_of_one_name_are_one_recording(write):
    down = write("bus.down.gz", gzip.compress(b"10\n20\n"))
    (alone,) = open_traces(down)
    with pytest.raises(ValueError, match=r"bus\.down\.gz has no uplink: bus\.up is not beside it"):
        alone.way("up")
    write("bus.up", "5\n10\n10\n")
    (both,) = open_traces(down)
    assert (both.way("down").at(0), both.way("up").at(0)) == (2 * 12000 / 0.02, 3 * 12000 / 0.01)
    write("README.md", "not a trace")
    write("walk.csv", "0,1\n1,2\n")
    assert [trace.file.name for trace in open_traces(down.parent)] == ["bus.down.gz", "walk.csv"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t", "", "t: is empty; a trace needs at least one line"),
        ("t", "1\n5\n3\n", "t:3: time must not go back, got 3 ms after 5 ms"),
        ("t", "1\n\n3\n", "t:2: must be a whole number of milliseconds >= 0, got an empty line"),
        ("t", "1\n-3\n", "t:2: must be a whole number of milliseconds >= 0, got '-3'"),
        ("t", "1\n2.5\n", "t:2: must be a whole number of milliseconds >= 0, got '2.5'"),
        ("t.up", "1\nnan\n", "t.up:2: must be a whole number of milliseconds >= 0, got 'nan'"),
        ("t", "0\n0\n", "t:2: the last stamp is the period of the trace and must be above 0 ms"),
        ("t.csv", "0,1\n2,1\n1,1\n", "t.csv:3: time must increase from row to row, got 1 after 2"),
        ("t.csv", "0,1\n0,2\n", "t.csv:2: time must increase from row to row, got 0 after 0"),
        ("t.csv", "0,1\n1,nan\n", "t.csv:2: must be finite, got 'nan'"),
        ("t.csv", "nan,1\n1,1\n", "t.csv:1: must be finite, got 'nan'"),
        ("t.csv", "0,1\n1,inf\n", "t.csv:2: must be finite, got 'inf'"),
        ("t.csv", "0,1\n1,-1\n", "t.csv:2: a rate must be >= 0, got -1"),
        ("t.csv", "0,1\n1,fast\n", "t.csv:2: must be a number, got 'fast'"),
        ("t.csv", "0,1\n1,2,3\n", "t.csv:2: must be two numbers, seconds and Mbit/s, got '1,2,3'"),
        ("t.csv", "0,1\n\n", "t.csv:2: must be two numbers, seconds and Mbit/s, got ''"),
        ("t.csv", "0,0\n1,0\n", "t.csv: the rate is 0 in every row, so the link would carry nothing for ever"),
        ("t.csv", "0,1\n1e308,2\n", "t.csv: the period must be beyond the last step"),
        ("t.csv", "0,1\n1,1e305\n", "t.csv: a capacity must be finite and >= 0 bit/s, got inf"),
        ("t.csv", "t_s,mbps\n", "t.csv:1: the table has no row of capacity"),
        ("t.csv", "t,mbps\n0,1\n", "t.csv:1: column 't' names no unit; call it t_s or t_ms"),
        ("t.csv", "t_s,rate\n0,1\n", "t.csv:1: column 'rate' names no unit; call it rate_mbps, rate_kbps or rate_bps"),
        ("t.csv", "when,mbps\n0,1\n", "t.csv:1: needs a column of times such as t_s, got when, mbps"),
        ("t.csv", "t_s,speed\n0,1\n", "t.csv:1: needs a column of rates such as down_mbps, got t_s, speed"),
        ("t.csv", "t_s,mbps,up_bps\n0,1,1\n", "t.csv:1: two columns give the uplink: mbps and up_bps"),
        ("t.csv", "t_s,mbps\n0,1\n1\n", "t.csv:3: must have 2 columns as the heading says, got 1"),
        ("t.gz", "no gzip", "t.gz: cannot be read: Not a gzipped file"),
        ("t", b"\xff\xfe\n", "t:1: is not text"),
    ],
)
def test_a_wrong_trace_is_refused_by_file_line_and_reason(write, name, text, message):
    file = write(name, text)
    with pytest.raises(ValueError, match=re.escape(f"{file.parent}/{message}")):
        read(file)


def test_what_is_no_file_is_refused_at_once(tmp_path):
    with pytest.raises(ValueError, match="nowhere: cannot be read: No such file"):
        read(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe: is not a regular file"):
        read(tmp_path / "pipe")


def test_a_table_of_one_row_is_constant(write):
    steps = read(write("t.csv", "5,3\n")).way("up")
    assert (steps.at(0), steps.at(1e6), steps.next_change_s(0)) == (3e6, 3e6, math.inf)


def test_a_folder_without_traces_is_refused(write):
    folder = write("README.md", "x").parent
    with pytest.raises(ValueError, match="holds no trace"):
        open_traces(folder)


def test_a_file_that_has_changed_is_read_anew(write):
    assert read(write("t.csv", "0,1\n1,2\n")).way("up").at(0) == 1e6
    assert read(write("t.csv", "0,30\n1,20\n")).way("up").at(0) == 30e6


@needs_data
@pytest.mark.parametrize("folder", ["pensieve-format", "irish-5g"])
def test_the_third_party_tables_can_be_read(folder):
    traces = open_traces(TRACES / folder)
    assert len(traces) == {"pensieve-format": 25, "irish-5g": 21}[folder]
    assert all(trace.way("down").peak_bps > 0 for trace in traces)


@needs_data
def test_the_recorded_means_are_those_of_the_published_summary():
    """Mean Mbit/s by bytes over length, from the sizes named in the summary: 8 x 1500 x lines / last stamp."""
    trace = next(each for each in open_traces(TRACES / "mahimahi") if each.file.name == "ATT-LTE-driving.down.gz")
    for way, mean, seconds in (("down", 5.173, 786.1), ("up", 0.834, 1012.5)):
        steps = trace.way(way)
        ends = [*steps.times_s[1:], steps.period_s]
        bits = sum(bps * (end - begin) for bps, begin, end in zip(steps.values_bps, steps.times_s, ends, strict=True))
        assert steps.period_s == pytest.approx(seconds, abs=0.1)
        assert bits / steps.period_s / 1e6 == pytest.approx(mean, rel=1e-3)


@needs_data
def test_two_phones_on_one_recording_begin_at_different_places():
    (trace,) = open_traces(TRACES / "mahimahi" / "ATT-LTE-driving.up.gz")
    first, second = Shifted(trace.way("up"), 0.0), Shifted(trace.way("up"), 500.0)
    assert finish_s(first, 1e6) != finish_s(second, 1e6)
    assert finish_s(second, 1e6) == pytest.approx(finish_s(first, 1e6, 500.0) - 500.0, abs=1e-6)
