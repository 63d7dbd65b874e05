"""`parity measure`: ask models the same items, and say how far the candidates are from the incumbent."""

import json
import sys
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from parity.cli.options import BENCHMARK, Json, Repeated
from parity.cli.progress import showing
from parity.engines.open import EngineOptions
from parity.errors import UsageError, listed

if TYPE_CHECKING:
    from parity.benchmarks.base import Benchmark
    from parity.core.digests import Plain
    from parity.core.runs import Marked
    from parity.measurement.measure import MeasureSpec
    from parity.reporting.page import Page
    from parity.store import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How items are asked.

    Parameters
    ----------
    protocol
        How items are asked and marked; the benchmark's default if not given.
    template
        chat: every prompt is a user's turn in the model's own chat template. none: the prompt as it is.
    draws
        Answers to each item, drawn at random; pass@k is reported of them.
    temperature
        How freely answers are drawn; 0 takes the likeliest tokens. 0 if not given, 0.2 with several draws.
    top_p
        The nucleus that answers are drawn from. 1 if not given, 0.95 with several draws.
    overflow
        A prompt longer than the context: an error for that item, or cut from the left and counted.
    """

    protocol: str | None = None
    template: Literal["none", "chat"] = "none"
    draws: int = 1
    temperature: float | None = None
    top_p: float | None = None
    overflow: Literal["error", "truncate"] = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopping:
    """When to stop asking, and how the verdict is kept.

    Parameters
    ----------
    until_verdict
        Ask a few items more at a time, in random order, until every candidate has its verdict; the bounds hold
        however often one looks.
    estimand
        What the verdict is about. items: the items of this benchmark. future: ones like them, of which these are a
        sample, as with logged calls.
    predictor
        A finished run of an earlier model on the same items (its id, or @1 for the newest) that predicts the candidate,
        such as the last checkpoint: the incumbent answers all items, candidates far fewer. May be repeated: what each
        is worth is learned as the candidate answers.
    question
        The question the verdict is entered under in the ledger; candidates whose names differ in numbers only share one
        if not given. All looks at a question together have the chance --alpha of a false yes.
    no_ledger
        Do not enter the verdict in the ledger: --alpha is then this look's alone, and the page says so.
    """

    until_verdict: bool = False
    estimand: Literal["items", "future"] = "items"
    predictor: Repeated = ()
    question: str | None = None
    no_ledger: bool = False


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Measure:
    """What to measure.

    Parameters
    ----------
    candidates
        Open models: a folder of safetensors, replay:FILE, dummy: (see docs/models.md).
    against
        The incumbent that a candidate would replace.
    benchmark
        Benchmark name, such as mmlu, or the TOML file that describes your own (see docs/benchmarks.md).
    data
        Folder that holds the benchmark's files; without it they come from the hub.
    only
        Only items with this tag, such as subject=anatomy. May be repeated.
    margin
        The loss you tolerate, as a fraction: 0.02 is two points. Without it there is no verdict.
    alpha
        One-sided chance of a false claim, over all looks at the question.
    max_items
        Ask only so many items, drawn at random; more can be asked later.
    max_tokens
        Stop before more tokens than this are used by one model.
    max_usd
        Stop before this call of the command could cost more dollars, all models together.
    prices
        A TOML file of your own prices (see docs/price.md), in place of prices.toml in the workspace.
    stopping
        When to stop asking, and how the verdict is kept.
    asking
        How items are asked.
    engine
        How local models run.
    """

    candidates: tuple[str, ...]
    _: KW_ONLY
    against: str | None = None
    benchmark: Annotated[str, BENCHMARK] = "mmlu"
    data: Path | None = None
    only: Repeated = ()
    margin: float | None = None
    alpha: float = 0.05
    max_items: int | None = None
    max_tokens: int | None = None
    max_usd: float | None = None
    prices: Path | None = None
    stopping: Annotated[Stopping, Parameter(name="*")] = field(default_factory=Stopping)
    asking: Annotated[Asking, Parameter(name="*")] = field(default_factory=Asking)
    engine: Annotated[EngineOptions, Parameter(name="*")] = field(default_factory=EngineOptions)


def measure(
    spec: Measure,
    *,
    workspace: Path = Path(".parity"),
    json_: Json = False,
) -> int:
    """Ask every model the same items by the same protocol, and compare each candidate with the incumbent.

    Every answer is kept as it comes: stop at any time and run the same command to go on.

    Parameters
    ----------
    workspace
        Folder that keeps answers, runs and reports.
    json_
        Print one JSON object and nothing else; shares are fractions.
    """
    from parity.benchmarks.catalog import open_benchmark
    from parity.core.items import Tag
    from parity.files.egress import seen, watch
    from parity.measurement.measure import measure as run
    from parity.reporting.accounts import say_forecast
    from parity.reporting.measurements import measurement_json, measurement_page
    from parity.reporting.terminal import draw, screen
    from parity.store import Workspace

    _check(spec)
    watch()
    before = seen()
    benchmark = open_benchmark(spec.benchmark, spec.data, tuple(map(Tag.parse, spec.only)))
    opened = Workspace(workspace)
    try:
        plan = _plan(spec, workspace, _forecasts(spec, benchmark, opened))
        with showing(enabled=not json_) as progress:
            found = run(plan, benchmark, opened, progress, say_forecast, before)
    finally:
        opened.close()
    page, data = measurement_page(found), measurement_json(found)
    kept = _keep(page, data, workspace / "reports" / "-".join(measured.run_id for measured in found.measured[:3]))
    if json_:
        sys.stdout.write(json.dumps(data, ensure_ascii=False) + "\n")
    else:
        console = screen()
        draw(page, console)
        console.print("\nKept: " + ", ".join(map(str, kept)))
    verdicts = [comparison.gap.verdict for comparison in found.comparisons if comparison.gap.verdict]
    return min((verdict.exit_code for verdict in verdicts), key=lambda code: (code == 10, code), default=0)


def _plan(spec: Measure, workspace: Path, forecasts: "tuple[tuple[Marked, ...], ...]") -> "MeasureSpec":
    """What the command line says, in the words of the verb."""
    from parity.core.prompts import Drawing, Fit
    from parity.core.refs import ModelRef
    from parity.measurement import asking
    from parity.measurement.measure import MeasureSpec
    from parity.measurement.measure import Stopping as Stops
    from parity.pricing.own import open_book
    from parity.runs.runner import Budget

    return MeasureSpec(
        tuple(ModelRef.parse(name) for name in spec.candidates),
        ModelRef.parse(spec.against) if spec.against else None,
        spec.margin,
        spec.alpha,
        not spec.stopping.no_ledger,
        spec.stopping.question,
        Stops(spec.stopping.until_verdict, spec.stopping.estimand, forecasts),
        asking.Asking(
            spec.asking.protocol,
            spec.asking.template,
            spec.max_items,
            Drawing(spec.asking.draws, spec.asking.temperature, spec.asking.top_p),
            Fit(spec.asking.overflow),
            Budget(tokens=spec.max_tokens, usd=spec.max_usd),
            open_book(workspace, spec.prices),
        ),
        spec.engine,
    )


def _forecasts(spec: Measure, benchmark: "Benchmark", workspace: "Workspace") -> "tuple[tuple[Marked, ...], ...]":
    """Marks of the runs that predict; each must be of this benchmark."""
    from parity.measurement.history import recall

    marks, ids = [], {item.id for item in benchmark.items}
    for name in spec.stopping.predictor:
        found = recall(workspace, name)
        if ids.isdisjoint(marked.item for marked in found.measured.marks):
            raise UsageError(
                f"Run {found.record.run_id} has no item of {benchmark.name}: it predicts nothing.",
                "Name a run on the same benchmark; parity runs lists them.",
            )
        marks.append(found.measured.marks)
    return tuple(marks)


def _keep(page: "Page", data: "dict[str, Plain]", path: Path) -> list[Path]:
    """Write the report beside the runs, for people and for machines."""
    from parity.files import write_atomic
    from parity.reporting.markdown import write

    return [
        write_atomic(path.with_suffix(".md"), write(page)),
        write_atomic(path.with_suffix(".json"), json.dumps(data, indent=1, ensure_ascii=False) + "\n"),
    ]


def _check(spec: Measure) -> None:
    """Everything that does not fit together, in one message."""
    asked, claimed = spec.stopping, spec.margin is not None
    rules = (
        (not spec.candidates, "name at least one model"),
        (
            spec.margin is not None and not 0 < spec.margin < 1,
            f"--margin {spec.margin or 0:g} is not a fraction between 0 and 1 (two points are 0.02)",
        ),
        (claimed and spec.against is None, "--margin compares with an incumbent: name it with --against"),
        (not 0 < spec.alpha < 0.5, f"--alpha {spec.alpha:g} is not between 0 and 0.5"),
        (spec.max_items is not None and spec.max_items < 1, f"--max-items {spec.max_items} is not at least 1"),
        (spec.max_tokens is not None and spec.max_tokens < 1, f"--max-tokens {spec.max_tokens} is not at least 1"),
        (spec.max_usd is not None and not spec.max_usd > 0, f"--max-usd {spec.max_usd or 0:g} is not above 0"),
        (asked.until_verdict and not claimed, "--until-verdict needs --margin, the loss you tolerate"),
        (bool(asked.predictor) and not asked.until_verdict, "--predictor goes with --until-verdict"),
        (
            bool(asked.predictor) and (asked.estimand == "future" or spec.max_items is not None),
            "--predictor is about all items of the benchmark: leave out --estimand future and --max-items",
        ),
        (asked.estimand == "future" and not asked.until_verdict, "--estimand future goes with --until-verdict"),
        *(("=" not in tag, f"--only {tag} is not KIND=VALUE, such as subject=anatomy") for tag in spec.only),
    )
    problems = [problem for broken, problem in rules if broken]
    if problems:
        raise UsageError("This cannot be measured:\n" + listed(problems), "See parity measure --help.")
