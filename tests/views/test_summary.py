"""The summary of the run on paper (conftest.py), and pictures of it."""

import io
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from simulator.record import Record
from simulator.views.live import LiveView
from simulator.views.picture import save_svg
from simulator.views.summary import print_summary, render
from simulator.views.summary_sections import time_to_reach
from simulator.views.tally import traffic


@pytest.fixture
def summary():
    return {
        "virtual_s": 40.0,
        "wall_s": 8.0,
        "rounds": 4,
        "tokens": 1024,
        "loss": 2.197,
        "perplexity": 9.0,
        "bytes_up": 16_000_000,
        "bytes_down": 4_000_000,
        "bytes_by_kind": {"gradients": 4_000_000, "activations": 16_000_000},
        "trace_hash": "0123456789abcdef" * 4,
        "blame": {"device compute": 22.0, "uplink": 12.0, "server": 4.0, "downlink": 2.0, "waiting": 0.0},
        "slowest": [{"device": "b", "rounds_last": 4}],
        "folder": "runs/two_phones/now-7",
    }


def printed(info, rows, summary, width=100, encoding="utf-8", **more):
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=encoding)
    print_summary(Console(file=out, width=width), info, rows, summary, **more)
    out.flush()
    return raw.getvalue().decode(encoding)


SHARES = (0.9, 0.75, 0.5)


def test_time_to_reach_is_the_end_of_the_first_evaluated_round_at_or_below(rows):
    reached = time_to_reach(rows.rounds, SHARES)  # 20 before; 17 after round 2 at 20 s, 9 after round 4 at 40 s
    assert [(goal.perplexity, goal.row.round, goal.row.end_s) for goal in reached] == [
        (18.0, 2, 20.0),
        (15.0, 4, 40.0),
        (10.0, 4, 40.0),
        (9.0, 4, 40.0),
    ]


def test_a_goal_that_was_never_met_has_no_round(rows):
    reached = time_to_reach(rows.rounds[:3], SHARES)  # 17 is the best so far
    assert [goal.row.round if goal.row else None for goal in reached] == [2, None, None, 2]


def test_the_first_time_counts_even_if_it_gets_worse_again(rows):
    worse = [*rows.rounds, rows.rounds[-1]._replace(round=5, end_s=50.0, perplexity=30.0)]
    assert [goal.row.round for goal in time_to_reach(worse, SHARES)] == [2, 4, 4, 4]


def test_a_run_that_was_never_evaluated_reaches_nothing(play):
    assert time_to_reach(play(Record(), trained=False).rounds) == []


@pytest.mark.parametrize("width", [80, 120])
def test_the_summary_answers_with_clocks_and_models_named(info, rows, summary, width):
    text = printed(info, rows.rounds, summary, width, traffic=traffic(rows.messages))
    for words in (
        "mini, timed as gpt2",
        "numbers: mini; time and bytes: gpt2",
        "20.00 → 9.00  −55.0 %",
        "virtual time  40.0 s   in the field",
        "real time     8.0 s   on this machine, speed-up 5.0x",
        "10.0 s median, 10.0 s worst (round 1, b last)",
        "activations 16.0 MB, gradients 4.0 MB",
        "b 4x   of 4 rounds",
        "runs/two_phones/now-7",
    ):
        assert words in text
    assert re.search(r"75 % of 20.00 +15.00 +by 40.0 s +4", text)
    assert re.search(r"per phone, mean +8.0 MB +2.0 MB", text)
    assert re.search(r"per phone, most +12.0 MB +2.0 MB", text)
    assert max(cell_len(line) for line in text.splitlines()) <= width


@pytest.mark.parametrize(
    "parts", [{"uplink": 1.0, "server": 1.0, "downlink": 1.0}, {"uplink": 40.0}, {"uplink": 1e-9, "server": 40.0}]
)
def test_the_bars_of_the_blame_sum_to_100_per_cent(info, rows, summary, parts):
    text = printed(info, rows.rounds, summary | {"blame": parts})
    section = text.split("where the virtual time went")[1].split("last to finish")[0]
    assert sum(round(10 * float(number)) for number in re.findall(r"([\d.]+) %", section)) == 1000


def test_a_part_names_the_device_or_the_shared_link_that_has_most_of_it(info, rows, summary):
    summary["blame"] = {"uplink": 30.0, "cell": 10.0}
    summary["blame_devices"] = {"uplink": {"b": 22.5, "a": 7.5}, "cell": {"b": 10.0}}
    summary["blame_links"] = {"cell": {"cell.lte-2.down": 6.2, "cell.lte-2.up": 3.8}}
    lines = [line.split() for line in printed(info, rows.rounds, summary, 80).splitlines()]
    assert ["uplink", "75.0", "%", "30.0", "s", "b", "75", "%"] in [line[:8] for line in lines]
    assert ["cell", "25.0", "%", "10.0", "s", "lte-2", "down", "62", "%"] in [line[:9] for line in lines]


def test_bars_are_in_proportion(info, rows, summary):
    text = printed(info, rows.rounds, summary | {"blame": {"device compute": 30.0, "uplink": 10.0}})
    section = text.split("where the virtual time went")[1]
    assert (section.count("█"), section.count("▓")) == (50, 17)  # a third of 50, rounded


def test_what_is_not_known_is_left_out(info, play):
    rows = play(Record(), trained=False).rounds
    text = printed(replace(info, timed_as=None), rows, {"virtual_s": 40.0, "wall_s": 0.0})
    assert "perplexity was not taken" in text
    assert "40.0 s" in text
    for words in ("where the virtual time went", "numbers:", "timed as", "per phone", "nan", "None"):
        assert words not in text


def test_a_run_without_rounds_can_be_summed_up(info):
    assert "virtual time  0 s" in printed(info, [], {"virtual_s": 0.0, "wall_s": 0.1})


def test_an_ascii_terminal_gets_ascii(info, rows, summary):
    info = replace(info, name="deux téléphones")
    text = printed(info, rows.rounds, summary, encoding="ascii")
    assert "20.00 -> 9.00  -55.0 %" in text
    assert "deux t?l?phones" in text


def test_pictures_are_wellformed_and_load_nothing_from_elsewhere(info, rows, summary, play, tmp_path):
    view = LiveView(info, Console(file=io.StringIO(), width=104))
    play(Record([view]), 3)
    path = tmp_path / "run.svg"
    save_svg(path, [view, render(info, rows.rounds, summary)], "splitwire run")
    text = path.read_text(encoding="utf-8")
    assert ET.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert text.replace("&#160;", " ").count("mini, timed as gpt2") == 2


def test_a_picture_of_the_same_rows_is_the_same_file(info, rows, summary, tmp_path):
    for name in ("one.svg", "two.svg"):
        save_svg(tmp_path / name, [render(info, rows.rounds, summary)], "splitwire run")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
