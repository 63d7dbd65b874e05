"""How a judgement reads: who is preferred, then how far the judge can be trusted, then what it took; and its JSON."""

from dataclasses import asdict

from parity.core.digests import Plain, plain
from parity.measurement.judging import Judgement
from parity.measurement.people import Checked, Rate
from parity.reporting.accounts import account_blocks, account_json
from parity.reporting.gaps import TONES, gap_json, slice_tables, slices_json, verdict_sentences
from parity.reporting.page import Block, Heading, Page, Sentence, Table, percent, points
from parity.stats.agreement import Agreement
from parity.stats.intervals import Interval

SAME = "The judge is one of the two models it judges: models prefer their own answers (Panickssery et al. 2024)."


def judgement_json(found: Judgement) -> dict[str, Plain]:
    """The judgement for machines; shares are fractions."""
    run, judged = found.measured, found.judged
    return {
        "benchmark": found.benchmark,
        "style": found.spec.style.name,
        "judge": str(found.spec.judge),
        "run": run.run_id if run else None,
        "candidate": str(found.candidate),
        "baseline": str(found.baseline),
        "runs": list(found.runs),
        "pairs": found.pairs,
        "equal": found.equal,
        "unanswered": found.unanswered,
        "win_rate": found.win_rate,
        "low": found.interval.low if found.interval else None,
        "high": found.interval.high if found.interval else None,
        "consistent": judged.consistent if judged else None,
        "first_place_wins": judged.first if judged else None,
        "position_p": judged.position.p if judged else None,
        "agreed_win_rate": judged.agreed_win_rate if judged else None,
        "longer_wins": plain(found.longer),
        "length_controlled": found.controlled.controlled if found.controlled else None,
        "gap": {**gap_json(found.gap), "slices": slices_json(found.slices)},
        "people": _people_json(found.people) if found.people else None,
        "took": account_json(run.account) if run else None,
    }


def _people_json(checked: Checked) -> dict[str, Plain]:
    def rate(found: Rate) -> Plain:
        return plain(asdict(found.corrected)) if found.corrected else None

    return {
        "labels": checked.people.labels,
        "agreement": plain(asdict(checked.agreement)),
        "decided": plain(asdict(checked.decided)) if checked.decided else None,
        "among_people": plain(asdict(checked.people.between)) if checked.people.between else None,
        "length": plain(asdict(checked.length)) if checked.length else None,
        "rogan_gladen": rate(checked.rogan_gladen),
        "ppi": rate(checked.ppi),
        "verdict": checked.verdict.value if checked.verdict else None,
    }


def judgement_page(found: Judgement) -> Page:
    """Who is preferred, by how much, and what that is worth."""
    names = found.candidate.short, found.baseline.short
    blocks: list[Block] = [Sentence(text, _tone(found)) for text in _sentences(found)]
    if found.people and found.people.verdict and found.spec.margin is not None:
        verdict = found.people.verdict
        said = f"By people's labels, the judge only predicting them: {verdict.sentence_word}: {verdict.value}."
        blocks.append(Sentence(said, TONES.get(verdict, "yellow")))
    if found.spec.judge in (found.candidate, found.baseline):
        blocks.append(Sentence(SAME, "yellow"))
    blocks.append(Table(("", "value"), _rows(found)))
    if found.people:
        blocks += _people_blocks(found, found.people)
    blocks += slice_tables(found.slices, names)
    if found.measured:
        usage = found.measured.usage
        blocks += [
            Heading("What it took"),
            Sentence(
                f"Run {found.measured.run_id}: {usage.prompt_tokens:,} prompt tokens, "
                f"{usage.completion_tokens:,} written."
            ),
            *account_blocks([found.measured]),
        ]
    return Page(
        f"{names[0]} against {names[1]} on {found.benchmark}, judged by {found.spec.judge.short}", tuple(blocks)
    )


def _tone(found: Judgement) -> str:
    return TONES.get(found.gap.verdict, "yellow") if found.gap.verdict else ""


