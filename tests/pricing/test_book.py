"""Prices: every row is the source's, a day has one price, an unknown model has none and is never free."""

from datetime import date
from itertools import pairwise

import pytest

from parity.core.money import LongContext, Price, Rates, cost_of, decode_price, encode_price
from parity.core.outputs import Failure, FailureKind, Generation, Usage
from parity.core.refs import ModelRef
from parity.errors import DataError
from parity.pricing.book import HOSTS, PriceBook, shipped
from parity.pricing.own import open_book

BOOK = PriceBook(shipped())
NOW = date(2026, 11, 24)


def price(name, day=NOW, book=BOOK):
    return book.price(ModelRef.parse(name), day)


@pytest.mark.parametrize(
    ("name", "day", "input_usd", "output_usd", "cached"),
    [
        ("openai:gpt-4o", date(2024, 6, 1), 5, 15, None),
        ("openai:gpt-4o", NOW, 2.5, 10, 1.25),
        ("openai:gpt-5.6-luna", date(2026, 7, 29), 1, 6, 0.1),
        ("openai:gpt-5.6-luna", date(2026, 7, 30), 0.2, 1.2, 0.02),
        ("anthropic:claude-sonnet-5", date(2026, 8, 31), 2, 10, 0.2),
        ("anthropic:claude-sonnet-5", date(2026, 9, 1), 3, 15, None),
        ("anthropic:claude-3-5-haiku-20241022", date(2025, 1, 1), 1, 5, None),
        ("https://api.deepseek.com/v1#deepseek-chat", date(2025, 2, 7), 0.14, 0.28, None),
        ("https://api.deepseek.com/v1#deepseek-chat", date(2025, 2, 8), 0.27, 1.1, None),
        ("https://generativelanguage.googleapis.com/v1beta/openai#models/gemini-2.5-pro", NOW, 1.25, 10, 0.125),
        ("https://api.mistral.ai/v1#mistral-large-latest", date(2024, 4, 1), 8, 24, None),
        ("https://api.together.xyz/v1#meta-llama/Llama-3.3-70B-Instruct-Turbo", NOW, 0.88, 0.88, None),
        ("https://api.groq.com/openai/v1#qwen/qwen3-32b", NOW, 0.29, 0.59, None),
    ],
)
def test_a_price_is_that_of_the_day(name, day, input_usd, output_usd, cached):
    assert price(name, day).rates == Rates(input_usd, output_usd, cached)
    assert price(name, day).source


def test_every_day_of_the_history_has_exactly_one_price():
    by_model = {}
    for entry in BOOK.listed:
        by_model.setdefault(entry.model, []).append(entry)
    for entries in by_model.values():
        days = [entry.since for entry in entries]
        assert days == sorted(set(days))
        for before, after in pairwise(entries):
            assert (before.rates, before.long) != (after.rates, after.long)
        assert all(entry.rates.input_usd > 0 and entry.rates.output_usd > 0 for entry in entries)
        cached = [entry.rates for entry in entries if entry.rates.cached_input_usd is not None]
        assert all(rates.cached_input_usd <= rates.input_usd for rates in cached)
    assert len(by_model) > 300
    assert {entry.model.partition(":")[0] for entry in BOOK.listed} >= set(HOSTS.values())


@pytest.mark.parametrize(
    ("name", "day", "message"),
    [
        ("openai:gpt-4z", NOW, "Did you mean 'gpt-4'"),
        ("openai:gpt-4o-2", NOW, "No price is on record for openai:gpt-4o-2"),
        ("openai:claude-3-opus-20240229", NOW, "No price is on record"),
        ("http://10.0.0.1:8000/v1#gpt-4o", NOW, "local = true"),
        ("https://api.openai.com.evil.example/v1#gpt-4o", NOW, "No price is on record"),
        ("openai:gpt-4o", date(2023, 1, 1), "The first price on record for openai:gpt-4o is of 2024-05-14"),
    ],
)
def test_an_unknown_price_is_an_error_and_never_0(name, day, message):
    with pytest.raises(DataError, match="(?s)" + message):
        price(name, day)


@pytest.mark.parametrize("name", ["models/llama", "hf:org/name", "gguf:x.gguf", "replay:x.jsonl", "dummy:"])
def test_what_runs_here_is_marked_local(name):
    assert price(name).local
    assert price(name).cost(10**6, 10**6) == 0


def own(tmp_path, text):
    (tmp_path / "prices.toml").write_text(text)
    return open_book(tmp_path)


def test_own_prices_go_first_and_may_mark_a_machine_as_local(tmp_path):
    book = own(
        tmp_path,
        """
        [[price]]
        model = "openai:gpt-4o"
        input_usd = 2
        output_usd = 8
        since = 2026-01-01
        [[price]]
        model = "openai:gpt-4o"
        input_usd = 1
        output_usd = 4
        cached_input_usd = 0.5
        since = 2026-06-01
        [[price]]
        model = "http://127.0.0.1:8000/v1#llama"
        local = true
        """,
    )
    assert price("openai:gpt-4o", date(2026, 5, 31), book).rates == Rates(2, 8)
    assert price("openai:gpt-4o", NOW, book).rates == Rates(1, 4, 0.5)
    assert price("openai:gpt-4o", NOW, book).source == "prices.toml"
    assert price("http://127.0.0.1:8000/v1#llama", NOW, book).local
    with pytest.raises(DataError):
        price("http://127.0.0.1:8000/v1#other", NOW, book)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("input_usd = 1", "needs input_usd and output_usd, or local = true"),
        ("input_usd = 0\noutput_usd = 0", "costs nothing"),
        ("input_usd = -1\noutput_usd = 1", "not dollars per million"),
        ("input_usd = 1\noutput_usd = nan", "not dollars per million"),
        ("local = true\ninput_usd = 1", "is local and has a price"),
        ("inptu_usd = 1", "Did you mean 'input_usd'"),
        ("input_usd = 'x'", "unable to parse string as a number"),
        ('input_usd = 1\noutput_usd = 1\n[[price]]\nmodel = "openai:x"\nlocal = true', "two prices for one day"),
    ],
)
def test_a_wrong_price_file_says_what_is_wrong(tmp_path, entry, message):
    with pytest.raises(DataError, match=message):
        own(tmp_path, f'[[price]]\nmodel = "openai:x"\n{entry}\n')


def test_the_file_that_is_named_must_be_there(tmp_path):
    assert open_book(tmp_path) == BOOK
    with pytest.raises(DataError, match="There is no price file"):
        open_book(tmp_path, tmp_path / "none.toml")


def test_costs_add_up_answer_by_answer():
    long = LongContext(1000, Rates(4, 10, 1))
    sold = Price("x", Rates(2, 8, 0.5), date(2026, 1, 1), "me", long)
    answers = [
        Generation("", "stop", Usage(1000, 100, cached_tokens=600)),
        Generation("", "stop", Usage(1001, 100)),
        Generation("", "stop", Usage(100, 0, cached_tokens=500)),
        Failure(FailureKind.ENGINE, "busy"),
    ]
    expected = (400 * 2 + 600 * 0.5 + 100 * 8) + (1001 * 4 + 100 * 10) + (100 * 0.5)
    assert cost_of(answers, sold).usd == pytest.approx(expected / 1e6)
    assert sold.most(1000, 100) == pytest.approx((1000 * 4 + 100 * 10) / 1e6)
    assert decode_price(encode_price(sold)) == sold
    with pytest.raises(ValueError, match="cached"):
        sold.cost(10, 0, 11)
