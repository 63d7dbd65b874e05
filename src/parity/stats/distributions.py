"""The few special functions this room stands on, with types.

Knows: names a statistician recognises. Refuses to know: what they are used for.
This is the only file that touches scipy, and it touches scipy.special alone: scipy.stats would triple the
import time (0.6 s), and scipy ships no types, so the results are given theirs here, once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special


def normal_quantile(probability: float) -> float:
    """Return z with P(Z <= z) = probability, Z standard normal; probability is a fraction in (0, 1)."""
    return float(special.ndtri(probability))


def normal_cdf(x_X: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return P(Z <= x) elementwise, Z standard normal; shape (X,) in and out."""
    return np.asarray(special.ndtr(x_X), dtype=np.float64)


def beta_cdf(a: float, b: float, x_X: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return P(X <= x) elementwise, X ~ Beta(a, b), a, b > 0, x in [0, 1]; shape (X,) in and out."""
    return np.asarray(special.betainc(a, b, x_X), dtype=np.float64)


def beta_quantiles(a: float, b: float, probability_X: NDArray[np.float64]) -> NDArray[np.float64]:
    """As `beta_quantile`, of many probabilities."""
    return np.asarray(special.betaincinv(a, b, probability_X), dtype=np.float64)


def student_quantile(probability: float, degrees: float) -> float:
    """Return t with P(T <= t) = probability, T Student's with `degrees` > 0 of freedom, which may be a fraction."""
    return float(special.stdtrit(degrees, probability))


def student_cdf(t: float, degrees: float) -> float:
    """Return P(T <= t), T Student's with `degrees` > 0 of freedom, which may be a fraction."""
    return float(special.stdtr(degrees, t))


def beta_quantile(a: float, b: float, probability: float) -> float:
    """Return x with P(X <= x) = probability, X ~ Beta(a, b), a, b > 0; probability is in [0, 1]."""
    return float(special.betaincinv(a, b, probability))


def binomial_cdf(successes: int, trials: int, probability: float) -> float:
    """Return P(X <= successes), X ~ Binomial(trials, probability); 0 when successes is negative."""
    if successes < 0:
        return 0.0
    return float(special.bdtr(successes, trials, probability))


def log_factorial(count_X: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return ln(count!) elementwise; shape (X,) in, shape (X,) out, in nats."""
    return np.asarray(special.gammaln(count_X + 1.0), dtype=np.float64)
