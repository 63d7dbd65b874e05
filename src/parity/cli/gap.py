"""`parity gap`: the gap between two sets of scores that already exist."""

import json
import sys
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from parity.errors import UsageError


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
        One-sided chance of a false claim.
    shared
        Compare only the items that both files name, instead of counting the others as missing.
    clean
        A CSV of item,clean (parity contamination --train writes it): the verdict stands twice, on all items and on
        those that are clean, and the exit code is that of the clean ones.
    """

    candidate: str
    incumbent: str
    _: KW_ONLY
    margin: float | None = None
    alpha: float = 0.05
    shared: Annotated[bool, Parameter(negative="")] = False
    clean: Path | None = None


def gap(
    spec: GapSpec,
    *,
    workspace: Path = Path(".parity"),
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
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
    from parity.measurement.comparison import beside_clean, compared
    from parity.measurement.contamination import clean_items
    from parity.measurement.records import read_pair
    from parity.reporting.gaps import recorded_json, recorded_page
    from parity.reporting.markdown import write
    from parity.reporting.terminal import draw, screen

    _check(spec)
    ours, theirs = read_pair(spec.candidate, spec.incumbent, workspace)
    candidate, incumbent = ours.marks, theirs.marks
    if spec.shared:
        common = {marked.item for marked in candidate} & {marked.item for marked in incumbent}
        candidate, incumbent = (tuple(m for m in marks if m.item in common) for marks in (candidate, incumbent))
    found = compared(ours.name, candidate, theirs.name, incumbent, spec.margin, spec.alpha)
    if spec.clean is not None:
        found = beside_clean(found, candidate, incumbent, clean_items(spec.clean))
    page = recorded_page(found)
    if output:
        write_atomic(output, write(page))
    if json_:
        sys.stdout.write(json.dumps(recorded_json(found)) + "\n")
    else:
        console = screen()
        draw(page, console)
        if output:
            console.print(f"\nWritten to {output}")
    decisive = found.clean or found.gap
    return decisive.verdict.exit_code if decisive.verdict else 0


def _check(spec: GapSpec) -> None:
    if spec.margin is not None and not 0 < spec.margin < 1:
        raise UsageError(
            f"--margin {spec.margin:g} is not a fraction between 0 and 1.", "Two points are --margin 0.02."
        )
    if not 0 < spec.alpha < 0.5:
        raise UsageError(f"--alpha {spec.alpha:g} is not between 0 and 0.5.", "The usual choice is --alpha 0.05.")
