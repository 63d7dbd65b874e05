"""Answers found in text by the rules of lm-evaluation-harness: a pattern, which of its matches, what equality ignores.

Refuses to be kinder than the rule it names: an answer in another form is outside, and wrong.
"""

import re
from dataclasses import dataclass

from parity.core.scores import Score
from parity.marking.text import number

# What GSM8K's exact match leaves out of both sides, in this order.
GSM8K_IGNORED = (",", r"\$", r"(?s).*#### ", r"\.$")


@dataclass(frozen=True, slots=True)
class Extraction:
    """`pattern` finds the answer (its first group that is not empty, or the whole match); `pick` 0 is the first match,
    -1 the last. Equality ignores what `ignored` patterns match, one after another, and case where `fold` says so."""

    pattern: str
    pick: int = 0
    ignored: tuple[str, ...] = ()
    fold: bool = False

    def find(self, text: str) -> str | None:
        """The answer in a text; None when there is none.

        >>> Extraction(r"#### (-?[0-9.,]+)").find("so\\n#### 1,000")
        '1,000'
        """
        found = re.findall(self.pattern, text)
        if not found:
            return None
        match = found[self.pick]
        if isinstance(match, tuple):
            match = next((group for group in match if group), None)
        return None if match is None else str(match).strip()

    def mark(self, text: str, targets: tuple[str, ...]) -> Score:
        """Score 1 when the answer found equals a target."""
        answer = self.find(text)
        if answer is None:
            return Score(0.0, text.strip()[-80:], outside=True)
        right = self._plain(answer) in {self._plain(target) for target in targets}
        return Score(float(right), answer[:200])

    def mark_number(self, text: str, targets: tuple[str, ...]) -> Score:
        """Score 1 when the answer found is the same number as a target, however it is written."""
        answer = self.find(text)
        value = number(answer.rstrip(".").replace("$", "")) if answer is not None else None
        if value is None:
            return Score(0.0, text.strip()[-80:], outside=True)
        return Score(float(value in {number(self._plain(target)) for target in targets}), str(value))

    def _plain(self, text: str) -> str:
        for expression in self.ignored:
            text = re.sub(expression, "", text)
        return text.lower() if self.fold else text
