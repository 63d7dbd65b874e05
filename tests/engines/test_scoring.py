"""Scoring along a walk: exact, complete, each token once; whatever is shared, however it is cut, in any order."""

import contextlib
import math
import random
from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoModelForCausalLM

from parity.core.outputs import Failure
from parity.engines.tokens.encoding import Encoded
from parity.engines.tokens.walk import Cut, passes, walk
from parity.engines.torch.body import Body
from parity.engines.torch.proof import follows_a_walk
from parity.engines.torch.room import Room
from parity.engines.torch.scoring import Scorer
from parity.testing.families import FAMILIES, family_folder
from parity.testing.folders import trained_tokenizer

# DeepSeek's modelling code routes and rotates in fp32 whatever the model's type is.
EXACT = {name: 1e-10 if not name.startswith("deepseek-v") else 1e-5 for name in FAMILIES}


def load(folder, **settings):
    return AutoModelForCausalLM.from_pretrained(folder, experts_implementation="eager", **settings).eval()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    scratch, tokenizer = tmp_path_factory.mktemp("families"), trained_tokenizer(["one two three"] * 3, vocabulary=300)
    return {name: family_folder(name, scratch / name, tokenizer) for name in FAMILIES}


@pytest.fixture(scope="module")
def model(folders):
    """A model that computes in float64 throughout. transformers' norms round to fp32, and where two ways to a number
    differ by 1e-16 that is, once in a thousand trees, another fp32 number: 1e-8 apart, whoever is right.
    """
    found = load(folders["llama-2"], dtype=torch.float64)
    for module in found.modules():
        if type(module).__name__ == "LlamaRMSNorm":
            module.forward = partial(norm, module)
    return found


def norm(module, hidden):
    return module.weight * hidden * torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + module.variance_epsilon)


def score(model, encoded, pass_tokens=64, cancelled=lambda _: False):
    scorer = Scorer(model, Body(model, Room(pass_tokens, 1)), contextlib.nullcontext())
    found = list(scorer.score(encoded, cancelled))
    assert len(found) == len({index for index, _ in found})
    return dict(found), scorer.work


def plain(model, entry):
    """Each continuation alone, by one forward pass over all of it."""
    values = []
    for rest in entry.continuations:
        with torch.inference_mode():
            logits = model(torch.tensor([[*entry.context, *rest]]), use_cache=False).logits[0]
        logprobs = torch.log_softmax(logits.double(), -1)
        values.append(sum(float(logprobs[len(entry.context) - 1 + at, token]) for at, token in enumerate(rest)))
    return values


def some(chance, count, vocabulary=200, longest=40):
    """Requests that begin alike, branch anywhere, repeat each other, or are the beginnings of others."""
    stems = [[chance.randrange(vocabulary) for _ in range(longest)] for _ in range(2)]
    found = []
    for _ in range(count):
        context = chance.choice(stems)[: chance.randint(1, longest)]
        context = context + [chance.randrange(4) for _ in range(chance.randint(0, 6))]
        options = [[chance.randrange(3) for _ in range(chance.randint(1, 4))] for _ in range(chance.randint(1, 4))]
        found.append(Encoded(tuple(context), tuple(map(tuple, options))))
    return found


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_scores_exactly(folders, name):
    model = load(folders[name], dtype=torch.float64)
    encoded = some(random.Random(1), 12)
    for pass_tokens in (7, 1000):
        found, work = score(model, encoded, pass_tokens)
        for index, entry in enumerate(encoded):
            assert found[index].values == pytest.approx(plain(model, entry), abs=EXACT[name])
        assert work.computed == work.distinct < work.requested


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), count=st.integers(1, 12), pass_tokens=st.integers(1, 90))
@example(seed=359, count=7, pass_tokens=1)
def test_any_tree_in_any_passes_and_any_order(model, seed, count, pass_tokens):
    chance = random.Random(seed)
    encoded = some(chance, count)
    found, _ = score(model, encoded, pass_tokens)
    order = chance.sample(range(count), count)
    again, _ = score(model, [encoded[index] for index in order], 1000)
    for position, index in enumerate(order):
        expected = plain(model, encoded[index])
        assert found[index].values == pytest.approx(expected, abs=1e-10)
        assert again[position].values == pytest.approx(expected, abs=1e-10)


@given(seed=st.integers(0, 10**6), most=st.integers(1, 50))
def test_a_walk_computes_each_node_of_the_prefix_tree_once(seed, most):
    encoded = some(random.Random(seed), 10, vocabulary=6, longest=8)
    rows = walk([entry.context for entry in encoded], [entry.continuations for entry in encoded])
    sequences = {(*entry.context, *rest[:-1]) for entry in encoded for rest in entry.continuations}
    nodes = {sequence[: depth + 1] for sequence in sequences for depth in range(len(sequence))}
    pieces = [piece for batch in passes(rows, Cut(most)) for piece in batch]
    assert sum(piece.end - piece.begin for piece in pieces) == len(nodes)
    assert all(sum(piece.end - piece.begin for piece in batch) <= most for batch in passes(rows, Cut(most)))
    path = []
    for piece in pieces:  # what lies on the path before a piece is what its row begins with
        assert path[: piece.begin] == piece.row.ids[: piece.begin].tolist()
        path[piece.begin :] = piece.row.ids[piece.begin : piece.end].tolist()


