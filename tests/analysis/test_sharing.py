"""What a message took alone and what the links that it shares added, on paper and against a device that is alone."""

from __future__ import annotations

import pytest

from netmodels.capacity import Constant, Steps
from netmodels.network import Network
from netmodels.tcp import MODELS
from netmodels.topology import Pipe, Topology
from simulator.analysis.sharing import Sharing
from simulator.record import MessageRow

MBIT = 1e6


def topology(up=8 * MBIT, cell=None, server=1e9, phones="ab", airtime=None):
    """Phones whose own links carry 1 MB/s each way unless said; those in a cell share it."""
    own = up if isinstance(up, Steps) else Constant(up)
    cells = {} if cell is None else {"c": Pipe(Constant(cell), Constant(cell), 0.01, airtime=airtime)}
    return Topology(
        access={name: Pipe(own, own, 0.02) for name in phones},
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
        assert sharing(row) == (pytest.approx(1.06, rel=1e-9), "cell.c.up")


def test_who_comes_later_takes_less_of_the_first_ones_time():
    """b begins 0.5 s after a: a has sent half, needs 1 s for the rest; b then has 0.5 MB left, which takes 0.5 s."""
    routes = topology(cell=8 * MBIT)
    rows = carried(routes, "pure", ("a", "up", 1_000_000, 0.0), ("b", "up", 1_000_000, 0.5))
    sharing = Sharing(routes, MODELS["pure"], rows)
    for device in "ab":
        row = of(rows, device)
        assert row.delivered_s - row.queued_s == pytest.approx(1.56, rel=1e-9)
        assert sharing(row) == (pytest.approx(1.06, rel=1e-9), "cell.c.up")


def test_a_narrow_link_of_the_server_is_told_from_a_wide_cell():
    routes = topology(cell=100 * MBIT, server=8 * MBIT)
    rows = carried(routes, "pure", ("a", "down", 1_000_000, 0.0), ("b", "down", 1_000_000, 0.0))
    assert Sharing(routes, MODELS["pure"], rows)(rows[0]) == (pytest.approx(1.06, rel=1e-9), "server.down")


def test_a_cell_that_is_slower_than_the_phone_alone_is_to_blame_for_the_difference():
    routes = topology(cell=2 * MBIT, phones="a")
    rows = carried(routes, "pure", ("a", "up", 1_000_000, 0.0))
    assert rows[0].delivered_s == pytest.approx(4.06, rel=1e-9)
    assert Sharing(routes, MODELS["pure"], rows)(rows[0]) == (pytest.approx(1.06, rel=1e-9), "cell.c.up")


def test_another_phones_share_of_the_airtime_is_the_cells():
    routes = topology(cell=1.0, airtime="equal-times")
    rows = carried(routes, "pure", ("a", "up", 1_000_000, 0.0), ("b", "up", 1_000_000, 0.0))
    assert Sharing(routes, MODELS["pure"], rows)(rows[0]) == (pytest.approx(1.06, rel=1e-9), "cell.c.up")


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
        alone_s, _ = sharing(row)
        assert alone_s == pytest.approx(row.delivered_s - row.queued_s, rel=1e-5)


def test_a_message_that_never_arrived_is_its_devices_own():
    routes = topology(cell=8 * MBIT)
    (row,) = carried(routes, "pure", ("a", "up", 1_000_000, 0.0))
    lost = row._replace(outcome="cancelled")
    assert Sharing(routes, MODELS["pure"], [lost])(lost).link == ""
