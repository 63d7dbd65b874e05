"""How a measurement reads: verdicts first, then accuracy, slices, and what it cost in tokens and time."""

from collections.abc import Sequence
from statistics import median

from parity.core.digests import Plain, plain
from parity.core.runs import TokenWork
from parity.core.scores import UnscoredReason
from parity.measurement.draws import pass_at
from parity.measurement.results import Comparison, Measured, Measurement
from parity.reporting.accounts import account_blocks, account_json
from parity.reporting.gaps import TONES, gap_json, gap_page, slice_tables, slices_json, verdict_sentences
from parity.reporting.page import Block, Heading, Page, Sentence, Table, percent
from parity.reporting.programs import draws_blocks, ran_blocks
from parity.reporting.shares import EXACT, accuracy_interval
from parity.stats.sequential import ANYTIME, METHOD_ITEMS

STOPPED = (
    "Items were asked in random order until the verdict was in. The bounds hold however often one looks; McNemar's p "
    "and the slices do not allow for it."
)

EXHAUSTED = (
    "All items were asked: of these nothing is left to doubt, and the bounds are the gap itself. Of items like these "
    "that says little when they are few; ask with --estimand future for that."
)


UNJUDGED = "Answers are kept as they are; parity judge RUN RUN --judge MODEL compares those of two runs."


def measurement_json(found: Measurement) -> dict[str, Plain]:
    """The measurement for machines; shares are fractions."""
    return {
        "benchmark": found.benchmark,
        "version": found.version,
        "protocol": found.protocol,
        "items": found.items,
        "template": found.template,
        "models": [run_json(measured) for measured in found.measured],
        "gaps": [
            {
                "candidate": str(comparison.candidate.model),
                "incumbent": str(comparison.incumbent.model),
                **gap_json(comparison.gap),
                "slices": slices_json(comparison.slices),
            }
            for comparison in found.comparisons
        ],
    }


def run_json(measured: Measured) -> dict[str, Plain]:
    """One model's run for machines."""
    scores = measured.scores
    interval = accuracy_interval(scores)
    return {
        "run": measured.run_id,
        "model": str(measured.model),
        "items": measured.items,
        "draws": measured.draws,
        "scored": len(scores),
        "accuracy": sum(scores) / len(scores) if scores else None,
        "low": interval.low,
        "high": interval.high,
        "pass_at": {str(found.k): plain(found) for found in pass_at(measured.marks)} if measured.draws > 1 else {},
        "isolation": measured.ran.isolation if measured.ran else None,
        "held_objects": measured.ran.held_objects if measured.ran else None,
        "outside": measured.outside,
        "unscored": dict(measured.reasons),
        "prompt_tokens": measured.usage.prompt_tokens,
        "completion_tokens": measured.usage.completion_tokens,
        "truncated_tokens": measured.usage.truncated_tokens,
        "dropped_shots": measured.usage.dropped_shots,
        **_work_json(measured.account.work),
        "notes": list(measured.notes),
        "latency_s": median(measured.latencies_s) if measured.latencies_s else None,
        **account_json(measured.account),
        "averages": {grouping: average for grouping, average in averages_of(measured).items()},
    }


def measurement_page(found: Measurement) -> Page:
    """Everything a reader needs to believe or doubt the number."""
    blocks: list[Block] = [
        Sentence(
            f"{found.items:,} of {found.population:,} items of {found.benchmark} ({found.version}), "
            f"protocol {found.protocol}" + (", in the model's chat template." if found.template == "chat" else ".")
        )
    ]
    for comparison in found.comparisons:
        names = comparison.candidate.model.short, comparison.incumbent.model.short
        tone = TONES.get(comparison.gap.verdict, "yellow") if comparison.gap.verdict else ""
        blocks += [Sentence(text, tone) for text in verdict_sentences(comparison.gap, *names)]
        if comparison.gap.n + (comparison.gap.items_needed or 0) > found.population:
            blocks.append(Sentence(f"{found.benchmark} has {found.population:,} items: it cannot decide this."))
        if comparison.gap.interval.startswith(ANYTIME):
            blocks.append(Sentence(STOPPED))
            if comparison.gap.interval.startswith(METHOD_ITEMS) and found.items == found.population:
                blocks.append(Sentence(EXHAUSTED))
    blocks += run_blocks(found.measured, found.groupings)
    for comparison in found.comparisons:
        blocks += _comparison(comparison, found.groupings)
    return Page(f"{found.benchmark}: {', '.join(measured.model.short for measured in found.measured)}", tuple(blocks))


