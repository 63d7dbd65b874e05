"""Before a model scores and writes along a walk, it has to give the plain numbers on a few sequences.

Otherwise: the plain way.

What would break the walk (attention that is not causal, state beside keys and values, scaled outputs, positions that
are not passed on) shows as an error of whole nats here, far above what rounding can do.
"""

import contextlib
import random
from collections.abc import Sequence
from typing import Any

import torch

from parity.core.outputs import Loglikelihoods
from parity.engines.tokens.encoding import Encoded
from parity.engines.torch.body import Body
from parity.engines.torch.decoding import Decoding
from parity.engines.torch.head import likeliest
from parity.engines.torch.likelihood import likelihoods
from parity.engines.torch.room import Room
from parity.engines.torch.scoring import Scorer

# Nats. Half-precision logits are rounded to about 0.1 where they are large.
_TOLERANCE = {torch.float64: 1e-3, torch.float32: 1e-3}
_HALF_TOLERANCE = 0.5
_WRITTEN_TOKENS = 3


def follows_a_walk(model: Any, tile: int | None = None) -> bool:
    """Whether scores along a walk, and logits while it writes, are the plain ones."""
    tolerance = _TOLERANCE.get(model.dtype, _HALF_TOLERANCE)
    encoded = _sequences(model.config.get_text_config().vocab_size)
    contexts = list(dict.fromkeys(entry.context for entry in encoded))
    return _scores_alike(model, encoded, tolerance, tile) and _writes_alike(model, contexts, tolerance, tile)


def _scores_alike(model: Any, encoded: Sequence[Encoded], tolerance: float, tile: int | None) -> bool:
    """On sequences that share beginnings and branch."""
    turn = contextlib.nullcontext()
    plain = dict(likelihoods(model, encoded, 1, _never, turn))
    try:
        walked = dict(Scorer(model, Body(model, Room(24, 3, tile)), turn).score(encoded, _never))
    except Exception:  # noqa: BLE001  whatever a model's code does with attention it does not know, it is not provable
        return False
    return all(_close(plain[index], walked.get(index), tolerance) for index in plain)


def _writes_alike(model: Any, contexts: Sequence[Sequence[int]], tolerance: float, tile: int | None) -> bool:
    """With a shared beginning, two draws of one prompt, and fewer slots than answers; a few greedy tokens of each."""
    asked = [*contexts, contexts[0]]
    written: list[list[int]] = [[] for _ in asked]
    found: list[list[float]] = [[] for _ in asked]
    try:
        decoding = Decoding(Body(model, Room(24, 3, tile)), asked, _WRITTEN_TOKENS, worth_tokens=1)
        while decoding.open:
            rows, hidden_RH = decoding.step()
            with torch.inference_mode():
                best_R, token_R = likeliest(model.get_output_embeddings(), hidden_RH)
            for row, value, token in zip(rows, best_R.tolist(), token_R.tolist(), strict=True):
                found[row].append(value)
                written[row].append(token)
            decoding.feed([written[row][-1] if len(written[row]) < _WRITTEN_TOKENS else None for row in rows])
    except Exception:  # noqa: BLE001  as above
        return False
    return all(
        _expected(model, context, tokens, values, tolerance)
        for context, tokens, values in zip(asked, written, found, strict=True)
    )


@torch.inference_mode()
def _expected(model: Any, context: Sequence[int], tokens: list[int], values: list[float], tolerance: float) -> bool:
    """Whether the tokens taken have the logits they were taken for, and those are the largest."""
    ids = torch.tensor([[*context, *tokens[:-1]]], device=model.device)
    plain_TV = model(ids, use_cache=False).logits[0, len(context) - 1 :]
    best = plain_TV.amax(-1).tolist()
    taken = plain_TV[range(len(tokens)), tokens].tolist()
    near = (abs(a - b) <= tolerance and abs(a - c) <= tolerance for a, b, c in zip(values, taken, best, strict=True))
    return len(tokens) == _WRITTEN_TOKENS and all(near)


def _sequences(vocabulary: int) -> list[Encoded]:
    chance = random.Random(0)
    stem = [chance.randrange(vocabulary) for _ in range(20)]
    found = []
    for shared in (20, 20, 13, 4):
        context = (*stem[:shared], *(chance.randrange(vocabulary) for _ in range(9)))
        options = tuple(tuple(chance.randrange(vocabulary) for _ in range(length)) for length in (1, 3, 5))
        found.append(Encoded(context, options))
        found.append(Encoded(context, tuple(option[:1] for option in options), compared=True))
    return found


def _close(one: Any, other: Any, tolerance: float) -> bool:
    if not isinstance(one, Loglikelihoods) or not isinstance(other, Loglikelihoods):
        return False
    # What is relative has the differences of the plain values, no more.
    first, second = (one.values[0], other.values[0]) if other.relative else (0.0, 0.0)
    pairs = zip(one.values, other.values, strict=True)
    return all(abs((a - first) - (b - second)) <= tolerance for a, b in pairs)


def _never(_index: int) -> bool:
    return False
