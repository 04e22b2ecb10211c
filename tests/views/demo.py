"""Feeds synthetic rows to the views, to look at them: `python tests/views/demo.py [live|plain|svg|frame] [seconds]`."""

import math
import random
import sys
import time
from pathlib import Path

from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[2]))

from simulator.record import ComputeRow, MessageRow, Record, RoundRow
from simulator.views.choose import choose_view
from simulator.views.info import Group, RunInfo
from simulator.views.live import LiveView
from simulator.views.picture import save_svg
from simulator.views.summary import print_summary, render
from simulator.views.tally import traffic

GROUPS = (
    Group("budget", "phone-low", 30, "lte"),
    Group("middle", "phone-mid", 45, "lte"),
    Group("flagship", "phone-high", 15, "5g"),
    Group("at-home", "phone-mid", 10, "wifi"),
)
INFO = RunInfo("100 phones", "splitlora", 40, 100, "mini", "gpt2", "3", "tcp", "1 x A100 SXM 80GB", 1, GROUPS)
SPEED = {"budget": (12.0, 3.0), "middle": (5.0, 3.2), "flagship": (2.0, 1.1), "at-home": (5.0, 1.5)}
PHASES = ("loading torch", "loading the model", "writing everybody's messages", "evaluating the model before training")


def feed(record, *, pause_s=0.0, set_up_s=0.0, info=INFO, rounds=None):
    """A synchronous run: forward, up, server, down, backward; the server waits for the slowest."""
    chance = random.Random(7)
    for phase in PHASES:
        record.phase(phase)
        time.sleep(set_up_s / len(PHASES))
    names = [
        (f"{group.name}-{number:02d}", *(each * chance.lognormvariate(0, 0.35) for each in SPEED[group.name]))
        for group in info.groups
        for number in range(1, group.count + 1)
    ]
    record.round(RoundRow(0, 0.0, 0.0, len(names), 0, math.nan, math.log(16.9), 16.9, 0, 0, ""))
    start_s = dict.fromkeys((name for name, *_ in names), 0.0)
    end_s, count = 0.0, 0
    for round in range(1, 1 + (rounds if rounds is not None else info.rounds)):
        ready = []
        for name, compute_s, link_s in names:
            began_s = start_s[name]
            forward_s = began_s + compute_s / 3
            sent_s = forward_s + link_s * chance.uniform(0.8, 1.4)
            record.compute(ComputeRow(name, round, "client forward", 1e9, began_s, forward_s))
            ready.append((sent_s, name, forward_s))
        for sent_s, name, forward_s in sorted(ready):
            row = MessageRow(
                count,
                round,
                "activations",
                name,
                "server",
                "up",
                393_300,
                410_000,
                forward_s,
                sent_s,
                sent_s,
                "delivered",
            )
            record.message(row)
            count += 1
        served_s = max(ready)[0] + 0.06
        record.compute(ComputeRow("server", round, "server forward and backward", 1e12, served_s - 0.06, served_s))
        for name, compute_s, link_s in names:
            got_s = served_s + link_s * 0.4
            record.message(
                MessageRow(
                    count,
                    round,
                    "gradients",
                    "server",
                    name,
                    "down",
                    393_290,
                    410_000,
                    served_s,
                    got_s,
                    got_s,
                    "delivered",
                )
            )
            count += 1
            start_s[name] = got_s + compute_s * 2 / 3
            record.compute(ComputeRow(name, round, "client backward", 2e9, got_s, start_s[name]))
        before_s, end_s = end_s, max(start_s.values())
        last = max(start_s, key=start_s.get)
        loss = 2.83 * (0.72 + 0.28 * math.exp(-round / 14)) + chance.gauss(0, 0.015)
        perplexity = math.exp(loss) if round % 5 == 0 else math.nan
        record.round(
            RoundRow(
                round,
                before_s,
                end_s,
                100,
                0,
                loss + 0.05,
                math.log(perplexity),
                perplexity,
                39_330_000,
                39_329_000,
                last,
            )
        )
        time.sleep(pause_s)


def summary_of(record, wall_s):
    """As the run would write it."""
    virtual_s = record.rounds[-1].end_s
    parts = {
        "device compute": 0.47,
        "uplink": 0.36,
        "server": 0.02,
        "downlink": 0.12,
        "aggregation": 0.0,
        "waiting": 0.03,
    }
    last = [row.slowest for row in record.rounds if row.slowest]
    most = sorted({name: last.count(name) for name in last}.items(), key=lambda item: -item[1])[:5]
    return {
        "virtual_s": virtual_s,
        "wall_s": wall_s,
        "rounds": INFO.rounds,
        "bytes_up": record.bytes_up,
        "bytes_down": record.bytes_down,
        "bytes_by_kind": dict(record.bytes_by_kind),
        "trace_hash": record.trace_hash,
        "blame": {part: share * virtual_s for part, share in parts.items()},
        "slowest": [{"device": name, "rounds_last": count} for name, count in most],
        "folder": "runs/100_phones/2026-11-23T12-01-44-1",
    }


def show(seconds, console):
    """A run in the view that suits the terminal, and its summary."""
    began_s = time.perf_counter()
    with choose_view(INFO, console) as view:
        record = Record([view])
        feed(record, pause_s=seconds * 0.8 / INFO.rounds, set_up_s=seconds * 0.2)
    summary = summary_of(record, time.perf_counter() - began_s)
    print_summary(console, INFO, record.rounds, summary, traffic=traffic(record.messages))


def pictures(folder, width=104):
    """A frame in the middle of a run, and the summary, as SVG files."""
    ticks = iter(range(10**6))
    console = Console(width=width, height=40, file=sys.stderr)
    view = LiveView(INFO, console, clock=lambda: next(ticks) * 0.45)
    record = Record([view])
    feed(record, rounds=27)
    save_svg(folder / "live.svg", [view], "python cli.py run scenarios/100_phones.yaml", width=width)
    record = Record()
    feed(record)
    summary = render(INFO, record.rounds, summary_of(record, 41.3), traffic=traffic(record.messages))
    save_svg(folder / "summary.svg", [summary], "python cli.py run scenarios/100_phones.yaml", width=width)


if __name__ == "__main__":
    what = sys.argv[1] if len(sys.argv) > 1 else "live"
    if what == "svg":
        pictures(Path(sys.argv[2] if len(sys.argv) > 2 else "."))
    else:
        show(float(sys.argv[2]) if len(sys.argv) > 2 else 20.0, Console())
