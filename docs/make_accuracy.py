"""Makes docs/network-accuracy.md: how far the network models are from SimGrid and from a Linux kernel's TCP.

``python docs/make_accuracy.py`` writes the page from the cases in tests/data; ``--cases DIR --print`` shows the tables
of other cases (format: docs/network.md, with ``family`` and ``results``). Nothing in the model is fitted by it.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
if __name__ == "__main__":  # so that this tree is measured, wherever it is called from
    sys.path.insert(0, str(ROOT))

from netmodels import case  # noqa: E402
from netmodels.tcp import MODELS, Tcp  # noqa: E402

GIVEN = ROOT / "tests" / "data" / "network"
FURTHER = ROOT / "tests" / "data" / "network-further"
PAGE = ROOT / "docs" / "network-accuracy.md"
APART = ("single", "loss")  # families in which no two flows meet
LONE_BITS = 1e8  # links up to this count as lone flows' links, faster ones are shown apart

TCP = MODELS["tcp"]
VARIANTS: dict[str, Tcp] = {
    "tcp": TCP,
    "no payload efficiency": replace(TCP, efficiency=1.0),
    "no handshake": replace(TCP, handshake=False),
    "no slow start": replace(TCP, slow_start=False),
    "no RTT weights": replace(TCP, rtt_weights=False),
    "no loss cap": replace(TCP, loss_cap=False),
    "no congestion windows (`tcp-fast`)": replace(TCP, congestion=False),
    "no drop-tail cuts": replace(TCP, drop_tail=False),
    "no queued acknowledgements": replace(TCP, ack_queues=False),
    "pure": MODELS["pure"],
}


@dataclass(frozen=True)
class Truth:
    """A case with its measured finish times, by the name of what measured them."""

    name: str
    family: str
    case: case.Case
    results: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Errors:
    """Errors of one case: signed per cent by flow, of the mean flow time and of the makespan, and |ln| by flow."""

    flows: dict[str, float]
    logs: tuple[float, ...]
    mean: float
    makespan: float


def read(folder: Path) -> list[Truth]:
    """All cases of a folder, by name."""
    truths = []
    for file in sorted(folder.glob("*.json")):
        value = json.loads(file.read_text(encoding="utf-8"))
        truths.append(Truth(file.stem, value["family"], case.read(file), value["results"]))
    if not truths:
        raise SystemExit(f"{folder}: holds no case (*.json)")
    return truths


def durations_s(of: case.Case, finish_s: dict[str, float]) -> dict[str, float]:
    """How long each flow took, from its start in its own timeline; flows without a known start or end are left out."""
    took_s = {}
    for flow in of.flows:
        if flow.id in finish_s and (flow.after is None or flow.after in finish_s):
            start_s = flow.start_s
            if flow.after is not None:
                start_s = max(start_s, finish_s[flow.after] + flow.delay_s)
            took_s[flow.id] = finish_s[flow.id] - start_s
    return took_s


def compare(truth: Truth, model: Tcp) -> Errors:
    """One case against the kernel."""
    linux_s = truth.results["linux_cubic"]
    ours_s = {flow: when_s for flow, when_s in case.finish_times(truth.case, model).items() if flow in linux_s}
    ours, theirs = durations_s(truth.case, ours_s), durations_s(truth.case, linux_s)
    return Errors(
        flows={flow: 100 * (ours[flow] / theirs[flow] - 1) for flow in theirs},
        logs=tuple(abs(math.log(ours[flow] / theirs[flow])) for flow in theirs),
        mean=100 * (sum(ours.values()) / sum(theirs.values()) - 1),
        makespan=100 * (max(ours_s.values()) / max(linux_s.values()) - 1),
    )


def of_all(truths: Sequence[Truth], model: Tcp) -> dict[str, Errors]:
    """The errors of each case that a kernel was measured in."""
    return {truth.name: compare(truth, model) for truth in truths if "linux_cubic" in truth.results}


def lone(truths: Sequence[Truth], errors: dict[str, Errors], least_bytes: float, keep: Callable[[float], bool]) -> list:
    """|per cent| of lone flows of at least that size, on links whose bit/s are to be kept."""
    found = []
    for truth in truths:
        if truth.family == "single" and truth.name in errors:
            for flow in truth.case.flows:
                peak_bps = truth.case.links[flow.route[0]].capacity.peak_bps
                if flow.size_bytes >= least_bytes and keep(peak_bps) and flow.id in errors[truth.name].flows:
                    found.append(abs(errors[truth.name].flows[flow.id]))
    return found


def spread(values: Iterable[float], *, worst: bool = False) -> str:
    """Median / 90th percentile, and the largest if asked for."""
    ordered = sorted(values)
    if not ordered:
        return "-"
    shown = [statistics.median(ordered), ordered[round(0.9 * (len(ordered) - 1))]] + ([ordered[-1]] if worst else [])
    return " / ".join(f"{value:.1f}" for value in shown)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def meeting(truths: Sequence[Truth], errors: dict[str, Errors], family: str | None = None) -> list[Errors]:
    """The errors of contended cases, of one family or of all."""
    return [
        errors[truth.name]
        for truth in truths
        if truth.name in errors and truth.family not in APART and family in (None, truth.family)
    ]


def contended_cells(found: Sequence[Errors]) -> list[str]:
    """Makespan, mean flow time, per flow, |ln| per flow."""
    return [
        spread(abs(each.makespan) for each in found),
        spread(abs(each.mean) for each in found),
        spread(abs(error) for each in found for error in each.flows.values()),
        f"{statistics.median(log for each in found for log in each.logs):.3f}" if found else "-",
    ]


def terms(truths: Sequence[Truth], played: dict[str, dict[str, Errors]]) -> str:
    """One row for the whole model, and one for each term left out."""
    rows = []
    for name, errors in played.items():
        loss = [
            abs(e) for t in truths if t.family == "loss" and t.name in errors for e in errors[t.name].flows.values()
        ]
        rows.append(
            [
                name,
                spread(lone(truths, errors, 1e5, lambda bps: bps <= LONE_BITS)),
                spread(lone(truths, errors, 3e6, lambda bps: bps <= LONE_BITS), worst=True),
                spread(lone(truths, errors, 1e5, lambda bps: bps > LONE_BITS)),
                *contended_cells(meeting(truths, errors)),
                spread(loss),
            ]
        )
    head = ["model", "lone >= 100 KB", "lone >= 3.1 MB (worst)", "lone at 1 Gbit/s"]
    return table([*head, "makespan", "mean flow time", "per flow", "per flow, abs(ln)", "under loss"], rows)


def families(truths: Sequence[Truth]) -> list[str]:
    """The contended families, in order of name."""
    return sorted({truth.family for truth in truths} - set(APART))


def by_family(truths: Sequence[Truth], played: dict[str, dict[str, Errors]]) -> str:
    """How the whole model does in each family, beside the one without congestion windows."""
    rows = []
    for family in families(truths):
        found = meeting(truths, played["tcp"], family)
        before = meeting(truths, played["no congestion windows (`tcp-fast`)"], family)
        rows.append([family, str(len(found)), *contended_cells(found), *contended_cells(before)[:3]])
    head = ["family", "cases", "makespan", "mean flow time", "per flow", "abs(ln)"]
    return table([*head, "without windows: makespan", "mean flow time", "per flow"], rows)


def left_out(truths: Sequence[Truth], played: dict[str, dict[str, Errors]]) -> str:
    """For each family left out: the error of all the others with each term, less that without it."""

    def score(errors: dict[str, Errors], family: str) -> float:
        found = [each for other in families(truths) if other != family for each in meeting(truths, errors, other)]
        return statistics.mean(
            (abs(each.makespan) + abs(each.mean) + statistics.median(map(abs, each.flows.values()))) / 3
            for each in found
        )

    rows = []
    for name, errors in played.items():
        if name not in ("tcp", "pure", "no loss cap"):
            gains = [score(played["tcp"], family) - score(errors, family) for family in families(truths)]
            rows.append([name.removeprefix("no "), *(f"{gain:+.1f}" for gain in gains)])
    return table(["term", *(f"without {family}" for family in families(truths))], rows)


def by_case(truths: Sequence[Truth], errors: dict[str, Errors]) -> str:
    """Every case: signed errors of the whole model."""
    rows = []
    for truth in truths:
        cells = ["-", "-", "-"]
        if truth.name in errors:
            found = errors[truth.name]
            cells = [f"{found.makespan:+.1f}", f"{found.mean:+.1f}", spread(map(abs, found.flows.values()))]
        rows.append([truth.name, str(len(truth.case.flows)), *cells, worst_of_pure(truth)])
    return table(["case", "flows", "makespan", "mean flow time", "per flow", "pure against SimGrid"], rows)


def worst_of_pure(truth: Truth) -> str:
    """The largest relative difference of any flow's finish time between `pure` and SimGrid's max-min sharing."""
    if "simgrid_maxmin" not in truth.results:
        return "-"
    ours = case.finish_times(truth.case, MODELS["pure"])
    worst = max(abs(ours[flow] / when_s - 1) for flow, when_s in truth.results["simgrid_maxmin"].items())
    return f"below 1e-{math.floor(-math.log10(worst))}" if worst > 1e-15 else "below 1e-15"


def section(title: str, folder: Path) -> str:
    """The tables of one folder of cases."""
    truths = read(folder)
    played = {name: of_all(truths, model) for name, model in VARIANTS.items()}
    return "\n".join(
        [
            f"## {title}\n",
            "Each term switched off alone; median / 90th percentile of |per cent|:\n",
            terms(truths, played),
            "By family:\n",
            by_family(truths, played),
            "What each term does to the error (mean over cases of makespan, mean flow time and per-flow median;"
            "\nnegative is better) when one family is left out of the count:\n",
            left_out(truths, played),
            "By case, signed where one number stands:\n",
            by_case(truths, played["tcp"]),
        ]
    )


def page() -> str:
    """The whole page."""
    head = (ROOT / "docs" / "network-accuracy.head.md").read_text(encoding="utf-8")
    return "\n".join([head, section("The given cases", GIVEN), section("Further cases", FURTHER)])


def main() -> None:
    """Write the page, or print the tables of other cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=Path, help="a folder of cases instead of those of the page; implies --print")
    parser.add_argument("--print", action="store_true", help="print instead of writing the page")
    options = parser.parse_args()
    if options.cases is not None:
        print(section(str(options.cases), options.cases))
    elif options.print:
        print(page())
    else:
        PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
