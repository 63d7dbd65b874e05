"""How benchmarks read: the list of all, and one looked at closely."""

from collections.abc import Mapping, Sequence

from parity.benchmarks.base import Benchmark, Protocol
from parity.benchmarks.catalog import Entry
from parity.core.digests import Plain
from parity.core.money import Price, dollars
from parity.core.prompts import Loglikelihood, TextPrompt
from parity.measurement.accounting import RunForecast
from parity.reporting.page import Block, Figure, Heading, Page, Sentence, Table


def catalog_json(entries: Mapping[str, Entry], others: Sequence[str], price: Price | None) -> dict[str, Plain]:
    """Every benchmark for machines; a count that is not known is null."""
    listed: list[Plain] = [
        {
            "name": entry.name,
            "items": entry.items,
            "protocol": entry.protocol,
            "prompt_tokens": entry.prompt_tokens,
            "answer_tokens": entry.answer_tokens,
            "usd": _usd(entry, price),
            "licence": entry.licence,
            "source": entry.source,
            "hub": entry.hub,
        }
        for entry in entries.values()
    ]
    return {"benchmarks": listed, "plugins": list(others)}


def catalog_page(entries: Mapping[str, Entry], others: Sequence[str], model: str | None, price: Price | None) -> Page:
    """The list for people."""
    cost = ("cost",) if price else ()
    columns = ("benchmark", "items", "protocol", "prompt tok", "answer tok", *cost, "licence", "source", "from")
    rows = tuple(_row(entry, price) for entry in entries.values())
    blocks: list[Block] = [
        Table(columns, rows),
        Sentence(
            "Tokens are those of the default protocol, all items: prompts a quarter of their bytes (with every option, "
            "as an endpoint reads them), answers at their full length. Empty: not counted, for want of the data here."
        ),
    ]
    if others:
        blocks.append(Sentence(f"From other packages: {', '.join(others)}."))
    return Page("Benchmarks" + (f", at the price of {model}" if model else ""), tuple(blocks))


def checked_json(found: Benchmark, asked: Protocol, forecast: RunForecast) -> dict[str, Plain]:
    """One benchmark for machines."""
    protocols: list[Plain] = [
        {"name": each.name, "version": each.version, "kind": each.kind, "default": each.name == found.default_protocol}
        for each in found.protocols.values()
    ]
    return {
        "name": found.name,
        "version": found.version,
        "items": len(found.items),
        "protocols": protocols,
        "protocol": asked.name,
        "first_prompt": _prompt(found, asked),
        "prompt_tokens": forecast.prompt_tokens,
        "answer_tokens": forecast.completion_tokens,
        "usd": forecast.usd,
    }


def checked_page(found: Benchmark, asked: Protocol, forecast: RunForecast, model: str | None) -> Page:
    """One benchmark for people: protocols, tokens, the first prompt as it is asked."""
    rows = tuple(
        (each.name, each.kind, each.version, "default" if each.name == found.default_protocol else "")
        for each in found.protocols.values()
    )
    price = f", about {dollars(forecast.usd)} with {model}" if forecast.usd is not None else ""
    kinds = {tag.kind for item in found.items for tag in item.tags}
    item = found.items[0]
    blocks: list[Block] = [
        Sentence(f"{len(found.items):,} items, nothing wrong with them." + _slices(sorted(kinds))),
        Table(("protocol", "kind", "version", ""), rows),
        Sentence(
            f"A run by {asked.name!r} takes some {forecast.prompt_tokens:,} prompt tokens and up to "
            f"{forecast.completion_tokens:,} of answers{price}."
        ),
        Heading(f"The first item, {item.id}, by {asked.name!r}"),
        Figure(tuple(_prompt(found, asked).split("\n"))),
        Sentence(f"Right: {', '.join(item.targets)[:300]}"),
    ]
    request = asked.request(item)
    if isinstance(request, Loglikelihood):
        contexts = request.contexts or ("",) * len(request.continuations)
        shown = zip(contexts, request.continuations, strict=True)
        blocks.append(Table(("goes on as",), tuple((repr(context + option),) for context, option in shown)))
    return Page(f"{found.name} ({found.version})", tuple(blocks))


def _slices(kinds: Sequence[str]) -> str:
    return f" Slices by {', '.join(kinds)}." if kinds else ""


def _prompt(found: Benchmark, asked: Protocol) -> str:
    prompt = asked.request(found.items[0]).prompt
    return prompt.text if isinstance(prompt, TextPrompt) else prompt.messages[-1].content


def _row(entry: Entry, price: Price | None) -> tuple[str, ...]:
    cost = _usd(entry, price)
    return (
        entry.name,
        _count(entry.items),
        entry.protocol,
        _count(entry.prompt_tokens),
        _count(entry.answer_tokens),
        *(("" if cost is None else dollars(cost),) if price else ()),
        entry.licence,
        entry.source,
        "hub, --data" if entry.hub else "--data",
    )


def _usd(entry: Entry, price: Price | None) -> float | None:
    if price is None or entry.prompt_tokens is None or entry.answer_tokens is None:
        return None
    return price.cost(entry.prompt_tokens, entry.answer_tokens)


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"
