"""What a message took alone and what the links that it shares added, on paper and against a device that is alone."""

from __future__ import annotations

import pytest

from netmodels.capacity import Constant, Steps
from netmodels.network import Network
from netmodels.tcp import MODELS
from netmodels.topology import Pipe, Topology
from simulator.analysis.outages import Outage
from simulator.analysis.sharing import Sharing
from simulator.record import MessageRow

MBIT = 1e6


def topology(up=8 * MBIT, cell=None, server=1e9, phones="ab", airtime=None, **other):
    """Phones whose own links carry 1 MB/s each way unless said; those in a cell share it."""
    up, cell = (each if isinstance(each, Steps | None) else Constant(each) for each in (up, cell))
    cells = {} if cell is None else {"c": Pipe(cell, cell, 0.01, airtime=airtime)}
    own = {name: other.get(name, up) for name in phones}
    return Topology(
        access={name: Pipe(own[name], own[name], 0.02) for name in phones},
        cells=cells,
        cell_of=dict.fromkeys(phones, "c") if cells else {},
        backhaul=None,
        server=Pipe(Constant(server), Constant(server), 0.03),
        aggregator=Pipe(Constant(server), Constant(server), 0.03),
    )


def carried(routes, model, *sends):
    """The rows of (device, direction, bytes, start) sent over a network, in order of arrival."""
    network, rows, queued = Network(routes.links, MODELS[model]), [], {}
    left = sorted(sends, key=lambda send: send[3])
    while left or network.next_event_s() < float("inf"):
        if left and left[0][3] <= network.next_event_s():
            device, way, size_bytes, at_s = left.pop(0)
            ends = (device, "server") if way == "up" else ("server", device)
            queued[len(queued)] = (ends, way, size_bytes, at_s)
            back = routes.route(*reversed(ends))
            network.start(at_s, len(queued) - 1, size_bytes, routes.route(*ends), connection=ends, ack_route=back)
            continue
        for done in network.advance(network.next_event_s()):
            (sender, receiver), way, size_bytes, at_s = queued[done.flow_id]
            wire = network.wire_bytes(size_bytes)
            rows.append(
                MessageRow(
                    done.flow_id, 1, "news", sender, receiver, way, size_bytes, wire, at_s, done.sent_s,
                    done.delivered_s, "delivered",
                )
            )  # fmt: skip
    return rows


def of(rows, device):
    return next(row for row in rows if device in (row.sender, row.receiver))


def test_half_of_a_transfer_beside_another_one_is_the_cells():
    """Both send 1 MB at once over a cell of 1 MB/s: 2 s and 60 ms of latency; alone each would take 1 s and 60 ms."""
    routes = topology(cell=8 * MBIT)
    rows = carried(routes, "pure", ("a", "up", 1_000_000, 0.0), ("b", "up", 1_000_000, 0.0))
    sharing = Sharing(routes, MODELS["pure"], rows)
    for row in rows:
        assert row.delivered_s == pytest.approx(2.06, rel=1e-9)
        assert sharing(row)[:2] == (pytest.approx(1.06, rel=1e-9), "cell.c.up")


def test_who_comes_later_takes_less_of_the_first_ones_time():
    """b begins 0.5 s after a: a has sent half, needs 1 s for the rest; b then has 0.5 MB left, which takes 0.5 s."""
    routes = topology(cell=8 * MBIT)
    rows = carried(routes, "pure", ("a", "up", 1_000_000, 0.0), ("b", "up", 1_000_000, 0.5))
    sharing = Sharing(routes, MODELS["pure"], rows)
    for device in "ab":
        row = of(rows, device)
        assert row.delivered_s - row.queued_s == pytest.approx(1.56, rel=1e-9)
        assert sharing(row)[:2] == (pytest.approx(1.06, rel=1e-9), "cell.c.up")


def test_a_narrow_link_of_the_server_is_told_from_a_wide_cell():
    routes = topology(cell=100 * MBIT, server=8 * MBIT)
    rows = carried(routes, "pure", ("a", "down", 1_000_000, 0.0), ("b", "down", 1_000_000, 0.0))
    assert Sharing(routes, MODELS["pure"], rows)(rows[0])[:2] == (pytest.approx(1.06, rel=1e-9), "server.down")


def test_a_cell_that_is_slower_than_the_phone_alone_is_to_blame_for_the_difference():
    routes = topology(cell=2 * MBIT, phones="a")
    rows = carried(routes, "pure", ("a", "up", 1_000_000, 0.0))
    assert rows[0].delivered_s == pytest.approx(4.06, rel=1e-9)
    assert Sharing(routes, MODELS["pure"], rows)(rows[0])[:2] == (pytest.approx(1.06, rel=1e-9), "cell.c.up")


