"""How a suite reads: one sentence, one table."""

from parity.core.digests import Plain
from parity.core.gaps import Verdict
from parity.measurement.suites import Suite
from parity.reporting.gaps import TONES, gap_json, look_sentence
from parity.reporting.page import Page, Sentence, Table, percent, points


def suite_json(found: Suite) -> dict[str, Plain]:
    """The suite for machines; shares are fractions."""
    look = found.gap.look
    return {
        "candidate": found.candidate,
        "incumbent": found.incumbent,
        "margin": found.margin,
        "alpha": found.alpha,
        "verdict": found.verdict.value,
        "look": {"question": look.question, "number": look.number, "total": look.total} if look else None,
        "parts": [
            {
                "benchmark": part.benchmark,
                **gap_json(part.alone.gap),
                "holm_p": part.p,
                "holm_p_inferior": part.p_inferior,
                "claim": part.claim.value,
            }
            for part in found.parts
        ],
    }


def suite_page(found: Suite) -> Page:
    """All parts in one verdict."""
    rows = tuple(
        (
            part.benchmark,
            f"{part.alone.gap.n:,}",
            percent(part.alone.gap.flips),
            points(part.alone.gap.gap),
            f"{points(part.alone.gap.low)} to {points(part.alone.gap.high)}",
            str(part.alone.gap.verdict),
            f"{min(part.p, part.p_inferior):.3g}",
            part.claim.value,
        )
        for part in found.parts
    )
    columns = ("benchmark", "items", "flips", "gap", "95 % interval", "alone", "Holm p", "one of several")
    blocks = (
        Sentence(_sentence(found), TONES.get(found.verdict, "yellow")),
        Sentence(look_sentence(found.gap)),
        Table(columns, rows),
        Sentence(
            "A claim about all needs no correction: each is tested at alpha (alone). Whoever picks out some of them "
            "reads the last column, corrected by Holm. Missing scores count as if they had gone the worst way."
        ),
    )
    return Page(f"{found.candidate} against {found.incumbent} on {len(found.parts)} benchmarks", blocks)


def _sentence(found: Suite) -> str:
    at = f"at a margin of {100 * found.margin:g} points, one-sided alpha {found.alpha:.3g} each"
    count = len(found.parts)
    if found.verdict in (Verdict.SUPERIOR, Verdict.NON_INFERIOR):
        return f"PARITY: {found.verdict.value} on all {count} benchmarks {at}."
    named = {
        verdict: [part.benchmark for part in found.parts if part.claim is verdict]
        for verdict in (Verdict.NON_INFERIOR, Verdict.INFERIOR, Verdict.INCONCLUSIVE)
    }
    told = "; ".join(f"{verdict.value}: {', '.join(names)}" for verdict, names in named.items() if names)
    word = f"{found.verdict.sentence_word}: {found.verdict.value}"
    return f"{word} on all {count} together, {at}. Of each, by Holm: {told}."
