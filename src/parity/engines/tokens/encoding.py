"""From prompts to token ids: joins, beginnings, and what is cut to fit the window. No tensors here.

Token ids are those of the tokenizer's own defaults (BOS where the model was trained with one), never doubled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from parity.core.outputs import Failure, FailureKind
from parity.core.prompts import ChatPrompt, Fit, Generate, Loglikelihood, Message, Prompt
from parity.engines.tokens.joins import Joiner
from parity.engines.tokens.rendered import RenderedChat
from parity.errors import ModelError
from parity.models.templates import Renderer

_NOTHING = "the prompt has no token, and the tokenizer has neither BOS nor EOS to begin with"


@dataclass(frozen=True, slots=True)
class Encoded:
    """`context` ids and, for every continuation, its ids; what was cut is counted. `compared` as in the request."""

    context: tuple[int, ...]
    continuations: tuple[tuple[int, ...], ...] = ()
    truncated_tokens: int = 0
    dropped_shots: int = 0
    compared: bool = False

    @property
    def needs_few_logits(self) -> bool:
        """Whether the logits of the continuations alone tell all that is asked: one token each, to be compared."""
        single = all(len(rest) == 1 for rest in self.continuations)
        return self.compared and single and len(self.continuations) > 1


class Encoder:
    """Encodes for one tokenizer, chat template and window; `whole`: never from parts, so that no text's ids depend on
    others."""

    def __init__(self, tokenizer: Any, template: str | None, context_tokens: int | None, whole: bool = False) -> None:
        self._tokenizer = tokenizer
        self._joiner = Joiner(self._ids, trusted=not whole)
        self._chat = None
        if template is not None:
            tokens = {name: str(value) for name, value in tokenizer.special_tokens_map.items()}
            self._chat = RenderedChat(tokenizer, Renderer(template, tokens))
        self._window = context_tokens
        self._bos: str = tokenizer.bos_token or ""

    @property
    def has_template(self) -> bool:
        return self._chat is not None

    def close(self) -> None:
        if self._chat is not None:
            self._chat.close()

    def conversation(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """Ids of a conversation as the model reads it, however long.

        Raises:
            ModelError: there is no template, or it refuses this.
        """
        return self._chat_of().ids(messages)

    def generation(self, request: Generate) -> Encoded | Failure:
        """Ids of a prompt with room for the answer after it."""
        prompt, dropped = request.prompt, 0
        room = request.sampling.max_tokens
        while True:
            ids = self._prompt(prompt)
            excess = self._excess(len(ids) + room, request.fit)
            fewer = _fewer_shots(prompt, request.fit) if excess else None
            if fewer is None:
                break
            prompt, dropped = fewer, dropped + 1
        if excess and (request.fit.overflow != "truncate" or excess >= len(ids)):
            return self._too_long(len(ids), room, request.fit)
        return Encoded(self._cut(ids, excess), (), excess, dropped)

    def likelihood(self, request: Loglikelihood) -> Encoded | Failure:
        """Ids of a prompt and of each continuation after it; the last token of a continuation is never read."""
        if not request.continuations:
            return Failure(FailureKind.ENGINE, "there is no continuation to score")
        prompt, dropped = request.prompt, 0
        while True:
            pairs = [self._pair(prompt, text) for text in request.continuations]
            longest = max(len(context) + len(rest) for context, rest in pairs)
            excess = self._excess(longest - 1, request.fit)
            fewer = _fewer_shots(prompt, request.fit) if excess else None
            if fewer is None:
                break
            prompt, dropped = fewer, dropped + 1
        empty = [text for text, (_, rest) in zip(request.continuations, pairs, strict=True) if not rest]
        if empty:
            return Failure(FailureKind.ENGINE, f"continuation {empty[0]!r} adds no token to its prompt")
        context = pairs[0][0]
        if not context:
            return Failure(FailureKind.ENGINE, _NOTHING)
        if excess and (request.fit.overflow != "truncate" or excess >= len(context)):
            return self._too_long(len(context), longest - len(context), request.fit)
        rests = tuple(rest for _, rest in pairs)
        return Encoded(self._cut(context, excess), rests, excess, dropped, request.compared)

    def _pair(self, prompt: Prompt, continuation: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Ids of the prompt, and what follows as many ids of prompt and continuation encoded together.

        Where a token spans the join this is the reference's rule (lm-evaluation-harness): the prompt as it is alone.
        Its trailing spaces belong to the continuation.
        """
        if isinstance(prompt, ChatPrompt):
            return self._chat_of().pair(prompt.messages, continuation)
        text = prompt.text
        if not text:
            return self._opening(), self._ids(continuation, False)
        context = self._prompt(prompt) if text == text.rstrip() else self._ids(text.rstrip(), self._needs_special(text))
        known = context if text == text.rstrip() else None
        whole = self._joiner.ids(text, continuation, self._needs_special(text), known)
        return context or self._opening(), whole[len(context) :]

    def _opening(self) -> tuple[int, ...]:
        """What a text without tokens is taken to be: BOS, or else EOS; nothing where a tokenizer has neither."""
        known = (self._tokenizer.bos_token_id, self._tokenizer.eos_token_id)
        return tuple(token for token in known if token is not None)[:1]

    def _prompt(self, prompt: Prompt) -> tuple[int, ...]:
        if isinstance(prompt, ChatPrompt):
            return self._chat_of().ids(prompt.messages)
        return self._joiner.ids(prompt.head, prompt.question, self._needs_special(prompt.text))

    def _chat_of(self) -> RenderedChat:
        if self._chat is None:
            raise ModelError("This model has no chat template.", "Use --template none.")
        return self._chat

    def _needs_special(self, text: str) -> bool:
        """Whether special tokens are still to be added; a text may begin with its own."""
        return not (self._bos and text.startswith(self._bos))

    def _ids(self, text: str, special: bool) -> tuple[int, ...]:
        # verbose: what does not fit is ours to count and report, not the tokenizer's to warn about.
        return tuple(self._tokenizer.encode(text, add_special_tokens=special, verbose=False))

    def _excess(self, length: int, fit: Fit) -> int:
        window = min((size for size in (fit.window_tokens, self._window) if size is not None), default=length)
        return max(0, length - window)

    def _cut(self, ids: tuple[int, ...], excess: int) -> tuple[int, ...]:
        """Drop ids from the left, but keep the BOS a model expects first."""
        if not excess:
            return ids
        if ids[0] == self._tokenizer.bos_token_id:
            return (ids[0], *ids[excess + 1 :])
        return ids[excess:]

    def _too_long(self, length: int, room: int, fit: Fit) -> Failure:
        window = fit.window_tokens or self._window
        return Failure(FailureKind.CONTEXT_EXCEEDED, f"{length} tokens and {room} after them exceed {window}")


def _fewer_shots(prompt: Prompt, fit: Fit) -> Prompt | None:
    """The prompt without its last worked example, where the protocol allows it and one is left."""
    if fit.overflow != "drop_shots" or isinstance(prompt, ChatPrompt) or not prompt.shots:
        return None
    return prompt.with_fewer_shots()
