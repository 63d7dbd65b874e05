"""Drawn tokens: the right shares, nothing outside the nucleus, the same numbers for the same request only."""

import random
from collections import Counter

import numpy as np
import pytest
import torch

from parity.core.prompts import Generate, RequestId, Sampling, TextPrompt
from parity.engines.tokens.draws import choose, nucleus, source
from parity.engines.torch.head import likeliest
from parity.engines.torch.sampling import drawn_together, pick

CHANCES = [0.4, 0.05, 0.25, 0.0, 0.3]
LOGITS = torch.tensor(CHANCES).log()
AS_GIVEN = torch.nn.Identity()  # hidden states that are logits already


def counted(sampling, draws=20_000):
    chance = random.Random(0)
    tokens = []
    for _ in range(draws // 1000):
        tokens += pick(AS_GIVEN, LOGITS.expand(1000, -1), [sampling] * 1000, lambda _: chance.random())
    found = Counter(tokens)
    return [found[token] / draws for token in range(len(CHANCES))]


def test_tokens_come_as_often_as_their_probability():
    assert counted(Sampling(1, temperature=1.0)) == pytest.approx(CHANCES, abs=0.015)


def test_temperature_sharpens():
    sharp = [chance**2 for chance in CHANCES]
    assert counted(Sampling(1, temperature=0.5)) == pytest.approx([p / sum(sharp) for p in sharp], abs=0.015)


@pytest.mark.parametrize(
    ("top_p", "kept"), [(0.0, {0}), (0.39, {0}), (0.5, {0, 4}), (0.8, {0, 2, 4}), (0.96, {0, 1, 2, 4})]
)
def test_the_nucleus_is_the_fewest_tokens_that_reach_top_p(top_p, kept):
    left = [chance if token in kept else 0.0 for token, chance in enumerate(CHANCES)]
    found = counted(Sampling(1, temperature=1.0, top_p=top_p))
    assert found == pytest.approx([p / sum(left) for p in left], abs=0.015)
    assert all(found[token] == 0 for token in range(len(CHANCES)) if token not in kept)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_are_drawn_as_if_alone(dtype):
    logits_RV = torch.randn(40, 300, generator=torch.Generator().manual_seed(0)).to(dtype)
    samplings = [Sampling(1, temperature=at % 3 / 2, top_p=1 - at % 4 / 5) for at in range(40)]
    shares = [random.Random(at).random() for at in range(40)]
    together = pick(AS_GIVEN, logits_RV, samplings, shares.__getitem__)
    alone = [
        pick(AS_GIVEN, logits_RV[at : at + 1], [samplings[at]], lambda _, at=at: shares[at])[0] for at in range(40)
    ]
    assert together == alone
    assert all(token == int(logits_RV[at].argmax()) for at, token in enumerate(together) if at % 3 == 0)


@pytest.mark.parametrize("spread", [0.5, 3.0, 12.0])
def test_what_is_drawn_on_the_device_is_what_is_drawn_from_an_array(spread):
    chance = random.Random(5)
    logits_RV = spread * torch.randn(60, 3000, generator=torch.Generator().manual_seed(1))
    logits_RV[::3] = (4 * logits_RV[::3]).round() / 4  # many are equally likely
    logits_RV[7, :2990] = -torch.inf
    samplings = [
        Sampling(1, temperature=chance.uniform(0.2, 2), top_p=chance.choice([0, 0.5, 0.95, 1])) for _ in range(60)
    ]
    shares = [chance.random() for _ in range(60)]
    rows = logits_RV.numpy()
    expected = [choose(*asked) for asked in zip(rows, samplings, shares, strict=True)]
    found = drawn_together(logits_RV, samplings, shares)
    assert sum(one != other for one, other in zip(found, expected, strict=True)) <= 1  # a share may fall on a border
    assert pick(AS_GIVEN, logits_RV, samplings, shares.__getitem__) == expected


@pytest.mark.parametrize("spread", [0.01, 1.0, 8.0])
def test_a_nucleus_is_that_of_a_whole_sorted_vocabulary(spread):
    chance_V = np.exp(spread * np.random.default_rng(3).normal(size=5000).round(1))
    chance_V /= chance_V.sum()
    order_V = np.argsort(-chance_V, kind="stable")
    before_V = np.cumsum(chance_V[order_V]) - chance_V[order_V]
    for top_p in (0.0, 0.01, 0.3, 0.5, 0.9, 0.999):
        kept = max(1, int((before_V < top_p).sum()))
        assert nucleus(chance_V, top_p).tolist() == order_V[:kept].tolist()


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_what_is_no_number_is_no_token(broken, temperature):
    logits_RV = LOGITS.repeat(3, 1)
    logits_RV[1] = broken
    found = pick(AS_GIVEN, logits_RV, [Sampling(1, temperature=temperature)] * 3, lambda _: 0.1)
    assert found[1] is None
    assert None not in (found[0], found[2])


def test_numbers_belong_to_seed_draw_and_prompt():
    def first(item="a", draw=0, seed=0, context=(1, 2)):
        request = Generate(RequestId(item, draw), TextPrompt("x"), Sampling(1, temperature=1.0, seed=seed))
        return source(request, context).random()

    assert first() == first(item="b")
    assert len({first(), first(draw=1), first(seed=1), first(context=(1, 3)), first(context=(12,))}) == 5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, 3, 200])
@pytest.mark.parametrize("bias", [True, False])
def test_the_likeliest_is_the_first_of_the_largest(dtype, rows, bias):
    torch.manual_seed(rows)
    head = torch.nn.Linear(16, 5000, bias=bias).to(dtype).requires_grad_(False)
    hidden_RH = torch.randn(rows, 16).to(dtype)
    head.weight[4321] = head.weight[17] = head.weight[int(head(hidden_RH)[0].argmax())]  # ties, within and across
    best_R, token_R = likeliest(head, hidden_RH)
    largest = head(hidden_RH).max(-1)
    assert best_R.tolist() == pytest.approx(largest.values.tolist(), rel=1e-2 if dtype is torch.bfloat16 else 1e-5)
    assert token_R[0] == 17 or bias
    if dtype is torch.float32:
        assert token_R.tolist() == largest.indices.tolist()


def test_one_logit_that_is_no_number_spoils_its_row():
    head = torch.nn.Linear(4, 5000, bias=False).requires_grad_(False)
    head.weight[100] = float("nan")
    best_R, _ = likeliest(head, torch.randn(200, 4))
    assert best_R.isnan().all()
