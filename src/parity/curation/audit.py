"""The audit before training: what the model will really see, and whether anything about it is doubtful.

It fails closed: with a budget of 0, one truncated, dropped, unmasked or endless row stops a training run. Every such
row is counted by what is wrong with it and listed by its id. The trainer calls it always.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from parity.core.examples import PreferencePair, Row
from parity.curation.labels import Labelled, LabelledPair, Labeller, Span
from parity.curation.readings import Fault, Refused
from parity.errors import DataError

Overflow: TypeAlias = Literal["drop", "truncate"]
Kept: TypeAlias = tuple[Labelled, ...] | LabelledPair


@dataclass(slots=True)
class Audit:
    """What an audit has counted so far: rows, sequences and tokens that are kept, and faulty rows by fault.

    `faulty` holds for every fault the ids of its rows and a reason, in reading order.
    """

    rows: int = 0
    sequences: int = 0
    tokens: int = 0
    trained_tokens: int = 0
    longest_tokens: int = 0
    faulty: dict[Fault, list[tuple[str, str]]] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """Rows by fault, every fault named."""
        return {fault.value: len(self.faulty.get(fault, ())) for fault in Fault}

    @property
    def faulty_rows(self) -> int:
        return len({row_id for rows in self.faulty.values() for row_id, _ in rows})

    def require(self, budget_rows: int = 0) -> None:
        """Refuse to go on when more rows are faulty than the budget allows.

        Raises:
            DataError: it lists counts, ids and reasons.
        """
        if self.rows and self.sequences and self.faulty_rows <= budget_rows:
            return
        if not self.faulty_rows:
            raise DataError("There is no row to train on.", "Import data first: `parity data import`.")
        named = [(fault, row_id, why) for fault, rows in self.faulty.items() for row_id, why in rows]
        shown = [f"{fault.value}: {row_id[:16]} ({why})" for fault, row_id, why in named[:10]]
        more = [f"and {len(named) - 10} more"] if len(named) > 10 else []
        counted = ", ".join(f"{count} {name}" for name, count in self.counts.items() if count)
        raise DataError(
            f"The audit found {self.faulty_rows} faulty rows of {self.rows}, the budget is {budget_rows}: {counted}.",
            "\n".join([*shown, *more, "Mend or remove them, or allow as many by a budget."]),
        )

    def note(self, fault: Fault, row_id: str, why: str) -> None:
        self.faulty.setdefault(fault, []).append((row_id, why))


def audited(
    rows: Iterable[Row],
    labeller: Labeller,
    max_tokens: int | None,
    audit: Audit,
    overflow: Overflow = "drop",
    progress: Callable[[int], None] = lambda _: None,
) -> Iterator[tuple[Row, Kept]]:
    """Every row that can be trained on, with its labels; all that is wrong is noted in `audit`.

    Rows of more than `max_tokens` are dropped, or truncated (their end is lost with it); both are noted.
    """
    for row in rows:
        audit.rows += 1
        progress(audit.rows)
        found = labeller.pair(row) if isinstance(row, PreferencePair) else labeller.label(row)
        if isinstance(found, Refused):
            audit.note(found.fault, row.id, found.reason)
            continue
        parts = (found.chosen, found.rejected) if isinstance(found, LabelledPair) else found
        for fault in dict.fromkeys(fault for part in parts for fault in part.faults):
            audit.note(fault, row.id, "see the text")
        fitted = tuple(part for one in parts if (part := _fitted(one, max_tokens, overflow, audit)) is not None)
        if not fitted or (isinstance(found, LabelledPair) and len(fitted) < 2):
            continue
        _count(audit, fitted)
        yield row, (replace(found, chosen=fitted[0], rejected=fitted[1]) if isinstance(found, LabelledPair) else fitted)


def _count(audit: Audit, parts: tuple[Labelled, ...]) -> None:
    audit.sequences += len(parts)
    audit.tokens += sum(map(len, parts))
    audit.trained_tokens += sum(part.trained_tokens for part in parts)
    audit.longest_tokens = max(audit.longest_tokens, *map(len, parts))


def _fitted(one: Labelled, max_tokens: int | None, overflow: Overflow, audit: Audit) -> Labelled | None:
    """The sequence, cut if it must be and may; None where it is dropped."""
    if max_tokens is None or len(one) <= max_tokens:
        return one
    if overflow == "drop":
        audit.note(Fault.DROPPED, one.row_id, f"{len(one)} tokens, more than {max_tokens}")
        return None
    audit.note(Fault.TRUNCATED, one.row_id, f"{len(one)} tokens, cut to {max_tokens}")
    pairs = [(span, turn) for span, turn in zip(one.trained, one.turns, strict=True) if span.start < max_tokens]
    if not pairs:
        audit.note(Fault.EMPTY_MASK, one.row_id, "nothing that is trained is left after the cut")
        return None
    spans = tuple(Span(span.start, min(span.end, max_tokens)) for span, _ in pairs)
    if spans[-1].end < pairs[-1][0].end:
        audit.note(Fault.NO_EOS, one.row_id, "its end was cut off")
    return replace(one, ids=one.ids[:max_tokens], trained=spans, turns=tuple(turn for _, turn in pairs))
