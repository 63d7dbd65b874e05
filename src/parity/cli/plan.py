"""`parity plan`: how many items a verdict takes, what they cost, and what cannot be had."""

import json
import sys
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from parity.cli.options import BENCHMARK, Json, Repeated
from parity.errors import UsageError

if TYPE_CHECKING:
    from parity.benchmarks.base import Benchmark
    from parity.measurement.planning import AskingPrice


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Planned:
    """What is to be shown.

    Parameters
    ----------
    models
        Models that would be asked, for the cost; all answer every item.
    margin
        The loss you tolerate, as a fraction: 0.02 is two points.
    flips
        The share of items that only one of the two models gets right, as a fraction.
    gap
        The gap you expect, as a fraction; below 0 the candidate is behind.
    benchmark
        The benchmark whose items would be asked.
    items
        So many items instead, such as the logged calls you have.
    data
        Folder that holds the benchmark's files; without it they come from the hub.
    alpha
        One-sided chance of a false claim.
    power
        The chance of a verdict that you want if the gap is as expected.
    estimand
        items: about these items. future: about ones like them, as with logged calls (the default with --items).
    """

    models: Repeated = ()
    _: KW_ONLY
    margin: float
    flips: float
    gap: float = 0.0
    benchmark: Annotated[str | None, BENCHMARK] = None
    items: int | None = None
    data: Path | None = None
    alpha: float = 0.05
    power: float = 0.8
    estimand: Literal["items", "future"] | None = None


def plan(
    spec: Planned,
    *,
    workspace: Path = Path(".parity"),
    json_: Json = False,
) -> int:
    """Say how many items a verdict takes and what they cost, before anything is asked; refuse what cannot be had.

    Parameters
    ----------
    workspace
        The folder whose prices.toml goes before the book.
    json_
        Print one JSON object and nothing else; shares are fractions.
    """
    from parity.measurement.planning import PlanSpec
    from parity.measurement.planning import plan as planned
    from parity.reporting.plans import plan_json, plan_page
    from parity.reporting.terminal import draw, screen

    if (spec.benchmark is None) == (spec.items is None):
        raise UsageError("A plan is for the items of one benchmark, or for a number of them.", "Name -b or --items.")
    about_these = spec.estimand == "items" if spec.estimand else spec.items is None
    wanted = PlanSpec(spec.margin, spec.flips, spec.gap, spec.alpha, spec.power, about_these)
    benchmark = _opened(spec)
    available = len(benchmark.items) if benchmark else spec.items or _published_items(spec)
    found = planned(wanted, available, _prices(spec, benchmark, workspace))
    if json_:
        sys.stdout.write(json.dumps(plan_json(found)) + "\n")
    else:
        draw(plan_page(found, benchmark.name if benchmark else spec.benchmark or f"{available:,} items"), screen())
    return 0 if found.can_be_had else 11


def _opened(spec: Planned) -> "Benchmark | None":
    """The benchmark, opened only where its prompts or its items are needed: the catalog knows how many there are."""
    from parity.benchmarks.catalog import open_benchmark

    if spec.benchmark is None or not (spec.models or spec.data or _published_items(spec) == 0):
        return None
    return open_benchmark(spec.benchmark, spec.data, ())


def _published_items(spec: Planned) -> int:
    from parity.benchmarks.catalog import catalog

    entry = catalog().get(spec.benchmark or "")
    return entry.items or 0 if entry else 0


def _prices(spec: Planned, benchmark: "Benchmark | None", workspace: Path) -> "tuple[AskingPrice, ...]":
    """What one item costs of every model named; needs the prompts, so a benchmark."""
    from datetime import UTC, datetime

    from parity.core.refs import ModelRef
    from parity.measurement.accounting import likely_usage, price_of
    from parity.measurement.planning import AskingPrice
    from parity.pricing.own import open_book

    if spec.models and spec.benchmark is None:
        raise UsageError(
            "The cost of unknown prompts cannot be told.", "Name a benchmark with -b, or leave the models out."
        )
    if benchmark is None:
        return ()
    protocol, book, today = benchmark.protocol(None), open_book(workspace, None), datetime.now(UTC).date()
    found = []
    usages = [likely_usage(protocol.request(item)) for item in benchmark.items] if spec.models else []
    for name in spec.models:
        model = ModelRef.parse(name)
        price = price_of(model, book, today, needed=False)
        usd = sum(price.cost(*usage) for usage in usages) / len(usages) if price else None
        found.append(AskingPrice(model, price, 0.0 if price and price.local else usd))
    return tuple(found)
