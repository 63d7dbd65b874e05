"""`parity gap`: the gap between two sets of scores that already exist."""

import json
import sys
from contextlib import closing
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from parity.cli.options import BENCHMARK, Json, Output, Repeated
from parity.cli.uncertainty import Uncertainty
from parity.errors import UsageError

if TYPE_CHECKING:
    from parity.measurement.comparison import RecordedGap
    from parity.measurement.suites import Suite


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class GapSpec:
    """What to compare.

    Parameters
    ----------
    candidate
        Scores of the open model: a run (its id, or @1 for the newest), a file of item,score rows (CSV, JSON lines),
        FILE#COLUMN of a wide table, or a sample log (or folder of them) of lm-evaluation-harness.
    incumbent
        Scores of the API it would replace, likewise.
    margin
        The loss you tolerate, as a fraction: 0.02 is two points. Without it there is no verdict.
    alpha
        One-sided chance of a false claim, over all looks at the question.
    benchmark
        Several benchmarks in one verdict, each named by one -b: candidate and incumbent are then models by name, as
        parity runs lists them, and their newest finished runs are compared. -b all: every benchmark that both finished.
    shared
        Compare only the items that both files name, instead of counting the others as missing.
    clean
        A CSV of item,clean (parity contamination --train writes it): the verdict stands twice, on all items and on
        those that are clean, and the exit code is that of the clean ones.
    question
        The question the verdict is entered under in the workspace's ledger. Runs have one of their own (see
        docs/ledger.md); files are entered only under a name.
    no_ledger
        Do not enter the verdict in the ledger: --alpha is then this look's alone, and the page says so.
    uncertainty
        Where the uncertainty comes from.
    """

    candidate: str
    incumbent: str
    _: KW_ONLY
    margin: float | None = None
    alpha: float = 0.05
    benchmark: Annotated[Repeated, BENCHMARK] = ()
    shared: bool = False
    clean: Path | None = None
    question: str | None = None
    no_ledger: bool = False
    uncertainty: Annotated[Uncertainty, Parameter(name="*")] = field(default_factory=Uncertainty)


def gap(
    spec: GapSpec,
    *,
    workspace: Path = Path(".parity"),
    output: Output = None,
    json_: Json = False,
) -> int:
    """Compare two recorded sets of scores: the paired gap, its interval, and the verdict at a margin.

    Parameters
    ----------
    workspace
        Where run ids are looked up.
    output
        Also write the page as Markdown to this file.
    json_
        Print one JSON object and nothing else; shares are fractions.
    """
    from parity.files import write_atomic
    from parity.reporting.gaps import recorded_json, recorded_page
    from parity.reporting.markdown import write
    from parity.reporting.suites import suite_json, suite_page
    from parity.reporting.terminal import draw, screen

    _check(spec)
    if spec.benchmark:
        suite = _suite(spec, workspace)
        page, data, verdict = suite_page(suite), suite_json(suite), suite.gap.verdict
    else:
        found = _compared(spec, workspace)
        page, data, verdict = recorded_page(found), recorded_json(found), (found.clean or found.gap).verdict
    if output:
        write_atomic(output, write(page))
    if json_:
        sys.stdout.write(json.dumps(data) + "\n")
    else:
        console = screen()
        draw(page, console)
        if output:
            console.print(f"\nWritten to {output}")
    return verdict.exit_code if verdict else 0


def _compared(spec: GapSpec, workspace: Path) -> "RecordedGap":
    """The gap; its verdict is entered in the ledger where there is a workspace, or where a question is named."""
    from parity.measurement.contamination import clean_items
    from parity.measurement.ledger import Purse
    from parity.measurement.recorded import Judging, compare_records
    from parity.measurement.records import read_pair
    from parity.store import Workspace

    ours, theirs = read_pair(spec.candidate, spec.incumbent, workspace)
    clean = clean_items(spec.clean) if spec.clean else None
    known = spec.uncertainty.known() if spec.uncertainty.budget else None
    judging = Judging(spec.margin, spec.alpha, spec.shared, clean, known)
    runs = ours.run and theirs.run
    if not (runs or (spec.question and spec.margin is not None)):
        return compare_records(ours, theirs, judging)
    with closing(Workspace(workspace)) as opened:
        purse = None if spec.no_ledger else Purse(opened, spec.question)
        return compare_records(ours, theirs, replace(judging, purse=purse, answers=opened))


def _suite(spec: GapSpec, workspace: Path) -> "Suite":
    """Several benchmarks; the suite is a question of its own in the ledger."""
    from parity.measurement.ledger import Claim, Purse
    from parity.measurement.suites import compare_suite
    from parity.store.workspace import existing

    assert spec.margin is not None
    with existing(workspace) as opened:
        purse = None if spec.no_ledger else Purse(opened, spec.question)
        models, claim = (spec.candidate, spec.incumbent), Claim(spec.margin, spec.alpha)
        return compare_suite(opened, models, spec.benchmark, claim, purse)


def _check(spec: GapSpec) -> None:
    spec.uncertainty.check()
    if spec.margin is not None and not 0 < spec.margin < 1:
        raise UsageError(
            f"--margin {spec.margin:g} is not a fraction between 0 and 1.", "Two points are --margin 0.02."
        )
    if spec.benchmark and (spec.margin is None or spec.shared or spec.clean or spec.uncertainty.budget):
        raise UsageError(
            "A verdict on benchmarks (-b) needs --margin, and is about whole runs: it has no --shared, --clean or "
            "--budget.",
            "Name the loss you tolerate: --margin 0.02.",
        )
    if not 0 < spec.alpha < 0.5:
        raise UsageError(f"--alpha {spec.alpha:g} is not between 0 and 0.5.", "The usual choice is --alpha 0.05.")
