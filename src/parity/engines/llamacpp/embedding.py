"""Where a text lies in a model's space: hidden states of its ids pooled as the file says, or their mean; length 1."""

from collections.abc import Sequence

import numpy as np

from parity.engines.llamacpp.model import Context, Model
from parity.errors import ContextExceeded, EngineError


class Embedder:
    """One text at a time, in a context of its own that is made when it is first needed."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._context: Context | None = None

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector for each text.

        Raises:
            EngineError: a text has no token.
            ContextExceeded: a text is longer than the context.
        """
        ids = [self._model.tokenizer.encode(text) for text in texts]
        for text, found in zip(texts, ids, strict=True):
            if not found:
                raise EngineError(f"The text {text[:40]!r} has no token.", "Leave it out.")
            if len(found) > self._model.context_tokens:
                raise ContextExceeded(
                    f"A text has {len(found)} tokens, more than {self._model.context_tokens}.", "Shorten it."
                )
        context = self._room(max(map(len, ids), default=0))
        return [self._vector(context, found) for found in ids]

    def _room(self, longest: int) -> Context:
        if self._context is None or self._context.pass_tokens < longest:
            if self._context:
                self._context.close()
            # A pooled text is computed in one pass.
            tokens = max(512, longest)
            self._context = Context(self._model, tokens, 1, tokens, unified=True, embeddings=True)
        return self._context

    def _vector(self, context: Context, ids: Sequence[int]) -> list[float]:
        context.keep(0, 0)
        vector = context.embed(np.array(ids, np.int32)).astype(np.float64)
        length = float(np.linalg.norm(vector))
        if not length > 0:
            raise EngineError("The model's hidden states are not numbers.", "Check the weights.")
        found: list[float] = (vector / length).tolist()
        return found
