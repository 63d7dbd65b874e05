"""What is asked of a loaded file beside answers: vectors, ids, logits, a bare greedy continuation, its speed, and how a
conversation reaches the model.

Lives in the process that runs llama.cpp. An answer is a message; what cannot be answered is one too, and says why.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from parity.core.prompts import Message as Turn
from parity.engines.llamacpp.embedding import Embedder
from parity.engines.llamacpp.model import Context, Model
from parity.engines.llamacpp.scoring import Scorer
from parity.engines.llamacpp.timing import timed
from parity.engines.tokens.encoding import Encoder
from parity.errors import EngineError, ParityError
from parity.models.templates import Job, Refusal, Renderer

Message = dict[str, Any]


class Probes:
    """Answers messages by the one key that names what is asked."""

    def __init__(self, model: Model, encoder: Encoder, scorer: Scorer) -> None:
        self._model, self._encoder, self._scorer = model, encoder, scorer
        self._embedder = Embedder(model)
        self._known: Mapping[str, Callable[[Message], Message]] = {
            "embed": lambda asked: {"vectors": self._embedder.embed(asked["embed"])},
            "encode": self._ids,
            "logits": self._logits,
            "continue": self._continued,
            "render": self._rendered,
            "chat": self._chat,
            "time": lambda asked: {"speed": timed(self._model, *asked["time"])},
        }

    def knows(self, message: Message) -> bool:
        return not self._known.keys().isdisjoint(message)

    def answer(self, message: Message) -> Message:
        """The answer, or {"failed", "todo"}."""
        (kind,) = self._known.keys() & message.keys()
        try:
            return self._known[kind](message)
        except ParityError as error:
            return {"failed": error.what, "todo": error.todo}

    def _ids(self, asked: Message) -> Message:
        return {"ids": [self._model.tokenizer.encode(text, asked["special"]) for text in asked["encode"]]}

    def _logits(self, asked: Message) -> Message:
        return {"rows": base64.b64encode(self._scorer.logits(asked["logits"]).tobytes()).decode()}

    def _continued(self, asked: Message) -> Message:
        ids = greedy(self._model, asked["continue"], asked["tokens"])
        return {"ids": ids, "text": self._model.tokenizer.decode(ids, skip_special_tokens=True)}

    def _rendered(self, asked: Message) -> Message:
        """The file's own template on conversations, tools included; one trip to the process that runs it."""
        template = self._model.template
        if template is None:
            raise EngineError("The file has no chat template.", "Convert it with one, or chat without.")
        renderer = Renderer(template, self._model.tokenizer.special_tokens_map)
        found = renderer.render_all([Job(one["messages"], one["tools"]) for one in asked["render"]])
        renderer.close()
        return {"texts": [{"refused": text.reason} if isinstance(text, Refusal) else {"text": text} for text in found]}

    def _chat(self, asked: Message) -> Message:
        """Ids that a conversation becomes when it is answered."""
        turns = tuple(Turn(turn["role"], turn["content"]) for turn in asked["chat"])
        return {"ids": self._encoder.conversation(turns)}


def greedy(model: Model, ids: Sequence[int], tokens: int) -> list[int]:
    """The likeliest token, so many times, each read before the next; end tokens are tokens like others.

    Raises:
        EngineError: there is nothing to read, more than the model's context, or llama.cpp broke off.
    """
    if not ids or len(ids) + tokens > model.context_tokens:
        raise EngineError(
            f"{len(ids)} ids and {tokens} after them do not fit 1 to {model.context_tokens}.", "Ask for less."
        )
    context = Context(model, len(ids) + tokens, 1, len(ids) + tokens, unified=True)
    found: list[int] = []
    waiting, read = list(ids), 0
    try:
        while len(found) < tokens:
            depths_T = np.arange(read, read + len(waiting), dtype=np.int32)
            wanted_T = np.zeros(len(waiting), np.int8)
            wanted_T[-1] = 1
            logits_V = context.decode(np.array(waiting, np.int32), depths_T, [(0,)] * len(waiting), wanted_T)[0]
            read += len(waiting)
            waiting = [int(logits_V.argmax())]
            found += waiting
    finally:
        context.close()
    return found
