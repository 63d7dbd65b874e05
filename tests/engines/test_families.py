"""Every family through the torch engine: the numbers are transformers' own, alone or in a batch, cached or not."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from parity.core.outputs import Generation
from parity.core.prompts import Generate, Loglikelihood, RequestId, Sampling, TextPrompt
from parity.core.refs import ModelRef
from parity.engines.open import EngineOptions, open_engine
from parity.testing.families import FAMILIES, family_folder
from parity.testing.folders import trained_tokenizer

TEXTS = ["the cat sat on the mat and the dog ran over the hill", "one two three four five six seven", "A B C D answer"]
PROMPTS = ["the cat sat on the mat and the dog ran over", "one two", "answer", TEXTS[0] + " " + TEXTS[1]]
OPTIONS = (" A", " B", " the hill")


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    tokenizer = trained_tokenizer(TEXTS * 4, vocabulary=320)
    folder = family_folder(request.param, tmp_path_factory.mktemp(request.param) / "model", tokenizer)
    engine = open_engine(ModelRef.parse(str(folder)), EngineOptions(device="cpu", batch_size=4))
    yield engine, AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval(), tokenizer
    engine.close()


def test_log_likelihoods_are_the_plain_ones(family):
    engine, model, tokenizer = family
    found = dict(engine.answer([Loglikelihood(RequestId(text), TextPrompt(text), OPTIONS) for text in PROMPTS]))
    spread = set()
    for text in PROMPTS:
        for option, value in zip(OPTIONS, found[RequestId(text)].values, strict=True):
            context, whole = tokenizer.encode(text), tokenizer.encode(text + option)
            with torch.inference_mode():
                logprobs = torch.log_softmax(model(torch.tensor([whole]), use_cache=False).logits[0].double(), -1)
            expected = sum(float(logprobs[at - 1, whole[at]]) for at in range(len(context), len(whole)))
            assert value == pytest.approx(expected, abs=5e-5)
            spread.add(round(value, 3))
    assert len(spread) > len(OPTIONS)


def test_greedy_text_is_the_same_alone_in_a_batch_and_without_a_cache(family):
    engine, model, tokenizer = family
    requests = [Generate(RequestId(text), TextPrompt(text), Sampling(12)) for text in PROMPTS]
    together = dict(engine.answer(requests))
    for request in requests:
        ((_, alone),) = engine.answer([request])
        assert isinstance(alone, Generation)
        assert together[request.id].text == alone.text
        ids = tokenizer.encode(request.prompt.text)
        for _ in range(12):
            with torch.inference_mode():
                ids.append(int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
            if ids[-1] == tokenizer.eos_token_id:
                ids.pop()
                break
        start = len(tokenizer.encode(request.prompt.text))
        assert alone.text == tokenizer.decode(ids[start:], skip_special_tokens=True)
