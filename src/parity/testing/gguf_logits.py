"""Logits and token ids of a GGUF file, straight from llama.cpp in this process: what checks of conversion hold on to.

For files made here only; a hostile one can end the process (the engine gives it one of its own).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parity.engines.llamacpp.model import Context, Model, Settings


class GgufLogits:
    """A loaded file: fp32 keys and values, no flash attention. Close it when done.

    Raises:
        ModelError: llama.cpp cannot load it.
    """

    def __init__(self, files: Sequence[Path], context_tokens: int = 512, threads: int = 1) -> None:
        self._model = Model(list(files), None, Settings(threads))
        self._context = Context(self._model, context_tokens, 1, context_tokens, unified=True)

    def tokens(self, text: str, special: bool = False) -> list[int]:
        """Ids of a text; `special`: with BOS and EOS as the file says, and control tokens read as such."""
        tokenizer = self._model.tokenizer
        return tokenizer.encode(text) if special else tokenizer.encode_plain(text)

    def logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """(T, V): what follows each of the ids."""
        count = len(ids)
        self._context.keep(0, 0)
        found = self._context.decode(
            np.array(ids, np.int32), np.arange(count, dtype=np.int32), [(0,)] * count, np.ones(count, np.int8)
        )
        return found.copy()

    def close(self) -> None:
        self._context.close()
        self._model.library.llama_model_free(self._model.pointer)


def first_difference(path_T: Sequence[int], logits_TV: NDArray[np.float32], near: float = 1e-4) -> tuple[bool, int]:
    """Whether greedy choices follow a given path, and how many near-ties were met on the way.

    `logits_TV[t]` is what precedes `path_T[t]`. Where another token is chosen whose logit is within `near` of the
    path's, the choice is one of rounding: it counts as followed, and as a near-tie.
    """
    ties = 0
    for token, logits_V in zip(path_T, logits_TV, strict=True):
        if int(logits_V.argmax()) != token:
            if float(logits_V.max() - logits_V[token]) > near:
                return False, ties
            ties += 1
    return True, ties