def run_blocks(runs: Sequence[Measured], groupings: Sequence[str]) -> list[Block]:
    """Accuracy, group means, why items have no score, and what the runs took."""
    blocks: list[Block] = [Heading("Accuracy"), _accuracy(runs), *draws_blocks(runs)]
    if groupings:
        blocks.append(_means(runs, groupings))
    reasons = tuple((run.model.short, reason, f"{count:,}") for run in runs for reason, count in run.reasons)
    if reasons:
        blocks.append(Table(("unscored", "why", "items"), reasons))
    if any(reason == UnscoredReason.UNJUDGED.value for run in runs for reason, _ in run.reasons):
        blocks.append(Sentence(UNJUDGED))
    blocks += ran_blocks(runs)
    return [*blocks, Heading("What it took"), _cost(runs), *_work(runs), *account_blocks(runs)]


def _work_json(work: TokenWork | None) -> dict[str, Plain]:
    """What was computed here, over all calls of the run; null where nothing was."""
    return {
        "tokens_requested": work.requested if work else None,
        "tokens_computed": work.computed if work else None,
        "tokens_floor": work.distinct if work else None,
        "matrix_share": work.matrix_share if work else None,
    }


def _work(runs: Sequence[Measured]) -> list[Sentence]:
    """How much of what was asked had to be computed, and how fast; and what was not computed in the usual way."""
    found = []
    for run in runs:
        if work := run.account.work:
            share = work.matrix_share
            rate = f", at {percent(share)} of the rate that this machine multiplies matrices at" if share else ""
            found.append(
                Sentence(
                    f"{run.model.short}: {work.computed:,} tokens computed where {work.requested:,} were asked for; "
                    f"{work.distinct:,} of them are distinct{rate}."
                )
            )
        found += [Sentence(f"{run.model.short}: {note}", "yellow") for note in run.notes]
    return found


def _accuracy(runs: Sequence[Measured]) -> Table:
    rows = []
    for run in runs:
        scores = run.scores
        interval = accuracy_interval(scores)
        rows.append(
            (
                run.model.short,
                percent(sum(scores) / len(scores)) if scores else "none",
                f"{100 * interval.low:.1f} to {100 * interval.high:.1f}" if scores else "",
                f"{len(scores):,}",
                f"{run.items - len(scores):,}",
                f"{run.outside:,}",
            )
        )
    exact = all(accuracy_interval(run.scores).method == EXACT for run in runs)
    head = "95 % exact" if exact else "95 %"
    return Table(("model", "accuracy", head, "scored", "unscored", "outside"), tuple(rows))


def _means(runs: Sequence[Measured], groupings: Sequence[str]) -> Table:
    """Every group weighs the same here; in the accuracy above every item does."""
    rows = []
    for run in runs:
        averages = averages_of(run)
        cells = (percent(averages[kind]) if kind in averages else "" for kind in groupings)
        rows.append((run.model.short, *cells))
    return Table(("mean over groups, by", *groupings), tuple(rows))


def averages_of(run: Measured) -> dict[str, float]:
    """Unweighted mean over the groups of every tag kind."""
    return {
        kind: sum(sum(scores) / len(scores) for scores in by.values()) / len(by)
        for kind, by in sorted(run.groups().items())
    }


def _cost(runs: Sequence[Measured]) -> Table:
    rows = tuple(
        (
            run.model.short,
            run.run_id,
            f"{run.usage.prompt_tokens:,}",
            f"{run.usage.completion_tokens:,}",
            f"{run.usage.truncated_tokens:,}",
            f"{run.usage.dropped_shots:,}",
            f"{median(run.latencies_s):.4f}" if run.latencies_s else "",
        )
        for run in runs
    )
    return Table(("model", "run", "prompt tok", "answer tok", "cut tok", "shots cut", "median s"), rows)


def _comparison(comparison: Comparison, groupings: tuple[str, ...]) -> list[Block]:
    names = comparison.candidate.model.short, comparison.incumbent.model.short
    page = gap_page(comparison.gap, *names)
    tables = [block for block in page.blocks if isinstance(block, Table)]
    return [Heading(page.title), *tables, *slice_tables(comparison.slices, names, groupings)]
