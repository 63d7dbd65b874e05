"""The bound on memory: what lives stays under it, the numbers stay what they are, too little is said at once."""

import contextlib
import random
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from parity.engines.tokens.encoding import Encoded
from parity.engines.torch.body import Body
from parity.engines.torch.decoding import Decoding
from parity.engines.torch.gauge import LiveBytes, gauge
from parity.engines.torch.room import Room
from parity.engines.torch.scoring import Scorer
from parity.errors import EngineError
from parity.testing.families import family_folder
from parity.testing.folders import trained_tokenizer

FAMILIES = ("mistral", "qwen3-moe", "deepseek-v3")


@pytest.fixture(scope="module", params=FAMILIES)
def measured(request, tmp_path_factory):
    tokenizer = trained_tokenizer(["one two three"] * 3, vocabulary=300)
    folder = family_folder(request.param, tmp_path_factory.mktemp(request.param) / "model", tokenizer)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, gauge(model)


def contexts_of(chance, count):
    stems = [[chance.randrange(200) for _ in range(160)] for _ in range(2)]
    return [
        chance.choice(stems)[: chance.randint(40, 160)] + [chance.randrange(9) for _ in range(chance.randint(1, 30))]
        for _ in range(count)
    ]


def room(cost, bound_bytes):
    return Room(2048, 16, None, bound_bytes, cost)


def least(cost, depth):
    """The smallest bound in bytes that is not refused, from what the refusal says."""
    with pytest.raises(EngineError) as refused:
        room(cost, 1000).cut(depth)
    return int(float(re.search(r"--memory ([\d.e-]*\d)", str(refused.value)).group(1)) * 2**30)


def test_scores_stay_the_same_and_under_the_bound(measured):
    model, cost = measured

    @settings(max_examples=4, deadline=None)
    @given(seed=st.integers(0, 10**6), spare=st.floats(0, 1.5))
    def check(seed, spare):
        contexts = map(tuple, contexts_of(random.Random(seed), 5))
        asked = ({"continuations": ((1, 2), (3,))}, {"continuations": ((1,), (2,)), "compared": True})
        encoded = [Encoded(context, **asked[at % 2]) for at, context in enumerate(contexts)]
        bound = int(least(cost, max(len(entry.context) for entry in encoded) + 1) * (1 + spare))
        free, _, _ = score(model, encoded, Room(2048, 16))
        tight, passes, live = score(model, encoded, room(cost, bound))
        assert live.peak_bytes <= bound
        assert passes > 1 or spare > 0.2
        for one, other in zip(tight, free, strict=True):
            assert one == pytest.approx(other, abs=1e-4)

    check()


def score(model, encoded, room):
    body, live, passes = Body(model, room), LiveBytes(), 0
    usual = body.read

    def read(*given):
        nonlocal passes
        passes += 1
        return usual(*given)

    body.read = read
    with live:
        found = dict(Scorer(model, body, contextlib.nullcontext()).score(encoded, lambda _: False))
    assert body.work.computed == body.work.distinct  # nothing was given up and computed again
    return [found[at].values for at in range(len(encoded))], passes, live


def test_fewer_answers_at_once_write_the_same_and_stay_under_the_bound(measured):
    model, cost = measured
    contexts = contexts_of(random.Random(7), 8)
    free, _, most_free = write(model, contexts, Room(2048, 16))
    smallest = least(cost, max(map(len, contexts))) + room(cost, 0).slots_bytes(1, 202, [])
    counts = set()
    for bound in (smallest, 2 * smallest, 8 * smallest):
        tight, live, count = write(model, contexts, room(cost, bound))
        assert live.peak_bytes <= bound
        assert tight == free
        counts.add(count)
    assert len(counts) > 1
    assert min(counts) < most_free


@torch.inference_mode()
def write(model, contexts, room):
    tokens, most, live = [[] for _ in contexts], 0, LiveBytes()
    with live:
        decoding = Decoding(Body(model, room), contexts, 12)
        while decoding.open:
            rows, hidden_RH = decoding.step()
            most = max(most, len(rows))
            for row, token in zip(rows, model.lm_head(hidden_RH).argmax(-1).tolist(), strict=True):
                tokens[row].append(token)
            decoding.feed([tokens[row][-1] if len(tokens[row]) < (3, 12)[row % 2] else None for row in rows])
    return tokens, live, most
