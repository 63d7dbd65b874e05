"""`parity drift`: ask a model again, and say whether it still is what was recorded."""

import json
import sys
from contextlib import closing
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from parity.cli.options import BENCHMARK, Json
from parity.cli.progress import showing
from parity.engines.open import EngineOptions
from parity.errors import UsageError, listed

if TYPE_CHECKING:
    from parity.engines.base import Engine
    from parity.measurement.asking import Questions
    from parity.store import Workspace


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Probed:
    """Who is asked again.

    Parameters
    ----------
    model
        The model whose answers were recorded, mostly the incumbent.
    benchmark
        The benchmark it answered, as it was measured.
    data
        Folder that holds the benchmark's files; without it they come from the hub.
    protocol
        How items are asked; as it was measured.
    template
        chat or none; as it was measured.
    again
        Most items that are asked twice more, drawn at random; fewer when a change is proved sooner.
    alpha
        Chance of a false alarm, over all probes of this model on this benchmark.
    max_usd
        Stop before this call of the command could cost more dollars.
    renew
        Put the recorded answers aside, so that parity measure asks them anew; they are kept, and nothing is asked now.
    engine
        How local models run.
    """

    model: str
    _: KW_ONLY
    benchmark: Annotated[str, BENCHMARK] = "mmlu"
    data: Path | None = None
    protocol: str | None = None
    template: Literal["none", "chat"] = "none"
    again: int = 100
    alpha: float = 0.05
    max_usd: float | None = None
    renew: bool = False
    engine: Annotated[EngineOptions, Parameter(name="*")] = field(default_factory=EngineOptions)


def drift(
    spec: Probed,
    *,
    workspace: Path = Path(".parity"),
    json_: Json = False,
) -> int:
    """Ask a model again what it answered before: is it still the same, and how often does it contradict itself?

    The exit code is 11 when it has changed: no verdict that rests on its recorded answers is given then.

    Parameters
    ----------
    workspace
        Folder that keeps the answers.
    json_
        Print one JSON object and nothing else; shares are fractions.
    """
    from parity.benchmarks.catalog import open_benchmark
    from parity.core.refs import ModelRef
    from parity.engines.open import open_engine
    from parity.measurement.asking import Asking, Questions, chosen
    from parity.store.workspace import existing

    _check(spec)
    benchmark = open_benchmark(spec.benchmark, spec.data)
    protocol, asking = benchmark.protocol(spec.protocol), Asking(spec.protocol, spec.template)
    items = chosen(benchmark.items_of(protocol), None)
    questions = Questions(benchmark, protocol, spec.template, items, asking.requests(protocol, items))
    with existing(workspace) as opened, closing(open_engine(ModelRef.parse(spec.model), spec.engine)) as engine:
        if spec.renew:
            return _renew(engine, questions, opened, json_)
        return _probe(spec, engine, questions, opened, json_)


def _probe(spec: Probed, engine: "Engine", questions: "Questions", workspace: "Workspace", json_: bool) -> int:
    from datetime import UTC, datetime

    from parity.measurement.accounting import Terms, price_of
    from parity.measurement.drift import probe
    from parity.pricing.own import open_book
    from parity.reporting.accounts import say_forecast
    from parity.reporting.drifts import drift_json, drift_page
    from parity.reporting.terminal import draw, screen
    from parity.runs.runner import Budget

    book, today = open_book(workspace.folder, None), datetime.now(UTC).date()
    price = price_of(engine.model, book, today, spec.max_usd is not None)
    with showing(enabled=not json_) as progress:
        terms = Terms(price, Budget(usd=spec.max_usd), on_progress=progress, on_forecast=say_forecast)
        found = probe(engine, questions, workspace, terms, spec.again, spec.alpha)
    if json_:
        sys.stdout.write(json.dumps(drift_json(found)) + "\n")
    else:
        draw(drift_page(found), screen())
    return 11 if found.stale else 0


def _renew(engine: "Engine", questions: "Questions", workspace: "Workspace", json_: bool) -> int:
    from parity.measurement.drift import renew

    count = renew(engine, questions, workspace)
    if json_:
        sys.stdout.write(json.dumps({"put_aside": count}) + "\n")
    else:
        sys.stdout.write(f"{count:,} answers of {engine.model} are put aside; parity measure asks them anew.\n")
    return 0


def _check(spec: Probed) -> None:
    rules = (
        (spec.again < 20, f"--again {spec.again} is not at least 20: fewer show no change"),
        (not 0 < spec.alpha < 0.5, f"--alpha {spec.alpha:g} is not between 0 and 0.5"),
        (spec.max_usd is not None and not spec.max_usd > 0, f"--max-usd {spec.max_usd or 0:g} is not above 0"),
    )
    if problems := [problem for broken, problem in rules if broken]:
        raise UsageError("This cannot be asked again:\n" + listed(problems), "See parity drift --help.")
