"""Marks written answers: equal text, equal number, or what a pattern finds."""

import re
from decimal import Decimal, InvalidOperation

from parity.core.scores import Score

_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:[eE][-+]?\d+)?%?")


def exact(text: str, targets: tuple[str, ...], ignore_case: bool = False) -> Score:
    """Score 1 when the answer equals a target once outer white space is gone.

    >>> exact(" Paris\\n", ("Paris",)).value
    1.0
    """
    answer = text.strip()
    fold = str.casefold if ignore_case else str
    return Score(float(fold(answer) in {fold(target.strip()) for target in targets}), answer[:200])


def numeric(text: str, targets: tuple[str, ...], tolerance: float = 0.0) -> Score:
    """Score 1 when the last number of the answer is within `tolerance` (absolute) of a target.

    >>> numeric("so 1,234.50 dollars", ("1234.5",)).value
    1.0
    >>> numeric("no idea", ("3",)).outside
    True
    """
    numbers = [match.group() for match in _NUMBER.finditer(text)]
    found = [value for value in map(number, numbers) if value is not None]
    if not found:
        return Score(0.0, text.strip()[:80], outside=True)
    wanted = [value for value in map(number, targets) if value is not None]
    return Score(float(any(abs(found[-1] - value) <= Decimal(str(tolerance)) for value in wanted)), str(found[-1]))


def number(text: str) -> Decimal | None:
    """A number as people write it, with thousands commas or a per cent sign; None when it is not one."""
    cleaned = text.strip().replace(",", "").removesuffix("%").removeprefix("$")
    try:
        value = Decimal(cleaned)
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


def pattern(text: str, targets: tuple[str, ...], expression: str, ignore_case: bool = False) -> Score:
    """Score 1 when what `expression` finds last (its first group, or the whole match) equals a target.

    >>> pattern("ANSWER: 7", ("7",), r"ANSWER: (\\d+)").value
    1.0
    """
    matches = list(re.finditer(expression, text))
    if not matches:
        return Score(0.0, text.strip()[:80], outside=True)
    last = matches[-1]
    return exact(last.group(1) if last.re.groups else last.group(), targets, ignore_case)
