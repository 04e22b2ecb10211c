import time

import pytest

from netmodels.capacity import Constant
from netmodels.network import Network
from netmodels.tcp import MODELS
from netmodels.topology import Pipe, Topology


def pipe(up_mbps, down_mbps, latency_s=0.0, loss=0.0):
    return Pipe(Constant(up_mbps * 1e6), Constant(down_mbps * 1e6), latency_s, loss)


def build(backhaul=None, **changes):
    parts = {
        "access": {"phone-1": pipe(8, 80, 0.01, 0.001), "pc": pipe(40, 40)},
        "cells": {"lte-1": pipe(50, 150, 0.02)},
        "cell_of": {"phone-1": "lte-1"},
        "server": pipe(1000, 2000, 0.005),
        "aggregator": pipe(100, 100),
    }
    return Topology(**(parts | changes), backhaul=backhaul)


def test_a_route_goes_through_access_cell_and_nic_and_back_in_reverse():
    topology = build()
    assert topology.route("phone-1", "server") == ("phone-1.up", "cell.lte-1.up", "server.up")
    assert topology.route("server", "phone-1") == ("server.down", "cell.lte-1.down", "phone-1.down")


def test_the_aggregator_has_a_link_of_its_own():
    topology = build()
    assert topology.route("pc", "aggregator") == ("pc.up", "aggregator.up")
    assert topology.route("aggregator", "pc") == ("aggregator.down", "pc.down")


def test_a_backhaul_lies_between_cells_and_servers():
    topology = build(backhaul=pipe(100, 200))
    assert topology.route("phone-1", "server") == ("phone-1.up", "cell.lte-1.up", "backhaul.up", "server.up")
    assert topology.route("aggregator", "pc") == ("aggregator.down", "backhaul.down", "pc.down")


def test_every_pipe_is_two_links_and_up_is_away_from_the_devices():
    links = build(backhaul=pipe(100, 200)).links
    assert sorted(links) == sorted(
        f"{name}.{way}"
        for name in ("phone-1", "pc", "cell.lte-1", "backhaul", "server", "aggregator")
        for way in ("up", "down")
    )
    assert repr(links["phone-1.up"]) == "<Link phone-1.up 8 Mbit/s 10 ms loss 0.001>"
    assert repr(links["server.down"]) == "<Link server.down 2 Gbit/s 5 ms>"


def test_every_route_is_made_of_links_that_exist():
    topology = build(backhaul=pipe(100, 200))
    for device in topology.access:
        for far_end in topology.infrastructure:
            for route in (topology.route(device, far_end), topology.route(far_end, device)):
                assert set(route) <= set(topology.links)


def test_two_phones_of_a_cell_share_it():
    # 2 MB each way over 8 Mbit/s of access would take 2 s; a cell of 8 Mbit/s makes it 4 s for both.
    access = {name: pipe(8, 8) for name in ("a", "b")}
    topology = build(access=access, cells={"c": pipe(8, 8)}, cell_of={"a": "c", "b": "c"})
    network = Network(topology.links, MODELS["pure"])
    for name in access:
        network.start(0, name, 2e6, topology.route(name, "server"))
    assert network.next_event_s() == 0.005  # the first bits are at the server's link
    assert network.advance(0.005) == []
    assert network.next_event_s() == pytest.approx(4.005)


def test_a_cell_shared_by_airtime_makes_the_access_of_its_phones_its_radio_links():
    # 10 and 2 Mbit/s up, all of the time up and half of it down: 1/10 + 1/2 of a second a megabit up.
    access = {"near": pipe(10, 20), "far": pipe(2, 4), "pc": pipe(40, 40)}
    timed = Pipe(Constant(1), Constant(0.5), 0.02, airtime="equal-rates")
    topology = build(access=access, cells={"c": timed}, cell_of={"near": "c", "far": "c"})
    assert topology.links["far.down"].radio_in == "cell.c.down"
    assert topology.links["pc.up"].radio_in is None
    assert repr(topology.links["cell.c.up"]) == "<Link cell.c.up airtime, equal-rates 20 ms>"
    for sent, seconds in (("up", 12), ("down", 12)):  # down everything is twice as fast, in half of the time
        network = Network(topology.links, MODELS["pure"])
        for name in ("near", "far", "pc"):
            ends = (name, "server") if sent == "up" else ("server", name)
            network.start(0, name, 20e6 / 8, topology.route(*ends))
        done = {}
        while (when_s := network.next_event_s()) < float("inf"):
            done |= {completion.flow_id: completion.sent_s for completion in network.advance(when_s)}
        assert done == pytest.approx({"pc": 0.5, "near": seconds, "far": seconds})


def test_one_route_is_worked_out_once():
    topology = build()
    assert topology.route("pc", "server") is topology.route("pc", "server")


@pytest.mark.parametrize(
    ("ends", "message"),
    [
        (("phone-2", "server"), r"no route from 'phone-2' to 'server': .*; did you mean 'phone-1'\?"),
        (("pc", "servr"), r"no route from 'pc' to 'servr': .*'server' and 'aggregator'"),
        (("pc", "phone-1"), "one must be a device"),
        (("server", "aggregator"), "one must be a device"),
    ],
)
def test_a_route_that_does_not_exist_is_refused(ends, message):
    with pytest.raises(ValueError, match=message):
        build().route(*ends)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"access": {"server": pipe(1, 1)}}, "a device cannot be called 'server'"),
        ({"access": {"backhaul": pipe(1, 1)}}, "a device cannot be called 'backhaul'"),
        ({"access": {"cell.lte-1": pipe(1, 1)}}, "a device cannot be called 'cell.lte-1'"),
        ({"cell_of": {"pc": "lte-2"}}, r"'pc' sits in unknown cell 'lte-2'; did you mean 'lte-1'\?"),
        ({"server": Pipe(Constant(1), Constant(1), 0, airtime="equal-rates")}, "only a cell can be shared by airtime"),
        ({"cell_of": {"phone-2": "lte-1"}}, r"unknown device 'phone-2'; did you mean 'phone-1'\?"),
    ],
)
def test_a_topology_that_makes_no_sense_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)


@pytest.mark.slow
def test_a_hundred_thousand_devices_are_cheap():
    access = {f"p{index}": pipe(8, 80, 0.01) for index in range(100_000)}
    begun_s = time.process_time()
    topology = build(access=access, cells={"c": pipe(1, 1)}, cell_of=dict.fromkeys(access, "c"))
    network = Network(topology.links, MODELS["pure"])
    for name in access:
        topology.route(name, "server")
    assert repr(network) == "<Network 200006 links, 0 transfers>"
    assert time.process_time() - begun_s < 5
