"""Sums over the rows of the run on paper (conftest.py)."""

import math
from pathlib import Path

import pytest

from simulator import world
from simulator.record import ComputeRow, MessageRow, Record
from simulator.scenario import load
from simulator.views.tally import DeviceTime, Tally, Traffic, traffic


def test_the_time_of_a_device_is_split_as_on_paper(play):
    tally = Tally()
    play(Record([tally]))
    ranking = tally.ranking(5)
    assert ranking.slowest == (
        DeviceTime("b", 5.5, 3.0, 0.5, 1.0, rounds_last=4),
        DeviceTime("a", 2.0, 2.0, 1.0, 5.0, rounds_last=0),
    )
    assert ranking.mean == DeviceTime("mean", 3.75, 2.5, 0.75, 3.0, rounds_last=0)
    assert ranking.devices == 2


def test_the_parts_of_a_device_sum_to_its_round(play):
    tally = Tally()
    play(Record([tally]))
    assert [time.span_s for time in tally.ranking(5).slowest] == pytest.approx([10, 10])


def test_only_so_many_devices_are_ranked(play):
    tally = Tally()
    play(Record([tally]))
    assert [time.device for time in tally.ranking(1).slowest] == ["b"]


def test_a_round_that_has_only_begun_does_not_count(play):
    tally = Tally()
    play(Record([tally]))
    before = tally.ranking(5)
    tally.on_compute(ComputeRow("a", 5, "work", 1e9, 40.0, 90.0))
    assert tally.ranking(5) == before
    assert tally.now_s == 90.0


def test_a_device_that_sits_out_a_round_does_not_wait_in_it():
    tally = Tally()
    tally.on_compute(ComputeRow("a", 1, "work", 1e9, 0.0, 2.0))
    tally.on_compute(ComputeRow("a", 8, "work", 1e9, 100.0, 104.0))
    tally.rounds_done = 8
    assert tally.ranking(1).slowest == (DeviceTime("a", 3.0, 0.0, 0.0, 0.0, rounds_last=0),)


def test_nothing_is_ranked_before_the_first_round():
    ranking = Tally().ranking(5)
    assert (ranking.slowest, ranking.mean) == ((), None)


def test_bytes_clock_and_losses_are_those_of_the_rows(play):
    tally = Tally()
    play(Record([tally]))
    assert (tally.bytes_up, tally.bytes_down) == (16_000_000, 4_000_000)
    assert (tally.now_s, tally.rounds_done) == (40.0, 4)
    assert (tally.perplexity_before, tally.perplexity, tally.train_loss) == (20.0, 9.0, 2.0)
    assert tally.perplexities == [20.0, 20.0, 17.0, 17.0, 9.0]
    assert tally.evaluations == 3


def test_a_run_that_trains_nothing_has_no_perplexity(play):
    tally = Tally()
    play(Record([tally]), trained=False)
    assert math.isnan(tally.perplexity)
    assert math.isnan(tally.train_loss)
    assert tally.evaluations == 0


def test_a_cancelled_message_costs_time_but_no_bytes():
    tally = Tally()
    tally.on_message(MessageRow(0, 1, "activations", "a", "server", "up", 1000, 1000, 1.0, 3.0, math.nan, "cancelled"))
    tally.rounds_done = 1
    assert tally.bytes_up == 0
    assert tally.now_s == 3.0
    assert tally.ranking(1).slowest[0].uplink_s == 2.0


def test_traffic_is_told_per_device_without_the_servers(rows):
    assert traffic(rows.messages) == {"a": Traffic(4_000_000, 2_000_000), "b": Traffic(12_000_000, 2_000_000)}


def test_traffic_counts_only_what_was_delivered(rows):
    given_up = rows.messages[0]._replace(outcome="cancelled")
    assert traffic([given_up, *rows.messages[1:]])["a"] == Traffic(3_000_000, 2_000_000)


def test_an_outage_is_sending_of_its_device_and_waiting_of_the_other(tmp_path):
    """As docs/limitations.md says: far's link is dead for 60 s of the first of two rounds, while it uploads."""

    def run(rates):
        (tmp_path / "rates.csv").write_text(rates)
        tally, two = Tally(), Path(__file__).parents[2] / "scenarios" / "two_devices.yaml"
        slow = f"network.access.slow={{trace: {tmp_path / 'rates.csv'}, latency: 100 ms, offset: 0 s}}"
        summary = world.run(load(two, [slow]), timing_only=True, observers=[tally]).summary
        return summary["blame"]["outage"], {time.device: time for time in tally.ranking(2).slowest}

    none_s, steady = run("0,1\n999,1\n")
    outage_s, dead = run("0,1\n0.1,0\n60.1,1\n999,1\n")
    assert none_s == 0
    assert outage_s == pytest.approx(60, abs=0.01)
    assert 2 * (dead["far"].uplink_s - steady["far"].uplink_s) == pytest.approx(outage_s, rel=1e-6)
    assert 2 * (dead["near"].waiting_s - steady["near"].waiting_s) == pytest.approx(outage_s, rel=1e-6)
    assert dead["far"].waiting_s == pytest.approx(steady["far"].waiting_s)
