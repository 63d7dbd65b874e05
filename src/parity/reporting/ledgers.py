"""How the ledger reads: a table a question, its looks in their order, and what is left."""

from collections.abc import Sequence
from itertools import groupby

from parity.core.digests import Plain
from parity.reporting.page import Block, Heading, Page, Sentence, Table, when
from parity.stats.spending import share
from parity.store.ledger import LookRecord


def ledger_page(looks: Sequence[LookRecord], where: str) -> Page:
    """Every question with its looks."""
    questions = _questions(looks)
    blocks: list[Block] = []
    for question, rows in questions:
        blocks += [Heading(question), _table(rows), Sentence(_left(rows))]
    title = f"{len(questions)} {'question' if len(questions) == 1 else 'questions'} in {where}"
    return Page(title, tuple(blocks) or (Sentence("No verdict was asked yet."),))


def ledger_json(looks: Sequence[LookRecord]) -> dict[str, Plain]:
    """The ledger for machines; shares are fractions."""
    keys = ("number", "candidate", "margin", "alpha", "total", "anytime", "verdict", "runs", "at")
    return {
        "questions": [
            {
                "question": question,
                "next_alpha": _next_alpha(rows),
                "looks": [{key: getattr(row, key) for key in keys} for row in rows],
            }
            for question, rows in _questions(looks)
        ]
    }


def _questions(looks: Sequence[LookRecord]) -> list[tuple[str, list[LookRecord]]]:
    return [(question, list(rows)) for question, rows in groupby(looks, lambda look: look.question)]


def _table(rows: Sequence[LookRecord]) -> Table:
    cells = tuple(
        (
            f"{row.number}",
            when(row.at),
            row.candidate,
            f"{100 * row.margin:g}",
            f"{row.alpha:.3g}" + (", any stop" if row.anytime else ""),
            row.verdict or "none yet",
            row.runs or "",
        )
        for row in rows
    )
    return Table(("look", "UTC", "candidate", "margin", "at alpha", "verdict", "runs"), cells)


def _left(rows: Sequence[LookRecord]) -> str:
    number, total = max(row.number for row in rows), max(row.total for row in rows)
    spent = sum({row.number: row.alpha for row in rows}.values())
    return (
        f"Of alpha {total:g}, {spent:.3g} is spent; the next look, the {_ordinal(number + 1)}, is at "
        f"{_next_alpha(rows):.3g}."
    )


def _next_alpha(rows: Sequence[LookRecord]) -> float:
    return max(row.total for row in rows) * share(1 + max(row.number for row in rows))


def _ordinal(number: int) -> str:
    last = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if 10 < number % 100 < 14 else last}"
