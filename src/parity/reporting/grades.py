"""How graded programs read: how many passed, why the others did not, and what kept them in."""

from collections import Counter

from parity.core.digests import Plain
from parity.marking.sandbox import Outcome
from parity.measurement.grading import Graded
from parity.reporting.page import Block, Page, Sentence, Table, percent


def graded_json(found: Graded) -> dict[str, Plain]:
    """Verdicts for machines, in the order of the file; `passed` of a check without a verdict is null."""
    results: list[Plain] = [
        {
            "task_id": sample.task,
            "passed": None if verdict.outcome is Outcome.NO_VERDICT else verdict.passed,
            "reason": verdict.reason,
        }
        for sample, verdict in zip(found.samples, found.verdicts, strict=True)
    ]
    return {
        "benchmark": found.benchmark,
        "samples": len(found.samples),
        "problems": found.problems,
        "passed": found.passed,
        "unscored": found.unscored,
        "held_objects": found.held_objects,
        **{f"pass_at_{k}": value for k, value in found.pass_at.items()},
        **({} if 1 in found.pass_at else {"pass_at_1": None}),
        "isolation": str(found.isolation),
        "results": results,
    }


def graded_page(found: Graded) -> Page:
    """What came of the samples."""
    blocks: list[Block] = []
    rows = tuple((f"pass@{k}", percent(value)) for k, value in found.pass_at.items())
    if rows:
        blocks.append(Table(("mean over problems", "unbiased"), rows))
    counts = Counter(verdict.outcome for verdict in found.verdicts)
    outcomes = tuple((outcome.value, f"{counts[outcome]:,}") for outcome in Outcome if counts[outcome])
    blocks.append(Table(("what came of it", "samples"), outcomes))
    if found.problems < found.of_problems:
        missing = found.of_problems - found.problems
        blocks.append(Sentence(f"{missing} of {found.of_problems} problems have no sample; they are not counted."))
    if found.unscored:
        blocks.append(Sentence(f"{found.unscored} checks came to no verdict and are not counted.", "yellow"))
    if found.held_objects:
        blocks.append(
            Sentence(f"{found.held_objects} tests handled objects of the program (classes), not plain values alone.")
        )
    blocks.append(Sentence(f"Isolation: {found.isolation}."))
    count = len(found.samples)
    return Page(f"{found.passed:,} of {count:,} samples of {found.benchmark} passed", tuple(blocks))
