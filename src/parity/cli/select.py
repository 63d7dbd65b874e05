"""`parity select`: the best of many candidates, on few items, certified on fresh ones."""

import json
import sys
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from parity.cli.options import BENCHMARK, Json
from parity.cli.progress import showing
from parity.engines.open import EngineOptions
from parity.errors import UsageError, listed

if TYPE_CHECKING:
    from parity.measurement.selecting import SelectSpec


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Selected:
    """Who is to be chosen from.

    Parameters
    ----------
    candidates
        Open models, such as the checkpoints of a training (see docs/models.md).
    against
        The incumbent that the best of them would replace.
    margin
        The loss you tolerate, as a fraction: 0.02 is two points.
    benchmark
        Benchmark name, such as mmlu, or the TOML file that describes your own.
    data
        Folder that holds the benchmark's files; without it they come from the hub.
    alpha
        One-sided chance of a false claim, over all looks at the question.
    share
        The part of all answers (candidates x items) that choosing may take; certifying the winner comes on top.
    protocol
        How items are asked and marked; the benchmark's default if not given.
    template
        chat: every prompt is a user's turn in the model's own chat template. none: the prompt as it is.
    max_usd
        Stop before this call of the command could cost more dollars, all models together.
    question
        The question the verdict is entered under in the ledger (see docs/ledger.md).
    engine
        How local models run.
    """

    candidates: tuple[str, ...]
    _: KW_ONLY
    against: str
    margin: float
    benchmark: Annotated[str, BENCHMARK] = "mmlu"
    data: Path | None = None
    alpha: float = 0.05
    share: float = 0.08
    protocol: str | None = None
    template: Literal["none", "chat"] = "none"
    max_usd: float | None = None
    question: str | None = None
    engine: Annotated[EngineOptions, Parameter(name="*")] = field(default_factory=EngineOptions)


def select(
    spec: Selected,
    *,
    workspace: Path = Path(".parity"),
    json_: Json = False,
) -> int:
    """Find the best of many candidates on a small part of the items, and certify it on fresh ones.

    The field is halved round by round; every answer is kept as it comes: run the same command to go on.

    Parameters
    ----------
    workspace
        Folder that keeps answers, runs and the ledger.
    json_
        Print one JSON object and nothing else; shares are fractions.
    """
    from contextlib import closing

    from parity.benchmarks.catalog import open_benchmark
    from parity.measurement.selecting import select as run
    from parity.reporting.accounts import say_forecast
    from parity.reporting.selections import selection_json, selection_page
    from parity.reporting.terminal import draw, screen
    from parity.store import Workspace

    _check(spec)
    benchmark = open_benchmark(spec.benchmark, spec.data)
    with closing(Workspace(workspace)) as opened, showing(enabled=not json_) as progress:
        found = run(_plan(spec, workspace), benchmark, opened, progress, say_forecast)
    if json_:
        sys.stdout.write(json.dumps(selection_json(found), ensure_ascii=False) + "\n")
    else:
        draw(selection_page(found), screen())
    return found.certificate.verdict.exit_code


def _plan(spec: Selected, workspace: Path) -> "SelectSpec":
    """What the command line says, in the words of the verb."""
    from parity.core.refs import ModelRef
    from parity.measurement.asking import Asking
    from parity.measurement.selecting import SelectSpec
    from parity.pricing.own import open_book
    from parity.runs.runner import Budget

    book, budget = open_book(workspace, None), Budget(usd=spec.max_usd)
    return SelectSpec(
        tuple(map(ModelRef.parse, spec.candidates)),
        ModelRef.parse(spec.against),
        spec.margin,
        spec.alpha,
        spec.share,
        question=spec.question,
        asking=Asking(spec.protocol, spec.template, budget=budget, book=book),
        options=spec.engine,
    )


def _check(spec: Selected) -> None:
    """Everything that does not fit together, in one message."""
    rules = (
        (not 0 < spec.margin < 1, f"--margin {spec.margin:g} is not a fraction between 0 and 1 (two points are 0.02)"),
        (not 0 < spec.alpha < 0.5, f"--alpha {spec.alpha:g} is not between 0 and 0.5"),
        (not 0 < spec.share <= 0.5, f"--share {spec.share:g} is not above 0 and at most 0.5"),
        (spec.max_usd is not None and not spec.max_usd > 0, f"--max-usd {spec.max_usd or 0:g} is not above 0"),
    )
    if problems := [problem for broken, problem in rules if broken]:
        raise UsageError("This cannot be selected:\n" + listed(problems), "See parity select --help.")
