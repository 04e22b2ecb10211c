"""The cases: pure against SimGrid, flow by flow; tcp against kernel TCP (Cubic), by medians; the page that says so."""

import runpy
import statistics
from functools import cache
from pathlib import Path

import pytest

from netmodels import case
from netmodels.tcp import MODELS

ROOT = Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(ROOT / "docs" / "make_accuracy.py"))
GIVEN = SCRIPT["read"](SCRIPT["GIVEN"])
FURTHER = SCRIPT["read"](SCRIPT["FURTHER"])


@cache
def errors(name="tcp"):
    return SCRIPT["of_all"](GIVEN, MODELS[name])


@cache
def further():
    return SCRIPT["of_all"](FURTHER, MODELS["tcp"])


def lone(least_bytes):
    return sorted(SCRIPT["lone"](GIVEN, errors(), least_bytes, lambda bps: bps <= 1e8))


def test_there_are_cases():
    assert len(GIVEN) == 14
    assert len(FURTHER) == 60


@pytest.mark.parametrize("truth", GIVEN, ids=lambda truth: truth.name)
def test_pure_ends_every_flow_when_simgrid_does(truth):
    ours = case.finish_times(truth.case, MODELS["pure"])
    assert ours == pytest.approx(truth.results["simgrid_maxmin"], rel=1e-9, abs=0)


def test_lone_tcp_flows_of_100_kb_and_more_are_within_two_percent_of_linux():
    found = lone(100_000)
    assert len(found) == 9
    assert statistics.median(found) <= 2
    assert found[round(0.9 * (len(found) - 1))] <= 9


def test_lone_tcp_flows_of_3_mb_and_more_are_each_within_one_percent_of_linux():
    assert len(lone(3_000_000)) == 3
    assert max(lone(3_000_000)) <= 1


def test_contended_tcp_flows_take_as_long_on_average_as_under_linux_within_five_percent():
    assert statistics.median(abs(each.mean) for each in SCRIPT["meeting"](GIVEN, errors())) <= 5
    assert statistics.median(abs(each.mean) for each in SCRIPT["meeting"](FURTHER, further())) <= 5


def test_the_last_contended_tcp_flow_ends_when_it_does_under_linux_within_four_and_a_half_percent():
    assert statistics.median(abs(each.makespan) for each in SCRIPT["meeting"](GIVEN, errors())) <= 4.5
    assert statistics.median(abs(each.makespan) for each in SCRIPT["meeting"](FURTHER, further())) <= 4.5


def test_half_of_the_contended_tcp_flows_are_within_ten_percent_of_linux():
    found = [abs(error) for each in SCRIPT["meeting"](GIVEN, errors()) for error in each.flows.values()]
    assert len(found) > 300
    assert statistics.median(found) <= 10


def test_tcp_under_loss_of_one_percent_and_more_is_within_fifteen_percent_of_linux():
    for truths, found in ((GIVEN, errors()), (FURTHER, further())):
        lossy = [found[truth.name] for truth in truths if truth.family == "loss"]
        assert statistics.median(abs(error) for each in lossy for error in each.flows.values()) <= 15


def test_windows_make_contended_flows_truer_and_leave_lone_ones_alone():
    for what in ("mean", "makespan"):
        without, within = (
            statistics.median(abs(getattr(each, what)) for each in SCRIPT["meeting"](GIVEN, found))
            for found in (errors("tcp-fast"), errors())
        )
        assert within < without
    assert lone(1_000_000) == pytest.approx(
        sorted(SCRIPT["lone"](GIVEN, errors("tcp-fast"), 1_000_000, lambda bps: True)), abs=0.05
    )


@pytest.mark.slow
def test_the_page_of_errors_is_what_the_script_makes():
    assert SCRIPT["page"]() == SCRIPT["PAGE"].read_text(encoding="utf-8"), "run python docs/make_accuracy.py"
