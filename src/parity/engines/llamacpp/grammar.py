"""Answers held to a grammar: what it forbids next is never chosen. GBNF as llama.cpp reads it, or a JSON schema."""

import ctypes as c
import json

import numpy as np
from numpy.typing import NDArray

from parity.core.prompts import Constraint, Sampling
from parity.engines.llamacpp.model import Model
from parity.engines.llamacpp.structs import TokenData, TokenDataArray
from parity.engines.tokens.draws import choose
from parity.errors import EngineError

_TODO = "See docs/models.md for what a grammar may hold."
_ENTRY = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class Grammar:
    """The state of one answer in its grammar.

    Raises:
        EngineError: it cannot be read.
    """

    def __init__(self, model: Model, text: str) -> None:
        self._library = model.library
        vocabulary = self._library.llama_model_get_vocab(model.pointer)
        self._state = self._library.llama_sampler_init_grammar(vocabulary, text.encode(), b"root")
        if not self._state:
            raise EngineError(f"The grammar cannot be read: {model.complaints.take()}.", _TODO)
        self._entries_V = np.zeros(model.tokenizer.size, _ENTRY)

    @classmethod
    def of(cls, model: Model, constraint: Constraint | None) -> "Grammar | None":
        if constraint is None:
            return None
        text = constraint.text
        return cls(model, text if constraint.kind == "gbnf" else _from_schema(text))

    def close(self) -> None:
        self._library.llama_sampler_free(self._state)

    def choose(self, logits_V: NDArray[np.float32], sampling: Sampling, share: float) -> int | None:
        """The next token among those the grammar allows, which is told of it."""
        token = choose(logits_V, sampling, share) if sampling.temperature <= 0 else None
        if token is None or not np.isfinite(self._allowed(np.array([token]), logits_V)[0]):
            allowed_V = self._allowed(np.arange(len(logits_V)), logits_V)
            token = choose(allowed_V, sampling, share) if np.isfinite(allowed_V).any() else None
        if token is not None:
            self._library.llama_sampler_accept(self._state, token)
        return token

    def _allowed(self, ids_N: NDArray[np.int64], logits_V: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits of these tokens, minus infinity where the grammar forbids one."""
        entries = self._entries_V[: len(ids_N)]
        entries["id"], entries["logit"] = ids_N, logits_V[ids_N]
        array = TokenDataArray(entries.ctypes.data_as(c.POINTER(TokenData)), len(entries), -1, False)
        self._library.llama_sampler_apply(self._state, c.byref(array))
        return entries["logit"].copy()


def _from_schema(text: str) -> str:
    from xllamacpp import json_schema_to_grammar  # type: ignore[import-untyped]

    try:
        return str(json_schema_to_grammar(json.loads(text)))
    except (ValueError, RuntimeError, KeyError, TypeError) as error:
        raise EngineError(f"The JSON schema cannot be turned into a grammar: {error}", _TODO) from error
