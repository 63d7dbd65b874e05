"""How an uncertainty budget reads: the sources, largest first, and what a dollar buys."""

from dataclasses import asdict

from parity.core.digests import Plain, plain
from parity.core.money import dollars
from parity.reporting.page import Block, Heading, Sentence, Table, percent
from parity.stats.budget import Budget, Source


def budget_blocks(found: Budget) -> tuple[Block, ...]:
    """The table of sources and the sentences around it."""
    half = 100 * found.half_width
    rows = tuple(_row(source, found) for source in found.sources)
    notes = [Sentence(_next(found))]
    if found.undrawn:
        notes.append(Sentence("Answers were drawn once: what drawing adds is part of the first line, not told apart."))
    if found.attenuation < 1:
        notes.append(
            Sentence(
                f"If these errors strike both models alike, the true gap is the measured one divided by "
                f"{found.attenuation:.3f}."
            )
        )
    return (
        Heading("Where the uncertainty comes from"),
        Sentence(f"±{half:.2f} points, by normal theory; the bounds above decide."),
        Table(("source", "share", "alone, points", "what shrinks it", _after(found)), rows),
        *notes,
    )


def _row(source: Source, found: Budget) -> tuple[str, ...]:
    alone = 100 * found.half_width * source.share**0.5
    after = "no price" if source.after is None else f"±{100 * source.after:.2f}"
    return source.name, percent(source.share), f"±{alone:.2f}", source.remedy, after


def _after(found: Budget) -> str:
    return "in all, then" if found.spend_usd is None else f"in all, after {dollars(found.spend_usd)} on it"


def _next(found: Budget) -> str:
    best = found.next_dollar
    if best is None:
        return "Which dollar shrinks it most takes prices: --answer-usd, and --label-usd where people label."
    return f"The next dollar is best spent on {best.remedy} ({best.name})."


def budget_json(found: Budget) -> dict[str, Plain]:
    """Every source with its share; fractions, not points."""
    best = found.next_dollar
    return {
        "half_width": found.half_width,
        "confidence": found.confidence,
        "undrawn": found.undrawn,
        "attenuation": found.attenuation,
        "spend_usd": found.spend_usd,
        "sources": [plain(asdict(source)) for source in found.sources],
        "next_dollar": None if best is None else best.name,
    }
