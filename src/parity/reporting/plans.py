"""How a plan reads: whether it can be had first, then the two ways to it."""

from dataclasses import asdict

from parity.core.digests import Plain, plain
from parity.core.money import dollars
from parity.measurement.planning import Plan
from parity.reporting.page import Page, Sentence, Table, percent
from parity.stats.spending import share


def plan_json(found: Plan) -> dict[str, Plain]:
    """The plan for machines; shares are fractions."""
    return {
        **{key: plain(value) for key, value in asdict(found.spec).items()},
        "items_available": found.available,
        "items_one_look": found.one_look,
        "items_first_look": found.first_look,
        "power_all_items": found.power,
        "smallest_margin": found.smallest_margin,
        "items_sequential_mean": found.looking.mean,
        "items_sequential_90": found.looking.quantile_90,
        "sequential_decided": found.looking.decided,
        "can_be_had": found.can_be_had,
        "usd_an_item": {str(price.model): price.item_usd for price in found.prices},
    }


def plan_page(found: Plan, what: str) -> Page:
    """What to expect, and what cannot be had."""
    spec = found.spec
    blocks = [Sentence(_claim(found), "green" if found.can_be_had else "red")]
    about = "these items" if spec.about_these else "future items like these"
    rows = (
        ("looks once", _items(found.one_look, found.available), percent(found.power), *_usd(found, found.one_look)),
        (
            f"looks after every item, about {about}",
            f"{found.looking.mean:,.0f} on average, 9 in 10 within {found.looking.quantile_90:,.0f}",
            percent(found.looking.decided),
            *_usd(found, found.looking.mean),
        ),
    )
    columns = ("a test that", "items", f"power on all {found.available:,}", *(("cost",) if found.prices else ()))
    blocks_table = Table(columns, rows)
    notes = [
        Sentence(
            f"Assumed: {percent(spec.flips)} of the items are right for one of the two only, the true gap is "
            f"{100 * spec.gap:+g} points, one-sided alpha {spec.alpha:g}, power {percent(spec.power)}. "
            "parity gap tells the flips of two models that were recorded before."
        ),
        Sentence(
            f"All {found.available:,} items, looked at once, support no margin below "
            f"{100 * found.smallest_margin:.1f} points."
        ),
    ]
    notes.append(
        Sentence(
            f"Both are at alpha {spec.alpha:g}, as with --no-ledger. As the first of several looks at its question, "
            f"entered in the ledger at alpha {spec.alpha * share(1):g}, the test that looks once needs "
            f"{found.first_look:,} items."
        )
    )
    for price in found.prices:
        if price.item_usd is None:
            notes.append(Sentence(f"No price of {price.model} is on record: its part of the cost is not counted."))
    return Page(f"Plan for {what}", (*blocks, blocks_table, *notes))


def _claim(found: Plan) -> str:
    margin = f"a margin of {100 * found.spec.margin:g} points"
    if found.can_be_had:
        if found.one_look > found.available:
            return f"{margin.capitalize()} can be had, but only by looking after every item (--until-verdict)."
        return f"{margin.capitalize()} can be had."
    return (
        f"Not to be had: {found.available:,} items do not support {margin} at power {percent(found.spec.power)}. "
        f"{found.one_look:,} items would, or a margin of {100 * found.smallest_margin:.1f} points."
    )


def _items(needed: int, available: int) -> str:
    return f"{needed:,}" if needed <= available else f"{needed:,}, and there are {available:,}"


def _usd(found: Plan, items: float) -> tuple[str, ...]:
    """The cell of the cost; no cell where no model is named."""
    known = [price.item_usd for price in found.prices if price.item_usd is not None]
    cost = dollars(sum(known) * min(items, found.available)) if known else "unknown"
    return (cost,) if found.prices else ()
