"""Where a finished run's time went, on the terminal: parts, rounds, and how much slower each device could be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from simulator.views import format as f
from simulator.views.palette import ACCENT, GOOD, LABEL, STRONG, Pen, ink_of, pen_for
from simulator.views.pieces import grid, put

ALL_ROUNDS: Final = 30  # so many are all shown
LONGEST: Final = 12  # of more, so many
FEW_DEVICES: Final = 10
NAMED: Final = 3  # devices, and links, of each part
WIDE: Final = 100
BARELY: Final = 2.0  # below, a factor has two decimals

Found = Mapping[str, Any]


def show(found: Found, console: Console, *, round: int | None = None, devices: bool = False) -> None:
    """Print what `whatif.blaming.blame_run` has found: all of it, or the critical path of one round.

    ``devices`` names all of them instead of a few. Raises ValueError for a round that the run has not had.
    """
    pen = pen_for(console, console.width)
    put(console, _all(found, pen, devices) if round is None else _one_round(found, pen, round, devices), pen)


def _all(found: Found, pen: Pen, devices: bool) -> RenderableType:
    head = f"{found['algorithm']}, {len(found['rounds'])} rounds, {f.duration(found['virtual_s'])} of virtual time"
    return Group(
        _title(found["name"], head),
        _section("where the virtual time went", "the critical path of the run", _parts(found, pen, devices)),
        _section("rounds", _which_rounds(found["rounds"]), _rounds(found, pen)),
        _section("slack", "how many times as long a device could take at no cost", _slack(found, devices)),
    )


def _one_round(found: Found, pen: Pen, number: int, devices: bool) -> RenderableType:
    rounds: Sequence[Found] = found["rounds"]
    each = next((each for each in rounds if each["round"] == number), None)
    if each is None:
        raise ValueError(f"--round {number}: the run had the rounds 1 to {len(rounds)}")
    head = f"round {number}, {f.duration(each['end_s'] - each['start_s'])}, {each['last']} last"
    return Group(
        _title(found["name"], head),
        _section("where the virtual time went", "the run's critical path in this round", _parts(each, pen, devices)),
        _section("step by step", "", _steps(each)),
    )


def _title(name: str, text: str) -> Padding:
    return Padding(Text.assemble((name, f"bold {ACCENT}"), f"   {text}"), (1, 2, 0, 2))


def _section(title: str, note: str, content: RenderableType) -> RenderableType:
    heading = Text.assemble((title, f"bold {ACCENT}"), (f"   {note}" if note else "", LABEL))
    return Group(Padding(heading, (1, 2, 0, 2)), Padding(content, (0, 2)))


def _parts(found: Found, pen: Pen, devices: bool) -> Table:
    """Every part with its share, a bar, and the links and devices in it."""
    parts = {name: seconds for name, seconds in found["blame"].items() if seconds}
    percents = dict(zip(parts, f.shares(list(parts.values())), strict=True))
    room = 24 if pen.width >= WIDE else 10
    most = max(percents.values(), default=1.0)
    table = Table.grid(padding=(0, 2, 0, 0))
    for side in ("left", "right", "right", "left", "left"):
        table.add_column(justify=side, no_wrap=True)
    longest = max((len(f.duration(seconds)) for seconds in parts.values()), default=0)
    left = pen.width - 2 * 2 - max(map(len, parts), default=0) - len("100 %") - 1 - longest - room - 4 * 2
    for name, seconds in parts.items():
        cells = max(round(percents[name] / most * room), 1)
        table.add_row(
            Text(name, LABEL),
            Text(f"{percents[name]:.1f} %", STRONG),
            Text(f.duration(seconds), LABEL),
            Text(pen.glyph(name) * cells, ink_of(name).style),
            Text("\n".join(_whose(found, name, left, devices)), LABEL),
        )
    return table


def _whose(found: Found, part: str, width: int, devices: bool) -> list[str]:
    """The shared links of a part and its devices with their shares of it, most first, in lines of some width."""
    lines = []
    links, devices_of = found["blame_links"].get(part, {}), found["blame_devices"].get(part, {})
    own = {name.rpartition(".")[0] for name in links} == {*devices_of}  # the links say all
    for names in (links, {} if own else devices_of):
        told = list(names.items())[: None if devices else NAMED]
        shares = [f"{_short(name)} {f.percent(seconds / found['blame'][part], digits=0)}" for name, seconds in told]
        shares += [f"{len(names) - len(told)} more"] if len(told) < len(names) else []
        lines += _packed(shares, width)
    return lines


def _packed(words: Sequence[str], width: int) -> list[str]:
    """Words with commas between them, none of them torn apart."""
    lines: list[str] = []
    for number, word in enumerate(words):
        text = word if number == len(words) - 1 else f"{word},"
        if lines and len(lines[-1]) + 1 + len(text) <= width:
            lines[-1] += f" {text}"
        else:
            lines.append(text)
    return lines


def _short(name: str) -> str:
    """A link's name in words: "cell.lte-5.down" is "lte-5 down"."""
    return name.removeprefix("cell.").replace(".", " ")


