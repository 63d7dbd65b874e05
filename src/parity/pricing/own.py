"""The user's own prices: `.parity/prices.toml`, or the file that --prices names."""

from datetime import date
from pathlib import Path

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from parity.core.money import Price, Rates
from parity.core.refs import ModelRef
from parity.errors import DataError, listed
from parity.files.specs import read_toml
from parity.pricing.book import PriceBook, local, shipped

FILE = "prices.toml"


@dataclass(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid"))
class OwnPrice:
    """One table [[price]]. Amounts are US dollars per million tokens; `local` marks a machine of one's own."""

    model: str
    input_usd: float | None = None
    output_usd: float | None = None
    cached_input_usd: float | None = None
    since: date | None = None
    source: str = ""
    local: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid"))
class OwnPrices:
    """The whole file."""

    price: tuple[OwnPrice, ...]


def open_book(workspace: Path, file: Path | None = None) -> PriceBook:
    """The shipped prices and the user's: from `file`, or from the workspace's prices.toml where there is one.

    Raises:
        DataError: the file is missing, malformed, or prices a model twice for one day.
    """
    path = file or workspace / FILE
    if file is None and not path.is_file():
        return PriceBook(shipped())
    entries = read_toml(path, OwnPrices, "price file").price
    problems = [problem for entry in entries for problem in _problems(entry)]
    names = [(entry.model, entry.since) for entry in entries]
    twice = sorted({model for model, since in names if names.count((model, since)) > 1})
    problems += [f"{model} has two prices for one day" for model in twice]
    if problems:
        raise DataError(f"{path} is no price file:\n{listed(problems)}", "Mend all of these and run it again.")
    return PriceBook(shipped(), tuple(_price(entry, path) for entry in entries))


def _problems(entry: OwnPrice) -> list[str]:
    amounts = (entry.input_usd, entry.output_usd, entry.cached_input_usd)
    if entry.local:
        return [f"{entry.model} is local and has a price"] if any(amounts) else []
    if entry.input_usd is None or entry.output_usd is None:
        return [f"{entry.model} needs input_usd and output_usd, or local = true"]
    if not all(amount is None or 0 <= amount < 1_000_000 for amount in amounts):
        return [f"{entry.model} has an amount that is not dollars per million tokens"]
    if not any(amounts):
        return [f"{entry.model} costs nothing: say local = true, if it is a machine of your own"]
    return []


def _price(entry: OwnPrice, path: Path) -> Price:
    name = str(ModelRef.parse(entry.model))
    if entry.local:
        return local(name)
    assert entry.input_usd is not None
    assert entry.output_usd is not None
    rates = Rates(entry.input_usd, entry.output_usd, entry.cached_input_usd)
    return Price(name, rates, entry.since, entry.source or path.name)
