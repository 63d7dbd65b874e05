"""Made-up chat rows in any number, and among them pairs that are alike to a known degree: what a split is measured on.

Lengths are log-normal, words as unequally common as in a language, a third of the rows begin with one of five system
prompts, a fifth has several turns, a tenth belongs to a session of two. A twentieth are edited copies of an earlier
row, whose exact Jaccard of word 3-grams is computed here, apart from the code that is measured.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

SYSTEM = [
    f"You are assistant number {at} of a made-up company. Answer kindly, and in short sentences." for at in range(5)
]
_VOCABULARY, _COPIES, _REMEMBERED = 30_000, 0.05, 2_000


class Planted(NamedTuple):
    """Two rows, by number, and the Jaccard of their word 3-grams."""

    one: int
    other: int
    jaccard: float


def write(path: Path, rows: int, seed: int = 0) -> list[Planted]:
    """Write rows as JSON lines of chat messages; the planted pairs among them are returned."""
    draw, planted = np.random.default_rng(seed), list[Planted]()
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = np.unique(["".join(draw.choice(letters, draw.integers(2, 11))) for _ in range(_VOCABULARY)])
    earlier: list[tuple[int, list[list[str]]]] = []
    with path.open("w", encoding="utf-8") as stream:
        for at in range(rows):
            if earlier and draw.random() < _COPIES:
                one, said = earlier[draw.integers(len(earlier))]
                turns = [_edited(draw, text, words, draw.random() * 0.12) for text in said]
                planted.append(Planted(one, at, _jaccard(said, turns)))
            else:
                turns = list(_turns(draw, words))
                if len(earlier) < _REMEMBERED:
                    earlier.append((at, turns))
                else:
                    earlier[draw.integers(_REMEMBERED)] = (at, turns)
            stream.write(json.dumps(_record(draw, at, turns)) + "\n")
    return planted


def _record(draw: np.random.Generator, at: int, turns: list[list[str]]) -> dict[str, object]:
    said = [{"role": ("user", "assistant")[place % 2], "content": " ".join(text)} for place, text in enumerate(turns)]
    if draw.random() < 1 / 3:
        said.insert(0, {"role": "system", "content": SYSTEM[draw.integers(len(SYSTEM))]})
    return {"messages": said} | ({"session": f"s{at // 2}"} if at % 20 < 2 else {})


def _turns(draw: np.random.Generator, words: np.ndarray) -> Iterator[list[str]]:
    for _ in range(draw.integers(2, 4) if draw.random() < 0.2 else 1):
        for median in (18, 70):
            many = int(np.clip(draw.lognormal(np.log(median), 0.8), 2, 2_000))
            yield words[(draw.random(many) ** 3 * len(words)).astype(int)].tolist()


def _edited(draw: np.random.Generator, text: list[str], words: np.ndarray, share: float) -> list[str]:
    changed = draw.random(len(text)) < share
    others = words[draw.integers(len(words), size=len(text))].tolist()
    return [other if new else word for word, other, new in zip(text, others, changed.tolist(), strict=True)]


def _jaccard(one: list[list[str]], other: list[list[str]]) -> float:
    first, second = (_grams([word for text in turns for word in text]) for turns in (one, other))
    return len(first & second) / len(first | second)


def _grams(words: list[str]) -> set[tuple[str, ...]]:
    return {tuple(words[at : at + 3]) for at in range(len(words) - 2)}
