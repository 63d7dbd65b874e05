"""How a gap reads: the sentence first, then the counts behind it; and its JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from parity.core.digests import Plain, plain
from parity.core.gaps import Gap, Look, Noise, Verdict
from parity.core.items import Tag
from parity.measurement.comparison import RecordedGap
from parity.reporting.budgets import budget_blocks, budget_json
from parity.reporting.page import Heading, Page, Sentence, Table, percent, points, when
from parity.stats.sequential import ANYTIME

TONES = {Verdict.SUPERIOR: "green", Verdict.NON_INFERIOR: "green", Verdict.INFERIOR: "red"}


def gap_json(gap: Gap) -> dict[str, Plain]:
    """The gap with the keys other tools read; shares are fractions."""
    fields = asdict(gap)
    fields["missing"] = {**fields["missing"], "worst_case": gap.missing.worst_case}
    return {key: plain(value) for key, value in fields.items()}


def slices_json(slices: Mapping[Tag, Gap]) -> dict[str, Plain]:
    """The gap of every slice, by kind=value."""
    return {str(tag): gap_json(gap) for tag, gap in slices.items()}


def recorded_json(found: RecordedGap) -> dict[str, Plain]:
    """The gap with the keys other tools read, and what stands behind it."""
    outside = {"candidate": found.candidate_outside, "incumbent": found.incumbent_outside}
    more = {"clean": gap_json(found.clean)} if found.clean else {}
    more |= {"budget": budget_json(found.budget)} if found.budget else {}
    return {**gap_json(found.gap), "outside": outside, "slices": slices_json(found.slices), **more}


def recorded_page(found: RecordedGap) -> Page:
    """Two recorded models, whole; slices are for looking and carry no verdict."""
    names = found.candidate, found.incumbent
    page = gap_page(found.gap, *names)
    outside = zip(names, (found.candidate_outside, found.incumbent_outside), strict=True)
    notes = [Sentence(outside_sentence(name, count)) for name, count in outside if count]
    clean = clean_blocks(found.gap, found.clean, *names) if found.clean else ()
    budget = budget_blocks(found.budget) if found.budget else ()
    return Page(page.title, (*page.blocks, *notes, *clean, *budget, *slice_tables(found.slices, names)))


def clean_blocks(gap: Gap, clean: Gap, candidate: str, incumbent: str) -> tuple[Sentence | Heading | Table, ...]:
    """All items and the clean ones, side by side."""
    sides = (gap, clean)
    rows = (
        ("items with both scores", *(f"{side.n:,}" for side in sides)),
        (candidate, *(percent(side.candidate_score) for side in sides)),
        (incumbent, *(percent(side.incumbent_score) for side in sides)),
        ("gap, points", *(points(side.gap) for side in sides)),
        ("95 % interval", *(f"{points(side.low)} to {points(side.high)}" for side in sides)),
        ("verdict", *(side.verdict.value if side.verdict else "none: no margin" for side in sides)),
    )
    claim = [Sentence(_claim(clean), TONES.get(clean.verdict, "yellow"))] if clean.verdict else []
    return (Heading("On items that were not trained on"), *claim, Table(("", "all", "clean"), rows))


def outside_sentence(name: str, count: int) -> str:
    """Why an answer that cannot be read lowers a score."""
    return f"{count:,} answers of {name} named no option and count as wrong."


def gap_page(gap: Gap, candidate: str, incumbent: str) -> Page:
    """One comparison without its slices."""
    rows = (
        ("items with both scores", f"{gap.n:,}"),
        *_counted(gap, candidate, incumbent),
        ("flips in all", percent(gap.flips)),
        *_differing(gap),
        *_noise(gap, incumbent),
        ("gap, points", points(gap.gap)),
        (f"95 % interval ({gap.interval})", f"{points(gap.low)} to {points(gap.high)}"),
        (f"one-sided bounds at alpha {gap.alpha:g}", f"{points(gap.bound_low)} / {points(gap.bound_high)}"),
    )
    if gap.mcnemar_p is not None and gap.mcnemar_mid_p is not None:
        rows += (("McNemar p, exact (mid-p)", f"{gap.mcnemar_p:.3g} ({gap.mcnemar_mid_p:.3g})"),)
    if gap.p_value is not None and gap.margin is not None:
        rows += ((f"p that it is worse by {100 * gap.margin:g} points or more", f"{gap.p_value:.3g}"),)
    if gap.chance_within_margin is not None:
        rows += (("posterior chance that it is not (Jeffreys)", percent(gap.chance_within_margin)),)
    tone = TONES.get(gap.verdict, "yellow") if gap.verdict else ""
    blocks = [Sentence(sentence, tone) for sentence in verdict_sentences(gap, candidate, incumbent)]
    return Page(f"{candidate} against {incumbent}", (*blocks, Table(("", "value"), rows)))


def _counted(gap: Gap, candidate: str, incumbent: str) -> tuple[tuple[str, str], ...]:
    """How often each was right, where scores are right or wrong; mean scores and clusters otherwise."""
    if gap.both is None or gap.only_candidate is None or gap.only_incumbent is None:
        clusters = (("clusters of items that hang together", f"{gap.clusters:,}"),) if gap.clusters else ()
        return (
            (f"{candidate}, mean score", percent(gap.candidate_score)),
            (f"{incumbent}, mean score", percent(gap.incumbent_score)),
            *clusters,
        )
    neither = gap.n - gap.both - gap.only_candidate - gap.only_incumbent
    return (
        (f"{candidate} right", f"{gap.both + gap.only_candidate:,} ({percent(gap.candidate_score)})"),
        (f"{incumbent} right", f"{gap.both + gap.only_incumbent:,} ({percent(gap.incumbent_score)})"),
        ("both right / neither", f"{gap.both:,} / {neither:,}"),
        (f"flips: only {candidate} / only {incumbent}", f"{gap.only_candidate:,} / {gap.only_incumbent:,}"),
    )


def _differing(gap: Gap) -> tuple[tuple[str, str], ...]:
    """Where answers differ, and what that says of the gap before any of them is marked."""
    found = gap.differing
    if found is None:
        return ()
    apart = f"{found.items:,} of {found.of:,} (so |gap| <= {100 * found.bound:.2f} points, however marked)"
    return (("items whose answers differ", apart),)


def _noise(gap: Gap, incumbent: str) -> tuple[tuple[str, str], ...]:
    """How often the incumbent contradicts itself: flips below this say nothing."""
    noise = gap.noise
    if noise is None or noise.stale:
        return ()
    span = f"95 % {100 * noise.low:.1f} to {100 * noise.high:.1f}"
    return ((f"{incumbent} against itself", f"{percent(noise.floor_flips / noise.asked)} of {noise.asked:,} ({span})"),)


def stale_sentence(noise: Noise, model: str) -> str:
    """What was seen, and what to do."""
    return (
        f"{model} has changed since its answers were recorded: asked again on {when(noise.at)} UTC, {noise.flips:,} "
        f"of {noise.asked:,} answers were others than before, and {noise.floor_flips:,} others than a moment later. "
        "Put its answers aside (parity drift MODEL -b BENCHMARK --renew) and measure again."
    )


def slice_tables(slices: Mapping[Tag, Gap], names: tuple[str, str], kinds: Sequence[str] = ()) -> list[Table]:
    """One table a kind of slice (all kinds unless named), where it has more than one value; the widest gap first."""
    tables = []
    for kind in kinds or sorted({tag.kind for tag in slices}):
        found = {tag: gap for tag, gap in slices.items() if tag.kind == kind}
        rows = tuple(
            (
                tag.value,
                f"{gap.n:,}",
                percent(gap.candidate_score),
                percent(gap.incumbent_score),
                points(gap.gap),
                f"{points(gap.low)} to {points(gap.high)}",
            )
            for tag, gap in sorted(found.items(), key=lambda entry: (entry[1].gap, entry[0]))
        )
        if len(rows) > 1:
            tables.append(Table((kind, "items", *names, "gap", "95 % interval"), rows))
    return tables


def verdict_sentences(gap: Gap, candidate: str, incumbent: str) -> list[str]:
    """What the numbers say, for people; what is missing is said, never left out."""
    side = "ahead of" if gap.gap > 0 else "behind" if gap.gap < 0 else "level with"
    distance = f"{100 * abs(gap.gap):.2f} points " if gap.gap else ""
    sentences = [
        f"{candidate} is {distance}{side} {incumbent} on {gap.n:,} items "
        f"(95 % interval {points(gap.low)} to {points(gap.high)})."
    ]
    if gap.verdict is not None and gap.margin is not None:
        sentences += [_claim(gap), look_sentence(gap)]
    if gap.noise is not None and gap.noise.stale:
        sentences.append(stale_sentence(gap.noise, incumbent))
    if gap.missing.pairs:
        sentences.append(_missing(gap))
    return sentences


def _claim(gap: Gap) -> str:
    assert gap.verdict is not None
    assert gap.margin is not None
    at = f"at a margin of {100 * gap.margin:g} points, one-sided alpha {gap.alpha:g}"
    text = f"{gap.verdict.sentence_word}: {gap.verdict.value} {at}."
    if gap.noise is not None and gap.noise.stale:
        return f"{text} Nothing is claimed: the incumbent is not what it was (below)."
    if gap.verdict is Verdict.NON_INFERIOR and gap.worse:
        text += " It is worse, by less than the margin."
    if gap.verdict is Verdict.INCONCLUSIVE and gap.missing.worst_case in (None, Verdict.INCONCLUSIVE):
        more = f"about {gap.items_needed:,} more items" if gap.items_needed else "no number of items"
        later = " at the next look" if gap.look and not gap.interval.startswith(ANYTIME) else ""
        text += f" At this gap and these flips, {more} would decide it{later} (power 80 %)."
    return text


def look_sentence(gap: Gap) -> str:
    """How much of alpha this look may spend, or that nobody counts the looks."""
    return entered_sentence(gap.look, gap.alpha)


def entered_sentence(look: Look | None, alpha: float) -> str:
    """Where a verdict at `alpha` stands in the ledger."""
    if look is None:
        return f"Not entered in a ledger: alpha {alpha:g} is for one look at this question, and no second one."
    return (
        f'Look {look.number} at the question "{look.question}": of alpha {look.total:g} for all looks together, this '
        f"verdict is at {alpha:.3g}."
    )


def _missing(gap: Gap) -> str:
    missing = gap.missing
    text = (
        f"{missing.pairs:,} items lack a score ({missing.candidate:,} of the candidate's, "
        f"{missing.incumbent:,} of the incumbent's)."
    )
    if missing.worst_case is not None:
        text += f" Had all of them gone the worst way, the verdict would be {missing.worst_case.value}"
        text += ", so nothing is claimed." if gap.verdict is Verdict.INCONCLUSIVE else "."
    return text
