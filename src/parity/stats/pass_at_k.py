"""pass@k: the chance that at least one of k draws passes, from n draws of which c passed.

Knows the unbiased estimator of Chen et al. 2021, arXiv 2107.03374, equation 1: 1 - C(n - c, k) / C(n, k), computed as a
product that never overflows. Refuses to know what a draw is. With fewer draws than k there is no estimate, which is
an error here and never a number.
"""

from collections.abc import Sequence

import numpy as np


def pass_at_k(draws: int, passed: int, k: int) -> float:
    """Unbiased pass@k of one problem, a fraction.

    >>> round(pass_at_k(10, 3, 5), 10)
    0.9166666667

    Raises:
        ValueError: k is below 1 or above `draws`, or `passed` is not between 0 and `draws`.
    """
    if not 1 <= k <= draws:
        raise ValueError(f"pass@{k} needs at least {max(k, 1)} draws, there are {draws}")
    if not 0 <= passed <= draws:
        raise ValueError(f"{passed} of {draws} draws cannot have passed")
    if draws - passed < k:
        return 1.0
    factors = 1.0 - k / np.arange(draws - passed + 1, draws + 1)
    return float(1.0 - np.prod(factors))


def mean_pass_at_k(draws_I: Sequence[int], passed_I: Sequence[int], k: int) -> float:
    """Mean pass@k over problems I, each counted once however many draws it has.

    Raises:
        ValueError: no problems, or one has fewer than k draws.
    """
    if not draws_I:
        raise ValueError("no problems")
    return float(np.mean([pass_at_k(n, c, k) for n, c in zip(draws_I, passed_I, strict=True)]))
