"""Fingerprints of texts: words without case or layout, and hashes of runs of them that give a copy away.

What may not be trained on crosses from the benchmarks to the training data as these hashes only.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

NGRAM_WORDS = 13  # GPT-3's (Brown et al. 2020, appendix C)
SHORTEST_WORDS = 5  # shorter texts are everyone's; so are runs with fewer different words, such as lists of numbers
# Letters of scripts without spaces count one by one.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\d_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+|\d+")

_NUMBER = "0"


def words_of(text: str, numbers: bool = False) -> list[str]:
    """Words without case, punctuation or layout, of any script; numbers in a row are one word, whatever their values.

    With `numbers` they stay as they are.

    >>> words_of("It COSTS\\n $1,250!") == words_of("it costs ١ ٢")
    True
    """
    words: list[str] = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    if numbers:
        return words
    alike = [_NUMBER if word[0].isdigit() else word for word in words]
    return [word for word, before in zip(alike, ["", *alike], strict=False) if word != _NUMBER or before != _NUMBER]


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Hashes of runs of words that may not be trained on, and the lengths in words of those runs.

    A text of 13 words or more is known by every run of 13, one of 5 to 12 by the whole of it, a shorter one not at
    all; runs of fewer than 5 different words (numbers aside) say nothing. `openings` are checksums of the first 5 words
    of every run: a text is searched by them, which costs the same for one length as for nine.
    """

    hashes: frozenset[str] = frozenset()
    lengths: tuple[int, ...] = ()
    openings: frozenset[int] = frozenset()

    @classmethod
    def of(cls, texts: Iterable[str]) -> tuple["Fingerprints", int]:
        """Fingerprints of texts, and how many of these are too short for any."""
        hashes, openings, lengths, short = set[str](), set[int](), set[int](), 0
        for text in texts:
            words = words_of(text)
            length = min(NGRAM_WORDS, len(words))
            runs = [words[at : at + length] for at in range(len(words) - length + 1)]
            telling = [run for run in runs if len({*run} - {_NUMBER}) >= SHORTEST_WORDS]
            short += not telling
            lengths |= {length} if telling else set()
            hashes.update(map(_hash, telling))
            openings.update(_opening(run[:SHORTEST_WORDS]) for run in telling)
        return cls(frozenset(hashes), tuple(sorted(lengths)), frozenset(openings)), short

    def found_in(self, text: str) -> bool:
        """Whether the text holds one of the runs."""
        return any(True for _ in self.runs_in(text))

    def runs_in(self, text: str) -> Iterator[str]:
        """The hashes of the runs that the text holds, in their order."""
        if not self.hashes or not text:
            return
        words = words_of(text)
        for at in range(len(words) - SHORTEST_WORDS + 1):
            if _opening(words[at : at + SHORTEST_WORDS]) in self.openings:
                ends = (at + length for length in self.lengths if at + length <= len(words))
                yield from (run for end in ends if (run := _hash(words[at:end])) in self.hashes)


def _opening(words: Sequence[str]) -> int:
    """A fast checksum: one of 10,000 searches is led astray, and finds no run there."""
    return crc32(" ".join(words).encode())


def _hash(words: Sequence[str]) -> str:
    return hashlib.blake2b(" ".join(words).encode(), digest_size=8).hexdigest()
