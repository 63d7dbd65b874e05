"""Token ids of hard texts before and after a hop, and which known mistake a difference looks like."""

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

HARD_TEXTS = (
    "Hello world", " two  spaces   and\ttabs\n\nlines", "naïve café — “quotes” …", "数学と日本語、中文。한국어",
    "😀👩‍👧 e\u0301 a\u0323\u0302 ﬁ", "def f(x):\n    return x**2  # 3.14159", "1234567890 007 1,000.50",
    "don't WON'T I'll", "Привет, мир! שלום مرحبا नमस्ते", " ", "   \n \r\n\t", "a\u200bb\u00a0c\ufeffd",
    "<tag attr='v'>&amp;</tag>", "\U0001f1e9\U0001f1ea\U0001f3fd", "x" * 64, "",
)  # fmt: skip
Ids = Sequence[int]


def composed(texts: Sequence[str], tokenizer: Any) -> list[str]:
    """Texts with their marks composed (NFC) where transformers' tokenizer does that itself: llama.cpp does not."""
    forms = [(text, unicodedata.normalize("NFC", text)) for text in texts]
    return [other if tokenizer.encode(other) == tokenizer.encode(text) else text for text, other in forms]


def id_problems(texts: Sequence[str], expected: Sequence[Ids], found: Sequence[Ids]) -> Iterator[tuple[str, str]]:
    """What is wrong with the ids of the same texts, as (cause, what was seen)."""
    pairs = [(tuple(mine), tuple(other)) for mine, other in zip(expected, found, strict=True)]
    if front := _front([(other, mine) for mine, other in pairs]):
        yield (
            "doubled BOS",
            f"token {front[0]} stands before every text, {len(front)} more than is right: where the template or the "
            "caller writes one, there are two",
        )
    elif _front(pairs):
        yield "missing BOS", "what should stand before every text is not there"
    elif differing := [text for text, (mine, other) in zip(texts, pairs, strict=True) if mine != other]:
        yield "other token ids", f"{len(differing)} of {len(pairs)} hard texts, such as {differing[0][:40]!r}"


def _front(pairs: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> tuple[int, ...]:
    """What the longer of every pair begins with and the shorter does not, where that is the same throughout."""
    fronts = set()
    for longer, shorter in pairs:
        extra = len(longer) - len(shorter)
        if extra <= 0 or longer[extra:] != shorter:
            return ()
        fronts.add(longer[:extra])
    return fronts.pop() if len(fronts) == 1 else ()
