"""Before a model is scored along a walk, it has to give the plain numbers on a few sequences. Otherwise: the plain way.

What would break the walk (attention that is not causal, state beside keys and values, scaled outputs, positions that
are not passed on) shows as an error of whole nats here, far above what rounding can do.
"""

import contextlib
import random
from typing import Any

import torch

from parity.core.outputs import Loglikelihoods
from parity.engines.torch.encoding import Encoded
from parity.engines.torch.likelihood import likelihoods
from parity.engines.torch.scoring import Scorer

# Nats. Half-precision logits are rounded to about 0.1 where they are large.
_TOLERANCE = {torch.float64: 1e-3, torch.float32: 1e-3}
_HALF_TOLERANCE = 0.5


def follows_a_walk(model: Any) -> bool:
    """Whether scores along a walk are the plain ones, on sequences that share beginnings and branch."""
    encoded = _sequences(model.config.get_text_config().vocab_size)
    turn = contextlib.nullcontext()
    plain = dict(likelihoods(model, encoded, 1, _never, turn))
    try:
        walked = dict(Scorer(model, 24, turn).score(encoded, _never))
    except Exception:  # noqa: BLE001  whatever a model's code does with attention it does not know, it is not provable
        return False
    tolerance = _TOLERANCE.get(model.dtype, _HALF_TOLERANCE)
    return all(_close(plain[index], walked.get(index), tolerance) for index in plain)


def _sequences(vocabulary: int) -> list[Encoded]:
    chance = random.Random(0)
    stem = [chance.randrange(vocabulary) for _ in range(20)]
    found = []
    for shared in (20, 20, 13, 4):
        context = (*stem[:shared], *(chance.randrange(vocabulary) for _ in range(9)))
        options = tuple(tuple(chance.randrange(vocabulary) for _ in range(length)) for length in (1, 3, 5))
        found.append(Encoded(context, options))
    return found


def _close(one: Any, other: Any, tolerance: float) -> bool:
    if not isinstance(one, Loglikelihoods) or not isinstance(other, Loglikelihoods):
        return False
    return all(abs(a - b) <= tolerance for a, b in zip(one.values, other.values, strict=True))


def _never(_index: int) -> bool:
    return False
