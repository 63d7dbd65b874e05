"""Reads what a judge decided: `[[A]]`, `[[B]]` or `[[C]]` (a tie) between two answers, `[[7]]` on a scale.

The last one counts. A judge that decides nothing gives no score: that is nobody's loss.
"""

import math
import re

from parity.core.scores import Mark, Score, Unscored, UnscoredReason

_VERDICT = re.compile(r"\[\[\s*([ABC])\s*\]\]")
_GRADE = re.compile(r"\[\[\s*(\d+(?:\.\d+)?)\s*\]\]")
# FastChat's: the double brackets first, then single ones.
_FASTCHAT_GRADES = (re.compile(r"\[\[(\d+\.?\d*)\]\]"), re.compile(r"\[(\d+\.?\d*)\]"))


def preference(text: str, first: bool) -> Mark:
    """1 when the judge prefers the candidate, which was shown `first` (as A) or second (as B); a tie is a half.

    >>> preference("Both try. [[B]]", first=False).value
    1.0
    """
    found = _VERDICT.findall(text)
    return _preferred(found[-1] if found else None, text, first)


def first_bracketed_preference(text: str, first: bool) -> Mark:
    """As FastChat reads it: [[A]] anywhere is A, else [[B]] anywhere is B, else [[C]] a tie.

    >>> first_bracketed_preference("Not [[B]] but [[A]]", first=True).value
    1.0
    """
    return _preferred(next((letter for letter in "ABC" if f"[[{letter}]]" in text), None), text, first)


def named_preference(text: str, first: bool, names: tuple[str, str]) -> Mark:
    """As AlpacaEval reads it: the answer is nothing but the name of the better one.

    >>> named_preference("M", first=False, names=("m", "M")).value
    1.0
    """
    return _preferred(dict(zip(names, "AB", strict=True)).get(text.strip()), text, first)


def weighted_preference(values: tuple[float, ...], first: bool) -> Mark:
    """How likely the candidate's name is among the two names; `values` are log p, the first answer's name first.

    >>> round(weighted_preference((-0.1, -2.3), first=True).value, 3)
    0.9
    """
    one, other = values if first else values[::-1]
    if math.isnan(one) or math.isnan(other):
        return Unscored(UnscoredReason.NOT_A_NUMBER, "a name has no likelihood")
    share = 1 / (1 + math.exp(min(700.0, other - one)))
    return Score(share, f"{share:.4f}")


def first_bracketed_grade(text: str, lowest: int, highest: int) -> Mark:
    """As FastChat reads it: the first grade in double brackets, else the first in single ones; a share of the scale.

    >>> first_bracketed_grade("Rating: [8]", 1, 10).value
    0.7777777777777778
    """
    found = next((match[1] for match in (rule.search(text) for rule in _FASTCHAT_GRADES) if match), None)
    return _graded(found, text, lowest, highest)


def _preferred(letter: str | None, text: str, first: bool) -> Mark:
    if letter is None:
        return Unscored(UnscoredReason.FAILED, f"no verdict in {text.strip()[-60:]!r}")
    return Score(0.5, letter) if letter == "C" else Score(float((letter == "A") is first), letter)


def grade(text: str, lowest: int, highest: int) -> Mark:
    """A grade as a share of its scale: the lowest is 0, the highest 1.

    >>> grade("Rating: [[7]]", 1, 10).value
    0.6666666666666666
    """
    found = _GRADE.findall(text)
    return _graded(found[-1] if found else None, text, lowest, highest)


def _graded(found: str | None, text: str, lowest: int, highest: int) -> Mark:
    if found is None:
        return Unscored(UnscoredReason.FAILED, f"no grade in {text.strip()[-60:]!r}")
    value = float(found)
    if not lowest <= value <= highest:
        return Unscored(UnscoredReason.FAILED, f"the grade {value:g} is not on the scale of {lowest} to {highest}")
    return Score((value - lowest) / (highest - lowest), found)