def _sentences(found: Judgement) -> list[str]:
    names = found.candidate.short, found.baseline.short
    told = verdict_sentences(found.gap, *names)
    if found.win_rate is None or found.interval is None:
        return told
    first = (
        f"{names[0]} is preferred to {names[1]} in {percent(found.win_rate)} of {found.gap.n:,} pairs "
        f"(95 % interval {_range(found.interval)}; a tie is half a win)."
    )
    return [first, *told[1:]]


def _rows(found: Judgement) -> tuple[tuple[str, str], ...]:
    gap, judged = found.gap, found.judged
    rows: list[tuple[str, str]] = [("pairs judged", f"{found.pairs:,}")]
    rows.append(("equal answers: ties, nobody asked", f"{found.equal:,}"))
    if found.unanswered:
        rows.append(("without an answer from both", f"{found.unanswered:,}"))
    if judged:
        values = list(judged.preferred.values())
        won, lost = sum(value > 0.5 for value in values), sum(value < 0.5 for value in values)
        position = judged.position
        rows += [
            ("won / tied / lost", f"{won:,} / {len(values) - won - lost:,} / {lost:,}"),
            ("same verdict in both orders", percent(judged.consistent)),
            ("verdicts for the answer shown first", percent(judged.first)),
            (
                "first / second place won both times (sign test p)",
                f"{position.first} / {position.second} ({position.p:.3g})",
            ),
            ("their win rate where both orders must agree (FastChat)", percent(judged.agreed_win_rate)),
        ]
    else:
        rows += [
            ("mean grade of the candidate", percent(gap.candidate_score)),
            ("of the baseline", percent(gap.incumbent_score)),
        ]
    if found.longer:
        rows.append(
            (
                "the longer answer wins (p)",
                f"{percent(found.longer.share)} of {found.longer.pairs} ({found.longer.p:.3g})",
            )
        )
    if found.controlled:
        rows.append(("win rate at equal lengths", percent(found.controlled.controlled)))
    what = "wins less losses, points" if judged or not found.measured else "difference of grades, points"
    rows += [
        (what, points(gap.gap)),
        (f"95 % interval ({gap.interval})", f"{points(gap.low)} to {points(gap.high)}"),
        (f"one-sided bounds at alpha {gap.alpha:g}", f"{points(gap.bound_low)} / {points(gap.bound_high)}"),
    ]
    return tuple(rows)


def _people_blocks(found: Judgement, checked: Checked) -> list[Block]:
    rows = [("pairs that people labelled and the judge judged", f"{checked.agreement.items:,}")]
    rows += _agreement_rows("judge and people", checked.agreement)
    if checked.decided:
        rows += _agreement_rows("where both name a winner", checked.decided)
    if checked.people.between:
        rows += _agreement_rows("people among themselves", checked.people.between)
    if checked.length:
        length = checked.length
        told = f"{percent(length.judge)} / {percent(length.people)} ({length.p:.3g})"
        rows.append(("the longer answer wins: judge / people (p)", told))
    rates = [
        ("judge's marks as they are", percent(found.win_rate or 0.0), _range(found.interval) if found.interval else "")
    ]
    for name, rate in (("Rogan-Gladen", checked.rogan_gladen), ("PPI", checked.ppi)):
        found_rate = rate.corrected
        if found_rate:
            rates.append((name, percent(found_rate.estimate), _range(found_rate.interval)))
        else:
            rates.append((name, "", rate.why_not))
    blocks: list[Block] = [Heading("Against people"), Table(("", "value"), tuple(rows))]
    blocks.append(Table(("win rate by", "all pairs", "95 % interval"), tuple(rates)))
    if checked.unknown:
        lost = f"{len(checked.unknown):,} labelled pairs were not judged (equal, unanswered or unknown)"
        blocks.append(Sentence(f"{lost}, among them {checked.unknown[0]}."))
    return blocks


def _agreement_rows(who: str, found: Agreement) -> list[tuple[str, str]]:
    low, high = found.interval.low, found.interval.high
    return [
        (f"agreement, {who}", f"{percent(found.share)} of {found.items:,}"),
        (f"kappa, {who}", f"{found.kappa:.3f} ({low:.3f} to {high:.3f})"),
    ]


def _range(interval: Interval) -> str:
    return f"{percent(interval.low)} to {percent(interval.high)}"
