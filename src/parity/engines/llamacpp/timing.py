"""How fast a model reads and writes on this machine, as llama.cpp's own bench does it: ids at random, nothing chosen.

Knows passes and a clock. The ids do not matter to the time, except where experts are chosen by them.
"""

import time
from collections.abc import Callable
from functools import partial
from statistics import median

import numpy as np
from numpy.typing import NDArray

from parity.engines.llamacpp.model import Context, Model
from parity.errors import EngineError

PASS_TOKENS = 512
# Tries of each kind: at most so many, and no further one after so many seconds.
_TRIES, _ENOUGH_S = 5, 10.0


def timed(model: Model, prompt_tokens: int, written_tokens: int, parallel: int) -> tuple[float, float, float]:
    """Tokens a second: of a prompt, of one answer written after it, of `parallel` answers written at once.

    Raises:
        EngineError: prompt and answer do not fit the context, or llama.cpp broke off.
    """
    whole = prompt_tokens + written_tokens
    if min(prompt_tokens, written_tokens, parallel) < 1 or 0 < model.context_tokens < whole:
        raise EngineError(f"A context of {model.context_tokens} is too short for {whole} tokens.", "Time fewer.")
    context = Context(model, whole, parallel, PASS_TOKENS, unified=False)
    ids_ST = np.random.default_rng(0).integers(0, model.tokenizer.size, (parallel, whole)).astype(np.int32)
    prompt_T, answers_ST = ids_ST[0, :prompt_tokens], ids_ST[:, prompt_tokens:]
    try:
        _read(context, prompt_T[:1])  # the first pass takes memory and wakes threads
        read = _rate(prompt_tokens, lambda: _clear(context), lambda: _read(context, prompt_T))
        one, several = (
            _rate(
                count * written_tokens,
                lambda: _begin(context, prompt_T),
                partial(_write, context, answers_ST[:count], prompt_tokens),
            )
            for count in (1, parallel)
        )
        return read, one, several
    finally:
        context.close()


def _rate(tokens: int, prepare: Callable[[], None], work: Callable[[], None]) -> float:
    took, begun = list[float](), time.perf_counter()
    while len(took) < _TRIES and (not took or time.perf_counter() - begun < _ENOUGH_S):
        prepare()
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return tokens / median(took)


def _clear(context: Context) -> None:
    for sequence in range(context.sequences):
        context.keep(sequence, 0)


def _begin(context: Context, ids_T: NDArray[np.int32]) -> None:
    """Every sequence with the prompt behind it: read once, copied to the others."""
    _clear(context)
    _read(context, ids_T)
    for sequence in range(1, context.sequences):
        context.copy(0, sequence)


def _read(context: Context, ids_T: NDArray[np.int32]) -> None:
    for start in range(0, len(ids_T), context.pass_tokens):
        part_T = ids_T[start : start + context.pass_tokens]
        depths_T = np.arange(start, start + len(part_T), dtype=np.int32)
        wanted_T = np.zeros(len(part_T), np.int8)
        wanted_T[-1] = start + len(part_T) == len(ids_T)
        context.decode(part_T, depths_T, [[0]] * len(part_T), wanted_T)


def _write(context: Context, answers_ST: NDArray[np.int32], depth: int) -> None:
    """A token of each of the sequences a pass, logits and all."""
    count = len(answers_ST)
    sequences, wanted_S = [[at] for at in range(count)], np.ones(count, np.int8)
    for at, ids_S in enumerate(answers_ST.T):
        context.decode(ids_S, np.full(count, depth + at, np.int32), sequences, wanted_S)
