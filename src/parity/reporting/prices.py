"""How prices read: the one in force first, then the history."""

from collections.abc import Sequence
from datetime import date

from parity.core.digests import Plain
from parity.core.money import Price, dollars
from parity.pricing.book import PriceHistory
from parity.reporting.accounts import price_json
from parity.reporting.page import Block, Page, Sentence, Table


def price_listing_json(found: Sequence[PriceHistory], day: date) -> dict[str, Plain]:
    """Prices for machines, in US dollars per million tokens."""
    return {
        "date": day.isoformat(),
        "prices": [
            {"in_force": price_json(entry.in_force), "history": [price_json(price) for price in entry.prices]}
            for entry in found
        ],
    }


def price_page(name: str, found: Sequence[PriceHistory], day: date) -> Page:
    """What a model costs with every seller on record."""
    blocks: list[Block] = []
    for entry in found:
        if entry.in_force.local:
            blocks.append(Sentence(f"{entry.in_force.model} is local: no tokens are bought."))
            continue
        rows = tuple(_row(price, price is entry.in_force) for price in entry.prices)
        columns = (entry.in_force.model, "on record since", "in", "cached in", "out", "source")
        blocks.append(Table(columns, rows))
        if long := entry.in_force.long:
            blocks.append(
                Sentence(
                    f"A prompt of more than {long.above_tokens:,} tokens: {dollars(long.rates.input_usd)} in, "
                    f"{dollars(long.rates.output_usd)} out, for all of its tokens."
                )
            )
    if any(not entry.in_force.local for entry in found):
        blocks.append(Sentence("US dollars per million tokens. An empty price of cached input is not known."))
    return Page(f"{name} on {day}", tuple(blocks))


def _row(price: Price, in_force: bool) -> tuple[str, ...]:
    cached = price.rates.cached_input_usd
    return (
        "in force" if in_force else "",
        str(price.since or ""),
        dollars(price.rates.input_usd),
        "" if cached is None else dollars(cached),
        dollars(price.rates.output_usd),
        price.source,
    )
