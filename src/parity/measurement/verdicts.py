"""From bounds to one of the four words, and what is left of a word when scores are missing."""

from parity.core.gaps import Verdict
from parity.stats.noninferiority import Evidence


def verdict_of(found: Evidence) -> Verdict:
    """The strongest claim the bounds allow."""
    if found.superior:
        return Verdict.SUPERIOR
    if found.non_inferior:
        return Verdict.NON_INFERIOR
    return Verdict.INFERIOR if found.inferior else Verdict.INCONCLUSIVE


def held(verdict: Verdict, worst: Verdict) -> Verdict:
    """What is true in both cases: parity survives SUPERIOR weakened to NON_INFERIOR, nothing else survives."""
    if verdict is worst or (verdict is Verdict.SUPERIOR and worst is Verdict.NON_INFERIOR):
        return worst
    return Verdict.INCONCLUSIVE
