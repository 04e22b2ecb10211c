"""What is to be done when: dates in order, and in order of arrival within one."""

import math

from netmodels.agenda import Agenda
from netmodels.cubic import Window
from netmodels.routes import Route
from netmodels.transfer import Transfer


def transfer(name):
    return Transfer(name, Route((), [], {}), rtt_s=0.0, window=Window())


def nothing(owner, now_s, transfer):
    """An action."""


def names(agenda, until_s):
    """Of all that is taken by then, one after the other."""
    return [transfer.flow_id for transfer, _ in iter(lambda: agenda.take(until_s), None)]


def test_dates_come_in_order_and_within_a_date_who_came_first():
    agenda = Agenda()
    for when_s, name in [(2, "a"), (1, "b"), (2, "c"), (1, "d"), (3, "e")]:
        agenda.note(when_s, transfer(name), nothing)
    assert agenda.next_s() == 1
    assert names(agenda, 2) == ["b", "d", "a", "c"]
    assert agenda.next_s() == 3
    assert names(agenda, 3) == ["e"]
    assert agenda.next_s() == math.inf


def test_nothing_is_due_for_a_transfer_that_is_over_and_its_date_is_none():
    agenda, over, last = Agenda(), transfer("over"), transfer("last")
    for when_s, each in [(1, over), (2, over), (2, last), (2, over)]:
        agenda.note(when_s, each, nothing)
    over.over = True
    assert agenda.next_s() == 2
    assert names(agenda, 2) == ["last"]


def test_what_is_noted_for_now_while_things_are_done_is_done_as_well():
    agenda = Agenda()
    agenda.note(1, transfer("a"), nothing)
    seen = []
    while (entry := agenda.take(1)) is not None:
        seen.append(entry[0].flow_id)
        if seen == ["a"]:
            agenda.note(1, transfer("b"), nothing)
    assert seen == ["a", "b"]
