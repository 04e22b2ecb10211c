import dataclasses
import math

import pytest

from netmodels.capacity import Constant, Steps
from netmodels.link import Link


def test_a_link_tells_its_name_bandwidth_and_latency():
    assert repr(Link("phone-3.up", Constant(20e6), 0.015)) == "<Link phone-3.up 20 Mbit/s 15 ms>"
    assert repr(Link("nic", Constant(10e9))) == "<Link nic 10 Gbit/s 0 ms>"
    assert repr(Link("modem", Constant(56e3), 0.1, 0.01)) == "<Link modem 56 kbit/s 100 ms loss 0.01>"
    assert repr(Link("slow", Constant(300), 1)) == "<Link slow 300 bit/s 1000 ms>"
    assert repr(Link("lte", Steps([0, 1], [5e6, 8e6]), 0.02)) == "<Link lte up to 8 Mbit/s 20 ms>"


@pytest.mark.parametrize("latency_s", [-1e-9, math.nan, math.inf])
def test_latency_must_be_finite_and_not_negative(latency_s):
    with pytest.raises(ValueError, match=r"link 'a': latency_s must be finite and >= 0"):
        Link("a", Constant(1), latency_s)


@pytest.mark.parametrize("loss", [-0.1, 1, math.nan])
def test_loss_is_a_probability_below_one(loss):
    with pytest.raises(ValueError, match=r"link 'a': loss_probability must be in \[0, 1\)"):
        Link("a", Constant(1), 0, loss)


def test_a_number_is_not_a_capacity():
    with pytest.raises(ValueError, match=r"capacity must be a Capacity such as Constant, got 20"):
        Link("a", 20)


def test_a_link_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Link("a", Constant(1)).latency_s = 2
