"""Reads what a judge decided: `[[A]]`, `[[B]]` or `[[C]]` (a tie) between two answers, `[[7]]` on a scale.

The last one counts. A judge that decides nothing gives no score: that is nobody's loss.
"""

import re

from parity.core.scores import Mark, Score, Unscored, UnscoredReason

_VERDICT = re.compile(r"\[\[\s*([ABC])\s*\]\]")
_GRADE = re.compile(r"\[\[\s*(\d+(?:\.\d+)?)\s*\]\]")


def preference(text: str, first: bool) -> Mark:
    """1 when the judge prefers the candidate, which was shown `first` (as A) or second (as B); a tie is a half.

    >>> preference("Both try. [[B]]", first=False).value
    1.0
    """
    found = _VERDICT.findall(text)
    if not found:
        return Unscored(UnscoredReason.FAILED, f"no verdict in {text.strip()[-60:]!r}")
    if found[-1] == "C":
        return Score(0.5, "C")
    return Score(float((found[-1] == "A") is first), found[-1])


def grade(text: str, lowest: int, highest: int) -> Mark:
    """A grade as a share of its scale: the lowest is 0, the highest 1.

    >>> grade("Rating: [[7]]", 1, 10).value
    0.6666666666666666
    """
    found = _GRADE.findall(text)
    if not found:
        return Unscored(UnscoredReason.FAILED, f"no grade in {text.strip()[-60:]!r}")
    value = float(found[-1])
    if not lowest <= value <= highest:
        return Unscored(UnscoredReason.FAILED, f"the grade {value:g} is not on the scale of {lowest} to {highest}")
    return Score((value - lowest) / (highest - lowest), found[-1])
