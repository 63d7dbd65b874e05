"""From an answer to a score. Pure functions; an answer that cannot be scored says why, and is never a zero."""

from parity.marking.choices import most_likely, most_likely_by_length, share_of_targets
from parity.marking.letters import named_letter
from parity.marking.text import exact, numeric, pattern

__all__ = [
    "exact",
    "most_likely",
    "most_likely_by_length",
    "named_letter",
    "numeric",
    "pattern",
    "share_of_targets",
]
