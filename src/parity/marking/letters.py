"""Reads which option a written answer names: a letter alone, as in 'B', 'B.', '(B)' or 'B) because'."""

import re

from parity.core.scores import Score

_LETTER = re.compile(r"^\s*[\(\[]?([A-Z])(?![A-Za-z0-9'])")


def named_letter(text: str, letters: tuple[str, ...], targets: tuple[str, ...]) -> Score:
    """Score 1 when the answer begins with a target letter; an answer that names no option is wrong and `outside`.

    This is HELM's rule (exact match of the first token), a little kinder to punctuation.

    >>> named_letter(" B.", ("A", "B"), ("B",))
    Score(value=1.0, answer='B', outside=False)
    >>> named_letter("To find", ("A", "B"), ("B",))
    Score(value=0.0, answer='To find', outside=True)
    """
    match = _LETTER.match(text)
    if match is None or match.group(1) not in letters:
        return Score(0.0, text.strip()[:80], outside=True)
    return Score(float(match.group(1) in targets), match.group(1))
