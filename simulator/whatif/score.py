"""The `score` verb: what a finished run's model writes for held-out prompts, and what the text metrics say of it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from simulator.metrics import scores
from simulator.run_folder import ADAPTER, SCENARIO, RunFolder
from simulator.run_reader import check_finished
from simulator.scenario import Scenario, load
from simulator.scenario.words import unknown
from simulator.training.plan import plan_of
from simulator.training.tasks import Task, tasks
from simulator.views.format import duration

DECODINGS: Final[dict[str, Mapping[str, float]]] = {
    "greedy": {"beams": 1, "length_penalty": 1.0, "no_repeat": 0},
    "beam": {"beams": 10, "length_penalty": 0.8, "no_repeat": 4},
}
"""``beam`` is how LoRA's and SplitLoRA's published code decodes E2E."""

NAMES: Final = {
    "bleu_percent": "BLEU",
    "nist": "NIST",
    "meteor": "METEOR",
    "rouge_l_percent": "ROUGE-L",
    "cider": "CIDEr",
}
SHOWN: Final = 3  # texts that a person sees


@dataclass(frozen=True, slots=True)
class Request:
    """What is written: ``samples`` prompts at most, of the held-out examples or of another file; ``base`` untrained."""

    decode: str = "greedy"
    samples: int = 64
    data: Path | None = None
    base: bool = False


def score(run: Path, request: Request, *, quiet: bool = False) -> dict[str, Any]:
    """Write, keep the texts beside the run's results, and score them.

    ``left_out`` names the metrics that cannot be computed here, and why. ``quiet`` prints nothing. Raises ValueError
    for a folder that is not that of a run that has learned something, and for data without prompts.
    """
    started = time.perf_counter()
    if request.decode not in DECODINGS:
        raise ValueError(f"--decode: {unknown('decoding', request.decode, DECODINGS)}")
    if request.samples < 1:
        raise ValueError(f"--samples: must be >= 1, got {request.samples}")
    if request.data is not None and not request.data.is_file():
        raise ValueError(f"--data: {request.data} is not a file")
    scenario = _scenario(run, learned=not request.base)
    wanted = tasks(plan_of(scenario), scenario.seed, request.samples, request.data)
    texts = _written(scenario, None if request.base else run / ADAPTER, wanted, request, quiet=quiet)
    console = Console(stderr=True, quiet=quiet)
    with console.status("scoring; METEOR's program reads its tables for some seconds"):
        found, left_out = scores(texts, [task.references for task in wanted])
    name = f"texts-{'base-' if request.base else ''}{request.decode}.jsonl"
    rows = [
        {"prompt": task.prompt, "text": text, "references": task.references}
        for task, text in zip(wanted, texts, strict=True)
    ]
    RunFolder(run).write_texts(name, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
    return {
        "name": scenario.name,
        "model": scenario.model.name,
        "adapters": None if request.base else str(run / ADAPTER),
        "decode": request.decode,
        **DECODINGS[request.decode],
        "samples": len(wanted),
        "references": sum(len(task.references) for task in wanted),
        "metrics": found,
        "left_out": left_out,
        "texts": str(run / name),
        "wall_s": time.perf_counter() - started,
    }


def show(result: Mapping[str, Any], console: Console) -> None:
    """Print the result of `score` for a person."""
    with_what = "without what was learned" if result["adapters"] is None else "with what was learned"
    how = "greedy" if result["beams"] == 1 else f"{result['beams']} beams"
    title = (
        f"{result['name']}: {result['model']} {with_what}, {how}, {result['samples']} prompts, "
        f"{result['references']} references"
    )
    console.print(title, style="bold", highlight=False, markup=False)
    table = Table(box=SIMPLE_HEAD, padding=(0, 2, 0, 0), show_edge=False)
    for metric in result["metrics"]:
        table.add_column(NAMES[metric], justify="right", no_wrap=True)
    digits = {name: 2 if name.endswith("percent") else 4 for name in result["metrics"]}
    table.add_row(*(f"{value:.{digits[name]}f}" for name, value in result["metrics"].items()))
    if result["metrics"]:
        console.print(table)
    for metric, why in result["left_out"].items():
        console.print(f"left out: {NAMES[metric]} {why}", style="yellow", highlight=False, markup=False)
    for line in Path(result["texts"]).read_text(encoding="utf-8").splitlines()[:SHOWN]:
        row = json.loads(line)
        console.print(f"\n{row['prompt']}", style="dim", highlight=False, markup=False)
        console.print(f"  writes   {row['text']}", highlight=False, markup=False)
        console.print(f"  people   {row['references'][0]}", style="dim", highlight=False, markup=False)
    end = f"\n{duration(result['wall_s'])} real time; all texts: {result['texts']}"
    console.print(end, style="dim", highlight=False, markup=False)


def _scenario(run: Path, *, learned: bool) -> Scenario:
    """The scenario of a run's folder, and of one that has learned something."""
    if run.is_file():
        raise ValueError(f"{run} is no folder; name the folder of a run, such as runs/NAME/TIME-SEED")
    if not (run / SCENARIO).is_file():
        raise ValueError(f"{run} is not the folder of a run: it has no {SCENARIO}")
    if learned and not (run / ADAPTER).is_dir():
        check_finished(run)
        raise ValueError(
            f"{run} has no {ADAPTER}: nothing was learned there (retimed, --timing-only, or not at its end)"
        )
    return load(run / SCENARIO)


def _written(
    scenario: Scenario, adapter: Path | None, wanted: Sequence[Task], request: Request, *, quiet: bool
) -> list[str]:
    """A text for each prompt, under a bar that says how far it is."""
    with Progress(console=Console(stderr=True), disable=quiet, transient=True) as progress:
        bar = progress.add_task(f"loading {scenario.model.name}", total=len(wanted))
        from simulator.training.writing import Decoding, Writer  # noqa: PLC0415 -- loads torch

        options = DECODINGS[request.decode]
        decoding = Decoding(int(options["beams"]), options["length_penalty"], int(options["no_repeat"]))
        writer = Writer(scenario, adapter)
        progress.update(bar, description=f"writing {len(wanted)} texts")
        return writer.write(
            [task.prompt for task in wanted], decoding, lambda count: progress.update(bar, completed=count)
        )
