"""The audit before training: what the model will really see, and whether anything about it is doubtful.

It fails closed: with a budget of 0, one truncated, dropped, unmasked or endless row stops a training run. Every such
row is counted by what is wrong with it and listed by its id. The trainer calls it always.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Literal, TypeAlias

from parity.core.examples import PreferencePair, Row
from parity.curation.labels import Labelled, LabelledPair, Labeller, Span
from parity.curation.readings import Fault, Refused
from parity.errors import DataError

_DOUBTS = {
    Fault.TEMPLATE: "its text does not go on from the prompt that the served model is given; a prompt that opens the "
    "model's thoughts needs rows with thoughts",
    Fault.NO_EOS: "an answer ends with no token at which the served model stops",
    Fault.DOUBLE_BOS: "it begins with two beginnings",
}
_SHOWN_REASONS, _SHOWN_IDS = 3, 3

Overflow: TypeAlias = Literal["drop", "truncate"]
Kept: TypeAlias = tuple[Labelled, ...] | LabelledPair


@dataclass(frozen=True, slots=True)
class Reason:
    """Why rows are faulty, and which."""

    fault: Fault
    why: str
    ids: tuple[str, ...]


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
        return {fault.value: len({row_id for row_id, _ in self.faulty.get(fault, ())}) for fault in Fault}

    @property
    def faulty_rows(self) -> int:
        return len({row_id for rows in self.faulty.values() for row_id, _ in rows})

    def reasons(self) -> list[Reason]:
        """What is wrong, as often as it is: faults in their order, the reasons of each with the most frequent first."""
        found = []
        for fault in Fault:
            rows: dict[str, list[str]] = {}
            for row_id, why in dict.fromkeys(self.faulty.get(fault, ())):
                rows.setdefault(why, []).append(row_id)
            found += [Reason(fault, why, tuple(ids)) for why, ids in sorted(rows.items(), key=lambda one: -len(one[1]))]
        return found

    def sentences(self) -> list[str]:
        """The most frequent reasons of every fault, each with the first of its rows."""
        found = []
        for fault, reasons in groupby(self.reasons(), key=lambda one: one.fault):
            all_of_it = list(reasons)
            for one in all_of_it[:_SHOWN_REASONS]:
                ids = ", ".join(row_id[:16] for row_id in one.ids[:_SHOWN_IDS])
                more = f" and {len(one.ids) - _SHOWN_IDS:,} more" if len(one.ids) > _SHOWN_IDS else ""
                found.append(f"{fault.value}: {one.why} ({ids}{more})")
            if len(all_of_it) > _SHOWN_REASONS:
                found.append(f"{fault.value}: {len(all_of_it) - _SHOWN_REASONS} other reasons (--json names every row)")
        return found

    def passes(self, budget_rows: int = 0) -> bool:
        """Whether there is something to train on, and no more rows are faulty than the budget allows."""
        return bool(self.sequences) and self.faulty_rows <= budget_rows

    def require(self, budget_rows: int = 0) -> None:
        """Refuse to go on when more rows are faulty than the budget allows.

        Raises:
            DataError: it lists counts, ids and reasons.
        """
        if self.passes(budget_rows):
            return
        if not self.faulty_rows:
            raise DataError("There is no row to train on.", "Import data first: `parity data import`.")
        counted = ", ".join(f"{count} {name}" for name, count in self.counts.items() if count)
        raise DataError(
            f"The audit found {self.faulty_rows} faulty rows of {self.rows}, the budget is {budget_rows}: {counted}.",
            "\n".join([*self.sentences(), "Mend or remove them, or allow as many by a budget."]),
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
            audit.note(fault, row.id, _DOUBTS[fault])
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
        audit.note(Fault.DROPPED, one.row_id, f"more than {max_tokens:,} tokens")
        return None
    audit.note(Fault.TRUNCATED, one.row_id, f"cut to {max_tokens:,} tokens")
    pairs = [(span, turn) for span, turn in zip(one.trained, one.turns, strict=True) if span.start < max_tokens]
    if not pairs:
        audit.note(Fault.EMPTY_MASK, one.row_id, "nothing that is trained is left after the cut")
        return None
    spans = tuple(Span(span.start, min(span.end, max_tokens)) for span, _ in pairs)
    if spans[-1].end < pairs[-1][0].end:
        audit.note(Fault.NO_EOS, one.row_id, "its end was cut off")
    return replace(one, ids=one.ids[:max_tokens], trained=spans, turns=tuple(turn for _, turn in pairs))
