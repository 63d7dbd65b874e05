"""How the demo reads: the verdicts of recorded models in one table, and where the open model is level already."""

from collections.abc import Sequence

from parity.core.gaps import Gap, Verdict
from parity.measurement.comparison import RecordedGap
from parity.reporting.charts import Bar, forest, forest_svg
from parity.reporting.gaps import outside_sentence
from parity.reporting.page import Block, Heading, Page, Sentence, Table, points


def demo_page(gaps: Sequence[RecordedGap], shown: RecordedGap) -> Page:
    """All pairs with their verdicts, then a chart of the subjects where `shown`'s candidate is level or ahead."""
    rows = tuple(
        (
            found.candidate,
            found.incumbent,
            f"{found.gap.n:,}",
            points(found.gap.gap),
            f"{points(found.gap.low)} to {points(found.gap.high)}",
            _verdict(found.gap),
        )
        for found in gaps
    )
    outside = {name: count for found in gaps for name, count in _outside(found)}
    level = _level(shown)
    blocks: list[Block] = [
        Sentence(
            "Recorded answers of real models to the questions of MMLU, compared question by question (HELM, RouteLLM)."
        ),
        Table(("open model", "API", "items", "gap", "95 % interval", "verdict"), rows),
        Sentence("Gaps in points; margin 3 points, one-sided alpha 0.05. " + " ".join(map(str, outside.values()))),
        Heading(f"Where {shown.candidate} is already level with {shown.incumbent}"),
        Sentence(
            f"Level or ahead in {len(level)} of {len(_bars(shown))} subjects, by the answers recorded; one subject has "
            "100 to 1,534 questions, so its interval is wide."
        ),
        forest(level),
    ]
    return Page("Parity demo: how far are open models from the APIs?", tuple(blocks))


def subject_svg(shown: RecordedGap) -> str:
    """Every subject, the best for the open model first."""
    margin = shown.gap.margin
    title = f"{shown.candidate} against {shown.incumbent}, MMLU by subject"
    note = "Gap in points with 95 % score interval; recorded answers (HELM). Right of 0 the open model is ahead."
    return forest_svg(title, note, _bars(shown), margin)


LIVE = (
    "Live: a Llama of random weights and its questions, both made just now, through the torch engine. It guesses, and "
    "so does `dummy:`. A few hundred questions cannot show that two guessers are level within 3 points; no tool should "
    "say they do."
)


def _verdict(gap: Gap) -> str:
    assert gap.verdict is not None
    words = f"{gap.verdict.sentence_word} ({gap.verdict.value})"
    return words + ", worse" if gap.verdict is Verdict.NON_INFERIOR and gap.worse else words


def _outside(found: RecordedGap) -> list[tuple[str, str]]:
    both = ((found.candidate, found.candidate_outside), (found.incumbent, found.incumbent_outside))
    return [(name, outside_sentence(name, count)) for name, count in both if count]


def _bars(shown: RecordedGap) -> list[Bar]:
    bars = [Bar.of(tag.value.replace("_", " "), gap) for tag, gap in shown.slices.items() if tag.kind == "subject"]
    return sorted(bars, key=lambda bar: (-bar.gap, bar.label))


def _level(shown: RecordedGap) -> list[Bar]:
    return [bar for bar in _bars(shown) if bar.gap >= 0]
