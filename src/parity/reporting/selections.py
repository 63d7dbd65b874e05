"""How a selection reads: the winner's certificate first, then who was dropped when, then what it took."""

from parity.core.digests import Plain
from parity.core.gaps import Verdict
from parity.core.money import dollars
from parity.measurement.selecting import Round, Selection
from parity.reporting.accounts import account_blocks
from parity.reporting.gaps import TONES, entered_sentence, stale_sentence
from parity.reporting.page import Block, Heading, Page, Sentence, Table, percent, points


def selection_json(found: Selection) -> dict[str, Plain]:
    """The selection for machines; shares are fractions."""
    certificate = found.certificate
    look = certificate.look
    return {
        "benchmark": found.benchmark,
        "items": found.population,
        "winner": str(found.winner),
        "verdict": certificate.verdict.value,
        "gap": certificate.gap,
        "bound_low": certificate.low,
        "bound_high": certificate.high,
        "margin": certificate.margin,
        "alpha": certificate.alpha,
        "look": {"question": look.question, "number": look.number, "total": look.total} if look else None,
        "fresh_items": certificate.fresh,
        "stale": certificate.noise is not None and certificate.noise.stale,
        "gap_when_chosen": certificate.luck,
        "answers": found.answers,
        "grid": found.grid,
        "share": found.share,
        "spent_usd": found.spent_usd,
        "runs": [run.run_id for run in certificate.measured],
        "rounds": [
            {
                "items": each.end,
                "gaps": {str(model): gap for model, gap in each.gaps},
                "dropped": [str(model) for model in each.dropped],
            }
            for each in found.rounds
        ],
    }


def selection_page(found: Selection) -> Page:
    """Who won, what is proved of it, and what was not asked."""
    certificate = found.certificate
    verdict, winner = certificate.verdict, found.winner.short
    candidates = sum(len(each.dropped) for each in found.rounds) + 1
    at = f"at a margin of {100 * certificate.margin:g} points, one-sided alpha {certificate.alpha:.3g}"
    blocks: list[Block] = [
        Sentence(f"{winner} is the best of {candidates} on {found.benchmark}."),
        Sentence(f"{verdict.sentence_word}: {verdict.value} {at}.", TONES.get(verdict, "yellow")),
        Sentence(entered_sentence(certificate.look, certificate.alpha)),
        Sentence(
            f"Its gap on all {found.population:,} items is {points(certificate.gap)} points (bounds "
            f"{points(certificate.low)} / {points(certificate.high)}, at any stop), estimated on {certificate.fresh:,} "
            f"items that did not choose it. {_luck(found)}".strip()
        ),
        Sentence(
            f"{found.answers:,} answers of candidates were asked for, {percent(found.share)} of all {found.grid:,}."
        ),
    ]
    if certificate.noise is not None and certificate.noise.stale:
        blocks.append(Sentence(stale_sentence(certificate.noise, certificate.measured[1].model.short), "red"))
    if verdict is Verdict.NON_INFERIOR and certificate.high < 0:
        blocks.append(Sentence("It is worse than the incumbent, by less than the margin."))
    if verdict is Verdict.INFERIOR:
        blocks.append(Sentence("The best of them is not good enough; those dropped looked worse when they were."))
    if found.rounds:
        blocks += [Heading("Who was dropped when"), _rounds(found.rounds)]
    blocks.append(Heading("What it took"))
    if found.spent_usd:
        blocks.append(Sentence(f"This call spent {dollars(found.spent_usd)}, choosing included."))
    return Page(f"Select on {found.benchmark}", (*blocks, *account_blocks(certificate.measured)))


def _luck(found: Selection) -> str:
    luck = found.certificate.luck
    return "" if luck is None else f"On those that chose it, it showed {points(luck)}."


def _rounds(rounds: tuple[Round, ...]) -> Table:
    """A row a candidate, in the order of leaving; its gap on all items of its last round."""
    rows = [
        (model.short, f"{number}", f"{each.end:,}", points(dict(each.gaps)[model]), "dropped")
        for number, each in enumerate(rounds, start=1)
        for model in sorted(each.dropped, key=lambda model, gaps=dict(each.gaps): gaps[model])  # type: ignore[misc]
    ]
    last = rounds[-1]
    stayed = [
        (model.short, f"{len(rounds)}", f"{last.end:,}", points(gap), "certified above")
        for model, gap in last.gaps
        if model not in last.dropped
    ]
    return Table(("candidate", "round", "items", "gap so far", ""), (*rows, *stayed))
