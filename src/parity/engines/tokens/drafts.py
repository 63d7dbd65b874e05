"""An answer while it is written: ids become text, and ends are noticed. No tensors here.

The text of a finished answer is that of all its ids together. While it is written, only the last ids are decoded, and
text counts as settled when no later id can change it: not inside a character, nor in a run of byte tokens. (The stream
of the tokenizers library raises on bytes that form no character, and hides what is pending, where a stop may be.)
"""

import random
import re
from collections.abc import Mapping
from typing import Any

from parity.core.outputs import Generation, Usage
from parity.core.prompts import Generate
from parity.engines.stops import cut
from parity.engines.tokens.draws import source
from parity.engines.tokens.encoding import Encoded

_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
# Ids decoded anew for each further one.
_LOOK_BACK = 12


class Unrolling:
    """Text of ids that come one by one; special tokens are left out of it."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._settled_ids = 0
        self._settled_text = ""
        self.pending = ""

    def feed(self, token: int) -> str:
        """Text that is settled now; `pending` is what follows it so far."""
        self._ids.append(token)
        text = self._tokenizer.decode(self._ids, skip_special_tokens=True)
        unseen = text == self._settled_text + self.pending  # it may stand between two bytes of a character
        self.pending = text[len(self._settled_text) :]
        if unseen or text.endswith("\N{REPLACEMENT CHARACTER}") or self._is_byte(token):
            return ""
        piece, self.pending = self.pending, ""
        if len(self._ids) > _LOOK_BACK:
            # What was settled before stays in sight, since a tokenizer may treat the first id of a text otherwise.
            self._ids = self._ids[self._settled_ids :]
            text = self._tokenizer.decode(self._ids, skip_special_tokens=True)
        self._settled_ids, self._settled_text = len(self._ids), text
        return piece

    def _is_byte(self, token: int) -> bool:
        name = self._tokenizer.convert_ids_to_tokens(token)
        return isinstance(name, str) and bool(_BYTE.fullmatch(name))


class Draft:
    """Takes the tokens of one answer. `seconds` is its share of the time spent, `piece` the text settled last."""

    def __init__(
        self, tokenizer: Any, request: Generate, encoded: Encoded, ends: frozenset[int], streamed: bool = False
    ) -> None:
        self.request, self.encoded = request, encoded
        self.seconds = 0.0
        self.piece = ""
        self._tokenizer, self._ends = tokenizer, ends
        self._stops = tuple(stop for stop in request.sampling.stop if stop)
        self._ids: list[int] = []
        self._ended = False
        self._unrolling = Unrolling(tokenizer) if self._stops or streamed else None
        self._tail = ""
        self._source: random.Random | None = None

    @property
    def tokens(self) -> int:
        return len(self._ids)

    def share(self) -> float:
        """The next number, in [0, 1), that a token of this answer is drawn by."""
        if self._source is None:
            self._source = source(self.request, self.encoded.context)
        return self._source.random()

    def take(self, token: int) -> bool:
        """Add a token; returns whether the answer goes on."""
        self.piece = ""
        if token in self._ends:
            self._ended = True
            return False
        self._ids.append(token)
        if self._unrolling and self._may_stop(self._unrolling, token) and cut(self._text(), self._stops)[1]:
            return False
        return len(self._ids) < self.request.sampling.max_tokens

    def output(self) -> Generation:
        """The answer as it stands."""
        text, stopped = cut(self._text(), self._stops)
        entry = self.encoded
        usage = Usage(len(entry.context), len(self._ids), entry.truncated_tokens, entry.dropped_shots)
        return Generation(text, "stop" if stopped or self._ended else "length", usage, self.seconds)

    def _text(self) -> str:
        return str(self._tokenizer.decode(self._ids, skip_special_tokens=True))

    def _may_stop(self, unrolling: Unrolling, token: int) -> bool:
        """Whether a stop string is in the text of the last ids."""
        self.piece = unrolling.feed(token)
        if not self._stops:
            return False
        text = self._tail + self.piece
        self._tail = text[-max(map(len, self._stops)) :]
        return any(stop in text + unrolling.pending for stop in self._stops)


def special_ids(tokenizer: Any) -> dict[str, int]:
    """Tokens that text does not show, by what they are written as."""
    named = {str(token): int(tokenizer.convert_tokens_to_ids(str(token))) for token in tokenizer.all_special_tokens}
    added = {str(token): int(at) for at, token in tokenizer.added_tokens_decoder.items() if token.special}
    return named | added


def ends_of(request: Generate, ends: frozenset[int], special: Mapping[str, int]) -> frozenset[int]:
    """Ids that end an answer; a stop string that is a special token ends it by its id, since no text shows it."""
    return ends | {special[stop] for stop in request.sampling.stop if stop in special}
