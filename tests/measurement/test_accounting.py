"""Which price a model has where it is really asked, and what a forecast adds up."""

from datetime import date

import pytest

from parity.core.money import Price, Rates
from parity.core.outputs import Generation, Usage
from parity.core.prompts import ChatPrompt, Generate, Loglikelihood, Message, RequestId, Sampling, TextPrompt
from parity.core.refs import ModelRef
from parity.engines.dummy import DummyEngine
from parity.errors import DataError
from parity.measurement.accounting import cost_so_far, forecast, price_of
from parity.pricing.book import PriceBook, shipped
from parity.store import Workspace

NOW = date(2026, 11, 24)
BOOK = PriceBook(shipped())
SOLD = Price("x", Rates(10.0, 40.0))


def priced(text, needed=False, book=BOOK):
    return price_of(ModelRef.parse(text), book, NOW, needed)


@pytest.fixture(autouse=True)
def _no_other_urls(monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("ANTHROPIC_BASE_URL", raising=False)


def test_a_provider_bills_for_certain_and_an_unknown_server_may_not():
    assert priced("openai:gpt-4o").rates.output_usd == 10
    assert priced("http://127.0.0.1:8000/v1#m") is None
    for text, needed in (("openai:gpt-0", False), ("http://127.0.0.1:8000/v1#m", True)):
        with pytest.raises(DataError, match="No price is on record"):
            priced(text, needed)


def test_another_url_in_the_environment_has_another_price(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:8000/v1")
    assert priced("openai:gpt-4o") is None
    monkeypatch.setenv("OPENAI_BASE_URL", "https://api.deepseek.com/v1")
    assert priced("openai:deepseek-chat").model == "deepseek:deepseek-chat"
    own = PriceBook(BOOK.listed, (Price("openai:gpt-4o", Rates(1.0, 2.0)),))
    assert priced("openai:gpt-4o", book=own).rates == Rates(1.0, 2.0)


def test_a_forecast_leaves_out_what_is_answered_and_its_most_is_no_less(tmp_path):
    engine, workspace = DummyEngine(ModelRef.parse("dummy:")), Workspace(tmp_path)
    text, chat = TextPrompt("a" * 400), ChatPrompt((Message("user", "b" * 80),))
    requests = [
        Generate(RequestId("known"), text, Sampling(5)),
        Generate(RequestId("text"), text, Sampling(5)),
        Generate(RequestId("chat"), chat, Sampling(7)),
        Loglikelihood(RequestId("scored"), text, ("cccc", "dddd")),
    ]
    workspace.put_answer(engine.identity.digest, requests[0], Generation("x", "stop", Usage(100, 3, cached_tokens=50)))
    found = forecast(engine, requests, workspace, SOLD)
    assert (found.requests, found.known) == (3, 1)
    assert found.prompt_tokens == 101 + 21 + 2 * 102
    assert found.completion_tokens == 12
    assert found.usd == pytest.approx((found.prompt_tokens * 10 + 12 * 40) / 1e6)
    assert found.most_usd > found.usd
    assert cost_so_far(engine, requests, workspace, SOLD).usd == pytest.approx((100 * 10 + 3 * 40) / 1e6)
    assert cost_so_far(engine, requests, workspace, None) is None
    workspace.close()
