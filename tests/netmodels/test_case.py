import copy
import json
import math

import pytest
from hypothesis import given, strategies

from netmodels import case
from netmodels.positions import line_of
from netmodels.tcp import MODELS, PURE

GOOD = {
    "links": [
        {"id": "up", "bandwidth_bps": 8e6, "latency_s": 0.25},
        {"id": "down", "bandwidth_bps": 8e6, "latency_s": 0.5, "profile": [[0, 8e6], [1, 16e6]], "loss": 0.01},
    ],
    "flows": [
        {"id": "x", "start_s": 0, "bytes": 1_000_000, "route": ["up"], "ack_route": ["down"]},
        {"id": "y", "start_s": 0, "bytes": 1_000_000, "route": ["down"], "after": "x", "delay_s": 0.25},
    ],
}


def nested(leaves):
    return strategies.lists(leaves, max_size=3) | strategies.dictionaries(
        strategies.text(max_size=3), leaves, max_size=3
    )


def write(tmp_path, value):
    file = tmp_path / "case.json"
    file.write_text(value if isinstance(value, str) else json.dumps(value))
    return file


def times_s(tmp_path, value, model=PURE):
    return case.finish_times(case.read(write(tmp_path, value)), model)


def changed(**paths):
    """A good case with some values replaced, or removed where the new value is None."""
    value = copy.deepcopy(GOOD)
    for path, new in paths.items():
        *where, last = [int(part) if part.isdigit() else part for part in path.split("__")]
        at = value
        for part in where:
            at = at[part]
        if new is None:
            del at[last]
        else:
            at[last] = new
    return value


def test_flows_are_timed_from_their_start_to_the_last_byte_received(tmp_path):
    # x: 1 s and 0.25 s of latency; y starts at 1.5 s, its bits cross from 2 s on at 16 Mbit/s.
    assert times_s(tmp_path, GOOD) == pytest.approx({"x": 1.25, "y": 2.5})


def test_a_flow_with_after_starts_no_sooner_than_its_own_start(tmp_path):
    assert times_s(tmp_path, changed(flows__1__start_s=10))["y"] == pytest.approx(11)


def test_under_tcp_every_flow_shakes_hands_anew(tmp_path):
    model = MODELS["tcp"]
    value = changed(links__1__loss=0, flows__0__bytes=0, flows__1__bytes=0)
    # x: a round trip of 0.75 s and 0.25 s; y 0.25 s later: 1 s and 0.5 s.
    assert times_s(tmp_path, value, model) == pytest.approx({"x": 1.0, "y": 2.75})


@pytest.mark.parametrize(("independent", "ends_s"), [(True, 1.25), (False, 2.25)])
def test_independent_flows_never_meet(tmp_path, independent, ends_s):
    value = changed(flows__1=GOOD["flows"][0] | {"id": "y"}) | {"independent": independent}
    assert times_s(tmp_path, value) == pytest.approx({"x": ends_s, "y": ends_s})


def test_independent_flows_still_wait_for_one_another_in_whatever_order_they_are_written(tmp_path):
    value = GOOD | {"independent": True, "flows": GOOD["flows"][::-1]}
    assert times_s(tmp_path, value) == pytest.approx({"x": 1.25, "y": 2.5})


def test_a_flow_that_never_arrives_ends_at_infinity_and_so_do_those_that_wait_for_it(tmp_path):
    for independent in (False, True):
        value = changed(links__0__profile=[[0, 8e6], [0.5, 0]]) | {"independent": independent}
        assert times_s(tmp_path, value) == {"x": math.inf, "y": math.inf}


def test_a_flow_without_end_in_sight_does_not_keep_the_solver_busy(tmp_path):
    assert 1e293 < times_s(tmp_path, changed(flows__0__bytes=1e300), MODELS["tcp"])["x"] < math.inf


