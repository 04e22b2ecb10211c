"""A plan for a person: a table for each class of devices, the fleet as a map of split and rank, and the choice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from devices.format import short_bytes
from simulator.views import charts
from simulator.views import format as f
from simulator.views.palette import ACCENT, BAD, LABEL, MAX_WIDTH, STRONG, Pen, pen_for
from simulator.views.pieces import wrapped

WIDE: Final = 112  # columns from which on parts are numbers, not a bar
BAR: Final = 16
MOST_EQUALS: Final = 3
WHERE: Final = "where it goes"
ENERGY: Final = ("energy", "%/h")
PLAIN: Final = str.maketrans({f.MINUS: "-", "\u2500": "-", "…": "~"})
SHADES: Final = ("  ", "░░", "▒▒", "▓▓", "██")
ASCII_SHADES: Final = ("  ", "..", "::", "++", "##")
LEGEND: Final = (
    ("compute", "compute"),
    ("uplink", "uplink"),
    ("server", "server"),
    ("downlink", "downlink"),
    ("aggregation", "adapters"),
)
PARTS: Final = (  # key, heading, and the part of the run that has its colour
    ("client_forward_s", "forward", "compute"),
    ("uplink_s", "uplink", "uplink"),
    ("server_s", "server", "server"),
    ("downlink_s", "downlink", "downlink"),
    ("client_backward_s", "backward", "compute"),
    ("adapters_s", "adapters", "aggregation"),
)
Row = Mapping[str, Any]


def show(console: Console, plan: Row) -> None:
    """Print the result of `plan`; a terminal that cannot show Unicode gets ASCII in its place."""
    pen = pen_for(console, console.width)
    with console.capture() as capture:
        for piece in _pieces(plan, pen):
            console.print(piece)
    text = capture.get()
    if pen.ascii_only:
        text = text.translate(PLAIN).encode(console.encoding, "replace").decode(console.encoding)
    console.file.write(text)
    console.file.flush()


def _pieces(plan: Row, pen: Pen) -> Iterator[RenderableType]:
    yield Text.assemble((plan["name"], STRONG), (f"   {_job(plan)}", LABEL))
    for each in plan["classes"]:
        rows = [row for row in plan["rows"] if row["group"] == each["group"]]
        yield Text()
        yield from _class(each, rows, pen)
    yield Text()
    yield from _fleet(plan, pen)
    yield Text()
    for line in _legend(plan, pen):
        yield Padding(line, (0, max(0, pen.width - MAX_WIDTH), 0, 0))
    if plan["best"] is not None:
        yield Text()
        yield from _best(plan["best"])


def _job(plan: Row) -> str:
    model = plan["model"] if plan["model"] == plan["timed_as"] else f"{plan['model']} timed as {plan['timed_as']}"
    return f"{plan['algorithm']}, {model}, {plan['network']} network"


def _title(title: str, about: str) -> Text:
    return Text.assemble((title, f"bold {ACCENT}"), (f"   {about}", LABEL), no_wrap=True, overflow="ellipsis")


def _table(headings: Iterable[str]) -> Table:
    """Columns of numbers, and one of bars."""
    table = Table(box=SIMPLE_HEAD, header_style=LABEL, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="left" if heading == WHERE else "right", no_wrap=True)
    return table


def _class(each: Row, rows: Sequence[Row], pen: Pen) -> Iterator[RenderableType]:
    """A class at its own rank, split by split: one of its devices alone."""
    wide = pen.width >= WIDE
    rank = _rank(each["rank"], rows)
    about = f"{each['profile']}, {each['access']}, rank {rank}, {short_bytes(each['usable_bytes'])} usable; one alone"
    yield _title(f"{each['devices']} {each['group']}", about)
    known = any(row["energy_j"] is not None for row in rows)
    numbers = [*([name for _, name, _ in PARTS] if wide else [WHERE]), "memory", "up", "down"]
    table = _table(["split", "a round", *numbers, *(ENERGY if known else ())])
    for row in rows:
        if row["rank"] == rank:
            style = STRONG if row["split"] == each["split"] else None
            table.add_row(*_cells(row, pen, wide=wide, known=known), style=style if row["fits"] else BAD)
    yield table
    for line in _other_ranks(each, rows):
        yield Text(f"  {line}", LABEL)


def _rank(wanted: int, rows: Sequence[Row]) -> int:
    """The rank that is shown: the one that the scenario has, where it was looked at."""
    ranks = sorted({int(row["rank"]) for row in rows})
    return wanted if wanted in ranks else ranks[0]


def _cells(row: Row, pen: Pen, *, wide: bool, known: bool) -> list[Text | str]:
    parts = row["parts"]
    if parts is None:
        step, where = ("", [_lack(row)]) if not wide else (_lack(row), [""] * len(PARTS))
    elif wide:
        step, where = seconds(row["step_s"]), [seconds(parts[key]) for key, _, _ in PARTS]
    else:
        bar = pen.bar([(part, parts[key]) for key, _, part in PARTS], BAR)
        return [str(row["split"]), seconds(row["step_s"]), bar, *_sums(row, known=known)]
    return [str(row["split"]), step, *where, *_sums(row, known=known)]


def _sums(row: Row, *, known: bool) -> list[str]:
    sums = [short_bytes(row["memory_bytes"]), f.size(row["bytes_up"]), f.size(row["bytes_down"])]
    if not known:
        return sums
    return [*sums, *([joules(row["energy_j"]), _percent(row["battery_percent_per_hour"])] if row["fits"] else ["", ""])]


def _lack(row: Row) -> str:
    lacks = row["lacks_bytes"]
    whose = "" if lacks["device"] else "server "
    return f"{whose}{short_bytes(lacks['device'] or lacks['server'])} short"


def _other_ranks(each: Row, rows: Sequence[Row]) -> Iterator[str]:
    """What another rank costs at the split that the class has."""
    rank = _rank(each["rank"], rows)
    splits = sorted({row["split"] for row in rows})
    split = each["split"] if each["split"] in splits else splits[0]
    at = {row["rank"]: row for row in rows if row["split"] == split}
    for other, row in sorted(at.items()):
        if other != rank and row["parts"] and at[rank]["parts"]:
            yield f"rank {other} at split {split}: {_against(row, at[rank])}"


def _against(row: Row, own: Row) -> str:
    before, after = (each["bytes_up"] + each["bytes_down"] for each in (own, row))
    return (
        f"round {seconds(row['step_s'])} ({f.change(own['step_s'], row['step_s'])}), "
        f"bytes {f.size(after)} ({f.change(before, after)})"
    )


def _fleet(plan: Row, pen: Pen) -> Iterator[RenderableType]:
    """Round time as a map of split and rank; the rest at the scenario's rank."""
    fleet = plan["fleet"]
    ranks = sorted({entry["rank"] for entry in fleet})
    shown = _rank(plan["rank"], fleet)
    devices = sum(each["devices"] for each in plan["classes"])
    known = any(entry["energy_j"] is not None for entry in fleet)
    about = "a round with all at one split: shared links and waiting included"
    yield _title(f"fleet of {devices:,}", about)
    at = "" if len(ranks) == 1 else f", r {shown}"
    heads = ["split", *(f"rank {rank}   " for rank in ranks), "memory", f"bytes{at}"]
    table = _table([*heads, *([f"energy{at}", "%/h"] if known else [])])
    times = [entry["round_s"] for entry in fleet if entry["round_s"] is not None]
    for split in sorted({entry["split"] for entry in fleet}):
        at_rank = {entry["rank"]: entry for entry in fleet if entry["split"] == split}
        heat = [_heat(at_rank[rank], times, pen) for rank in ranks]
        table.add_row(str(split), *heat, *_totals(at_rank[shown], known=known))
    yield table


