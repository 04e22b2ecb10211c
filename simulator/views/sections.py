"""The sections of a frame: progress, clocks, bytes, learning, and the slowest devices."""

from __future__ import annotations

import math

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from simulator.views import format as f
from simulator.views.palette import ACCENT, BAD, GOOD, LABEL, STRONG, Pen, ink_of
from simulator.views.pieces import LABEL_WIDTH, line, progress_bar
from simulator.views.snapshot import Snapshot

MAX_NAME = 18  # characters of a device's name
CLOCK_WIDTH = 17  # "23 h 59 min 59 s"
WIDE = 90  # columns from which the last heading is spelt out
PARTS = ("compute", "uplink", "downlink", "waiting")


def progress(now: Snapshot, width: int) -> Text:
    """Rounds done, as a number and as a bar."""
    done, total = now.tally.rounds_done, now.info.rounds
    share = done / total if total else 1.0
    text = Text(no_wrap=True).append(f"{f'round {done}/{total}':<{LABEL_WIDTH - 2}}  ", STRONG)
    percent = f"{100 * share:5.0f} %"
    return text.append_text(progress_bar(share, max(0, width - len(text) - len(percent)))).append(percent)


def clocks(now: Snapshot, *, stacked: bool = False) -> list[Text]:
    """Both clocks, each with its name and whose it is; speed-up and time left beside them or, stacked, below."""
    virtual_s, real_s = now.tally.now_s, now.real_s
    speed = Text(f.factor(virtual_s / real_s) if virtual_s and real_s else f.UNKNOWN, STRONG)
    first = _clock("virtual time", f.duration(virtual_s), f"bold {ACCENT}", "in the field")
    second = _clock("real time", f.elapsed(real_s), STRONG, "this machine")
    if stacked:
        return [first, second, line("speed-up", speed), line("time left", _left(now))]
    return [first.append(f"{'':4}speed-up   ", LABEL) + speed, second.append(f"{'':4}time left  ", LABEL) + _left(now)]


def _clock(label: str, value: str, style: str, whose: str) -> Text:
    """Values are padded, so that a clock that goes on does not push the rest about."""
    return line(label, Text.assemble((f"{value:<{CLOCK_WIDTH}}", style), (whose, LABEL)))


def _left(now: Snapshot) -> Text:
    if now.state == "stopped":
        return Text("stopped", BAD)
    if now.tally.last is None or now.tally.rounds_done < now.info.rounds:
        return Text(f.UNKNOWN if math.isnan(now.left_s) else f"{f.elapsed(now.left_s, digits=0)} (real)")
    return Text("done", GOOD)


def traffic(now: Snapshot) -> list[Text]:
    """Bytes so far, of the whole fleet and of the average device."""
    devices = max(1, now.info.num_devices)
    lines = []
    for label, size_bytes in (("sent up", now.tally.bytes_up), ("sent down", now.tally.bytes_down)):
        each = f"{f.size(size_bytes / devices)} each"
        lines.append(line(label, Text.assemble((f"{f.size(size_bytes):<{CLOCK_WIDTH}}", STRONG), (each, LABEL))))
    return lines


def presence(now: Snapshot) -> list[Text]:
    """Who took part in the last round and how long nobody was there; nothing where everybody always is."""
    last, everybody = now.tally.last, now.info.num_devices
    if last is None or (not now.tally.dropped and not now.tally.waited_s and last.participants == everybody):
        return []
    value = Text.assemble((f"{last.participants} of {everybody:,}", STRONG), (f"  {now.tally.dropped} dropped", LABEL))
    waited = [line("nobody there", Text(f.duration(now.tally.waited_s)))] if now.tally.waited_s else []
    return [line("took part", value), *waited]


