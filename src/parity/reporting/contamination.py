"""How a search for contamination reads, and its JSON; and the table of items that `parity gap --clean` takes."""

import csv
import io
from dataclasses import asdict

from parity.core.digests import Plain, plain
from parity.measurement.contamination import Contamination, Overlap
from parity.reporting.page import Block, Page, Sentence, Table, percent, points
from parity.stats.contamination import OrderTest, ShuffleTest

_SHOWN = 10


def contamination_page(found: Contamination, model: str | None) -> Page:
    """What was found first, then each search."""
    blocks: list[Block] = [Sentence(_sentence(found), "red" if found.caught else "")]
    if found.overlap is not None:
        blocks += _overlap(found.overlap)
    rows = [row for test in (found.order, found.options) for row in _rows(test)]
    if found.too_long:
        rows.insert(1, ("shards too long for the context, left out", f"{found.too_long}"))
    if rows:
        blocks.append(Table(("test of the model", "value"), tuple(rows)))
    for name, test in (("order of the items", found.order), ("options moved", found.options)):
        if isinstance(test, str):
            blocks.append(Sentence(f"Not tested, {name}: {test}"))
    return Page(f"{model or 'training file'} and {found.benchmark}, {found.items:,} items", tuple(blocks))


def _sentence(found: Contamination) -> str:
    caught = []
    if found.overlap is not None and found.overlap.tainted:
        caught.append(f"{len(found.overlap.tainted):,} items share runs of words with the training file")
    if isinstance(found.order, OrderTest) and found.order.p < found.alpha:
        caught.append("the published order of the items is known to the model")
    if isinstance(found.options, ShuffleTest) and found.options.p < found.alpha:
        caught.append("the places of the options are known to the model")
    if not caught:
        return "Nothing was found. That is no proof: much can be missed, and paraphrases are not looked for."
    return f"CONTAMINATED: {'; '.join(caught)}."


def _overlap(found: Overlap) -> list[Block]:
    worst = sorted(found.found.items(), key=lambda entry: (-entry[1], entry[0]))
    rows = tuple((item, percent(share)) for item, share in worst[:_SHOWN] if share > 0)
    text = f"{len(found.tainted):,} of {len(found.found):,} items share a run of words with {found.texts:,} texts."
    if found.too_short:
        text += f" {len(found.too_short):,} have fewer than five words and cannot be looked for."
    return [Sentence(text), *([Table(("item", "share of its runs found"), rows)] if rows else [])]


def _rows(test: OrderTest | ShuffleTest | str | None) -> list[tuple[str, str]]:
    if isinstance(test, OrderTest):
        return [
            ("shards, with so many random orders each", f"{test.shards}, {test.orders}"),
            ("published order ahead, nats a shard", f"{test.ahead:+.2f}"),
            ("published order the likeliest of all", f"{test.first} of {test.shards} shards"),
            ("p that order means nothing, by ranks (t)", f"{test.p:.3g} ({test.p_t:.3g})"),
        ]
    if isinstance(test, ShuffleTest):
        return [
            ("items marked as published and moved", f"{test.items:,}"),
            ("right as published / with options moved", f"{percent(test.published)} / {percent(test.moved)}"),
            (f"fall, points (bound at alpha {test.alpha:g})", f"{points(test.fall)} (at least {points(test.low)})"),
            ("p that there is no fall", f"{test.p:.3g}"),
        ]
    return []


def contamination_json(found: Contamination) -> dict[str, Plain]:
    """Every figure; a test that was not made is a text that says why."""
    overlap = found.overlap
    tests = {"order": found.order, "options": found.options}
    return {
        "benchmark": found.benchmark,
        "items": found.items,
        "alpha": found.alpha,
        "contaminated": found.caught,
        "shards_too_long": found.too_long,
        "overlap": None if overlap is None else {
            "items": len(overlap.found), "tainted": list(overlap.tainted), "too_short": list(overlap.too_short),
            "texts": overlap.texts,
        },
        **{name: plain(asdict(test)) if isinstance(test, OrderTest | ShuffleTest) else test
           for name, test in tests.items()},
    }  # fmt: skip


def clean_table(found: Overlap) -> str:
    """Every item with whether it is clean (1) or not (0), as CSV; one too short to be looked for counts as clean."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("item", "clean", "found"))
    for item, share in found.found.items():
        writer.writerow((item, int(share == 0), f"{share:.4f}"))
    for item in found.too_short:
        writer.writerow((item, 1, ""))
    return text.getvalue()
