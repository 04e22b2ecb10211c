"""Laws of the Pareto front and of the search, held against brute force on costs that are made up."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from simulator.whatif.plan_search import Choice, Score, Search, front, scored
from simulator.whatif.plan_space import Cut

SMALL = st.integers(0, 4)
POINTS = st.lists(st.tuples(SMALL, SMALL, SMALL), max_size=12)
CURVES = st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=6), min_size=1, max_size=4)


def beats(one, other) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True)) and one != other


@given(POINTS)
def test_a_point_is_on_the_front_exactly_if_no_other_beats_it(points):
    assert front(points) == [not any(beats(other, point) for other in points) for point in points]


@given(POINTS)
def test_whoever_is_not_on_the_front_is_beaten_by_somebody_who_is(points):
    on = [point for point, best in zip(points, front(points), strict=True) if best]
    assert on or not points
    for point, best in zip(points, front(points), strict=True):
        assert best != any(beats(other, point) for other in on)


@given(POINTS, st.randoms())
def test_the_front_does_not_depend_on_the_order(points, random):
    shuffled = random.sample(points, len(points))
    found = dict(zip(points, front(points), strict=True))
    assert [found[point] for point in shuffled] == front(shuffled)


@given(POINTS.filter(bool), st.integers(0, 2))
def test_whoever_is_least_in_something_alone_is_on_the_front(points, axis):
    least = min(point[axis] for point in points)
    alone = [point for point in points if point[axis] == least]
    if len(set(alone)) == 1:
        assert front(points)[points.index(alone[0])]


def search_of(curves: list[list[int]], combine) -> tuple[Search, dict[tuple[int, ...], float]]:
    """A search over classes whose cost at split k is ``curves[class][k]``, put together by ``combine``."""
    names = [f"class {number}" for number in range(len(curves))]
    options = {name: [Cut(k, 1) for k in range(len(curve))] for name, curve in zip(names, curves, strict=True)}

    def cost(splits: tuple[int, ...]) -> float:
        return float(combine(curve[k] for curve, k in zip(curves, splits, strict=True)))

    def score(choice: Choice) -> Score:
        splits = tuple(choice[name].split for name in names)
        return scored(0.0, cost(splits), sum(splits))

    every = {splits: cost(splits) for splits in product(*(range(len(curve)) for curve in curves))}
    return Search(options, score), every


def splits_of(choice: Choice) -> tuple[int, ...]:
    return tuple(cut.split for cut in choice.values())


@given(
    st.lists(
        st.lists(st.sampled_from([0, 3, 1000, 1009, 1010, 1011, 1020]), min_size=1, max_size=6), min_size=1, max_size=4
    )
)
def test_trying_all_finds_what_brute_force_finds_and_of_those_within_1_percent_the_one_of_the_fewest_bytes(curves):
    search, every = search_of(curves, max)
    found = search.run([], most=len(every))
    least = min(every.values())
    near = [splits for splits, cost in every.items() if 100 * cost <= 101 * least]
    assert every[splits_of(found.best)] == least
    assert sum(splits_of(found.best)) == min(sum(splits) for splits, cost in every.items() if cost == least)
    choice = splits_of(found.choice)
    assert (sum(choice), every[choice]) == min((sum(splits), every[splits]) for splits in near)
    equal = [splits for splits, cost in every.items() if cost == every[choice]]
    assert sorted(map(splits_of, [found.choice, *found.equals])) == sorted(equal)
    assert found.tried == len(every)
    assert found.method.startswith("exact")


@given(st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=6, unique=True), min_size=1, max_size=4))
def test_one_class_after_another_is_exact_where_costs_add_up_and_have_one_valley(curves):
    valleys = [
        sorted(curve, reverse=True)[: len(curve) // 2] + sorted(curve)[: len(curve) - len(curve) // 2]
        for curve in curves
    ]
    search, every = search_of(valleys, sum)
    start = {f"class {number}": Cut(0, 1) for number in range(len(valleys))}
    found = search.run([start], most=0)
    assert every[splits_of(found.best)] == min(every.values())
    assert found.method.startswith("greedy")
    assert found.tried <= len(every)


@given(CURVES)
def test_the_greedy_choice_is_no_worse_than_its_starts_and_no_step_of_one_class_mends_it(curves):
    search, every = search_of(curves, max)
    starts = [{f"class {number}": Cut(k, 1) for number in range(len(curves))} for k in range(min(map(len, curves)))]
    found = splits_of(search.run(starts, most=0).best)
    assert all(every[found] <= every[splits_of(start)] for start in starts)
    for place, curve in enumerate(curves):
        for near in (found[place] - 1, found[place] + 1):
            if 0 <= near < len(curve):
                assert every[found] <= every[(*found[:place], near, *found[place + 1 :])]


def test_a_limit_comes_before_the_objective_and_rounding_errors_decide_nothing():
    assert scored(0.0, 9.0, 5) < scored(0.1, 1.0, 1)
    assert scored(0.0, 51.47181739480915, 1) < scored(0.0, 51.47181739480914, 2)
