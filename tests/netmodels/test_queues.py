"""Queues by hand: 8 Mbit/s is 1 kB a millisecond."""

import pytest

from netmodels.capacity import Constant, Steps
from netmodels.link import Link
from netmodels.queues import Queues, Stake, wait_s

KB = 8000.0


def queues(*capacities):
    links = {str(index): Link(str(index), capacity) for index, capacity in enumerate(capacities)}
    return Queues(links).along(tuple(links))


def test_a_backlog_delays_by_what_it_takes_to_send_it():
    (queue,) = queues(Constant(8e6))
    stake = Stake((queue,))
    stake.put(0, 50 * KB, 8e6)
    assert wait_s((queue,), 0) == pytest.approx(0.05)
    stake.put(0, 20 * KB, 8e6)
    assert wait_s((queue,), 0) == pytest.approx(0.02)
    stake.withdraw()
    assert (queue.backlog_bits, queue.load_bps) == (0, 0)


def test_a_backlog_waits_before_the_links_that_are_loaded():
    narrow, wide = queues(Constant(8e6), Constant(80e6))
    Stake((narrow, wide)).put(0, 30 * KB, 8e6)
    assert (narrow.backlog_bits, wide.backlog_bits) == (30 * KB, 0)


def test_a_backlog_before_two_loaded_links_is_split_as_their_queues_are_long():
    first, second = queues(Constant(8e6), Constant(8e6))
    Stake((first,)).put(0, 300 * KB, 8e6)
    Stake((second,)).put(0, 100 * KB, 8e6)
    Stake((first, second)).put(0, 40 * KB, 8e6)
    assert first.backlog_bits == pytest.approx(330 * KB, rel=1e-3)
    assert second.backlog_bits == pytest.approx(110 * KB, rel=1e-3)


@pytest.mark.parametrize("off", [0.0, 1e-12, -1e-12])
def test_of_links_as_full_but_for_rounding_the_nearer_one_holds_the_backlog(off):
    """Both at half load: a last digit must not decide where somebody waits, for a run that follows is another one."""
    near, far = queues(Constant(8e6), Constant(8e6 * (1 + off)))
    Stake((near, far)).put(0, 30 * KB, 4e6)
    assert (near.backlog_bits, far.backlog_bits) == (30 * KB, 0)


def test_half_of_a_burst_is_in_the_way_of_those_behind_it():
    narrow, wide = queues(Constant(8e6), Constant(80e6))
    stake = Stake((wide, narrow))
    stake.put_burst(20 * KB)
    assert (narrow.backlog_bits, wide.backlog_bits) == (10 * KB, 0)
    stake.lift()
    assert narrow.backlog_bits == 0


def test_a_queue_holds_one_round_trip_of_its_link_and_at_least_96_kb():
    (queue,) = queues(Constant(8e6))
    queue.longest_rtt_s = 0.2  # 200 kB
    stake = Stake((queue,))
    stake.put(0, 199 * KB, 8e6)
    queue.overflows(1, 0.2)
    assert queue.overflow_s < 0
    stake.put(0, 201 * KB, 8e6)
    queue.overflows(1, 0.2)
    assert queue.overflow_s == 1
    queue.overflows(1.05, 0.2)  # the senders have not had the time to react
    assert queue.overflow_s == 1
    queue.longest_rtt_s = 0.01
    stake.put(0, 95 * KB, 8e6)
    queue.overflows(2, 0.2)
    assert queue.overflow_s == 1


def test_in_an_outage_a_queue_is_counted_with_a_hundredth_of_the_peak():
    (queue,) = queues(Steps([0, 1], [8e6, 0]))
    Stake((queue,)).put(0, 10 * KB, 8e6)
    assert wait_s((queue,), 0.5) == pytest.approx(0.01)
    assert wait_s((queue,), 1.5) == pytest.approx(1)
    assert repr(queue) == "<LinkQueue 10 kB>"
