"""llama.cpp through the Engine protocol, held against transformers on the same weights."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from parity.core.outputs import Loglikelihoods, Output
from parity.core.prompts import Loglikelihood, Request, RequestId, TextPrompt
from parity.core.refs import ModelRef
from parity.engines.llamacpp import LlamaCppEngine
from parity.engines.open import EngineOptions, open_engine
from parity.testing.engine_checks import ENGINE_CHECKS

PROMPTS = ["Once upon a time", "Lily had a ball. She", "The", "One day, a boy named Tim saw a big dog and"]
OPTIONS = (" was", " there was a little girl", " dog.", " x")


@pytest.fixture(scope="module")
def engine(stories_gguf: Path) -> Iterator[LlamaCppEngine]:
    opened = LlamaCppEngine(ModelRef.parse(f"gguf:{stories_gguf}"), EngineOptions(batch_size=4))
    yield opened
    opened.close()


def ask(engine: LlamaCppEngine, *requests: Request) -> dict[RequestId, Output]:
    return dict(engine.answer(requests))


@pytest.mark.parametrize("check", ENGINE_CHECKS, ids=lambda check: check.__name__)
def test_conforms(check, engine: LlamaCppEngine) -> None:
    check(engine)


def test_log_likelihoods_are_those_of_transformers(engine: LlamaCppEngine, stories_folder: Path) -> None:
    torch_engine = open_engine(ModelRef.parse(str(stories_folder)), EngineOptions(device="cpu"))
    requests = [Loglikelihood(RequestId(text), TextPrompt(text), OPTIONS) for text in PROMPTS]
    ours, theirs = ask(engine, *requests), dict(torch_engine.answer(requests))
    torch_engine.close()
    for request in requests:
        one, other = ours[request.id], theirs[request.id]
        assert isinstance(one, Loglikelihoods)
        assert isinstance(other, Loglikelihoods)
        assert one.tokens == other.tokens
        assert one.values == pytest.approx(other.values, abs=2e-5)
