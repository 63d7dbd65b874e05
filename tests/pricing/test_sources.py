"""Every row of the shipped price book stands in the source that it names."""

import csv
import gzip
import json

import pytest

from parity.pricing.book import shipped
from shared import needs_shared


def facts_of(name, input_usd, output_usd, day=None):
    """(bare name, dollars per million in and out, day or None)."""
    return name.rpartition("/")[2], round(float(input_usd), 6), round(float(output_usd), 6), day


def history(folder):
    with gzip.open(folder / "price_changes_monthly_2024-01_to_2025-09.csv.gz", "rt", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            amounts = [row[f"{side}_cost_per_token"] for side in ("input", "output")]
            if all(amounts):
                yield facts_of(row["model"], *(1e6 * float(amount) for amount in amounts), row["date"])


def table(path):
    for name, entry in json.loads(gzip.decompress(path.read_bytes())).items():
        amounts = [entry.get(f"{side}_cost_per_token") for side in ("input", "output")]
        if all(amounts):
            yield facts_of(name, *(1e6 * amount for amount in amounts))


def lists(folder):
    for path in folder.glob("*.json"):
        for model in json.loads(path.read_text())["models"]:
            for entry in model["price_history"]:
                yield facts_of(model["id"], entry["input"], entry["output"], entry.get("from_date"))


@pytest.fixture(scope="module")
def sources():
    folder = needs_shared("prices_hardware_openness", "prices")
    return {
        "tokencost history": set(history(folder)),
        "tokencost 2025-09": set(table(folder / "tokencost_model_prices_2025-09.json.gz")),
        "litellm mirror 2026-07": set(table(folder / "litellm_model_prices_2026-07.json.gz")),
        "llm-prices 2026-08": set(lists(folder / "llm-prices")),
    }


def test_every_row_is_in_its_source(sources):
    dated = 0
    for price in shipped():
        fact = facts_of(price.model.partition(":")[2], price.rates.input_usd, price.rates.output_usd)
        on_the_day = (*fact[:3], price.since.isoformat())
        assert on_the_day in sources[price.source] or fact in sources[price.source], price
        if price.source == "tokencost history":
            assert on_the_day in sources[price.source], price
            dated += 1
    assert dated > 200
