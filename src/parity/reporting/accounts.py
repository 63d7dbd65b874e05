"""How money and egress read: a forecast before a run, its cost and the hosts it talked to after."""

from collections.abc import Sequence

from parity.core.digests import Plain
from parity.core.money import Cost, Price, dollars
from parity.measurement.accounting import Forecast
from parity.measurement.results import Measured
from parity.reporting.page import Block, Sentence, Table
from parity.store.accounts import RunAccount


def forecast_sentence(found: Forecast) -> str:
    """One sentence before anything is asked."""
    kept = f" ({found.known:,} are answered already)" if found.known else ""
    if not found.requests:
        return f"{found.model.short}: all {found.known:,} requests are answered already."
    asked = f"{found.model.short}: {found.requests:,} requests{kept}"
    tokens = f"some {found.prompt_tokens:,} prompt tokens and up to {found.completion_tokens:,} of answers"
    if found.price is None or found.usd is None or found.most_usd is None:
        return f"{asked}, {tokens}; no price is on record, so what they cost is not known."
    amounts = f"about {dollars(found.usd)}, at most {dollars(found.most_usd)}"
    return f"{asked}, {amounts}: {tokens} at {rates_text(found.price)} per million."


def say_forecast(found: Forecast) -> None:
    """Print a forecast to stderr: stdout is for results."""
    from rich.console import Console

    Console(stderr=True, soft_wrap=True, highlight=False).print(forecast_sentence(found), markup=False)


def rates_text(price: Price) -> str:
    """Input and output rates in dollars per million tokens, and since when."""
    since = f" (since {price.since})" if price.since else ""
    return f"{dollars(price.rates.input_usd)} in and {dollars(price.rates.output_usd)} out{since}"


def cost_text(cost: Cost | None) -> str:
    """local, an amount, or that nobody knows: never an empty cell, never a 0 that means unknown."""
    if cost is None:
        return "unknown"
    return "local" if cost.local else dollars(cost.usd)


def account_json(account: RunAccount) -> dict[str, Plain]:
    """Cost and egress of a run for machines; `usd` is null where no price is known, `hosts` where nobody looked."""
    cost = account.cost
    return {
        "usd": cost.usd if cost else None,
        "local": cost.local if cost else None,
        "price_usd_per_million_tokens": price_json(cost.price) if cost and not cost.local else None,
        "hosts": list(account.hosts) if account.hosts is not None else None,
        "offline": account.offline,
        "attempts": account.attempts,
    }


def price_json(price: Price) -> dict[str, Plain]:
    """A price for machines."""
    long = price.long
    return {
        "model": price.model,
        "input_usd": price.rates.input_usd,
        "cached_input_usd": price.rates.cached_input_usd,
        "output_usd": price.rates.output_usd,
        "long_above_tokens": long.above_tokens if long else None,
        "long_input_usd": long.rates.input_usd if long else None,
        "long_cached_input_usd": long.rates.cached_input_usd if long else None,
        "long_output_usd": long.rates.output_usd if long else None,
        "since": price.since.isoformat() if price.since else None,
        "source": price.source,
        "local": price.local,
    }


def account_blocks(runs: Sequence[Measured]) -> list[Block]:
    """What the runs cost, at which prices, and whom they talked to."""
    blocks: list[Block] = []
    priced = [(run, run.account.cost) for run in runs if run.account.cost and not run.account.cost.local]
    if priced:
        rows = tuple((run.model.short, dollars(cost.usd), *_price_cells(cost.price)) for run, cost in priced if cost)
        blocks.append(Table(("model", "cost", "in / M", "cached", "out / M", "since"), rows))
    if local := [run.model.short for run in runs if run.account.cost and run.account.cost.local]:
        blocks.append(Sentence(f"Local, no tokens bought: {', '.join(local)}."))
    if unknown := [run.model.short for run in runs if run.account.cost is None]:
        blocks.append(Sentence(f"Cost unknown, no price on record: {', '.join(unknown)}.", "yellow"))
    return [*blocks, *_egress(runs)]


def _price_cells(price: Price) -> tuple[str, ...]:
    cached = price.rates.cached_input_usd
    return (
        dollars(price.rates.input_usd),
        dollars(cached) if cached is not None else "",
        dollars(price.rates.output_usd),
        str(price.since or ""),
    )


def _egress(runs: Sequence[Measured]) -> list[Block]:
    """One sentence for all runs that read alike; names only where they differ."""
    names: dict[str, list[str]] = {}
    for run in runs:
        names.setdefault(_egress_text(run.account), []).append(run.model.short)
    if len(names) == 1:
        return [Sentence(f"{text}.") for text in names]
    return [Sentence(f"{text} ({', '.join(dict.fromkeys(named))}).") for text, named in names.items()]


def _egress_text(account: RunAccount) -> str:
    if account.hosts is None:
        return "Hosts talked to: not recorded"
    if not account.offline:
        return "Hosts talked to: " + (", ".join(account.hosts) or "none")
    attempts = "1 attempt" if account.attempts == 1 else f"{account.attempts} attempts"
    here = f"; this machine was talked to at {', '.join(account.hosts)}" if account.hosts else ""
    return f"Offline: {attempts} to reach another host{here}"
