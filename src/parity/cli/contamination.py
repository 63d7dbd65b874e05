"""`parity contamination`: was the test in the training data, and does the model know it by heart?"""

import json
import sys
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from parity.cli.options import BENCHMARK, Json, Output
from parity.engines.open import EngineOptions
from parity.errors import UsageError, listed

if TYPE_CHECKING:
    from parity.benchmarks.base import Benchmark
    from parity.measurement.contamination import Contamination


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class ContaminationSpec:
    """What is looked for.

    Parameters
    ----------
    model
        The model to test: a folder of safetensors, gguf:FILE (see docs/models.md). Without one, only --train is read.
    benchmark
        Benchmark name, such as mmlu, or the TOML file that describes your own.
    data
        Folder that holds the benchmark's files; without it they come from the hub.
    train
        The rows the model was tuned on, as parity data import writes them; items that share runs of words with them are
        listed.
    protocol
        How items are asked; the benchmark's default if not given.
    max_items
        Move the options of so many items only, drawn at random.
    shards
        Runs of items whose published order is held against random ones.
    shard_items
        Items in each run; runs that do not fit the model's context are left out.
    orders
        Random orders of each run.
    alpha
        Chance of each test to catch a model that is clean.
    engine
        How local models run.
    """

    model: str | None = None
    _: KW_ONLY
    benchmark: Annotated[str, BENCHMARK]
    data: Path | None = None
    train: Path | None = None
    protocol: str | None = None
    max_items: int | None = None
    shards: int = 20
    shard_items: int = 8
    orders: int = 10
    alpha: float = 0.05
    engine: Annotated[EngineOptions, Parameter(name="*")] = field(default_factory=EngineOptions)


def contamination(
    spec: ContaminationSpec,
    *,
    workspace: Path = Path(".parity"),
    output: Output = None,
    json_: Json = False,
) -> int:
    """Look for a benchmark in a training file, and test whether a model knows its order or its options by heart.

    Parameters
    ----------
    workspace
        Folder that keeps answers; a run that was stopped goes on.
    output
        Write which items the training file leaves clean to this CSV, for parity gap --clean.
    json_
        Print one JSON object and nothing else; shares are fractions.
    """
    from parity.benchmarks.catalog import open_benchmark
    from parity.files import write_atomic
    from parity.measurement.contamination import overlap
    from parity.reporting.contamination import clean_table, contamination_json, contamination_page
    from parity.reporting.terminal import draw, screen

    _check(spec, output)
    benchmark = open_benchmark(spec.benchmark, spec.data, ())
    found = _tested(spec, benchmark, workspace, quiet=json_)
    if spec.train is not None:
        found = replace(found, overlap=overlap(benchmark.items, _texts(spec.train)))
        assert found.overlap is not None
        if output is not None:
            write_atomic(output, clean_table(found.overlap))
    if json_:
        sys.stdout.write(json.dumps(contamination_json(found), ensure_ascii=False) + "\n")
    else:
        console = screen()
        draw(contamination_page(found, spec.model), console)
        if output is not None:
            console.print(f"\nClean items: {output}")
    return 0


def _tested(spec: ContaminationSpec, benchmark: "Benchmark", workspace: Path, *, quiet: bool) -> "Contamination":
    """Both tests of the model, if there is one."""
    from datetime import UTC, datetime

    from parity.cli.progress import showing
    from parity.core.refs import ModelRef
    from parity.engines.open import open_engine
    from parity.measurement.accounting import Terms, price_of
    from parity.measurement.contamination import Contamination, Trial, try_model
    from parity.pricing.own import open_book
    from parity.reporting.accounts import say_forecast
    from parity.store import Workspace

    if spec.model is None:
        return Contamination(benchmark.name, len(benchmark.items), spec.alpha)
    trial = Trial(spec.shards, spec.shard_items, spec.orders, spec.max_items, spec.alpha)
    ref = ModelRef.parse(spec.model)
    price = price_of(ref, open_book(workspace, None), datetime.now(UTC).date(), needed=False)
    engine, opened = open_engine(ref, spec.engine), Workspace(workspace)
    try:
        with showing(enabled=not quiet) as progress, opened.lock(engine.identity.digest[:16]):
            terms = Terms(price, on_progress=progress, on_forecast=say_forecast)
            protocol = benchmark.protocol(spec.protocol)
            return try_model(engine, benchmark, protocol, trial, opened, terms)
    finally:
        engine.close()
        opened.close()


def _texts(path: Path) -> Iterator[str]:
    from parity.core.examples import turns_of
    from parity.curation.importing import read_rows

    for row in read_rows(path):
        for turn in turns_of(row):
            yield turn.content


def _check(spec: ContaminationSpec, output: Path | None) -> None:
    least = {"shards": 2, "shard_items": 2, "orders": 1}
    rules = (
        (spec.model is None and spec.train is None, "name a model, a file with --train, or both"),
        (output is not None and spec.train is None, "--output lists what --train leaves clean: name the file"),
        (not 0 < spec.alpha < 0.5, f"--alpha {spec.alpha:g} is not between 0 and 0.5"),
        (spec.max_items is not None and spec.max_items < 30, f"--max-items {spec.max_items} is not at least 30"),
        *(
            (getattr(spec, name) < number, f"--{name.replace('_', '-')} is not at least {number}")
            for name, number in least.items()
        ),
    )
    problems = [problem for broken, problem in rules if broken]
    if problems:
        raise UsageError("This cannot be looked for:\n" + listed(problems), "See parity contamination --help.")