def test_descriptions_and_results_are_left_alone(tmp_path):
    extra = {"id": "c", "family": "f", "description": "d", "results": {"r": {"x": 1}}, "units": {}, "note": [1]}
    assert times_s(tmp_path, GOOD | extra) == times_s(tmp_path, GOOD)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{", r"case.json:1: is not JSON: Expecting property name"),
        ("[]", r"case.json:1: must be an object, got \[\]"),
        ("{}", r"case.json:1: needs the key 'links' \(has: nothing\)"),
        ({"links": []}, r"needs the key 'flows' \(has: links\)"),
        ({"links": {}, "flows": []}, r"links: must be a list, got {}"),
        (GOOD | {"independent": "yes"}, r"independent: must be true or false, got \"yes\""),
        (GOOD | {"independant": True}, r"case.json:1: unknown key 'independant'; did you mean 'independent'\?"),
        (changed(links__0=3), r"links\[0\]: must be an object, got 3"),
        (changed(links__0__id=None), r"links\[0\]: needs the key 'id'"),
        (changed(links__0__id=True), r"links\[0\].id: must be a name, got true"),
        (changed(links__1__id="up"), r"links\[1\]: link 'up' is there twice"),
        (changed(links__0__latency_s=None), r"links\[0\]: needs the key 'latency_s'"),
        (changed(links__0__latency_s=-1), r"links\[0\].latency_s: must be a finite number >= 0, got -1"),
        (changed(links__0__latency_s=math.nan), r"links\[0\].latency_s: must be a finite number >= 0, got nan"),
        (
            changed(links__0__latency_s="5 ms"),
            r"links\[0\].latency_s: must be a number in the unit that its key names, got \"5 ms\"",
        ),
        (changed(links__0__latency_s=None, links__0__latency=1), r"links\[0\]: unknown key 'latency'; .*'latency_s'\?"),
        (changed(links__0__bandwidth_bps=None, links__0__bandwidth_mbps=8), r"'bandwidth_mbps'; .*'bandwidth_bps'"),
        (changed(links__0__bandwidth_bps=0), r"links\[0\].bandwidth_bps: must be a finite number > 0, got 0"),
        (changed(links__0__bandwidth_bps=math.inf), r"links\[0\].bandwidth_bps: must be a finite number > 0, got inf"),
        (changed(links__0__los=0.1), r"links\[0\]: unknown key 'los'; did you mean 'loss'\?"),
        (changed(links__0__loss=1), r"links\[0\]: .*loss_probability must be in \[0, 1\)"),
        (changed(links__1__profile=[]), r"links\[1\].profile: must have at least one"),
        (changed(links__1__profile=[[0, 1, 2]]), r"links\[1\].profile\[0\]: must be \[seconds, bits per second\]"),
        (changed(links__1__profile=[[1, 1]]), r"links\[1\].profile: the first step must start at 0 s"),
        (changed(links__1__profile=[[0, -1]]), r"links\[1\].profile\[0\]\[1\]: must be a finite number >= 0, got -1"),
        (changed(links__1__profile=[[0, 0]]), r"links\[1\].profile: a capacity of 0 bit/s at all times"),
        (changed(links__1__profile=[[0, 1], [2, 1], [1, 1]]), r"links\[1\].profile: the times of steps must increase"),
        (
            changed(links__1__profile=[[0, math.nan]]),
            r"links\[1\].profile\[0\]\[1\]: must be a finite number >= 0, got",
        ),
        (changed(flows__0__start_s="1 s"), r"flows\[0\].start_s: must be a number in the unit that its key names"),
        (changed(flows__0__bytes=-1), r"flows\[0\].bytes: must be a finite number >= 0, got -1"),
        (changed(flows__0__bytes=None), r"flows\[0\]: needs the key 'bytes'"),
        (changed(flows__0__start_s=None), r"flows\[0\]: needs the key 'start_s'"),
        (changed(flows__0__route="up"), r"flows\[0\].route: must be a list, got \"up\""),
        (changed(flows__0__route=["upp"]), r"flows\[0\].route\[0\]: unknown link 'upp'; did you mean 'up'\?"),
        (changed(flows__0__route=[]), r"flows\[0\].route: must name a link at least"),
        (changed(flows__0__route=["up", "up"]), r"flows\[0\].route: crosses link 'up' twice"),
        (changed(flows__0__ack_route=["dwn"]), r"flows\[0\].ack_route\[0\]: unknown link 'dwn'; did you mean 'down'\?"),
        (changed(flows__1__id="x"), r"flows\[1\]: flow 'x' is there twice"),
        (changed(flows__1__after="xx"), r"flows\[1\].after: unknown flow 'xx'; did you mean 'x'\?"),
        (changed(flows__1__after="y"), r"flows\[1\].after: flows wait for each other in a circle: y -> y"),
        (changed(flows__0__after="y"), r"flows\[0\].after: flows wait for each other in a circle: x -> y -> x"),
        (changed(flows__1__delay_s=-1), r"flows\[1\].delay_s: must be a finite number >= 0, got -1"),
        (changed(flows__1__after=None), r"flows\[1\].delay_s: says how long after another flow, .*'after'"),
    ],
)
def test_a_case_that_cannot_be_used_is_refused_with_its_place(tmp_path, value, message):
    with pytest.raises(ValueError, match=message):
        times_s(tmp_path, value)


def test_the_line_of_a_mistake_is_named(tmp_path):
    text = """{"note": "}], {",
 "links": [{"id": "a", "bandwidth_bps": 8e6, "latency_s": 0,
            "profile": [[0, 8e6],
                        [1, NaN]]}],
 "flows": [{"id": "x", "start_s": 0, "bytes": 1, "route": ["a"]},
           {"id": "y", "start_s": 0, "bytes": 1,
            "route": ["b"]}]
}"""
    with pytest.raises(ValueError, match=r"case.json:4: links\[0\].profile\[1\]\[1\]: .* got nan$"):
        times_s(tmp_path, text)
    with pytest.raises(ValueError, match=r"case.json:7: flows\[1\].route\[0\]: unknown link 'b'$"):
        times_s(tmp_path, text.replace("NaN", "1"))
    with pytest.raises(ValueError, match=r"case.json:6: flows\[1\]: unknown key 'byte'; did you mean 'bytes'\?$"):
        times_s(tmp_path, text.replace("NaN", "1").replace('"bytes": 1,\n', '"byte": 1,\n'))
    with pytest.raises(ValueError, match=r"case.json:3: is not JSON: Expecting ',' delimiter, at column 13$"):
        times_s(tmp_path, text.replace("0,\n", "0\n"))


@given(
    strategies.recursive(strategies.integers() | strategies.text(max_size=3), nested, max_leaves=15), strategies.data()
)
def test_every_value_of_a_json_text_stands_at_the_line_where_a_line_each_puts_it(value, data):
    text, steps = json.dumps(value, indent=1), []
    while value and isinstance(value, list | dict):
        steps.append(
            data.draw(strategies.sampled_from(sorted(value) if isinstance(value, dict) else range(len(value))))
        )
        value = value[steps[-1]]
    line = text.splitlines()[line_of(text, steps) - 1].strip().removesuffix(",")
    if steps and isinstance(steps[-1], str):
        line = line.removeprefix(json.dumps(steps[-1]) + ": ")
    assert line == json.dumps(value) or (not steps and line in "[{")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"nobody.json: cannot be read: No such file"):
        case.read(tmp_path / "nobody.json")