def learning(now: Snapshot, width: int) -> list[Text]:
    """Perplexity and training loss, one line each, with a sparkline where there is room."""
    perplexity, loss = _perplexity(now), Text.assemble((f.loss(now.tally.train_loss), STRONG))
    start = max(perplexity.cell_len, loss.cell_len) + 2
    room = min(40, width - LABEL_WIDTH - start)
    for text, values in ((perplexity, now.tally.perplexities), (loss, now.tally.train_losses)):
        text.pad_right(start - text.cell_len)
        text.append(f.sparkline(values, room), ACCENT)
    return [line("perplexity", perplexity), line("train loss", loss)]


def charts(now: Snapshot, width: int) -> list[Text]:
    """Perplexity and training loss, each above a curve that grows to the right as the run goes on."""
    share = now.tally.rounds_done / now.info.rounds if now.info.rounds else 1.0
    drawn = max(1, round(min(1.0, share) * width))
    lines = []
    for label, value, values in (
        ("perplexity", _perplexity(now), now.tally.perplexities),
        ("train loss", Text(f.loss(now.tally.train_loss), STRONG), now.tally.train_losses),
    ):
        lines.append(line(label, value))
        lines += [Text(row, ACCENT, no_wrap=True) for row in f.chart(values, drawn, 2)]
    return lines


def _perplexity(now: Snapshot) -> Text:
    before, after = now.tally.perplexity_before, now.tally.perplexity
    if math.isnan(after):
        return Text("not taken: times and bytes only", LABEL)
    if now.tally.evaluations == 1:
        return Text.assemble((f.perplexity(after), f"bold {ACCENT}"), ("  validation, before training", LABEL))
    return Text.assemble(
        f"{f.perplexity(before)} → ",
        (f.perplexity(after), f"bold {ACCENT}"),
        (f"  {f.change(before, after)}", BAD if after > before else GOOD),
        ("  held out", LABEL),
    )


def slowest(now: Snapshot, pen: Pen, width: int) -> list[Text]:
    """Where the slowest devices spend their average round, and the mean of all devices; aligned by hand, for speed."""
    mean = now.ranking.mean
    rows = [(time.device, time, f"{time.rounds_last}x" if time.rounds_last else "", "") for time in now.ranking.slowest]
    if mean:
        rows.append((f"mean of {now.ranking.devices}", mean, "", LABEL))
    title, last = f"slowest {now.info.noun}s", "last" if width < WIDE else "came last"
    names = min(MAX_NAME, max([len(title), *(cell_len(name) for name, *_ in rows)]))
    numbers = [[f.duration(part_s) for part_s in time.parts_s] for _, time, *_ in rows]
    wide = [max([len(part), *(len(texts[index]) for texts in numbers)]) for index, part in enumerate(PARTS)]
    room = max(6, width - names - sum(wide) - len(last) - 2 * 6)
    longest_s = max((time.span_s for _, time, *_ in rows), default=0.0)
    head = Text(no_wrap=True).append(title.ljust(names), LABEL)
    for part, columns in zip(PARTS, wide, strict=True):
        head.append(part.rjust(columns + 2), ink_of(part).style)
    lines = [head.append(f"  {'average round'[:room]:<{room}}  {last}", LABEL)]
    for (name, time, count, style), texts in zip(rows, numbers, strict=True):
        columns_text = "".join(text.rjust(columns + 2) for text, columns in zip(texts, wide, strict=True))
        cells = round(room * time.span_s / longest_s) if longest_s else 0
        text = Text(no_wrap=True).append(f"{_fitted(name, names)}{columns_text}  ", style)
        text.append_text(pen.bar(list(zip(PARTS, time.parts_s, strict=True)), cells))
        lines.append(text.append(" " * (room - cells)).append(f"  {count:>{len(last)}}"))
    return lines


def _fitted(name: str, width: int) -> str:
    """Exactly so many columns; what is too long ends with an ellipsis."""
    return set_cell_size(name, width) if cell_len(name) <= width else f"{set_cell_size(name, width - 1)}…"
