"""What a reader should know of how answers were computed, from the settings in an engine's identity.

The settings are kept with every run, so a run of last year says the same as one of today.
"""

from collections.abc import Iterable

from parity.engines.base import ACTIVATIONS, ACTIVATIONS_ROUNDED, EXACT, PREFIXES, PREFIXES_NOT_SHARED


def notes_of(settings: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Sentences about ways of computing that are not the usual one; mostly none."""
    told = {name: value for name, value in settings}
    notes = []
    if told.get(PREFIXES) == PREFIXES_NOT_SHARED:
        notes.append(
            "This model could not be proved to give the same numbers along shared prefixes, so every prompt was "
            "computed whole: the numbers are right, and they take several times longer."
        )
    if told.get(ACTIVATIONS) == ACTIVATIONS_ROUNDED and EXACT not in told:
        notes.append(
            "Activations were rounded to a few bits, as llama.cpp does with such weights: with what is asked beside it "
            "a log-likelihood mostly does not move, and now and then by hundredths of a nat, so an item whose best "
            "options lie that near may be marked otherwise the next time. With --deterministic not a bit moves."
        )
    if EXACT in told:
        notes.append(
            f"Deterministic ({told[EXACT]}): the same bits in any order, batch, part or memory, several times slower."
        )
    return tuple(notes)
