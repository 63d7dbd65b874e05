"""Half precision on a CPU, and models that cannot follow a walk: right, and said to be what they are."""

import pytest
import torch
from transformers import AutoModelForCausalLM, GraniteConfig

from parity.core.outputs import Generation
from parity.core.prompts import Generate, Loglikelihood, RequestId, Sampling, TextPrompt
from parity.core.refs import ModelRef
from parity.engines.base import PREFIXES, PREFIXES_NOT_SHARED
from parity.engines.open import EngineOptions, open_engine
from parity.measurement.notes import notes_of
from parity.testing.families import family_folder
from parity.testing.folders import trained_tokenizer

TEXTS = ["the cat sat on the mat and the dog ran over the hill", "one two three four five six seven", "A B C D answer"]
PROMPTS = ["the cat sat on the mat and the dog", "the cat sat on the mat", "one two three", "answer A B"]
OPTIONS = (" the", " and", " dog")  # one token each


@pytest.fixture(scope="module")
def tokenizer():
    return trained_tokenizer(TEXTS * 4, vocabulary=320)


def asked():
    found = []
    for text in PROMPTS:
        found.append(Loglikelihood(RequestId(f"{text}/whole"), TextPrompt(text), (*OPTIONS, " on the hill")))
        found.append(Loglikelihood(RequestId(f"{text}/few"), TextPrompt(text), OPTIONS, compared=True))
        found.append(Generate(RequestId(f"{text}/written"), TextPrompt(text), Sampling(5)))
    return found


def answered(engine, requests):
    return {key.item: output for key, output in engine.answer(requests)}


def plain(folder, tokenizer, text, option):
    """In fp32, by one forward pass over all of it."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    context, whole = tokenizer.encode(text), tokenizer.encode(text + option)
    with torch.inference_mode():
        logprobs = torch.log_softmax(model(torch.tensor([whole]), use_cache=False).logits[0], -1)
    return sum(float(logprobs[at - 1, whole[at]]) for at in range(len(context), len(whole)))


def check_values(found, folder, tokenizer, tolerance):
    for text in PROMPTS:
        whole, few = found[f"{text}/whole"], found[f"{text}/few"]
        expected = [plain(folder, tokenizer, text, option) for option in (*OPTIONS, " on the hill")]
        assert whole.values == pytest.approx(expected, abs=tolerance)
        apart = [value - expected[0] + few.values[0] for value in expected[:3]]
        assert few.values == pytest.approx(apart, abs=tolerance)
        assert isinstance(found[f"{text}/written"], Generation)


@pytest.mark.parametrize("name", ["llama-3", "mistral", "qwen3-moe", "deepseek-v3"])
def test_bfloat16_on_a_cpu_is_near_fp32_and_exact_where_it_is_asked_to_be(name, tokenizer, tmp_path):
    folder = family_folder(name, tmp_path / "model", tokenizer)
    usual = open_engine(ModelRef.parse(str(folder)), EngineOptions(device="cpu", dtype="bfloat16"))
    assert ("dtype", "bfloat16") in usual.identity.settings
    found = answered(usual, asked())
    assert usual.work.computed == usual.work.distinct
    check_values(found, folder, tokenizer, 0.3)
    assert all(found[f"{text}/few"].relative for text in PROMPTS)
    usual.close()
    exact = open_engine(ModelRef.parse(str(folder)), EngineOptions(device="cpu", dtype="bfloat16", deterministic=True))
    together = answered(exact, asked())
    for request in reversed(asked()):
        alone = answered(exact, [request])[request.id.item]
        key = "text" if isinstance(request, Generate) else "values"
        assert getattr(alone, key) == getattr(together[request.id.item], key)
    exact.close()


@pytest.mark.parametrize("deterministic", [False, True])
def test_a_family_whose_logits_are_scaled_is_computed_plainly_and_said_to_be(deterministic, tokenizer, tmp_path):
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = GraniteConfig(vocab_size=len(tokenizer), logits_scaling=8.0, embedding_multiplier=6.0, **sizes)
    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    options = EngineOptions(device="cpu", dtype="float32", deterministic=deterministic)
    engine = open_engine(ModelRef.parse(str(tmp_path / "model")), options)
    assert engine.work is None
    assert engine.token_work is None
    assert (PREFIXES, PREFIXES_NOT_SHARED) in engine.identity.settings
    assert "could not be proved" in notes_of(engine.identity.settings)[0]
    found = answered(engine, asked())
    check_values(found, tmp_path / "model", tokenizer, 1e-4)
    assert not any(found[f"{text}/few"].relative for text in PROMPTS)
    engine.close()