def _heat(entry: Row, times: Sequence[float], pen: Pen) -> Text:
    if entry["round_s"] is None:
        return Text("no fit   " if entry["does_not_fit"] else "no end   ", BAD)
    low, high = min(times), max(times)
    shades = ASCII_SHADES if pen.ascii_only else SHADES
    level = round((entry["round_s"] - low) / (high - low) * (len(shades) - 1)) if high > low else 0
    mark = "*" if entry["pareto"] else " "
    return Text.assemble((seconds(entry["round_s"]), STRONG), (f"{mark}{shades[level]}", ACCENT))


def _totals(entry: Row, *, known: bool) -> list[str]:
    memory = short_bytes(entry["memory_bytes"])
    if entry["round_s"] is None:
        return [memory, *([""] * (3 if known else 1))]
    batteries = [each["battery_percent_per_hour"] for each in entry["groups"].values()]
    most = max((percent for percent in batteries if percent is not None), default=None)
    totals = [memory, f.size(entry["bytes_up"] + entry["bytes_down"])]
    return [*totals, joules(entry["energy_j"]), _percent(most)] if known else totals


def _legend(plan: Row, pen: Pen) -> Iterator[Text]:
    if pen.width < WIDE:
        bar = Text(f"{WHERE}: ", LABEL)
        for part, name in LEGEND:
            bar.append_text(pen.bar([(part, 1)], 2))
            bar.append(f" {name}  ", LABEL)
        yield bar
    rounds, every = plan["rounds_timed"], plan["aggregate_every"]
    timed = f"the first {rounds} rounds" if rounds > 1 else "the first round"
    yield Text(
        f"Timed: {timed}, from cold devices and connections; an exchange of adapters counts with one round in {every}. "
        f"%/h: of a battery in an hour. *: nothing is better in time, bytes, memory or (where known) energy without "
        f"being worse in another.",
        LABEL,
    )
    if unknown := f.by_cause({each["group"]: each["unknown"] for each in plan["classes"]}):
        yield Text(f"Unknown for {unknown}", LABEL)


