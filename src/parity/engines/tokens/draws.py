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

_FEW = 1024


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
    kept_N = np.sort(nucleus(chance_V, sampling.top_p)) if sampling.top_p < 1 else np.arange(len(chance_V))
    cumulated_N = np.cumsum(chance_V[kept_N])
    found = int(np.searchsorted(cumulated_N, share * cumulated_N[-1], side="right"))
    return int(kept_N[min(found, int(np.flatnonzero(chance_V[kept_N])[-1]))])


def nucleus(chance_V: NDArray[np.float64], top_p: float) -> NDArray[np.int64]:
    """The fewest tokens (N), likeliest first, that reach `top_p`; of equally likely ones the first. Always one.

    A vocabulary is sorted only where the likeliest `_FEW` do not reach.
    """
    reach = max(top_p, 1e-12)
    for many in (_FEW, len(chance_V)):
        least = np.partition(chance_V, -many)[-many] if many < len(chance_V) else 0.0
        among = np.flatnonzero(chance_V >= least)
        order_N = among[np.argsort(-chance_V[among], kind="stable")]
        cumulated_N = np.cumsum(chance_V[order_N])
        if cumulated_N[-1] >= reach:
            break
    return order_N[cumulated_N - chance_V[order_N] < reach]
