"""Runs: everything asked once, kept as it comes, within the budget."""

from dataclasses import replace

import pytest

from parity.core.money import Price, Rates
from parity.core.outputs import Failure, FailureKind, Generation, Usage
from parity.core.prompts import Generate, Loglikelihood, RequestId, Sampling, TextPrompt
from parity.core.refs import ModelRef
from parity.engines.base import Capabilities
from parity.engines.dummy import DummyEngine
from parity.errors import BudgetExceeded, EngineError
from parity.runs.plan import requests_digest, shuffled
from parity.runs.runner import Budget, ask, most_tokens, most_usage, unanswered
from parity.store import Workspace


@pytest.fixture
def workspace(tmp_path):
    opened = Workspace(tmp_path / "w")
    yield opened
    opened.close()


def questions(count):
    return [Generate(RequestId(f"i{at}"), TextPrompt(f"question {at}"), Sampling(3)) for at in range(count)]


class Counting(DummyEngine):
    def __init__(self, options="", output=None):
        super().__init__(ModelRef.parse(f"dummy:{options}"))
        self.asked, self.output = [], output

    def answer(self, requests):
        for request in requests:
            self.asked.append(request.id)
            yield request.id, self.output or self._output(request)


def test_nothing_is_asked_twice(workspace):
    engine = Counting()
    first = ask(engine, questions(600), workspace)
    again = ask(engine, questions(700), workspace)
    assert (first.new, again.new) == (600, 100)
    assert len(engine.asked) == len(set(engine.asked)) == 700
    assert {key: again.outputs[key] for key in first.outputs} == first.outputs


def test_log_likelihoods_serve_a_comparison_and_a_comparison_serves_no_log_likelihoods(workspace):
    asked = [Loglikelihood(RequestId(f"i{at}"), TextPrompt(f"question {at}"), (" A", " B")) for at in range(6)]
    compared = [replace(request, compared=True) for request in asked]
    engine = Counting()
    whole = ask(engine, asked[:4], workspace)
    assert unanswered(engine, compared, workspace) == compared[4:]
    found = ask(engine, compared, workspace)
    assert found.new == 2
    assert {key: found.outputs[key] for key in whole.outputs} == whole.outputs
    kept = workspace.answers(engine.identity.digest, compared)
    assert kept == found.outputs  # under what was asked, where a run looks for them
    assert ask(engine, asked, workspace).new == 2


def test_another_model_shares_nothing(workspace):
    ask(Counting(), questions(5), workspace)
    assert ask(Counting("seed=1"), questions(5), workspace).new == 5


def test_a_passing_failure_is_asked_again_and_a_lasting_one_is_kept(workspace):
    ask(Counting(output=Failure(FailureKind.ENGINE, "busy")), questions(3), workspace)
    assert ask(Counting(), questions(3), workspace).new == 3
    ask(Counting("seed=2", Failure(FailureKind.CONTEXT_EXCEEDED, "long")), questions(3), workspace)
    assert ask(Counting("seed=2"), questions(3), workspace).new == 0


def test_a_token_budget_is_never_passed_and_the_rest_comes_later(workspace):
    requests = questions(50)
    limit = 10 * most_tokens(requests[0])
    spend = Counting(output=Generation("x", "stop", Usage(most_tokens(requests[0]), 0)))
    with pytest.raises(BudgetExceeded, match=r"\d+ of 50 items are answered"):
        ask(spend, requests, workspace, Budget(tokens=limit))
    assert 8 <= len(spend.asked) <= 10
    answered = len(spend.asked)
    assert ask(spend, requests, workspace).new == 50 - answered
    assert len(spend.asked) == 50


def test_a_time_budget_stops(workspace):
    with pytest.raises(BudgetExceeded, match="0 seconds"):
        ask(Counting(), questions(5), workspace, Budget(seconds=0.0))


class Broken(Counting):
    def __init__(self, behaviour):
        super().__init__()
        self.behaviour = behaviour

    def answer(self, requests):
        answers = list(super().answer(requests))
        return iter(answers[:-1] if self.behaviour == "omits" else [*answers, answers[0]])


