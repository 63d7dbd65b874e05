"""Token ids of a conversation: rendered by the model's template, special tokens only where the template put them.

A user may write `<|im_end|>` and must not end a turn by it. Such text is tracked through the template by stand-ins, and
encoded as the plain text it is: by `encode_plain` of the tokenizer, or the twin of a fast one; others are refused.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from parity.core.prompts import Message
from parity.errors import ModelError
from parity.models.templates import Renderer

# Private-use characters of plane 15 and 16, which no text needs: one stands for each special token a user wrote.
_STAND_IN_FIRST, _STAND_INS = 0xF0000, 0x1FFFD


class RenderedChat:
    """Encodes conversations for one tokenizer and one template."""

    def __init__(self, tokenizer: Any, renderer: Renderer) -> None:
        self._tokenizer, self._renderer = tokenizer, renderer
        special = {str(token) for token in tokenizer.all_special_tokens}
        special |= {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
        longest_first = sorted(filter(None, special), key=lambda token: (-len(token), token))
        self._special = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._plain: Callable[[str], Sequence[int]] | None = None

    def close(self) -> None:
        self._renderer.close()

    def ids(self, messages: Sequence[Message], continuation: str = "") -> tuple[int, ...]:
        """Ids of the conversation as the model reads it, its answer begun by `continuation`.

        Raises:
            ModelError: the template refuses it, or a special token in a user's text cannot be kept plain.
        """
        guarded, written = self._guarded(messages)
        text = self._renderer.render(guarded) + continuation
        if not written:
            return tuple(self._tokenizer.encode(text, add_special_tokens=False, verbose=False))
        return self._with_plain(text, written)

    def pair(self, messages: Sequence[Message], continuation: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Ids of the conversation, and of a continuation after it."""
        context, whole = self.ids(messages), self.ids(messages, continuation)
        return context, whole[len(context) :]

    def _guarded(self, messages: Sequence[Message]) -> tuple[list[Message], dict[str, str]]:
        """Messages with a stand-in for every special token in them, and what each stands for."""
        used = {character for message in messages for character in message.content if ord(character) >= _STAND_IN_FIRST}
        free = (chr(_STAND_IN_FIRST + at) for at in range(_STAND_INS) if chr(_STAND_IN_FIRST + at) not in used)
        written: dict[str, str] = {}

        def stand_in(found: re.Match[str]) -> str:
            character = next(free)
            written[character] = found.group()
            return character

        guarded = [Message(turn.role, self._special.sub(stand_in, turn.content)) for turn in messages]
        return guarded, written

    def _with_plain(self, text: str, written: dict[str, str]) -> tuple[int, ...]:
        """Encode stretch by stretch: the template's special tokens as themselves, all between them as plain text."""
        plain = self._plain_encoder()
        ids: list[int] = []
        at = 0
        for found in [*self._special.finditer(text), None]:
            stretch = text[at : found.start() if found else len(text)]
            if stretch:
                restored = "".join(written.get(character, character) for character in stretch)
                ids += plain(restored)
            if found:
                ids.append(self._tokenizer.convert_tokens_to_ids(found.group()))
                at = found.end()
        return tuple(ids)

    def _plain_encoder(self) -> Callable[[str], Sequence[int]]:
        """Encodes a text and takes special tokens in it for plain text; made when it is first needed."""
        if self._plain is None:
            own = getattr(self._tokenizer, "encode_plain", None)
            self._plain = own or _plain_twin(getattr(self._tokenizer, "backend_tokenizer", None))
        return self._plain


def _plain_twin(backend: Any) -> Callable[[str], Sequence[int]]:
    if backend is None:
        raise ModelError(
            "A message contains the text of a special token, and this model's tokenizer cannot keep it plain.",
            "Take it out of the message, or use a version of the model with tokenizer.json.",
        )
    twin = type(backend).from_str(backend.to_str())
    twin.encode_special_tokens = True

    def encode(text: str) -> Sequence[int]:
        ids: list[int] = twin.encode(text, add_special_tokens=False).ids
        return ids

    return encode
