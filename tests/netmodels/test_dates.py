"""The heap of dates that move, against a dictionary that is searched."""

import math

from hypothesis import given
from hypothesis import strategies as st

from netmodels.dates import Dated, Dates

MOVES = st.tuples(st.integers(0, 11), st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.0, math.inf, None]))  # None: taken out


@given(st.lists(MOVES, max_size=80))
def test_however_dates_move_the_first_is_the_least(moves):
    dates, items, known = Dates(), [Dated() for _ in range(12)], {}
    for number, date_s in moves:
        item = items[number]
        if date_s is None:
            dates.drop(item)
        else:
            dates.put(item, date_s)
        known.pop(item, None)
        if date_s is not None and date_s < math.inf:
            known[item] = date_s
        assert len(dates) == len(known)
        assert dates.first_s() == min(known.values(), default=math.inf)
        assert {each for each in items if each.place >= 0} == set(known)
    taken = [dates.pop() for _ in range(len(dates))]
    assert [known.pop(item) for item in taken] == sorted(item.date_s for item in taken)
    assert not known
    assert all(item.place < 0 for item in items)
