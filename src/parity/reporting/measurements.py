"""How a measurement reads: verdicts first, then accuracy, slices, and what it cost in tokens and time."""

from statistics import median

from parity.core.digests import Plain
from parity.core.gaps import Gap
from parity.core.items import Tag
from parity.core.scores import Score
from parity.measurement.measure import Comparison, Measured, Measurement
from parity.reporting.gaps import TONES, gap_json, gap_page, verdict_sentences
from parity.reporting.page import Figure, Heading, Page, Sentence, Table, percent, points
from parity.stats.intervals import clopper_pearson


def measurement_json(found: Measurement) -> dict[str, Plain]:
    """The measurement for machines; shares are fractions."""
    return {
        "benchmark": found.benchmark,
        "version": found.version,
        "protocol": found.protocol,
        "items": found.items,
        "models": [_model_json(measured) for measured in found.measured],
        "gaps": [
            {
                "candidate": str(comparison.candidate.model),
                "incumbent": str(comparison.incumbent.model),
                **gap_json(comparison.gap),
                "slices": {str(tag): gap_json(gap) for tag, gap in comparison.slices.items()},
            }
            for comparison in found.comparisons
        ],
    }


def _model_json(measured: Measured) -> dict[str, Plain]:
    right, scored = int(sum(measured.scores)), len(measured.scores)
    interval = clopper_pearson(right, scored)
    return {
        "run": measured.run_id,
        "model": str(measured.model),
        "items": len(measured.marks),
        "scored": scored,
        "accuracy": right / scored if scored else None,
        "low": interval.low,
        "high": interval.high,
        "outside": measured.outside,
        "unscored": dict(measured.reasons),
        "prompt_tokens": measured.usage.prompt_tokens,
        "completion_tokens": measured.usage.completion_tokens,
        "truncated_tokens": measured.usage.truncated_tokens,
        "dropped_shots": measured.usage.dropped_shots,
        "latency_s": median(measured.latencies_s) if measured.latencies_s else None,
        "averages": {grouping: average for grouping, average in _averages(measured).items()},
    }


def measurement_page(found: Measurement) -> Page:
    """Everything a reader needs to believe or doubt the number."""
    blocks: list[Heading | Sentence | Table | Figure] = [
        Sentence(
            f"{found.items:,} of {found.population:,} items of {found.benchmark} ({found.version}), "
            f"protocol {found.protocol}."
        )
    ]
    for comparison in found.comparisons:
        names = comparison.candidate.model.short, comparison.incumbent.model.short
        tone = TONES.get(comparison.gap.verdict, "yellow") if comparison.gap.verdict else ""
        blocks += [Sentence(text, tone) for text in verdict_sentences(comparison.gap, *names)]
    blocks += [Heading("Accuracy"), _accuracy(found), _means(found), Heading("What it took"), _cost(found)]
    for comparison in found.comparisons:
        blocks += _comparison(comparison, found.groupings)
    return Page(f"{found.benchmark}: {', '.join(measured.model.short for measured in found.measured)}", tuple(blocks))


def _accuracy(found: Measurement) -> Table:
    rows = []
    for measured in found.measured:
        right, scored = int(sum(measured.scores)), len(measured.scores)
        interval = clopper_pearson(right, scored)
        rows.append(
            (
                measured.model.short,
                percent(right / scored) if scored else "none",
                f"{100 * interval.low:.1f} to {100 * interval.high:.1f}",
                f"{scored:,}",
                f"{len(measured.marks) - scored:,}",
                f"{measured.outside:,}",
            )
        )
    return Table(("model", "accuracy", "95 % exact", "scored", "unscored", "outside"), tuple(rows))


def _means(found: Measurement) -> Table:
    """Every group weighs the same here; in the accuracy above every item does."""
    rows = []
    for measured in found.measured:
        averages = _averages(measured)
        cells = (percent(averages[kind]) if kind in averages else "" for kind in found.groupings)
        rows.append((measured.model.short, *cells))
    return Table(("mean over groups, by", *found.groupings), tuple(rows))


def _averages(measured: Measured) -> dict[str, float]:
    """Unweighted mean over the groups of every tag kind."""
    groups: dict[str, dict[str, list[float]]] = {}
    for marked in measured.marks:
        if isinstance(marked.mark, Score):
            for kind, value in marked.tags:
                groups.setdefault(kind, {}).setdefault(value, []).append(marked.mark.value)
    return {
        kind: sum(sum(scores) / len(scores) for scores in by.values()) / len(by) for kind, by in sorted(groups.items())
    }


def _cost(found: Measurement) -> Table:
    rows = tuple(
        (
            measured.model.short,
            measured.run_id,
            f"{measured.usage.prompt_tokens:,}",
            f"{measured.usage.completion_tokens:,}",
            f"{measured.usage.truncated_tokens:,}",
            f"{measured.usage.dropped_shots:,}",
            f"{median(measured.latencies_s):.4f}" if measured.latencies_s else "",
        )
        for measured in found.measured
    )
    return Table(
        ("model", "run", "prompt tok", "answer tok", "cut tok", "shots cut", "median s"),
        rows,
    )


def _comparison(comparison: Comparison, groupings: tuple[str, ...]) -> list[Heading | Sentence | Table | Figure]:
    names = comparison.candidate.model.short, comparison.incumbent.model.short
    page = gap_page(comparison.gap, *names)
    blocks: list[Heading | Sentence | Table | Figure] = [Heading(page.title)]
    blocks += [block for block in page.blocks if isinstance(block, Table)]
    for grouping in groupings:
        slices = {tag: gap for tag, gap in comparison.slices.items() if tag.kind == grouping}
        if len(slices) > 1:
            blocks.append(Table((grouping, "items", *names, "gap", "95 % interval"), _slice_rows(slices)))
    return blocks


def _slice_rows(slices: dict[Tag, Gap]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (
            tag.value,
            f"{gap.n:,}",
            percent(gap.candidate_accuracy),
            percent(gap.incumbent_accuracy),
            points(gap.gap),
            f"{points(gap.low)} to {points(gap.high)}",
        )
        for tag, gap in sorted(slices.items(), key=lambda entry: (entry[1].gap, entry[0]))
    )
