"""Digests of values: one canonical text per value, so that equal work is recognised across processes."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TypeAlias

Plain: TypeAlias = "bool | int | float | str | Sequence[Plain] | Mapping[str, Plain] | None"


def plain(value: object) -> Plain:
    """A frozen value as JSON-ready data: dataclasses become objects, enums their text.

    Raises:
        TypeError: the value holds something with no canonical text (a set, bytes, an open file).
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, str):
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [plain(entry) for entry in value]
    raise TypeError(f"{type(value).__name__} has no canonical form")


def canonical(value: object) -> str:
    """The one JSON text of a value: sorted keys, no spaces, UTF-8 kept."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(value: object) -> str:
    """SHA-256 of the canonical text, in hex.

    >>> digest({"b": 1, "a": (2, 3)}) == digest({"a": [2, 3], "b": 1})
    True
    """
    return hashlib.sha256(canonical(value).encode()).hexdigest()


NGRAM_WORDS = 13  # GPT-3's (Brown et al. 2020, appendix C)
SHORTEST_WORDS = 5  # shorter texts are everyone's
# Letters of scripts without spaces count one by one; runs of digits are all the same word.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\d_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+|\d+")


def words_of(text: str, numbers: bool = False) -> list[str]:
    """Words without case, punctuation, layout or (unless `numbers`) the values of digits, of any script.

    >>> words_of("It COSTS\\n $1,250!") == words_of("it costs ١ ٢")
    True
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return ["0" if word[0].isdigit() and not numbers else word for word in _WORD.findall(folded)]


def ngram_fingerprints(text: str, lengths: Sequence[int] = (NGRAM_WORDS,)) -> set[str]:
    """Fingerprints (16 hex digits) of every run of as many words as `lengths` say."""
    words = words_of(text)
    return {
        hashlib.blake2b(" ".join(words[at : at + length]).encode(), digest_size=8).hexdigest()
        for length in lengths
        for at in range(len(words) - length + 1)
    }


def item_fingerprints(text: str) -> tuple[int, set[str]]:
    """(length in words, fingerprints) of a benchmark's text: its 13-grams, or the whole of one that is shorter."""
    length = min(NGRAM_WORDS, len(words_of(text)))
    return length, (ngram_fingerprints(text, (length,)) if length >= SHORTEST_WORDS else set())
