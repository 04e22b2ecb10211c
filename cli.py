"""The command line: parse, call, print. Installed as `splitwire`; in a checkout also `python cli.py`.

Exit codes: 0 done, 1 the run failed, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

try:
    import typer
    from typer.core import TyperCommand
except ModuleNotFoundError as missing:
    print(
        f"splitwire: this Python ({sys.executable}) has no {missing.name}; use the environment that make run sets up: "
        f". .venv/bin/activate",
        file=sys.stderr,
    )
    sys.exit(2)

from simulator.failure import RunFailed
from simulator.shell import torn_value

FAILED: Final = 1
BAD_INPUT: Final = 2
INTERRUPTED: Final = 130
ALLOW_CODE: Final = "--allow-code"
VALUES: Final = ("--set", "--vary", "--seeds", "--splits", "--ranks")  # people write blanks in them

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train a split GPT-2 with LoRA for simulated devices, and know what it would cost in the field.",
)


class _OneArgument(TyperCommand):
    """A verb with one argument. What a shell has torn off a value is refused with how to write it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 -- of Click or Typer, by version
        torn = torn_value(args, VALUES)
        ctx.allow_extra_args = torn is not None
        left = super().parse_args(ctx, args)
        if ctx.args:
            raise ValueError(torn)
        return left


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C ends the command with one sentence, the one that came with it where there is one."""
    try:
        yield
    except KeyboardInterrupt as error:
        print(f"splitwire: {str(error) or 'interrupted'}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None


def _print_json(result: object) -> None:
    """One JSON object on standard output."""
    print(json.dumps(result, indent=2, allow_nan=False))


@app.callback()
def _splitwire(
    context: typer.Context,
    allow_code: Annotated[
        bool, typer.Option(ALLOW_CODE, help="Run the Python files that a scenario names; also behind the verb")
    ] = False,
) -> None:
    if allow_code:
        from simulator.scenario.code import allowed  # noqa: PLC0415 -- so that --help answers at once

        context.with_resource(allowed(lambda line: print(f"splitwire: {line}", file=sys.stderr)))


@app.command(cls=_OneArgument)
def run(  # noqa: PLR0913, PLR0917 -- an argument for each option
    scenario: Annotated[Path, typer.Argument(help="A scenario, such as scenarios/100_phones.yaml")],
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override one value")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the results (default: runs/NAME/TIME-SEED)")] = None,
    seed: Annotated[int | None, typer.Option(help="Override the scenario's seed")] = None,
    timing_only: Annotated[bool, typer.Option("--timing-only", help="Same messages, no training, no torch")] = False,
    hints: Annotated[bool, typer.Option(help="Say at the end what would help most (not with --json)")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json and nothing else")] = False,
) -> None:
    """Run a scenario: train for real, in virtual time."""
    from simulator import session  # noqa: PLC0415 -- so that --help answers at once

    overrides = [*(set_ or []), *([f"seed={seed}"] if seed is not None else [])]
    with _interruptible():
        summary = session.run(scenario, overrides, out=out, timing_only=timing_only, quiet=as_json, hints=hints)
    if as_json:
        _print_json(summary)


@app.command(cls=_OneArgument)
def retime(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run, such as runs/NAME/TIME-SEED")],
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one value")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the results (default: runs/NAME/TIME-SEED)")] = None,
    retrain: Annotated[bool, typer.Option("--retrain", help="Train anew, from the start")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json and nothing else")] = False,
) -> None:
    """Retime a finished run with other links, devices or machines: its losses are replayed, nothing is trained."""
    from simulator.whatif import retime as what_if  # noqa: PLC0415 -- as above

    with _interruptible():
        summary = what_if.retime(run, set_ or [], out=out, retrain=retrain, quiet=as_json)
    if as_json:
        _print_json(summary)


@app.command(cls=_OneArgument)
def study(  # noqa: PLR0913, PLR0917 -- an argument for each option
    scenario: Annotated[Path, typer.Argument(help="A scenario, a study's own file, or a run's folder")],
    vary: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUES", help="An axis: a,b or 1..11 or 5,20Mbit/s (no blank); several make a grid"),
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override one value")] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds of every variant, such as 1,2,3 or 1..5")] = None,
    train: Annotated[
        bool | None, typer.Option("--train/--no-train", help="Train each kind once, re-time the others from its tape")
    ] = None,
    target: Annotated[
        float | None, typer.Option(help="Perplexity whose time is compared (default: the lowest that all cells reach)")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes (default: each core for times, 1 for training)")
    ] = None,
    on: Annotated[str, typer.Option(metavar="local|ray", help="Where cells are computed")] = "local",
    address: Annotated[str | None, typer.Option(help="Of a Ray cluster (default: one is started here)")] = None,
    out: Annotated[Path | None, typer.Option(help="The study's folder, new or to go on in")] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Also more than 10,000 cells, or in place of another study's table")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else")] = False,
) -> None:
    """Study many variants of a scenario: a grid, random draws, or named ones."""
    from simulator.whatif.study import Options  # noqa: PLC0415 -- as above
    from simulator.whatif.study import study as do  # noqa: PLC0415

    options = Options(
        vary=vary or [],
        changes=set_ or [],
        seeds=seeds,
        train=train,
        target=target,
        jobs=jobs,
        on=on,
        address=address,
        out=out,
        yes=yes,
        quiet=as_json,
    )
    with _interruptible():
        result = do(scenario, options)
    if as_json:
        _print_json(result)
    if result["failed"]:
        raise typer.Exit(FAILED)


@app.command()
def score(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run, such as runs/NAME/TIME-1")],
    decode: Annotated[str, typer.Option(help="greedy, or beam: 10 beams as in the published code")] = "greedy",
    samples: Annotated[int, typer.Option(help="Held-out prompts to write for, at most")] = 64,
    data: Annotated[Path | None, typer.Option(help="Another file of examples, such as the test set")] = None,
    base: Annotated[bool, typer.Option("--base", help="The base model, without what the run has learned")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else")] = False,
) -> None:
    """Let a run's model write for held-out prompts: BLEU, NIST, METEOR, ROUGE-L and CIDEr."""
    from rich.console import Console  # noqa: PLC0415 -- as above

    from simulator.whatif import score as verb  # noqa: PLC0415

    result = verb.score(run, verb.Request(decode, samples, data, base), quiet=as_json)
    if as_json:
        _print_json(result)
    else:
        verb.show(result, Console())


