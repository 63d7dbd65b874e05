"""The torch engine against transformers' own numbers, on one tiny Llama."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM

from parity.core.outputs import Failure, FailureKind
from parity.core.prompts import Fit, Generate, Loglikelihood, RequestId, Sampling, TextPrompt
from parity.core.refs import ModelRef
from parity.engines.open import EngineOptions, open_engine
from parity.testing.llama2c import llama2c_folder
from shared import needs_shared


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    source = needs_shared("weights_small", "stories260K")
    return llama2c_folder(source / "stories260K.bin", source / "tok512.bin", tmp_path_factory.mktemp("stories"))


@pytest.fixture(scope="module")
def engine(folder):
    opened = open_engine(ModelRef.parse(str(folder)), EngineOptions(device="cpu", batch_size=3))
    yield opened
    opened.close()


def ask(engine, *requests):
    return dict(engine.answer(requests))


PROMPTS = ["Once upon a time", "Lily had a ball. She", "The", "One day, a boy named Tim saw a big dog and"]
OPTIONS = (" was", " there was a little girl", " dog.", " x")


def test_log_likelihoods_equal_one_plain_forward_each(engine, folder):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    found = ask(engine, *(Loglikelihood(RequestId(text), TextPrompt(text), OPTIONS) for text in PROMPTS))
    tokenizer = engine._tokenizer
    for text in PROMPTS:
        for option, value in zip(OPTIONS, found[RequestId(text)].values, strict=True):
            context, whole = tokenizer.encode(text), tokenizer.encode(text + option)
            logprobs = torch.log_softmax(model(torch.tensor([whole])).logits[0].detach().double(), -1)
            expected = sum(float(logprobs[at - 1, whole[at]]) for at in range(len(context), len(whole)))
            assert value == pytest.approx(expected, abs=2e-5)


def test_options_that_are_compared_are_chosen_as_log_likelihoods_would(engine):
    options = {"single": (" was", " and", " to"), "several": (" was", " there was"), "one": (" was",)}
    requests = [
        Loglikelihood(RequestId(f"{text}/{name}"), TextPrompt(text), options[name])
        for text in [*PROMPTS, "Once upon a t", "One day, "]  # the last two merge with, or lend their space to, options
        for name in options
    ]
    whole = ask(engine, *requests)
    found = ask(engine, *(replace(request, compared=True) for request in requests))
    for request in requests:
        one, other = whole[request.id], found[request.id]
        assert not one.relative
        assert other.relative == (set(one.tokens) == {1} and len(one.tokens) > 1)
        apart = [value - one.values[0] + other.values[0] for value in one.values]
        assert apart == pytest.approx(other.values, abs=2e-5)
    assert {found[request.id].relative for request in requests} == {True, False}


def test_a_batch_equals_one_alone_and_a_stream(engine):
    requests = [Generate(RequestId(text), TextPrompt(text), Sampling(20, stop=(".",))) for text in PROMPTS]
    together = ask(engine, *requests)
    for request in requests:
        alone = ask(engine, request)[request.id]
        deltas = list(engine.stream(request))
        assert together[request.id].text == alone.text == "".join(delta.text for delta in deltas)
        assert deltas[-1].finish == alone.finish
        assert "." not in alone.text


def test_overflow_is_an_error_or_counted(engine):
    long = TextPrompt("Once upon a time " * 400)
    failed = ask(engine, Generate(RequestId("a"), long, Sampling(5)))[RequestId("a")]
    assert isinstance(failed, Failure)
    assert failed.kind is FailureKind.CONTEXT_EXCEEDED
    cut = ask(engine, Loglikelihood(RequestId("b"), long, (" A", " B"), Fit("truncate")))[RequestId("b")]
    assert cut.usage.truncated_tokens > 0
    assert cut.usage.prompt_tokens + cut.tokens[0] - 1 <= 512


def test_shots_are_dropped_last_first_and_counted(engine):
    prompt = TextPrompt("The end", "Begin. ", tuple(f"Tale {at}: once upon a time. " for at in range(5)))
    request = Loglikelihood(RequestId("a"), prompt, (" was", " is"), Fit("drop_shots", 60))
    found = ask(engine, request)[RequestId("a")]
    assert 0 < found.usage.dropped_shots < 5
    fewer = prompt
    for _ in range(found.usage.dropped_shots):
        fewer = fewer.with_fewer_shots()
    plain = ask(engine, Loglikelihood(RequestId("b"), fewer, (" was", " is")))[RequestId("b")]
    assert plain.values == pytest.approx(found.values, abs=1e-5)


def test_draws_differ_and_repeat(engine):
    sampling = Sampling(12, temperature=1.0, seed=3)
    requests = [Generate(RequestId("a", draw), TextPrompt("Once"), sampling) for draw in range(4)]
    first, again = ask(engine, *requests), ask(engine, *reversed(requests))
    assert {key: output.text for key, output in first.items()} == {key: output.text for key, output in again.items()}
    assert len({output.text for output in first.values()}) > 1


def test_a_context_of_its_own_stands_before_each_continuation(engine):
    contexts, rest = ("Tim had a dog", "Tim had a cat and a ball"), (" and was glad.", " and was glad.")
    whole = Loglikelihood(RequestId("w"), TextPrompt(""), rest, contexts=contexts)
    plain = Loglikelihood(RequestId("p"), TextPrompt("Tim had"), (" a ball",))
    # Compared or not: each is scored after a context of its own, where no other option is.
    compared = ask(engine, replace(whole, compared=True))[RequestId("w")]
    assert not compared.relative
    found = ask(engine, whole, plain)
    assert compared.values == pytest.approx(found[RequestId("w")].values, abs=2e-5)
    alone = [
        ask(engine, Loglikelihood(RequestId("a"), TextPrompt(context), (option,)))[RequestId("a")].values[0]
        for context, option in zip(contexts, rest, strict=True)
    ]
    assert found[RequestId("w")].values == pytest.approx(tuple(alone), abs=2e-5)
    assert len(found) == 2
    long = Loglikelihood(RequestId("l"), TextPrompt(""), rest, contexts=("Tim had a dog", "Once upon a time " * 400))
    assert ask(engine, long)[RequestId("l")].kind is FailureKind.CONTEXT_EXCEEDED
