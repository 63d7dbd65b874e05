"""Special tokens in what people write: kept apart from those a template writes, through rendering and encoding.

A user may write `<|im_end|>` and must not end a turn by it. Such text travels through the template as a stand-in, one
private character per token, and is encoded as the plain text it is. Fast tokenizers only: what cannot be told apart
is refused. Imports no tokenizer library; it is handed one.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from threading import Lock
from typing import Any

from parity.errors import ModelError

# Private-use characters of plane 15 and 16, which no text needs: one stands for each special token a user wrote.
_STAND_IN_FIRST, _STAND_INS = 0xF0000, 0x1FFFD


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of a text, and for each the characters of the text it covers, from `starts` up to `ends`."""

    ids: tuple[int, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]


class StandIns:
    """Stand-ins for the special tokens in the strings of one conversation."""

    def __init__(self, special: re.Pattern[str], strings: Iterable[str]) -> None:
        used = {character for string in strings for character in string if ord(character) >= _STAND_IN_FIRST}
        self._free = (chr(_STAND_IN_FIRST + at) for at in range(_STAND_INS) if chr(_STAND_IN_FIRST + at) not in used)
        self._special = special
        self._written: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self._written)

    def guard(self, text: str) -> str:
        """The text with a stand-in for every special token in it."""
        return self._special.sub(self._stand_in, text)

    def restore(self, text: str) -> str:
        """The text as it was written."""
        return "".join(self._written.get(character, character) for character in text) if self._written else text

    def _stand_in(self, found: re.Match[str]) -> str:
        character = next(self._free)
        self._written[character] = found.group()
        return character


class SpecialText:
    """What is special to one tokenizer, and encoding that takes only some of it so."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        special = {str(token) for token in tokenizer.all_special_tokens}
        special |= {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
        self._greedy = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.rstrip}
        longest_first = sorted(filter(None, special), key=lambda token: (-len(token), token))
        alternatives = "|".join(map(re.escape, longest_first)) or r"(?!)"
        self.pattern = re.compile(alternatives)
        self.run = re.compile(f"(?:{alternatives})+")
        self._lock = Lock()

    def stand_ins(self, strings: Iterable[str]) -> StandIns:
        return StandIns(self.pattern, strings)

    def encode(self, text: str) -> Encoded:
        """Ids of a text, its special tokens taken as such; none is added."""
        found = self._cut(text, plain=False)
        return Encoded(tuple(found.ids), *_columns(found.offsets))

    def encode_between(self, text: str, written: StandIns, cuts: Sequence[int] = ()) -> Encoded:
        """Ids of a text with stand-ins: its own special tokens as themselves, all between them as plain text.

        No token reaches across one of `cuts`. Offsets are those of the text with its stand-ins.
        """
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        for start, end, special in self._stretches(text, cuts):
            if special:
                ids.append(self._tokenizer.convert_tokens_to_ids(special))
                offsets.append((start, end))
                continue
            stretch = text[start:end]
            at = [start + index for index, character in enumerate(stretch) for _ in written.restore(character)]
            found = self._cut(written.restore(stretch), plain=True)
            ids += found.ids
            offsets += [_within(at, first, last, end) for first, last in found.offsets]
        return Encoded(tuple(ids), *_columns(offsets))

    def ids_between(self, text: str, written: StandIns) -> tuple[int, ...]:
        """Ids alone, of `encode_between`: a tokenizer with an `encode_plain` of its own can give them, too.

        Raises:
            ModelError: the tokenizer cannot take a special token for the text it is.
        """
        plain = getattr(self._tokenizer, "encode_plain", None)
        if plain is None:
            return self.encode_between(text, written).ids
        ids: list[int] = []
        for start, end, special in self._stretches(text, ()):
            ids += (
                [self._tokenizer.convert_tokens_to_ids(special)] if special else plain(written.restore(text[start:end]))
            )
        return tuple(ids)

    def _stretches(self, text: str, cuts: Sequence[int]) -> list[tuple[int, int, str]]:
        """(start, end, the special token it is, or nothing) of pieces that make up the text."""
        pieces: list[tuple[int, int, str]] = []
        at = 0
        for found in [*self.pattern.finditer(text), None]:
            end = found.start() if found else len(text)
            inner = [cut for cut in cuts if at < cut < end]
            bounds = [at, *inner, end]
            pieces += [(a, b, "") for a, b in pairwise(bounds) if a < b]
            if found:
                at = self._end(found)
                pieces.append((end, at, found.group()))
        return pieces

    def _end(self, found: re.Match[str]) -> int:
        """Where a special token's characters end; some take the spaces after them too."""
        if found.group() not in self._greedy:
            return found.end()
        rest = found.string[found.end() :]
        return found.end() + len(rest) - len(rest.lstrip())

    def _cut(self, text: str, plain: bool) -> Any:
        """The text in tokens, none added; `plain` takes special tokens in it for text."""
        with self._lock:  # the core holds one or the other
            self._core.encode_special_tokens = plain
            return self._core.encode(text, add_special_tokens=False)

    @cached_property
    def _core(self) -> Any:
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise ModelError(
                "This model's tokenizer cannot say which characters a token covers.",
                "Use a version of the model with tokenizer.json.",
            )
        # Without the step after encoding, which would trim spaces off the offsets.
        core = type(backend).from_str(json.dumps(json.loads(backend.to_str()) | {"post_processor": None}))
        core.no_truncation()
        core.no_padding()
        return core


def _columns(offsets: Sequence[tuple[int, int]]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return tuple(start for start, _ in offsets), tuple(end for _, end in offsets)


def _within(at: list[int], first: int, last: int, end: int) -> tuple[int, int]:
    """Offsets of a restored stretch as offsets of the text with stand-ins."""
    start = at[first] if first < len(at) else end
    return start, (at[last - 1] + 1 if last > first else start)
