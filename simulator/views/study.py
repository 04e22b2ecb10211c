"""The end of a study in the terminal: its table, and the best cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rich import box
from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from simulator.views import format as f
from simulator.views.palette import ACCENT, BAD, LABEL, MAX_WIDTH, STRONG
from simulator.views.pieces import wrapped
from simulator.views.reached import Reached
from simulator.views.reached import table as reached_table

MOST_ROWS: Final = 24  # more are in the files; the best are shown
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown of a study: rows as in study.csv, and over several seeds as in variants.csv."""

    name: str
    columns: Sequence[str]  # of what was varied
    rows: Sequence[Row]
    variants: Sequence[Row]  # none with one seed
    best_by: str
    best: Row | None  # None where nothing has what is compared
    folder: str
    goals: Sequence[float] = ()  # perplexities to come down to; none where nothing was trained
    reached: Mapping[str, Sequence[Reached | None]] = field(default_factory=dict)  # when some of the cells did
    note: str = ""  # goes on after the name


def show(console: Console, shown: Shown) -> None:
    """Print the table and the best cell."""
    rows = shown.variants or shown.rows
    columns = [name for name in shown.columns if not (shown.variants and name == "seed")]
    by = shown.best_by if shown.best else "perplexity"  # nobody came to the target: who came nearest to it
    told, hidden = _picked(rows, by)
    table, spared = _table(told, columns, shown, _width(console))
    console.print(table)
    file = "variants.csv" if shown.variants else "study.csv"
    if hidden:
        console.print(Text(f"  the best {len(told)} by {_HEADS[by]}; {hidden:,} more in {file}", LABEL))
    if spared:
        wider = ", or with a wider terminal" if console.width < MAX_WIDTH else ""
        text = f"{', '.join(_HEADS[name] for name in spared)}: in {file}{wider}"
        console.print(wrapped("also", Text(text, LABEL)), width=_width(console))
    if shown.goals:
        console.print(reached_table(shown.goals, shown.reached, _width(console)))
    for reason, count in _reasons(shown.rows).items():
        console.print(wrapped("without", Text(f"{count} x {reason}", BAD)), width=_width(console))
    missed = [row["target"] for row in shown.rows if row.get("target") is not None and row["to_target_s"] is None]
    if missed:
        text = f"{len(missed):,} x perplexity {f.perplexity(missed[0])} not reached"
        console.print(wrapped("without", Text(text, LABEL)), width=_width(console))
    times_only = sum(
        row["status"] == "done" and row["reason"] is not None and row["way"] == "timing-only" for row in shown.rows
    )
    if times_only:
        text = f"{times_only:,} x times only: no tape fits what is trained (reason in study.csv); --train trains it"
        console.print(wrapped("without", Text(text, LABEL)), width=_width(console))
    if shown.variants:
        text = "mean ± half of the 95 % t interval; differences from the first line are paired by seed"
        console.print(wrapped("seeds", Text(text, LABEL)), width=_width(console))
    value = _best(shown, shown.best, rows) if shown.best else _none(shown)
    console.print(wrapped("best", value), width=_width(console))
    console.print(wrapped("results", Text(shown.folder, STRONG)), width=_width(console))


def _best(shown: Shown, best: Row, rows: Sequence[Row]) -> Text:
    """Which of these rows is best, by what, and what one should know of it."""
    named = ", ".join(f"{name} {best[name]}" for name in shown.columns if name in best)
    value = Text.assemble((named, f"bold {ACCENT}"), (f"   by {_HEADS[shown.best_by]}: ", LABEL))
    value.append(_FORMATS[shown.best_by](best[shown.best_by]), STRONG)
    equal = sum(all(row.get(name) == best[name] for name in (shown.best_by, "bytes")) for row in rows)
    if equal > 1:
        value.append(f", the first of {equal:,} that are equal", LABEL)
    if best.get("dropped"):
        value.append(f", with {_FORMATS['dropped'](best['dropped'])} device steps dropped", BAD)
        value.append(" on average" if shown.variants else "", BAD)
    return value


def _none(shown: Shown) -> Text:
    """Why none is best: nothing came to the target, the only goal; a variant does where each of its seeds does."""
    target = f.perplexity(shown.goals[-1])
    who, how = ("variant", " with all of its seeds") if shown.variants else ("cell", "")
    return Text.assemble(("none", "bold"), (f": no {who} came to perplexity {target}{how}", LABEL))


def _width(console: Console) -> int:
    return min(console.width, MAX_WIDTH)


_HEADS: Final = {
    "virtual_s": "virtual time",
    "bytes": "bytes",
    "energy_j": "energy",
    "perplexity": "perplexity",
    "to_target_s": "time to target",
    "to_target_bytes": "bytes to target",
    "dropped": "dropped",
}


