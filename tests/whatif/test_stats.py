"""Student's t against its printed table, and differences on paper."""

import pytest

from simulator.whatif.stats import estimate, t_quantile, t_share


@pytest.mark.parametrize(
    ("freedom", "value"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (9, 2.262), (10, 2.228), (30, 2.042), (120, 1.980)],
)
def test_the_t_quantiles_are_those_of_the_printed_table(freedom, value):
    assert t_quantile(0.975, freedom) == pytest.approx(value, abs=5e-4)
    assert t_share(t_quantile(0.975, freedom), freedom) == pytest.approx(0.975, abs=1e-12)


def test_a_mean_of_three_values_has_the_interval_of_paper_and_pencil():
    found = estimate([1.0, 2.0, 3.0])  # s = 1, so the half-width is 4.303 / sqrt(3)
    assert found.mean == 2.0
    assert found.half == pytest.approx(4.30265 / 3**0.5, rel=1e-5)
    assert found.seeds == 3


def test_one_value_has_no_interval():
    assert estimate([7.0]) == (7.0, None, 1)
