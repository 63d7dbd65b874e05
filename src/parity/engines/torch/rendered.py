"""Token ids of a conversation: rendered by the model's template, special tokens only where the template put them."""

from collections.abc import Sequence
from typing import Any

from parity.core.prompts import Message
from parity.models.special_text import SpecialText
from parity.models.templates import Renderer


class RenderedChat:
    """Encodes conversations for one tokenizer and one template."""

    def __init__(self, tokenizer: Any, renderer: Renderer) -> None:
        self._tokenizer, self._renderer = tokenizer, renderer
        self._special = SpecialText(tokenizer)

    def close(self) -> None:
        self._renderer.close()

    def ids(self, messages: Sequence[Message], continuation: str = "") -> tuple[int, ...]:
        """Ids of the conversation as the model reads it, its answer begun by `continuation`.

        Raises:
            ModelError: the template refuses it, or a special token in a user's text cannot be kept plain.
        """
        written = self._special.stand_ins(message.content for message in messages)
        guarded = [Message(turn.role, written.guard(turn.content)) for turn in messages]
        text = self._renderer.render(guarded) + continuation
        if not written:
            return tuple(self._tokenizer.encode(text, add_special_tokens=False, verbose=False))
        return self._special.encode_between(text, written).ids

    def pair(self, messages: Sequence[Message], continuation: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Ids of the conversation, and of a continuation after it."""
        context, whole = self.ids(messages), self.ids(messages, continuation)
        return context, whole[len(context) :]