_SPARED: Final = ("to_target_bytes", "energy_j", "bytes", "perplexity", "virtual_s")
_COMPARED: Final = ("virtual_s", "to_target_s")
_FORMATS: Final[Mapping[str, Callable[[float], str]]] = {
    "virtual_s": f.duration,
    "bytes": f.size,
    "energy_j": f.energy,
    "perplexity": f.perplexity,
    "to_target_s": f.duration,
    "to_target_bytes": f.size,
    "dropped": lambda count: f"{count:,.1f}".removesuffix(".0"),
}


def _picked(rows: Sequence[Row], by: str) -> tuple[Sequence[Row], int]:
    """All rows in their order, or the best of many."""
    if len(rows) <= MOST_ROWS:
        return rows, 0
    known = sorted((row for row in rows if row.get(by) is not None), key=lambda row: float(row[by]))
    return known[:MOST_ROWS], len(rows) - min(MOST_ROWS, len(known))


def _table(rows: Sequence[Row], columns: Sequence[str], shown: Shown, width: int) -> tuple[Table, list[str]]:
    """The table, without the numbers that matter least where all do not fit, and which those are."""
    numbers = [name for name in _HEADS if any(row.get(name) is not None for row in rows)]
    if not any(row.get("dropped") for row in rows):
        numbers = [name for name in numbers if name != "dropped"]
    may_go = [name for name in _SPARED if name in numbers and name != shown.best_by]
    spared: list[str] = []
    while True:
        heads = [short(name, columns) for name in columns] + _heads(numbers, variants=bool(shown.variants))
        cells = [_cells(row, columns, numbers, variants=bool(shown.variants)) for row in rows]
        wide = [max(map(cell_len, "\n".join(each).splitlines())) for each in zip(heads, *cells, strict=True)]
        fits = sum(wide) + 3 * len(wide) <= width
        if not may_go or fits:
            break
        spared.append(may_go.pop(0))
        numbers.remove(spared[-1])
    table = Table(
        box=box.SIMPLE_HEAD, title_justify="left", header_style=LABEL, pad_edge=False, title=f"{shown.name}{shown.note}"
    )
    widths = wide if fits else _narrowed(len(columns), cells, wide, width)
    for place, (head, least) in enumerate(zip(heads, widths, strict=True)):
        named = place < len(columns)
        style = STRONG if named else LABEL if head == "numbers" else None
        side: JustifyMethod = "left" if named or head == "numbers" else "right"
        table.add_column(head, style=style, justify=side, no_wrap=fits or not named, overflow="fold", width=least)
    for row, texts in zip(rows, cells, strict=True):
        is_best = shown.best is not None and all(row.get(name) == shown.best.get(name) for name in columns)
        table.add_row(*texts, style=ACCENT if is_best else None)
    return table, spared


def _narrowed(named: int, cells: Sequence[Sequence[str]], wide: Sequence[int], width: int) -> list[int]:
    """Widths at which what was varied, the first columns, is broken between words rather than cut: it tells rows apart.

    What is left over goes to the narrowest of them, letter by letter.
    """
    words = ([word for texts in cells for word in texts[place].split()] for place in range(named))
    found = [*(max(map(cell_len, each), default=1) for each in words), *wide[named:]]
    for _ in range(width - sum(found) - 3 * len(found)):
        found[min((place for place in range(named) if found[place] < wide[place]), key=found.__getitem__)] += 1
    return found


def _heads(numbers: Sequence[str], *, variants: bool) -> list[str]:
    found = [] if variants else ["numbers"]
    for name in numbers:
        found.append(_HEADS[name].replace(" to ", " to\n"))
        if variants and name in _COMPARED:
            found.append("minus the\nfirst")
    return found


def _cells(row: Row, columns: Sequence[str], numbers: Sequence[str], *, variants: bool) -> list[str]:
    found = [str(row.get(name, "")) for name in columns]
    if not variants:
        found.append(row["way"] if row["status"] == "done" else row["status"])
    for name in numbers:
        found.append(_with_half(row, name))
        if variants and name in _COMPARED:
            found.append(_with_half(row, f"{name}_less_first", name))
    return found


def _with_half(row: Row, name: str, kind: str | None = None) -> str:
    write, value, half = _FORMATS[kind or name], row.get(name), row.get(f"{name}_half")
    if value is None:
        return f.UNKNOWN
    text = f"{f.MINUS}{write(-value)}" if value < 0 else write(value)
    return f"{text} ± {write(half)}" if half else text


def _reasons(rows: Sequence[Row]) -> dict[str, int]:
    """Why cells have no numbers, and how many each."""
    counts: dict[str, int] = {}
    for row in rows:
        if row["status"] != "done":
            reason = f"{row['status']}: {row['reason']}"
            counts[reason] = counts.get(reason, 0) + 1
    return counts


def short(name: str, others: Sequence[str]) -> str:
    """The end of a key path that tells it from the others: "lte.up" for network.access.lte.up."""
    parts = name.split(".")
    end = ".".join(parts[-3 if len(parts) > 2 and parts[-2].isdigit() else -2 :])
    return name if any(each != name and each.endswith(end) for each in others) else end
