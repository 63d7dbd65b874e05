"""Price and Cost: what a model's tokens cost, as it was said on a date by a named source. US dollars.

Knows how to multiply. Does not know any price: those are in the price book.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal

from parity.core.outputs import Failure, Output, Usage

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Rates:
    """US dollars per million tokens. Without a cached rate, cached input tokens cost what others do."""

    input_usd: float
    output_usd: float
    cached_input_usd: float | None = None

    def __post_init__(self) -> None:
        for name, rate in (("input", self.input_usd), ("output", self.output_usd), ("cached", self.cached_input_usd)):
            if rate is not None and not 0 <= rate < 1_000_000:
                raise ValueError(f"{name} price {rate} is not an amount of dollars per million tokens")


@dataclass(frozen=True, slots=True)
class LongContext:
    """Other rates for a request whose prompt has more than `above_tokens`; they hold for all of its tokens."""

    above_tokens: int
    rates: Rates


@dataclass(frozen=True, slots=True)
class Price:
    """What one model costs. `since` is None where the source does not say when it began; `local` costs no tokens.

    >>> price = Price("openai:x", Rates(2.0, 8.0, 0.5))
    >>> price.cost(prompt_tokens=1_000, completion_tokens=500)
    0.006
    >>> price.cost(1_000, 500, cached_tokens=800)
    0.0048
    """

    model: str
    rates: Rates
    since: date | None = None
    source: str = ""
    long: LongContext | None = None
    local: bool = False

    def cost(self, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> float:
        """Dollars of one request; `cached_tokens` are among the prompt's. Reasoning is part of the completion.

        Raises:
            ValueError: a count is negative, or more tokens were cached than the prompt has.
        """
        if min(prompt_tokens, completion_tokens, cached_tokens) < 0 or cached_tokens > prompt_tokens:
            raise ValueError(f"{prompt_tokens} prompt ({cached_tokens} cached), {completion_tokens} completion tokens")
        rates = self.long.rates if self.long and prompt_tokens > self.long.above_tokens else self.rates
        cached_usd = rates.input_usd if rates.cached_input_usd is None else rates.cached_input_usd
        fresh = (prompt_tokens - cached_tokens) * rates.input_usd
        return (fresh + cached_tokens * cached_usd + completion_tokens * rates.output_usd) / MILLION

    def most(self, prompt_tokens: int, completion_tokens: int) -> float:
        """The most that so many tokens can cost: no cache, and the dearer of the two rates for long prompts."""
        tiers = [self.rates] + ([self.long.rates] if self.long else [])
        input_usd = max(max(rates.input_usd, rates.cached_input_usd or 0.0) for rates in tiers)
        output_usd = max(rates.output_usd for rates in tiers)
        return (prompt_tokens * input_usd + completion_tokens * output_usd) / MILLION


@dataclass(frozen=True, slots=True)
class Cost:
    """Dollars at a price. None of a model on one's own machine: `usd` is 0 and `local` says why."""

    usd: float
    price: Price

    @property
    def local(self) -> bool:
        return self.price.local


def cost_of(outputs: Iterable[Output], price: Price) -> Cost:
    """What answers cost, one by one: long prompts have rates of their own."""
    usages = (output.usage for output in outputs if not isinstance(output, Failure))
    return Cost(sum(usage_usd(usage, price) for usage in usages), price)


def usage_usd(usage: Usage, price: Price) -> float:
    """Dollars of one answer."""
    # An endpoint that counts more cached tokens than the prompt has is not believed beyond the prompt.
    cached = min(usage.cached_tokens, usage.prompt_tokens)
    return price.cost(usage.prompt_tokens, usage.completion_tokens, cached)


def encode_price(price: Price) -> str:
    """A price as one line of JSON."""
    return json.dumps({**asdict(price), "since": price.since.isoformat() if price.since else None}, ensure_ascii=False)


def decode_price(text: str) -> Price:
    """The price that `encode_price` wrote."""
    entries = json.loads(text)
    since, rates, long = entries.pop("since"), entries.pop("rates"), entries.pop("long")
    tier = LongContext(long["above_tokens"], Rates(**long["rates"])) if long else None
    return Price(**entries, rates=Rates(**rates), since=date.fromisoformat(since) if since else None, long=tier)


def dollars(usd: float) -> str:
    """An amount for people: whole cents from a dollar up, three digits below; never rounded to nothing.

    >>> [dollars(amount) for amount in (0.0, 0.00004, 0.0123, 0.5, 1.5, 1234.5)]
    ['$0', '$0.00004', '$0.0123', '$0.50', '$1.50', '$1,234.50']
    """
    if usd == 0 or usd >= 1:
        return f"${usd:,.2f}" if usd else "$0"
    whole, _, digits = f"{Decimal(f'{usd:.3g}'):f}".partition(".")
    return f"${whole}.{digits:0<2}"
