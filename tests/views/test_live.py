"""The live view, drawn on consoles that keep what they are given."""

import dataclasses
import io

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from simulator.analysis.blame import PARTS
from simulator.record import Record
from simulator.views.choose import choose_view
from simulator.views.live import LiveView
from simulator.views.palette import Pen
from simulator.views.plain import PlainView
from simulator.views.view import SilentView

SIZES = [(60, 20), (80, 24), (100, 40), (120, 35), (200, 60)]


def console(width=80, height=24, **options):
    return Console(width=width, height=height, file=io.StringIO(), force_terminal=True, legacy_windows=False, **options)


def drawn(view, where):
    """The lines of a frame as text."""
    with where.capture() as capture:
        where.print(view)
    return Text.from_ansi(capture.get()).plain


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("rounds", [None, 0, 2, 4])
def test_a_frame_fits_its_terminal(info, play, width, height, rounds):
    where = console(width, height)
    view = LiveView(info, where)
    if rounds is not None:
        play(Record([view]), rounds)
    lines = drawn(view, where).splitlines()
    assert max(cell_len(line) for line in lines) <= width
    assert len(lines) <= height


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 35)])
@pytest.mark.parametrize("rounds", [None, 0, 2, 4])
def test_every_frame_names_both_clocks_and_both_models(info, play, width, height, rounds):
    where = console(width, height)
    view = LiveView(info, where)
    if rounds is not None:
        play(Record([view]), rounds)
    text = drawn(view, where)
    for words in ("mini, timed as gpt2", "virtual time", "in the field", "real time", "this machine", "speed-up"):
        assert words in text


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 35)])
def test_a_frame_shows_the_numbers_of_the_rows(info, play, ticks, width, height):
    where = console(width, height)
    view = LiveView(info, where, clock=ticks(0.5))
    play(Record([view]), 2)
    text = drawn(view, where)
    for words in (
        "round 2/4",
        "20.0 s",  # virtual
        "20.00 → 17.00  −15.0 %",
        "2.500",  # train loss
        "8.0 MB",  # up
        "4.0 MB each",
        "2.0 MB",  # down
        "mean of 2",
        "5.5 s",  # b computes
        "2x",  # b was last
    ):
        assert words in text


def test_time_left_goes_by_the_pace_of_the_rounds_and_is_real(info, play, ticks):
    where = console()
    clock = ticks(0.0)
    view = LiveView(info, where, clock=clock)
    record = play(Record([view]), 0)
    for row in play(Record(), 2).rounds[1:]:
        clock.now_s += 3.0
        record.round(row)
    clock.now_s += 1.0  # two rounds at 3 s to go, of which 1 s is over
    text = drawn(view, where)
    assert "time left  5 s (real)" in text
    assert "real time     7.0 s" in text
    assert "speed-up   2.9x" in text  # 20 s virtual in 7 s


def test_before_anything_is_loaded_the_scenario_and_the_step_are_shown(info):
    where = console()
    view = LiveView(info, where)
    assert "starting" in drawn(view, where)
    view.on_phase("loading torch")
    view.on_phase("loading the model")
    text = drawn(view, where)
    for words in ("two phones", "2 phones", "1 a (phone-low, lte)", "✓ loading torch", "loading the model"):
        assert words in text


def test_a_run_that_trains_nothing_says_so(info, play):
    where = console()
    view = LiveView(info, where)
    play(Record([view]), trained=False)
    assert "not taken: times and bytes only" in drawn(view, where)


def test_before_the_first_step_there_is_one_perplexity_and_no_change(info, play):
    where = console()
    view = LiveView(info, where)
    play(Record([view]), 1)
    text = drawn(view, where)
    assert "20.00  validation, before training" in text
    assert "→" not in text


def test_a_single_model_is_named_alone(info, play):
    where = console()
    view = LiveView(dataclasses.replace(info, timed_as=None), where)
    play(Record([view]))
    assert "timed as" not in drawn(view, where)


def test_what_a_scenario_is_called_is_never_read_as_markup(info):
    where = console()
    view = LiveView(dataclasses.replace(info, name="[bold]x[/red]"), where)
    assert "[bold]x[/red]" in drawn(view, where)


def test_a_long_or_wide_name_of_a_device_keeps_the_columns(info, play):
    where = console()
    view = LiveView(info, where)
    record = Record([view])
    name = "電話" * 20
    for row in (rows := play(Record(), 1)).computes:
        record.compute(row._replace(actor=name) if row.actor == "b" else row)
    for row in rows.rounds:
        record.round(row)
    assert max(cell_len(line) for line in drawn(view, where).splitlines()) <= 80


def test_the_live_view_leaves_nothing_when_all_went_well(info, play):
    where = console()
    with LiveView(info, where) as view:
        play(Record([view]))
    last = where.file.getvalue().rsplit("\n", 1)[-1]
    assert "\x1b[1A\x1b[2K" in last  # up and erase: the frame is gone
    assert "virtual" not in last


def test_the_last_frame_stays_when_the_run_fails(info, play):
    where = console()

    def fail():
        with LiveView(info, where) as view:
            play(Record([view]), 2)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert "stopped" in Text.from_ansi(where.file.getvalue().rsplit("splitwire", 1)[-1]).plain


def test_rows_alone_draw_nothing(info, play):
    where = console()
    view = LiveView(info, where)
    play(Record([view]))
    assert where.file.getvalue() == ""


def test_the_view_suits_the_terminal(info):
    assert isinstance(choose_view(info, console()), LiveView)
    assert isinstance(choose_view(info, Console(file=io.StringIO())), PlainView)
    assert isinstance(choose_view(info, console(), silent=True), SilentView)


def test_the_silent_view_is_silent(info, play, capsys):
    with choose_view(info, console(), silent=True) as view:
        play(Record([view]))
    assert capsys.readouterr() == ("", "")


def test_bars_can_be_told_apart_without_colours():
    parts = [("compute", 1), ("uplink", 1), ("downlink", 1), ("waiting", 1)]
    assert Pen(colours=False).bar(parts, 8).plain == "██▓▓▒▒··"
    assert Pen(ascii_only=True).bar(parts, 8).plain == "##==--.."


def test_every_part_of_the_critical_path_has_a_glyph_of_its_own_without_colours():
    for pen in (Pen(colours=False), Pen(ascii_only=True)):
        assert len({pen.glyph(part) for part in PARTS}) == len(PARTS)
