"""`parity price`: what a model's tokens cost, when, and who says so."""

import json
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from parity.cli.options import Json
from parity.errors import UsageError


def price(
    model: str,
    /,
    *,
    date_: Annotated[str | None, Parameter(name="--date")] = None,
    prices: Path | None = None,
    workspace: Path = Path(".parity"),
    json_: Json = False,
) -> int:
    """Show the price of a model's tokens on a day, and how it came to be; an unknown model is an error.

    Parameters
    ----------
    model
        openai:model, anthropic:model, http://host/v1#model, provider:model as in the book, or the model alone.
    date_
        A day, such as 2025-03-01; today if not given.
    prices
        A TOML file of your own prices, in place of prices.toml in the workspace.
    workspace
        The folder whose prices.toml goes before the book.
    json_
        Print one JSON object and nothing else.
    """
    from parity.pricing.own import open_book
    from parity.reporting.prices import price_listing_json, price_page
    from parity.reporting.terminal import draw, screen

    day = _day(date_)
    found = open_book(workspace, prices).lookup(model, day)
    if json_:
        sys.stdout.write(json.dumps(price_listing_json(found, day), ensure_ascii=False) + "\n")
    else:
        draw(price_page(model, found, day), screen())
    return 0


def _day(text: str | None) -> date:
    if text is None:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--date {text} is not a day.", "Write it as 2025-03-01.") from None
