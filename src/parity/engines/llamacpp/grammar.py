"""Answers held to a grammar: what it forbids next is never chosen. GBNF by llama.cpp, JSON schemas by llguidance.

llama.cpp's own reading of JSON schemas is not used: built as in this wheel it loses the space a SentencePiece token
begins with (answers break the schema), and a schema it cannot go on with stops holding the answer, in silence.
"""

import ctypes as c
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from parity.core.prompts import Constraint, Sampling
from parity.engines.llamacpp.model import Model
from parity.engines.llamacpp.structs import TokenData, TokenDataArray
from parity.engines.tokens.draws import choose
from parity.errors import EngineError

_TODO = "See docs/models.md for what an answer can be held to."
# As json.dumps writes; where any space is allowed, a small model may write spaces without end.
_COMPACT: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
_ENTRY = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class Grammar(Protocol):
    """The state of one answer in what it is held to."""

    def choose(self, logits_V: NDArray[np.float32], sampling: Sampling, share: float) -> int | None:
        """The next token among those that are allowed, which is noted; None where there is none."""
        ...

    def close(self) -> None: ...


def held_to(model: Model, constraint: Constraint | None) -> Grammar | None:
    """The beginning of an answer that is held to something.

    Raises:
        EngineError: it cannot be read.
    """
    if constraint is None:
        return None
    return Gbnf(model, constraint.text) if constraint.kind == "gbnf" else JsonSchema(model, constraint.text)


class Gbnf:
    """llama.cpp's own grammars."""

    def __init__(self, model: Model, text: str) -> None:
        self._library = model.library
        vocabulary = self._library.llama_model_get_vocab(model.pointer)
        # An empty text would be read, and hold to nothing.
        readable = text.strip()
        self._state = self._library.llama_sampler_init_grammar(vocabulary, text.encode(), b"root") if readable else None
        if not self._state:
            raise EngineError(f"The grammar cannot be read: {model.complaints.take()}.", _TODO)
        self._entries_V = np.zeros(model.tokenizer.size, _ENTRY)

    def close(self) -> None:
        self._library.llama_sampler_free(self._state)

    def choose(self, logits_V: NDArray[np.float32], sampling: Sampling, share: float) -> int | None:
        # Mostly the likeliest token is allowed: asking for it alone costs nothing.
        token = choose(logits_V, sampling, share) if sampling.temperature <= 0 else None
        if token is None or not np.isfinite(self._allowed(np.array([token]), logits_V)[0]):
            token = choose(self._allowed(np.arange(len(logits_V)), logits_V), sampling, share)
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


class JsonSchema:
    """JSON of a schema."""

    def __init__(self, model: Model, schema: str) -> None:
        try:
            from llguidance import LLMatcher
        except ImportError as error:
            raise EngineError(
                "Holding an answer to a JSON schema needs llguidance, which is not installed.",
                "Install it with: pip install 'parity-llm[gguf]'",
            ) from error
        self._size, self._ends = model.tokenizer.size, sorted(model.tokenizer.ends)
        try:
            self._matcher = LLMatcher(_tokenizer(model), LLMatcher.grammar_from_json_schema(schema, defaults=_COMPACT))
        except (ValueError, TypeError) as error:
            raise EngineError(f"The JSON schema cannot be read: {error}", _TODO) from error
        if self._matcher.is_error():
            raise EngineError(f"The JSON schema cannot be read: {self._matcher.get_error()}", _TODO)

    def close(self) -> None:
        """Nothing is held outside Python."""

    def choose(self, logits_V: NDArray[np.float32], sampling: Sampling, share: float) -> int | None:
        bits_V = np.unpackbits(np.frombuffer(self._matcher.compute_bitmask(), np.uint8), bitorder="little")
        allowed_V = bits_V[: self._size].astype(bool)
        if self._matcher.is_accepting():
            allowed_V[self._ends] = True
        if self._matcher.is_error() or not allowed_V.any():
            return None
        token = choose(np.where(allowed_V, logits_V, np.float32(-np.inf)), sampling, share)
        if token is not None and token not in self._ends:
            self._matcher.consume_token(token)
        return token


@cache
def _tokenizer(model: Model) -> Any:
    from llguidance import LLTokenizer, TokenizerWrapper

    return LLTokenizer(TokenizerWrapper(_Vocabulary(model)))


class _Vocabulary:
    """A model's tokenizer as llguidance asks for one."""

    def __init__(self, model: Model) -> None:
        tokenizer = model.tokenizer
        self.eos_token_id = min(tokenizer.ends) if tokenizer.eos_token_id is None else tokenizer.eos_token_id
        self.bos_token_id = tokenizer.bos_token_id
        self.tokens = tokenizer.pieces()
        self.special_token_ids = tokenizer.control_ids()
        control = set(self.special_token_ids)
        self._by_bytes = {piece: at for at, piece in enumerate(self.tokens) if piece and at not in control}
        self._longest = max(map(len, self._by_bytes), default=0)

    def __call__(self, text: str | bytes) -> list[int]:
        """Ids whose bytes are exactly these, the longest first. (The model's own tokenizer may put a space before.)"""
        raw = text.encode() if isinstance(text, str) else text
        ids: list[int] = []
        at = 0
        while at < len(raw):
            lengths = range(min(self._longest, len(raw) - at), 0, -1)
            length = next((length for length in lengths if raw[at : at + length] in self._by_bytes), None)
            if length is None:
                return ids  # bytes no token has: nothing is forced from here on
            ids.append(self._by_bytes[raw[at : at + length]])
            at += length
        return ids
