"""What decides a drawn answer: the request's own numbers, and the token each of them finds. Knows no tensors.

A draw takes one number in [0, 1) and finds the token at that share of the cumulated probabilities, so that it does not
depend on what is asked beside it. Nucleus: Holtzman et al. 2020, section 3.1.
"""

import hashlib
import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from parity.core.prompts import Generate, Sampling


def source(request: Generate, context: Sequence[int]) -> random.Random:
    """The numbers a request's tokens are drawn by: the same for equal requests, unrelated for any others.

    The prompt is part of it: with one seed for all prompts their answers would err together, and a mean over them would
    be less certain than it looks.
    """
    asked = repr((request.sampling.seed, request.id.draw, tuple(context)))
    return random.Random(hashlib.sha256(asked.encode()).digest())


def choose(logits_V: NDArray[np.float32], sampling: Sampling, share: float) -> int | None:
    """The next token: the likeliest at temperature 0, else the one that `share` in [0, 1) finds.

    None where the largest logit is no number. Infinite negative logits (what a grammar forbids) are never chosen.
    """
    best = int(logits_V.argmax())
    if not np.isfinite(logits_V[best]):  # argmax stops at a NaN, too
        return None
    if sampling.temperature <= 0:
        return best
    chance_V = np.exp((logits_V - logits_V[best]).astype(np.float64) / sampling.temperature)
    chance_V /= chance_V.sum()
    if sampling.top_p < 1:
        order_V = np.argsort(-chance_V, kind="stable")
        before_V = np.cumsum(chance_V[order_V]) - chance_V[order_V]
        # The likeliest is always kept, whatever the nucleus.
        chance_V[order_V[before_V >= max(sampling.top_p, 1e-12)]] = 0.0
    cumulated_V = np.cumsum(chance_V)
    found = int(np.searchsorted(cumulated_V, share * cumulated_V[-1], side="right"))
    return min(found, int(np.flatnonzero(chance_V)[-1]))