def compared_or_not(chance, count):
    """Requests to be compared and not, of single tokens and of several, also after the same context."""
    found = []
    for entry in some(chance, count):
        letters = tuple((token,) for token in chance.sample(range(200), chance.randint(2, 5)))
        found += [replace(entry, compared=True), replace(entry, continuations=letters, compared=True)]
        found += [replace(entry, continuations=letters)]
    return found


def check_differences(model, encoded, found, tolerance):
    for index, entry in enumerate(encoded):
        expected, values = plain(model, entry), found[index].values
        assert found[index].relative == entry.needs_few_logits
        if found[index].relative:
            assert sum(map(math.exp, values)) == pytest.approx(1)
            expected = [value - expected[0] for value in expected]
            values = [value - values[0] for value in values]
        assert values == pytest.approx(expected, abs=tolerance)


class Shapes(TorchDispatchMode):
    """Notes the shape of everything that is computed."""

    def __init__(self):
        super().__init__()
        self.shapes = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        self.shapes |= {tuple(leaf.shape) for leaf in tree_leaves(found) if isinstance(leaf, torch.Tensor)}
        return found


@pytest.mark.parametrize("name", FAMILIES)
def test_options_that_are_compared_take_their_own_rows_of_the_output_matrix(folders, name):
    model = load(folders[name], dtype=torch.float64)
    encoded = compared_or_not(random.Random(3), 4)
    few = [entry for entry in encoded if entry.needs_few_logits]
    whole = [entry for entry in encoded if not entry.needs_few_logits]
    positions = {
        (*entry.context, *rest[:at]) for entry in whole for rest in entry.continuations for at in range(len(rest))
    }
    check_differences(model, encoded, score(model, encoded, 19)[0], EXACT[name])
    vocabulary = model.get_output_embeddings().weight.shape[0]
    _, work = score(model, encoded, 1000)
    assert work.logits == sum(len(entry.continuations) for entry in few) + vocabulary * len(positions)
    for asked, expected in ((few, False), (whole, True)):
        with Shapes() as made:
            score(model, asked, 19)
        assert made.shapes
        assert any(vocabulary in shape for shape in made.shapes) == expected


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), count=st.integers(1, 4), pass_tokens=st.integers(1, 90))
def test_any_mixture_of_compared_and_not_has_the_plain_differences(model, seed, count, pass_tokens):
    chance = random.Random(seed)
    encoded = compared_or_not(chance, count)
    chance.shuffle(encoded)
    check_differences(model, encoded, score(model, encoded, pass_tokens)[0], 1e-10)


class Scaled(torch.nn.Linear):
    def forward(self, hidden):
        return 3 * super().forward(hidden)


@pytest.mark.parametrize("kind", [torch.nn.Linear, Scaled])
def test_a_bias_counts_and_a_matrix_of_another_kind_is_taken_whole(folders, kind):
    model = load(folders["llama-2"], dtype=torch.float64)
    weight = model.lm_head.weight
    model.lm_head = kind(weight.shape[1], weight.shape[0], dtype=torch.float64)
    model.lm_head.bias.data.normal_()
    encoded = compared_or_not(random.Random(4), 3)
    found, _ = score(model, encoded)
    if kind is torch.nn.Linear:
        check_differences(model, encoded, found, 1e-10)
        return
    for index, entry in enumerate(encoded):
        assert not found[index].relative
        assert found[index].values == pytest.approx(plain(model, entry), abs=1e-10)


def test_windows_shorter_than_the_prefix_are_kept(folders):
    model = load(folders["mistral"], dtype=torch.float64)
    assert model.config.sliding_window == 8
    encoded = some(random.Random(5), 8, longest=60)
    found, _ = score(model, encoded, 19)
    for index, entry in enumerate(encoded):
        assert found[index].values == pytest.approx(plain(model, entry), abs=1e-10)


def test_cancelled_requests_are_answered_as_such(model):
    encoded = some(random.Random(2), 9)
    found, _ = score(model, encoded, 8, lambda index: index % 2 == 0)
    assert found.keys() == set(range(9))
    assert all(isinstance(found[index], Failure) for index in (0, 2, 4, 6, 8))
    for index in (1, 3, 5, 7):
        assert found[index].values == pytest.approx(plain(model, encoded[index]), abs=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_proved_in_its_usual_types(folders, name, dtype):
    assert follows_a_walk(load(folders[name], dtype=dtype))


def test_a_model_that_cannot_follow_is_found(folders, monkeypatch):
    model = load(folders["llama-2"], dtype=torch.float32)
    usual = model.base_model.forward
    monkeypatch.setattr(model.base_model, "forward", lambda *a, position_ids=None, **k: usual(*a, **k))
    assert not follows_a_walk(model)


def test_attention_of_another_kind_is_refused_not_guessed(folders, monkeypatch):
    from parity.engines.torch import path

    model = load(folders["llama-2"], dtype=torch.float32)
    monkeypatch.setattr(path, "_UNKNOWN", ("scaling",))
    assert not follows_a_walk(model)
