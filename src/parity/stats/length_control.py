"""Length-controlled win rates: what a judge would have preferred had both answers been equally long.

Dubois et al. 2024 (arXiv 2404.04475), their model with one baseline:

    logit P(model preferred on x) = theta + phi tanh(delta_x / sd(delta)) + psi gamma_x

delta_x is the baseline's length less the model's; gamma_x how easily models at large win x, fitted once for all of them
with psi = 1. The win rate is the mean over x of the prediction at delta = 0. Preferences are soft: numbers in [0, 1].

The authors anchor phi and psi by rows of two rewritten versions of the baseline (short and long), at a tenth of the
weight. Those rows are not published with the weights; here they are what they amount to, a normal prior: its means from
the published weights, its precisions from 1,610 rows at weight 0.1. Refuses to know any judge or file.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

Array = NDArray[np.float64]
# Of the difficulties around 0, and of each model's phi around the mean phi, while difficulties are fitted.
DIFFICULTY_PRECISION, PHI_PRECISION = 0.3, 1.0


@dataclass(frozen=True, slots=True)
class Anchor:
    """Normal priors: phi, the weight of length, and psi, that of difficulty; each its mean and its precision."""

    phi: float = -1.61
    phi_precision: float = 16.0
    psi: float = 0.76
    psi_precision: float = 40.0


# No belief about the judge but that length weighs little until the pairs say so.
NEUTRAL = Anchor(0.0, 1.0, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class LengthControl:
    """Win rates as fractions, raw and at equal lengths, and the three weights."""

    win_rate: float
    controlled: float
    theta: float
    phi: float
    psi: float


def length_control(
    preferred_I: Array, delta_chars_I: Array, difficulty_I: Array, anchor: Anchor | None = None
) -> LengthControl:
    """The win rate of one model over the baseline, raw and length-controlled.

    `preferred_I` in [0, 1] (1: the model's answer), `delta_chars_I` baseline's length less the model's, all of one
    length; rows where one is NaN are left out.

    Raises:
        ValueError: nothing is left, or a preference is outside [0, 1].
    """
    anchor = anchor or Anchor()
    known_I = np.isfinite(preferred_I) & np.isfinite(delta_chars_I) & np.isfinite(difficulty_I)
    won_I, gamma_I = preferred_I[known_I], difficulty_I[known_I]
    if not len(won_I):
        raise ValueError("no row has a preference, both lengths and a difficulty")
    if ((won_I < 0) | (won_I > 1)).any():
        raise ValueError("a preference lies in [0, 1]")
    features_IF = np.stack([squashed(delta_chars_I[known_I]), gamma_I, np.ones(len(won_I))], axis=1)
    mean_F = np.array([anchor.phi, anchor.psi, 0.0])
    precision_F = np.array([anchor.phi_precision, anchor.psi_precision, 0.0])

    def loss(weights_F: Array) -> tuple[float, Array]:
        score_I = features_IF @ weights_F
        apart_F = weights_F - mean_F
        value = np.sum(np.logaddexp(0, score_I) - won_I * score_I) + np.sum(precision_F * apart_F**2) / 2
        return float(value), features_IF.T @ (expit(score_I) - won_I) + precision_F * apart_F

    phi, psi, theta = minimize(loss, mean_F, jac=True, method="L-BFGS-B").x
    controlled = float(expit(theta + psi * gamma_I).mean())
    return LengthControl(float(won_I.mean()), controlled, float(theta), float(phi), float(psi))


def instruction_difficulty(
    preferred_MI: Array, delta_chars_MI: Array, precision: float = DIFFICULTY_PRECISION
) -> Array:
    """gamma_I: how likely models at large are to win each instruction, in logits around 0; psi is 1 for all of them.

    A model whose answers are the baseline's own says nothing and may be left in. NaN is a missing row. `precision` is
    of the prior around 0.

    Raises:
        ValueError: shapes differ.
    """
    if preferred_MI.shape != delta_chars_MI.shape:
        raise ValueError(f"preferences {preferred_MI.shape} and lengths {delta_chars_MI.shape} differ in shape")
    known_MI = np.isfinite(preferred_MI) & np.isfinite(delta_chars_MI)
    won_MI = np.where(known_MI, preferred_MI, 0.0)
    squashed_MI = np.stack(
        [squashed(np.where(known, row, np.nan)) for known, row in zip(known_MI, delta_chars_MI, strict=True)]
    )
    squashed_MI = np.where(known_MI, squashed_MI, 0.0)
    models, items = won_MI.shape

    def loss(weights: Array) -> tuple[float, Array]:
        theta_M, phi_M, gamma_I = np.split(weights, [models, 2 * models])
        score_MI = theta_M[:, None] + phi_M[:, None] * squashed_MI + gamma_I
        apart_M = phi_M - phi_M.mean()
        rest_MI = known_MI * (expit(score_MI) - won_MI)
        value = np.sum(known_MI * (np.logaddexp(0, score_MI) - won_MI * score_MI))
        value += precision * np.sum(gamma_I**2) / 2 + PHI_PRECISION * np.sum(apart_M**2) / 2
        slope_M = np.sum(rest_MI * squashed_MI, axis=1) + PHI_PRECISION * apart_M
        return float(value), np.concatenate([rest_MI.sum(axis=1), slope_M, rest_MI.sum(axis=0) + precision * gamma_I])

    found = minimize(loss, np.zeros(2 * models + items), jac=True, method="L-BFGS-B", options={"maxiter": 2000}).x
    return np.asarray(found[2 * models :], dtype=np.float64)


def squashed(delta_chars_I: Array) -> Array:
    """tanh of the differences over their standard deviation (n - 1); all 0 where lengths never differ."""
    known_I = delta_chars_I[np.isfinite(delta_chars_I)]
    spread = float(np.std(known_I, ddof=1)) if len(known_I) > 1 else 0.0
    return np.tanh(delta_chars_I / spread) if spread > 0 else np.zeros_like(delta_chars_I)