@app.command()
def blame(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run, such as runs/NAME/TIME-1")],
    round_: Annotated[int | None, typer.Option("--round", help="The critical path of this round")] = None,
    all_devices: Annotated[bool, typer.Option("--devices", help="Name all devices, not just the first few")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else")] = False,
) -> None:
    """Say where a run's time went, and how much slower each device could be at no cost."""
    from rich.console import Console  # noqa: PLC0415 -- as above

    from simulator.views import blame as view  # noqa: PLC0415
    from simulator.whatif.blaming import blame_run  # noqa: PLC0415

    found = blame_run(run)
    if as_json:
        _print_json(found)
    else:
        view.show(found, Console(), round=round_, devices=all_devices)


@app.command(cls=_OneArgument)
def plan(  # noqa: PLR0913, PLR0917 -- an argument for each option
    scenario: Annotated[Path, typer.Argument(help="A scenario, such as scenarios/100_phones.yaml")],
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override one value")] = None,
    splits: Annotated[str | None, typer.Option(help="Such as 1..11 or 2,4,8 (default: blocks on both sides)")] = None,
    ranks: Annotated[str | None, typer.Option(help="Such as 4,8,16 (default: around the scenario's)")] = None,
    optimise: Annotated[
        str | None, typer.Option(help="Choose a split for each class: round-time, energy or bytes")
    ] = None,
    subject_to: Annotated[str, typer.Option(help="Limits of the choice: memory (always), battery")] = "memory",
    battery_per_hour: Annotated[
        float | None, typer.Option(help="Per cent of a battery an hour (default: what min_battery leaves)")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the scenario with the splits that were chosen")] = None,
    png: Annotated[Path | None, typer.Option(help="Draw the fleet's round over split and rank")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else")] = False,
) -> None:
    """Plan the split: what each would cost every class of devices and the fleet, before any training."""
    from simulator.whatif import plan as planning  # noqa: PLC0415 -- as above

    wanted = planning.Wanted(splits, ranks, optimise, subject_to, battery_per_hour, out, png)
    with _interruptible():
        result = planning.run(scenario, set_ or [], wanted, quiet=as_json)
    if as_json:
        _print_json(result)


@app.command(cls=_OneArgument)
def sensitivity(
    scenario: Annotated[Path, typer.Argument(help="A scenario, such as scenarios/100_phones.yaml")],
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override one value")] = None,
    rounds: Annotated[int | None, typer.Option(help="Rounds that are timed (default: the first 6 or so)")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else")] = False,
) -> None:
    """Say what would help most: better links, faster devices, another split. Nothing is trained."""
    from rich.console import Console  # noqa: PLC0415 -- as above

    from simulator.views import sensitivity as view  # noqa: PLC0415
    from simulator.views.terminal import telling  # noqa: PLC0415
    from simulator.whatif.sensitivity import sensitivity as do  # noqa: PLC0415

    console = Console(stderr=as_json)
    with telling(console, "reading the scenario", lines=not as_json) as tell:
        found = do(scenario, set_ or [], lambda what: tell(f"timing {what}"), rounds=rounds).as_json()
    if as_json:
        _print_json(found)
    else:
        view.show(found, console)


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs, such as runs/NAME/TIME-SEED")],
    png: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw perplexity and blame side by side")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else")] = False,
) -> None:
    """Compare finished runs: time to each perplexity, bytes, joules, where the time went, and what differs."""
    from simulator.whatif.compare import compare as do  # noqa: PLC0415 -- as above

    result = do(runs, png=png, quiet=as_json)
    if as_json:
        _print_json(result)


@app.command(cls=_OneArgument)
def check(
    scenario: Annotated[Path, typer.Argument(help="A scenario, such as scenarios/100_phones.yaml")],
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override one value")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else")] = False,
) -> None:
    """Check a scenario: costs, memory, and the proof that split training equals whole training on it."""
    from rich.console import Console  # noqa: PLC0415 -- as above

    from simulator import checking  # noqa: PLC0415 -- as above

    console = Console()
    result = checking.check(scenario, set_ or [], (lambda _: None) if as_json else (lambda what: print(what, "...")))
    if as_json:
        _print_json(result)
    else:
        checking.show(result, console)
    if not result["holds"]:
        raise typer.Exit(FAILED)