def _best(best: Row) -> Iterator[RenderableType]:
    """The choice, what it costs, and what it gains."""
    what = {"round-time": "shortest round", "energy": "least energy", "bytes": "fewest bytes"}[best["objective"]]
    least = best["least"]
    if least is not None:
        value = joules(least["energy_j"]) if best["objective"] == "energy" else seconds(least["round_s"])
        what = f"within 1 % of the {what}, {value}; the fewest bytes of those"
    limits = f"{' and '.join(best['subject_to'])} kept"
    how = f"   {what}, {limits}; {best['method']}"
    yield wrapped("best", Text.assemble((_splits(best), f"bold {ACCENT}"), (how, LABEL)))
    yield wrapped("", _cost(best))
    if "battery" in best["subject_to"]:
        used = {name: each["battery_percent_per_hour"] for name, each in best["groups"].items()}
        known = [f"{name} {_percent(percent)} %" for name, percent in used.items() if percent is not None]
        yield wrapped("", Text(f"battery in an hour: {', '.join(known)}"))
    yield wrapped("as it stands", Text(best["before_reason"], BAD) if best["before"] is None else _cost(best["before"]))
    if best["change"] is not None:
        named = {"round_s": "round", "energy_j": "energy", "bytes": "bytes"}
        gains = [f"{name} {_change(best['change'][key])}" for key, name in named.items()]
        yield wrapped("change", Text(", ".join(gains), STRONG))
    if best["equals"]:
        more = f"; and {len(best['equals']) - MOST_EQUALS} more" if len(best["equals"]) > MOST_EQUALS else ""
        told = "; ".join(_splits({"splits": each}) for each in best["equals"][:MOST_EQUALS])
        yield wrapped("as good", Text(f"{told}{more}", LABEL))
    if least is not None:
        label = {"round-time": "fastest", "energy": "least energy"}[best["objective"]]
        yield wrapped(label, Text.assemble((f"{_splits(least)}   ", STRONG), _cost(least)))
    if best["scenario"] is not None:
        yield wrapped("written", Text(best["scenario"], STRONG))
    yield wrapped("to run it", Text(best["command"], ACCENT))


def picture(plan: Row) -> bytes:
    """The fleet's round over split and rank, as a PNG; what does not fit stays empty."""
    splits, ranks = (sorted({entry[key] for entry in plan["fleet"]}) for key in ("split", "rank"))
    times = {(entry["split"], entry["rank"]): entry["round_s"] for entry in plan["fleet"]}
    return charts.heat_map(
        charts.Scale("split: blocks on the device", ticks=[str(split) for split in splits]),
        charts.Scale("LoRA rank", ticks=[str(rank) for rank in ranks]),
        [[times[split, rank] for split in splits] for rank in ranks],
        shown=charts.Scale("a round of the fleet", "s"),
        title=f"{plan['name']}: a round with all at one split, as {plan['timed_as']}",
    )


def _splits(choice: Row) -> str:
    """``split 1 for all``, or the split of every class."""
    splits = choice["splits"]
    if len(set(splits.values())) == 1 and len(splits) > 1:
        return f"split {next(iter(splits.values()))} for all"
    return ", ".join(f"{name} {split}" for name, split in splits.items())


def _cost(entry: Row) -> Text:
    used = "energy unknown" if entry["energy_j"] is None else joules(entry["energy_j"])
    traffic = f"{f.size(entry['bytes_up'])} up, {f.size(entry['bytes_down'])} down"
    return Text(f"{seconds(entry['round_s'])} a round, {used}, {traffic}")


def _change(share: float | None) -> str:
    return "unknown" if share is None else f.change(1, 1 + share)


def seconds(value: float) -> str:
    """Three digits: "4.5 ms", "730 ms", "1.38 s", "12.4 s"."""
    return f"{value:.2f} s" if 0.9995 <= value < 9.995 else f.duration(value)


def joules(value: float | None) -> str:
    """Three digits; "?" for what is unknown."""
    if value is None:
        return "?"
    return f"{value:.2f} J" if value < 9.995 else f.energy(value)


def _percent(value: float | None) -> str:
    if value is None:
        return "?"
    return f"{value:.1f}" if value < 9.95 else f"{value:.0f}"
