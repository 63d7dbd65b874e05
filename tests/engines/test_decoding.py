"""Decoding along shared prefixes: the logits of every step are those of the whole sequence computed alone."""

import random

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from parity.engines.torch.body import Body
from parity.engines.torch.decoding import Decoding
from parity.engines.torch.proof import follows_a_walk
from parity.engines.torch.room import Room
from parity.engines.torch.slots import Slots
from parity.testing.families import FAMILIES, family_folder
from parity.testing.folders import trained_tokenizer

# DeepSeek's modelling code routes and rotates in fp32 whatever the model's type is.
EXACT = {name: 1e-9 if not name.startswith("deepseek-v") else 1e-5 for name in FAMILIES}


def load(folder, dtype=torch.float64):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, experts_implementation="eager").eval()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    scratch, tokenizer = tmp_path_factory.mktemp("families"), trained_tokenizer(["one two three"] * 3, vocabulary=300)
    return {name: family_folder(name, scratch / name, tokenizer) for name in FAMILIES}


@pytest.fixture(scope="module")
def llama(folders):
    return load(folders["llama-2"])


@pytest.fixture(scope="module")
def mistral(folders):
    return load(folders["mistral"])


def some(chance, count, longest=40):
    """Contexts that begin alike, branch anywhere, repeat each other, or are the beginnings of others."""
    stems = [[chance.randrange(200) for _ in range(longest)] for _ in range(2)]
    contexts = []
    for _ in range(count):
        stem = chance.choice(stems)[: chance.randint(1, longest)]
        contexts.append(stem + [chance.randrange(4) for _ in range(chance.randint(0, 6))])
    return contexts + contexts[: count // 3]


def decode(model, contexts, slots, pass_tokens, worth_tokens=256, cancelled=lambda _: False, most_tokens=150):
    return Decoding(Body(model, Room(pass_tokens, slots)), contexts, most_tokens, cancelled, worth_tokens)


@torch.inference_mode()
def greedy(model, decoding, lengths):
    """Tokens and logits of each request, `lengths[request]` of them."""
    tokens, logits = [[] for _ in lengths], [[] for _ in lengths]
    while decoding.open:
        requests, hidden_RH = decoding.step()
        logits_RV = model.lm_head(hidden_RH)
        assert len(set(requests)) == len(requests)
        for request, row in zip(requests, logits_RV, strict=True):
            tokens[request].append(int(row.argmax()))
            logits[request].append(row)
        decoding.feed([tokens[at][-1] if len(tokens[at]) < lengths[at] else None for at in requests])
    return tokens, logits


def furthest(model, contexts, tokens, logits):
    """The largest difference of any logit from one plain pass over context and answer, without a cache."""
    worst = 0.0
    for context, written, found in zip(contexts, tokens, logits, strict=True):
        with torch.inference_mode():
            plain = model(torch.tensor([[*context, *written[:-1]]]), use_cache=False).logits[0, len(context) - 1 :]
        worst = max(worst, float((torch.stack(found) - plain).abs().max()))
        assert plain.argmax(-1).tolist() == written
    return worst


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_decodes_exactly(folders, name):
    model, contexts = load(folders[name]), some(random.Random(1), 9)
    lengths = [3 + at % 7 for at in range(len(contexts))]
    for limits in ((3, 17, 1), (20, 1000)):
        decoding = decode(model, contexts, *limits)
        tokens, logits = greedy(model, decoding, lengths)
        assert [len(written) for written in tokens] == lengths
        assert furthest(model, contexts, tokens, logits) < EXACT[name]
        nodes = {tuple(context[: depth + 1]) for context in contexts for depth in range(len(context))}
        fed = sum(lengths) - len(lengths)
        assert decoding._body.work.computed == decoding._body.work.distinct == len(nodes) + fed
        assert decoding._body.work.requested == sum(map(len, contexts)) + fed


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10**6),
    slots=st.integers(1, 9),
    pass_tokens=st.integers(1, 90),
    worth_tokens=st.sampled_from([1, 40, 10**6]),
    windowed=st.booleans(),
)
def test_any_prompts_in_any_limits(llama, mistral, seed, slots, pass_tokens, worth_tokens, windowed):
    model, chance = mistral if windowed else llama, random.Random(seed)
    contexts = some(chance, chance.randint(1, 8))
    lengths = [chance.randint(1, 6) for _ in contexts]
    tokens, logits = greedy(model, decode(model, contexts, slots, pass_tokens, worth_tokens), lengths)
    assert furthest(model, contexts, tokens, logits) < 1e-9


def test_windows_shorter_than_the_head_and_passed_while_writing(mistral):
    assert mistral.config.sliding_window == 8
    chance = random.Random(3)
    stem = [chance.randrange(200) for _ in range(30)]
    contexts = [[*stem, *(chance.randrange(200) for _ in range(tail))] for tail in (0, 2, 9, 2)]
    tokens, logits = greedy(mistral, decode(mistral, contexts, 4, 100, 1), [14, 3, 14, 12])
    assert furthest(mistral, contexts, tokens, logits) < 1e-9


def test_slots_grow_with_long_answers(llama):
    contexts = some(random.Random(6), 4)
    lengths = [150, 2, 80, 1, 5]
    tokens, logits = greedy(llama, decode(llama, contexts, 2, 100, 1), lengths)
    assert furthest(llama, contexts, tokens, logits) < 1e-9


def test_a_shared_beginning_is_kept_once(llama):
    chance = random.Random(4)
    stem = [chance.randrange(200) for _ in range(120)]
    contexts = [[*stem, at] for at in range(6)]
    decoding = decode(llama, contexts, 6, 1000)
    decoding.step()
    keys, _ = decoding._slots._layers[0]
    assert keys.shape[2] < len(stem)
    assert len({id(head) for head in decoding._slots._heads}) == 1


@torch.inference_mode()
def test_cancelled_answers_leave_the_others_as_they_are(llama):
    contexts = some(random.Random(5), 12)
    cancelled = {0, 5}
    decoding = decode(llama, contexts, 4, 30, 1, cancelled.__contains__)
    tokens, logits, steps = [[] for _ in contexts], [[] for _ in contexts], 0
    while decoding.open:
        requests, hidden_RH = decoding.step()
        logits_RV = llama.lm_head(hidden_RH)
        steps += 1
        if steps == 3:
            cancelled |= {requests[1], len(contexts) - 1}
        for request, row in zip(requests, logits_RV, strict=True):
            tokens[request].append(int(row.argmax()))
            logits[request].append(row)
        decoding.feed([tokens[at][-1] if len(tokens[at]) < 5 else None for at in requests])
    finished = [at for at in range(len(contexts)) if len(tokens[at]) == 5]
    assert sorted(decoding.dropped) == sorted(cancelled)
    assert sorted(finished) == sorted(set(range(len(contexts))) - cancelled)
    kept = [([part[at] for at in finished]) for part in (contexts, tokens, logits)]
    assert furthest(llama, *kept) < 1e-9


def test_everything_cancelled_is_an_end(llama):
    decoding = decode(llama, some(random.Random(5), 6), 2, 30, cancelled=lambda _: True)
    assert decoding.step()[0] == []
    assert not decoding.open
    assert sorted(decoding.dropped) == list(range(8))


def test_a_model_that_only_errs_while_it_writes_is_found(folders, monkeypatch):
    model = load(folders["mistral"], torch.float32)
    assert follows_a_walk(model)
    attend = Slots.attend
    monkeypatch.setattr(Slots, "attend", lambda self, *given: attend(self, *given[:-1], None))  # forgets the window
    assert not follows_a_walk(model)
