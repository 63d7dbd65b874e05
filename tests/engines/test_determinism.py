"""Deterministic mode: the same bits alone and in any company, order, part, batch, memory; scored and written."""

import contextlib
import random
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from parity.core.prompts import Generate, Loglikelihood, RequestId, Sampling, TextPrompt
from parity.core.refs import ModelRef
from parity.engines.open import EngineOptions, open_engine
from parity.engines.tokens.encoding import Encoded
from parity.engines.torch import engine as torch_engine
from parity.engines.torch.body import Body
from parity.engines.torch.determinism import TILE, ExactTurn
from parity.engines.torch.room import Room
from parity.engines.torch.scoring import Scorer
from parity.testing.families import family_folder
from parity.testing.folders import trained_tokenizer

TEXTS = ["the cat sat on the mat and the dog ran over the hill", "one two three four five six seven", "A B C D answer"]
HEAD = "the cat sat on the mat. one two three four. the dog ran over the hill. " * 2
# Dense, windows, experts (whose products' shapes depend on all tokens of a pass), latent attention.
FAMILIES = ("llama-3", "mistral", "qwen3-moe", "deepseek-v3")


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request, tmp_path_factory):
    tokenizer = trained_tokenizer(TEXTS * 4, vocabulary=320)
    return family_folder(request.param, tmp_path_factory.mktemp(request.param) / "model", tokenizer)


@pytest.fixture(scope="module")
def model(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def some(chance, count):
    """Requests that begin alike, branch anywhere, repeat each other, or are the beginnings of others."""
    stems = [[chance.randrange(300) for _ in range(90)] for _ in range(2)]
    found = []
    for _ in range(count):
        context = chance.choice(stems)[: chance.choice([chance.randint(1, 90), TILE, 2 * TILE])]
        context = context + [chance.randrange(3) for _ in range(chance.choice([0, 0, 1, 5]))]
        options = [[chance.randrange(3) for _ in range(chance.randint(1, 4))] for _ in range(chance.randint(1, 4))]
        found.append(Encoded(tuple(context), tuple(map(tuple, options))))
        if chance.random() < 0.5:
            found[-1] = replace(found[-1], continuations=((7,), (chance.randrange(300),), (9,)), compared=True)
    return found


def score(model, encoded, tile):
    body = Body(model, Room(512, 1, tile))
    turn = ExactTurn(contextlib.nullcontext(), model.device) if tile else contextlib.nullcontext()
    found = dict(Scorer(model, body, turn).score(encoded, lambda _: False))
    return [found[at].values for at in range(len(encoded))], body.work


def test_scores_have_the_same_bits_in_any_company(model):
    alike = []

    @settings(max_examples=12, deadline=None)
    @given(seed=st.integers(0, 10**6), count=st.integers(2, 14))
    def check(seed, count):
        chance = random.Random(seed)
        encoded = some(chance, count)
        together, work = score(model, encoded, TILE)
        assert work.computed % TILE == 0
        order = chance.sample(range(count), count)
        part = order[: chance.randint(1, count)]
        assert score(model, [encoded[at] for at in part], TILE)[0] == [together[at] for at in part]
        alike.append(score(model, [encoded[part[0]]], None)[0][0] == score(model, encoded, None)[0][part[0]])

    check()
    assert not all(alike)  # without tiles some bits differ, so equal ones above are no matter of course


def opened(folder, **options):
    return open_engine(ModelRef.parse(str(folder)), EngineOptions(device="cpu", deterministic=True, **options))


def asked(chance, count):
    words = " ".join(TEXTS).split()
    found = []
    for at in range(count):
        prompt = TextPrompt(" ".join(chance.choices(words, k=chance.randint(1, 12))), HEAD if at % 3 else "")
        found.append(Loglikelihood(RequestId(f"s{at}"), prompt, (" A", " B", " the hill ran")))
        drawn = Sampling(6, temperature=float(at % 2), seed=at)
        found.append(Generate(RequestId(f"w{at}"), prompt, drawn))
    return found


def seen(outputs):
    return {key: getattr(output, "values", None) or output.text for key, output in outputs}


@pytest.mark.parametrize("plain", [False, True])
def test_an_engine_answers_alike_whatever_its_batch_memory_and_company(folder, monkeypatch, plain):
    if plain:
        monkeypatch.setattr(torch_engine, "follows_a_walk", lambda *_: False)
    chance = random.Random(1)
    requests = asked(chance, 6)
    engine = opened(folder)
    expected = seen(engine.answer(requests))
    assert len(expected) == len(requests)
    other = opened(folder, batch_size=3, pass_tokens=50, memory=0.05)
    assert other.identity == engine.identity
    for size in (1, 5):
        shuffled = chance.sample(requests, len(requests))
        for start in range(0, len(shuffled), size):
            for key, found in seen(other.answer(shuffled[start : start + size])).items():
                assert found == expected[key]
    streamed = {request.id: "".join(delta.text for delta in other.stream(request)) for request in requests[1::2]}
    assert streamed == {request.id: expected[request.id] for request in requests[1::2]}


def test_threads_are_part_of_the_identity_and_torch_is_left_as_it_was(folder):
    before = torch.get_num_threads()
    usual = open_engine(ModelRef.parse(str(folder)), EngineOptions(device="cpu"))
    exact = opened(folder)
    list(exact.answer(asked(random.Random(2), 2)))
    assert not torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(before + 1)
    try:
        more = opened(folder)
    finally:
        torch.set_num_threads(before)
    assert len({engine.identity.digest for engine in (usual, exact, more)}) == 3
