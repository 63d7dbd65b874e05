"""`parity benchmarks`: what can be measured, and whether one's own description of a benchmark holds."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from parity.cli.options import Json
from parity.errors import UsageError

if TYPE_CHECKING:
    from parity.core.money import Price


def benchmarks(
    action: Literal["list", "check"] = "list",
    benchmark: str | None = None,
    /,
    *,
    data: Path | None = None,
    protocol: str | None = None,
    model: str | None = None,
    workspace: Path = Path(".parity"),
    json_: Json = False,
) -> int:
    """List the benchmarks, or check one: what is wrong with it, its protocols, its first prompt, what a run takes.

    Parameters
    ----------
    action
        list: every benchmark with items, protocol, tokens, licence and source. check: one of them, or a TOML file.
    benchmark
        What to check: a name, or the TOML file that describes your own.
    data
        Folder that holds the benchmark's files; without it they come from the hub.
    protocol
        Whose prompt and tokens are shown; the default one if not given.
    model
        Say what a run costs with this model, such as openai:gpt-4o, at today's price.
    workspace
        The folder whose prices.toml goes before the price book.
    json_
        Print one JSON object and nothing else.
    """
    from parity.benchmarks.catalog import catalog, open_benchmark, plugins
    from parity.measurement.accounting import run_forecast
    from parity.reporting.benchmarks import catalog_json, catalog_page, checked_json, checked_page
    from parity.reporting.terminal import draw, screen

    price = _price(model, workspace) if model else None
    if action == "list":
        if benchmark is not None or data is not None or protocol is not None:
            raise UsageError("list takes no benchmark.", f"parity benchmarks check {benchmark or 'NAME'} looks at one.")
        page, found = catalog_page(catalog(), plugins(), model, price), catalog_json(catalog(), plugins(), price)
    else:
        if benchmark is None:
            raise UsageError("check needs a benchmark.", "Name it, or the TOML file that describes your own.")
        opened = open_benchmark(benchmark, data)
        asked = opened.protocol(protocol)
        forecast = run_forecast(asked, opened.items, price)
        page, found = checked_page(opened, asked, forecast, model), checked_json(opened, asked, forecast)
    if json_:
        sys.stdout.write(json.dumps(found, ensure_ascii=False) + "\n")
    else:
        draw(page, screen())
    return 0


def _price(model: str, workspace: Path) -> "Price":
    from datetime import UTC, datetime

    from parity.core.refs import ModelRef
    from parity.pricing.own import open_book

    return open_book(workspace, None).price(ModelRef.parse(model), datetime.now(UTC).date())