@app.command()
def flows(
    file: Annotated[Path, typer.Argument(help="Links and flows as JSON; see docs/network.md")],
    model: Annotated[
        str, typer.Option(help="pure (max-min sharing and latency), tcp, or tcp-fast (no queues)")
    ] = "tcp",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else")] = False,
) -> None:
    """Time flows over links: the network alone."""
    from netmodels.case import finish_times, never_finish, read  # noqa: PLC0415 -- as above
    from netmodels.tcp import find_model  # noqa: PLC0415

    transport = find_model(model)
    case = read(file)
    finish_s = finish_times(case, transport)
    stuck = [flow for flow, when_s in finish_s.items() if when_s == float("inf")]
    if stuck:
        raise never_finish(file, case, stuck)
    if as_json:
        print(json.dumps({"finish_s": finish_s}, allow_nan=False))
    else:
        for flow, when_s in finish_s.items():
            print(f"{flow}\t{when_s:.6f} s")


@app.command()
def links(
    text: Annotated[str | None, typer.Argument(metavar="[FILTER]", help="Only classes that mention this text")] = None,
    table: Annotated[Path | None, typer.Option("--catalog", help="Add the classes of your own table")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else")] = False,
) -> None:
    """List the classes of access links, with the source of every figure."""
    from rich.console import Console  # noqa: PLC0415 -- as above

    from netmodels.catalog import catalogue, extended  # noqa: PLC0415
    from simulator.views import links as view  # noqa: PLC0415

    found = view.matching(catalogue() if table is None else extended(table), text)
    if as_json:
        _print_json(view.as_json(found))
    else:
        view.show(found, Console())


@app.command()
def devices(
    text: Annotated[str | None, typer.Argument(metavar="[FILTER]", help="Only devices that mention this text")] = None,
    table: Annotated[Path | None, typer.Option("--catalog", help="Add the devices of your own table")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else")] = False,
) -> None:
    """List the devices, with the source of every figure of those you name."""
    from rich.console import Console  # noqa: PLC0415 -- as above

    from devices.catalog import catalogue, extended  # noqa: PLC0415
    from simulator.views import devices as view  # noqa: PLC0415

    found = view.matching(catalogue() if table is None else extended(table), text)
    if as_json:
        _print_json(view.as_json(found))
    else:
        view.show(found, Console())


def main(argv: Sequence[str] | None = None) -> int:
    """Parse and run; a user's mistake or a failed run is one sentence on standard error, never a traceback."""
    # Threads that wait asleep: 8 % slower on an idle machine, five times faster where others use the cores too.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with this
    words = list(sys.argv[1:] if argv is None else argv)
    if ALLOW_CODE in words:  # it belongs to all verbs, and may stand behind them too
        words = [ALLOW_CODE, *(word for word in words if word != ALLOW_CODE)]
    try:
        app(args=words)
    except SystemExit as leaving:
        return int(leaving.code or 0)
    except ValueError as error:
        print(f"splitwire: {error}", file=sys.stderr)
        return BAD_INPUT
    except (OSError, RunFailed) as error:
        print(f"splitwire: {error}", file=sys.stderr)
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
