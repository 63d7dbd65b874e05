"""The chance that the gap is above a margin, for those who prefer to be told a probability.

Knows the paired table and a Dirichlet prior. Refuses to decide: verdicts keep error rates, this keeps beliefs.

(b, c, rest) / n ~ Dirichlet(counts + prior) splits into the flips, Beta, and the candidate's share of them, Beta and
independent: one sum over quantiles of the flips replaces sampling, at any n (the importance sampling in use elsewhere
falls to an effective sample of 1). Source: Bowyer et al. 2025, arXiv 2503.01747; the split: Ferguson 1973.
"""

from __future__ import annotations

import numpy as np

from parity.stats.distributions import beta_cdf, beta_quantiles
from parity.stats.paired import PairedCounts

# Jeffreys' prior: half an item in each of the four cells.
PRIOR = 0.5
_NODES = 4_000


def chance_above(counts: PairedCounts, difference: float, prior: float = PRIOR) -> float:
    """P(gap > difference | counts), a fraction.

    Raises:
        ValueError: difference outside [-1, 1], or a prior of nothing.
    """
    if not -1 <= difference <= 1 or prior <= 0:
        raise ValueError(f"difference {difference} is no gap, or the prior {prior} is not above 0")
    b, c = counts.only_candidate + prior, counts.only_incumbent + prior
    nodes_Q = (np.arange(_NODES) + 0.5) / _NODES
    flips_Q = np.maximum(beta_quantiles(b + c, counts.both + counts.neither + 2 * prior, nodes_Q), 1e-300)
    share_Q = np.clip((1 + difference / flips_Q) / 2, 0.0, 1.0)
    return float((1 - beta_cdf(b, c, share_Q)).mean())