@pytest.mark.parametrize(("behaviour", "message"), [("omits", "without an answer"), ("repeats", "was not asked")])
def test_an_engine_that_miscounts_is_caught(workspace, behaviour, message):
    with pytest.raises(EngineError, match=message):
        ask(Broken(behaviour), questions(4), workspace)


def test_any_beginning_of_the_order_is_the_same():
    assert shuffled(questions(200))[:50] != questions(50)
    few, many = shuffled(questions(100)), shuffled(questions(200))
    kept = [request for request in many if request in few]
    assert kept == few
    assert shuffled(questions(9), seed=1) != shuffled(questions(9))
    assert requests_digest(few) != requests_digest(few[:-1])


SOLD = Price("x", Rates(10.0, 40.0))


def dearest(request):
    return SOLD.most(*most_usage(request))


def test_a_budget_in_dollars_is_never_passed_and_the_rest_comes_later(workspace):
    requests = questions(300)
    limit = 20.5 * dearest(requests[0])
    spend = Counting(output=Generation("x", "stop", Usage(*most_usage(requests[0]))))
    with pytest.raises(BudgetExceeded, match=r"\d+ of 300 items are answered"):
        ask(spend, requests, workspace, Budget(usd=limit), price=SOLD)
    answered = len(spend.asked)
    assert 18 <= answered <= 20
    assert ask(spend, requests, workspace, Budget(usd=1.0), price=SOLD).new == 300 - answered


def test_cheap_answers_leave_room_for_more_within_the_same_budget(workspace):
    requests = questions(300)
    limit = 20 * dearest(requests[0])
    cheap = Counting(output=Generation("x", "stop", Usage(2, 1)))
    with pytest.raises(BudgetExceeded):
        ask(cheap, requests, workspace, Budget(usd=limit), price=SOLD)
    assert 20 < len(cheap.asked) < 300
    spent = len(cheap.asked) * SOLD.cost(2, 1)
    assert limit - dearest(requests[0]) * 1.2 < spent <= limit


def test_a_failure_may_have_been_billed_and_is_counted_so(workspace):
    requests = questions(50)
    limit = 10.5 * dearest(requests[0])
    broken = Counting(output=Failure(FailureKind.ENGINE, "broke off"))
    with pytest.raises(BudgetExceeded):
        ask(broken, requests, workspace, Budget(usd=limit), price=SOLD)
    assert len(broken.asked) <= 11
    refused = Counting("seed=1", Failure(FailureKind.CONTEXT_EXCEEDED, "long"))
    assert ask(refused, requests, workspace, Budget(usd=limit), price=SOLD).usd == 0


def test_dollars_need_a_price_and_local_models_spend_none(workspace):
    with pytest.raises(ValueError, match="price"):
        ask(Counting(), questions(1), workspace, Budget(usd=1.0))
    free = Price("dummy:", Rates(0.0, 0.0), local=True)
    assert ask(Counting(), questions(300), workspace, Budget(usd=0.0), price=free).new == 300


def test_what_continuations_take_is_never_more_than_was_set_aside():
    prompt, continuations = TextPrompt("question"), (" A", " B", " C")
    prompt_tokens, completion_tokens = most_usage(Loglikelihood(RequestId("i"), prompt, continuations))
    assert prompt_tokens >= len(prompt.text) + sum(len(prompt.text + text) for text in continuations)
    assert completion_tokens == 4


def test_hidden_reasoning_is_set_aside(workspace):
    requests = questions(50)
    engine = Counting(output=Generation("x", "stop", Usage(8, 1003, reasoning_tokens=1000)))
    engine.capabilities = Capabilities(frozenset({"generation"}), hidden_tokens=1000)
    with pytest.raises(BudgetExceeded):
        ask(engine, requests, workspace, Budget(usd=10 * SOLD.cost(8, 1003)), price=SOLD)
    assert 8 <= len(engine.asked) <= 10
