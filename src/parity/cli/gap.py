"""`parity gap`: the gap between two sets of scores that already exist."""

import json
import sys
from dataclasses import dataclass
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
        Scores of the open model: a file of item,score rows (CSV, JSON lines), FILE#COLUMN of a wide
        table, or a sample log (or folder of them) of lm-evaluation-harness.
    incumbent
        Scores of the API it would replace, likewise.
    margin
        The loss you tolerate, as a fraction: 0.02 is two points. Without it there is no verdict.
    alpha
        One-sided chance of a false claim.
    shared
        Compare only the items that both files name, instead of counting the others as missing.
    """

    candidate: str
    incumbent: str
    margin: float | None = None
    alpha: float = 0.05
    shared: Annotated[bool, Parameter(negative="")] = False


def gap(
    spec: GapSpec,
    *,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Compare two recorded sets of scores: the paired gap, its interval, and the verdict at a margin.

    Parameters
    ----------
    output
        Also write the page as Markdown to this file.
    json_
        Print one JSON object and nothing else; shares are fractions.
    """
    from rich.console import Console

    from parity.files import write_atomic
    from parity.measurement.comparison import compare, pair, scores_of
    from parity.measurement.records import read_record
    from parity.reporting.gaps import gap_json, gap_page
    from parity.reporting.markdown import write
    from parity.reporting.terminal import draw

    _check(spec)
    candidate, incumbent = scores_of(read_record(spec.candidate)), scores_of(read_record(spec.incumbent))
    if spec.shared:
        common = candidate.keys() & incumbent.keys()
        candidate = {item: candidate[item] for item in common}
        incumbent = {item: incumbent[item] for item in common}
    found = compare(pair(candidate, incumbent), spec.margin, spec.alpha)
    page = gap_page(found, _short(spec.candidate), _short(spec.incumbent))
    if output:
        write_atomic(output, write(page))
    if json_:
        sys.stdout.write(json.dumps(gap_json(found)) + "\n")
    else:
        draw(page, Console(highlight=False))
        if output:
            Console(highlight=False).print(f"\nWritten to {output}")
    return found.verdict.exit_code if found.verdict else 0


def _check(spec: GapSpec) -> None:
    if spec.margin is not None and not 0 < spec.margin < 1:
        raise UsageError(
            f"--margin {spec.margin:g} is not a fraction between 0 and 1.", "Two points are --margin 0.02."
        )
    if not 0 < spec.alpha < 0.5:
        raise UsageError(f"--alpha {spec.alpha:g} is not between 0 and 0.5.", "The usual choice is --alpha 0.05.")


def _short(name: str) -> str:
    path, _, part = name.partition("#")
    return part or Path(path).name
