"""The cases: pure against SimGrid, flow by flow; tcp against kernel TCP (Cubic), by medians."""

import json
import statistics
from functools import cache
from pathlib import Path

import pytest

from netmodels import case
from netmodels.tcp import MODELS

DATA = Path(__file__).parent.parent / "data" / "network"
FILES = sorted(DATA.glob("*.json"))
APART = ("single", "loss")  # families in which no two flows meet


@cache
def played(file, model):
    return case.finish_times(case.read(file), MODELS[model])


@cache
def truth(file, name):
    return json.loads(file.read_text())["results"][name]


def durations_s(file, finish_s):
    """How long each flow took, from its start in its own timeline; flows without a known end or start are left out."""
    took_s = {}
    for flow in case.read(file).flows:
        if flow.id in finish_s and (flow.after is None or flow.after in finish_s):
            start_s = flow.start_s if flow.after is None else finish_s[flow.after] + flow.delay_s
            took_s[flow.id] = finish_s[flow.id] - start_s
    return took_s


@cache
def flow_errors(file):
    """Percent of each flow's duration under Linux; mean duration; makespan."""
    linux_s = truth(file, "linux_cubic")
    ours_s = {flow: when_s for flow, when_s in played(file, "tcp").items() if flow in linux_s}
    ours, theirs = durations_s(file, ours_s), durations_s(file, linux_s)
    flows = {flow: 100 * abs(ours[flow] / theirs[flow] - 1) for flow in theirs}
    mean = 100 * abs(sum(ours.values()) / sum(theirs.values()) - 1)
    makespan = 100 * abs(max(ours_s.values()) / max(linux_s.values()) - 1)
    return flows, mean, makespan


def family(file):
    return json.loads(file.read_text())["family"]


def contended():
    return [file for file in FILES if family(file) not in APART]


def lone_errors(least_bytes):
    errors = []
    for file in FILES:
        if family(file) == "single":
            sizes = {flow.id: flow.size_bytes for flow in case.read(file).flows}
            errors += [error for flow, error in flow_errors(file)[0].items() if sizes[flow] >= least_bytes]
    return errors


def test_there_are_cases():
    assert len(FILES) == 14


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_pure_ends_every_flow_when_simgrid_does(file):
    expected = truth(file, "simgrid_maxmin")
    assert played(file, "pure") == pytest.approx(expected, rel=1e-9, abs=0)


def test_lone_tcp_flows_of_100_kb_and_more_are_within_two_percent_of_linux():
    errors = sorted(lone_errors(100_000))
    assert len(errors) == 9
    assert statistics.median(errors) <= 2
    assert errors[round(0.9 * (len(errors) - 1))] <= 9


def test_lone_tcp_flows_of_3_mb_and_more_are_each_within_one_percent_of_linux():
    errors = lone_errors(3_000_000)
    assert len(errors) == 3
    assert max(errors) <= 1


def test_contended_tcp_flows_take_as_long_on_average_as_under_linux_within_five_percent():
    assert statistics.median(flow_errors(file)[1] for file in contended()) <= 5


def test_the_last_contended_tcp_flow_ends_when_it_does_under_linux_within_seven_percent():
    assert statistics.median(flow_errors(file)[2] for file in contended()) <= 7.5


def test_half_of_the_contended_tcp_flows_are_within_ten_percent_of_linux():
    errors = [error for file in contended() for error in flow_errors(file)[0].values()]
    assert len(errors) > 300
    assert statistics.median(errors) <= 10


def test_tcp_under_one_percent_of_loss_is_within_fifteen_percent_of_linux():
    assert statistics.median(flow_errors(DATA / "loss_0.01.json")[0].values()) <= 15
