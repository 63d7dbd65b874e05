"""PriceBook: dated list prices by provider and model, and the user's own before them.

Knows which schemes run on this machine (no price: local) and which hosts belong to which provider. An unknown model is
an error, never a price of 0; a name is never matched by its beginning.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from urllib.parse import urlsplit

from parity.core.money import LongContext, Price, Rates
from parity.core.refs import ModelRef, Scheme
from parity.errors import DataError, did_you_mean
from parity.files.tables import read_table

# These answer in this process or from a file: no tokens are sold.
LOCAL_SCHEMES = frozenset({Scheme.FOLDER, Scheme.HUB, Scheme.GGUF, Scheme.MAGNET, Scheme.REPLAY, Scheme.DUMMY})
HOSTS = {
    "api.openai.com": "openai",
    "api.anthropic.com": "anthropic",
    "generativelanguage.googleapis.com": "google",
    "api.mistral.ai": "mistral",
    "api.deepseek.com": "deepseek",
    "api.together.xyz": "together",
    "api.together.ai": "together",
    "api.groq.com": "groq",
    "api.fireworks.ai": "fireworks",
    "api.deepinfra.com": "deepinfra",
    "api.cerebras.ai": "cerebras",
    "api.x.ai": "xai",
    "api.moonshot.ai": "moonshot",
}


@dataclass(frozen=True, slots=True)
class PriceHistory:
    """Every price of a model with one seller, oldest first, and the one in force on the day asked for."""

    in_force: Price
    prices: tuple[Price, ...]


@dataclass(frozen=True, slots=True)
class PriceBook:
    """`own` are the user's prices by the model's whole name; `listed` the shipped ones by "provider:model"."""

    listed: tuple[Price, ...]
    own: tuple[Price, ...] = ()

    def price(self, ref: ModelRef, on: date) -> Price:
        """What a model cost on a day: the user's own price, no price for what runs here, or the list price.

        Raises:
            DataError: the model has no price, or none as early as that.
        """
        mine = [price for price in self.own if price.model == str(ref)]
        if mine:
            return _in_force(mine, on)
        if ref.scheme in LOCAL_SCHEMES:
            return local(str(ref))
        known = listed_name(ref)
        found = [price for price in self.listed if price.model == known]
        if not found:
            raise self._unknown(str(ref), known)
        return _in_force(found, on)

    def lookup(self, text: str, on: date) -> list[PriceHistory]:
        """The prices of a model with every seller: `text` is a model's whole name, `provider:model`, or a bare model.

        Raises:
            DataError: the model has no price, or none as early as that.
        """
        if text.partition(":")[0] in {*(scheme.value for scheme in Scheme), "https"}:
            ref = ModelRef.parse(text)
            price = self.price(ref, on)
            known = [other for other in (*self.own, *self.listed) if other.model == price.model]
            return [PriceHistory(price, tuple(known) or (price,))]
        sold: dict[str, list[Price]] = {}
        for price in (*self.own, *self.listed):
            if text in (price.model, price.model.partition(":")[2]):
                sold.setdefault(price.model, []).append(price)
        if not sold:
            raise self._unknown(text, text)
        begun = [prices for prices in sold.values() if min(price.since or on for price in prices) <= on]
        return [PriceHistory(_in_force(prices, on), tuple(prices)) for prices in begun or sold.values()]

    def _unknown(self, name: str, known: str | None) -> DataError:
        bare = _bare(known or name).rpartition("#")[2]
        models = sorted({_bare(price.model) for price in self.listed})
        near = did_you_mean(bare, models)
        hint = f"{near} " if near.startswith("Did you mean") else ""
        return DataError(
            f"No price is on record for {name}.",
            f"{hint}Add yours to .parity/prices.toml, or name a file with --prices:\n"
            f'  [[price]]\n  model = "{name}"\n  input_usd = 1.00   # per million tokens\n  output_usd = 4.00\n'
            "or, for a model on a machine of your own, local = true instead of the amounts.",
        )


def local(name: str) -> Price:
    """The price of what runs on this machine: none, and marked so."""
    return Price(name, Rates(0.0, 0.0), source="runs on this machine", local=True)


def listed_name(ref: ModelRef) -> str | None:
    """`provider:model` of an endpoint, by its scheme or by the host it names; None where the host is nobody's."""
    if ref.scheme in (Scheme.OPENAI, Scheme.ANTHROPIC):
        return f"{ref.scheme.value}:{ref.name}"
    provider = HOSTS.get((urlsplit(ref.name).hostname or "").lower()) if ref.scheme is Scheme.HTTP else None
    return f"{provider}:{(ref.part or '').removeprefix('models/')}" if provider else None


@cache
def shipped() -> tuple[Price, ...]:
    """The list prices that come with Parity."""
    with as_file(files("parity.pricing") / "prices.csv") as path:
        return tuple(_row(row) for row in read_table(Path(path)).rows)


def _row(row: dict[str, str | None]) -> Price:
    long = None
    if row["long_above_tokens"]:
        long = LongContext(int(row["long_above_tokens"]), _rates(row, "long_"))
    since = date.fromisoformat(row["since"] or "")
    return Price(f"{row['provider']}:{row['model']}", _rates(row), since, row["source"] or "", long)


def _rates(row: dict[str, str | None], prefix: str = "") -> Rates:
    cached = row[f"{prefix}cached_input_usd"]
    amounts = float(row[f"{prefix}input_usd"] or "nan"), float(row[f"{prefix}output_usd"] or "nan")
    return Rates(*amounts, float(cached) if cached else None)


def _in_force(prices: Iterable[Price], on: date) -> Price:
    """The newest price that had begun; one without a beginning was always in force."""
    ordered = sorted(prices, key=lambda price: price.since or date.min)
    begun = [price for price in ordered if price.since is None or price.since <= on]
    if not begun:
        first = ordered[0]
        raise DataError(
            f"The first price on record for {first.model} is of {first.since}; none is known for {on}.",
            "Ask for a later date, or add the earlier price to .parity/prices.toml.",
        )
    return begun[-1]


def _bare(model: str) -> str:
    return model.partition(":")[2] or model