def test_another_phones_share_of_the_airtime_is_the_cells():
    routes = topology(cell=1.0, airtime="equal-times")
    rows = carried(routes, "pure", ("a", "up", 1_000_000, 0.0), ("b", "up", 1_000_000, 0.0))
    assert Sharing(routes, MODELS["pure"], rows)(rows[0])[:2] == (pytest.approx(1.06, rel=1e-9), "cell.c.up")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "up", [8 * MBIT, 100 * MBIT, Steps((0.0, 0.7), (8 * MBIT, 1 * MBIT))], ids=["slow", "fast", "changing"]
)
def test_a_device_that_is_alone_has_no_shared_link_to_blame(model, up):
    """Also where its connection is cold, then warm, then idle for long, and where its link changes meanwhile."""
    routes = topology(up, cell=1e12, server=1e12, phones="a")
    times = [0.0, 3.0, 3.5, 30.0, 60.0]
    sends = [("a", way, 500_000, at_s + shift) for at_s in times for way, shift in (("up", 0.0), ("down", 10.0))]
    rows = carried(routes, model, *sends)
    sharing = Sharing(routes, MODELS[model], rows)
    assert len(rows) == len(sends)
    for row in rows:
        alone_s, _, gaps = sharing(row)
        assert alone_s == pytest.approx(row.delivered_s - row.queued_s, rel=1e-5)
        assert not gaps


def test_a_message_that_never_arrived_is_its_devices_own():
    routes = topology(cell=8 * MBIT)
    (row,) = carried(routes, "pure", ("a", "up", 1_000_000, 0.0))
    lost = row._replace(outcome="cancelled")
    assert Sharing(routes, MODELS["pure"], [lost])(lost).link == ""


# --- outages

TUNNEL = Steps((0.0, 0.5, 2.5), (8 * MBIT, 0.0, 8 * MBIT))  # 1 MB/s, but nothing for two seconds


def test_the_seconds_without_any_capacity_are_an_outage_and_the_rest_is_the_devices_own():
    """1 MB over 1 MB/s takes 1 s and 50 ms of latency, and 2 s more where the link is dead for 2 s meanwhile."""
    routes = topology(TUNNEL, phones="a")
    for way in ("up", "down"):
        rows = carried(routes, "pure", ("a", way, 1_000_000, 0.0))
        assert rows[0].delivered_s == pytest.approx(3.05, rel=1e-9)
        moved_s, link, gaps = Sharing(routes, MODELS["pure"], rows)(rows[0])
        assert (moved_s, link) == (pytest.approx(1.05, rel=1e-9), "")
        assert gaps == [Outage(0.5, 2.5, f"a.{way}")]


def test_a_dead_cell_is_told_from_a_busy_one():
    """Two phones send 1 MB each over a cell of 1 MB/s: 2 s of moving, of which alone 1 s, and 2 s of outage."""
    routes = topology(cell=TUNNEL)
    rows = carried(routes, "pure", ("a", "up", 1_000_000, 0.0), ("b", "up", 1_000_000, 0.0))
    sharing = Sharing(routes, MODELS["pure"], rows)
    for row in rows:
        assert row.delivered_s == pytest.approx(4.06, rel=1e-9)
        assert sharing(row)[:2] == (pytest.approx(1.06, rel=1e-9), "cell.c.up")
        assert sharing(row).outages == [Outage(0.5, 2.5, "cell.c.up")]


def test_phones_that_come_out_of_a_tunnel_at_once_fill_the_cell():
    """Nine are in a tunnel for 100 s; then all ten send 1 MB over a cell of 1 MB/s: 10 s, of which 9 are the cell's."""
    tunnel = Steps((0.0, 100.0), (0.0, 8 * MBIT))
    routes = topology(cell=8 * MBIT, phones="abcdefghij", **dict.fromkeys("bcdefghij", tunnel))
    sends = [("a", "up", 1_000_000, 100.0), *((name, "up", 1_000_000, 0.0) for name in "bcdefghij")]
    rows = carried(routes, "pure", *sends)
    sharing = Sharing(routes, MODELS["pure"], rows)
    for row in rows:
        assert row.delivered_s == pytest.approx(110.06, rel=1e-3)
        moved_s, link, gaps = sharing(row)
        assert (moved_s, link) == (pytest.approx(1.06, abs=0.1), "cell.c.up")
        assert sum(gap.end_s - gap.start_s for gap in gaps) == pytest.approx(0 if row.sender == "a" else 100, abs=0.1)


@pytest.mark.parametrize("model", MODELS)
def test_a_device_that_is_alone_has_its_outages_and_nobody_elses(model):
    """A message of 1 MB begins before, in and after an outage of half an hour; all but the outage is its own link's."""
    routes = topology(Steps((0.0, 10.0, 1810.0), (8 * MBIT, 0.0, 8 * MBIT)), cell=1e12, server=1e12, phones="a")
    rows = carried(routes, model, *(("a", "up", 1_000_000, at_s) for at_s in (0.0, 9.5, 2000.0)))
    sharing = Sharing(routes, MODELS[model], rows)
    assert len(rows) == 3
    for row in rows:
        moved_s, _, gaps = sharing(row)
        dead_s = sum(gap.end_s - gap.start_s for gap in gaps)
        assert dead_s == (1800.0 if row.queued_s == 9.5 else 0.0)
        assert moved_s + dead_s == pytest.approx(row.delivered_s - row.queued_s, rel=1e-5)


def test_a_message_that_never_arrived_has_the_outages_until_it_was_given_up():
    routes = topology(TUNNEL, phones="a")
    (row,) = carried(routes, "tcp", ("a", "up", 1_000_000, 0.0))
    lost = row._replace(outcome="cancelled", sent_s=1.5, delivered_s=float("nan"))
    assert Sharing(routes, MODELS["tcp"], [lost])(lost).outages == [Outage(0.5, 1.5, "a.up")]