def _which_rounds(rounds: Sequence[Found]) -> str:
    return "" if len(rounds) <= ALL_ROUNDS else f"the {LONGEST} longest of {len(rounds)}; --round N shows any"


def _rounds(found: Found, pen: Pen) -> Table:
    """A line for each round, or for the longest of many: its time as a bar of parts, and the largest of these."""
    rounds: Sequence[Found] = found["rounds"]
    shown = list(rounds)
    if len(rounds) > ALL_ROUNDS:
        longest = sorted(rounds, key=lambda each: each["start_s"] - each["end_s"])[:LONGEST]
        shown = [each for each in rounds if each in longest]
    worst_s = max((each["end_s"] - each["start_s"] for each in shown), default=0.0)
    room = 48 if pen.width >= WIDE else 22
    table = grid([[Text(head, LABEL) for head in ("round", "took", "last", "", "most of it")]], "rrlll")
    for each in shown:
        took_s = each["end_s"] - each["start_s"]
        parts = [(name, seconds) for name, seconds in each["blame"].items() if seconds]
        cells = round(room * took_s / worst_s) if worst_s else 0
        name, seconds = max(parts, key=lambda part: part[1], default=("", 0.0))
        table.add_row(
            str(each["round"]),
            Text(f.duration(took_s), STRONG),
            Text(each["last"], LABEL),
            pen.bar(parts, cells),
            Text(f"{name} {f.percent(seconds / took_s, digits=0)}" if took_s else "", LABEL),
        )
    return table


def _steps(each: Found) -> Table:
    """The critical path of a round."""
    table = grid([[Text(head, LABEL) for head in ("at", "took", "part", "whose", "what")]], "rrlll")
    for step in each["steps"]:
        what = f"{step['what']}, {_short(step['link'])}" if step["link"] else step["what"]
        table.add_row(
            Text(f"{step['start_s']:.3f} s", LABEL),
            Text(f.duration(step["end_s"] - step["start_s"]), STRONG),
            Text(step["part"], ink_of(step["part"]).style),
            step["device"],
            Text(what, LABEL),
        )
    return table


def _slack(found: Found, devices: bool) -> RenderableType:
    """The devices that could be slowed down least, and the one that could most; all of them if asked for."""
    slacks: Sequence[Found] = found["slack"]
    shown = slacks if devices or len(slacks) <= FEW_DEVICES + 1 else [*slacks[:FEW_DEVICES], slacks[-1]]
    heads = ("device", "compute", "", "uplink", "", "downlink", "")
    table = grid([[Text(head, LABEL) for head in heads]], "lrrrrrr")
    for number, each in enumerate(shown):
        if number == FEW_DEVICES and shown is not slacks:
            table.add_row(Text(f"... {len(slacks) - len(shown)} more", LABEL))
        cells = [cell for way in ("compute", "uplink", "downlink") for cell in _more(each, way)]
        table.add_row(each["device"], *cells)
    note = Text("the seconds are those a round; each alone, while all else takes as long as it did", LABEL)
    return Group(table, note)


def _more(each: Found, way: str) -> tuple[Text, Text]:
    """How many times as long, and the seconds that this is."""
    factor, seconds = each[f"{way}_factor"], each[f"{way}_s"]
    if factor is None:  # null is nan or infinity: never done, or nothing waits for it
        return Text(f.UNKNOWN, LABEL), Text()
    if seconds == 0:
        return Text("none", STRONG), Text()
    return Text(f"{factor:.2f}x" if factor < BARELY else f.factor(factor), GOOD), Text(f"+{f.duration(seconds)}", LABEL)
