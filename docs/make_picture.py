"""Makes docs/run.svg from a real run: ``python docs/make_picture.py``. Takes as long as the run."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from simulator import session, world
from simulator.record import Observer, RoundRow
from simulator.scenario import Template
from simulator.views.live import LiveView
from simulator.views.picture import save_svg
from simulator.views.summary import render
from simulator.views.tally import traffic
from simulator.whatif.sensitivity import quick

ROOT = Path(__file__).parents[1]
COMMAND = "python cli.py run scenarios/100_phones.yaml"
SHOW_ROUND = 20


class Photographer(Observer):
    """Takes a picture of the live view after one of the rounds."""

    def __init__(self, view: LiveView) -> None:
        self.view = view

    def on_round(self, row: RoundRow) -> None:
        if row.round == SHOW_ROUND:
            save_svg(ROOT / "docs" / "run.svg", [self.view.renderable()], COMMAND, width=112)


def main() -> None:
    template = Template(ROOT / "scenarios" / "100_phones.yaml")
    scenario = template.scenario()
    info = session.describe(scenario, timing_only=False)
    view = LiveView(info, Console(force_terminal=True, width=112, height=34))
    with view:
        outcome = world.run(scenario, observers=[view, Photographer(view)])
    record = outcome.record
    hints = quick(template, [], outcome, lambda _: None)
    summary = outcome.summary | ({"sensitivity": hints.as_json()} if hints else {})
    end = render(info, record.rounds, summary, traffic=traffic(record.messages))
    save_svg(ROOT / "docs" / "summary.svg", [end], f"{COMMAND}: the end", width=112)


if __name__ == "__main__":
    main()
