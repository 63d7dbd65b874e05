"""What goes wrong at an endpoint: nothing answered is asked again, no answer is lost, nothing is cut in silence."""

import gc
import json
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest

from engines.endpoint.conftest import HURRIED
from engines.endpoint.fake_server import Fault, error
from parity.core.outputs import Failure, FailureKind, Generation
from parity.core.prompts import Generate, RequestId, Sampling, TextPrompt
from parity.core.refs import ModelRef
from parity.engines.endpoint import EndpointEngine
from parity.engines.endpoint.faults import LONGEST_WAIT_S, wait_s
from parity.engines.endpoint.transport import Patience
from parity.errors import ContextExceeded, EngineError

SHORT = Sampling(6)
BUSY = Fault(429, error("slow down", "rate_limit"), {"retry-after-ms": "20"})


def questions(count, sampling=SHORT):
    return [Generate(RequestId(f"q{at}"), TextPrompt(f"question {at}"), sampling) for at in range(count)]


def only(engine, request=None):
    ((_, output),) = engine.answer([request or questions(1)[0]])
    return output


def test_ten_per_cent_of_failures_lose_no_answer_and_ask_nothing_twice_that_was_answered(fake, opened):
    faults = [
        Fault(500),
        Fault(503),
        Fault(529, error("overloaded", "overloaded_error")),
        Fault(raw=b"<html>busy</html>"),
        Fault(cut=True),
        BUSY,
        Fault(429, error(), {"retry-after": "0"}),
        Fault(408, error()),
    ]
    fake.fail_randomly(0.1, faults, seed=3)
    requests = questions(600)
    outputs = list(opened().answer(requests))
    assert sorted(request_id for request_id, _ in outputs) == sorted(request.id for request in requests)
    assert all(isinstance(output, Generation) for _, output in outputs)
    assert set(fake.answered.values()) == {1}
    assert len(fake.answered) == 600
    assert 630 < len(fake.requests) < 720


def test_answers_belong_to_their_questions(fake, opened):
    fake.fail_randomly(0.1, [Fault(500), BUSY], seed=1)
    engine = opened()
    requests = questions(100)
    together = dict(engine.answer(requests))
    for request in requests[::10]:
        assert only(engine, request).text == together[request.id].text


@pytest.mark.parametrize("headers", [{"retry-after-ms": "60"}, {"retry-after": "0.06"}])
def test_a_storm_of_429_is_waited_out_as_long_as_the_server_asks(fake, opened, headers):
    fake.script = [Fault(429, error("slow down"), headers)] * 3
    outputs = list(opened(concurrency=1).answer(questions(2)))
    assert all(isinstance(output, Generation) for _, output in outputs)
    times = [arrived.at_s for arrived in fake.requests]
    assert len(times) == 5
    assert all(later - earlier >= 0.055 for earlier, later in pairwise(times[:4]))


def test_while_a_server_asks_to_wait_nothing_else_is_sent(fake, opened):
    fake.script = [Fault(429, error(), {"retry-after-ms": "300"})]
    list(opened(concurrency=2).answer(questions(6)))
    times = sorted(arrived.at_s for arrived in fake.requests)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert max(gaps) >= 0.25
    assert sum(gap > 0.05 for gap in gaps) == 1


def test_fewer_are_in_flight_after_refusals_and_more_again_later(fake, opened):
    fake.delay_s = 0.005
    engine = opened(concurrency=32)
    list(engine.answer(questions(150)))
    assert engine._transport.limiter.limit == 32
    assert 8 < fake.most_in_flight <= 32
    fake.script = [Fault(429, error())] * 40
    list(engine.answer(questions(60)))
    assert engine._transport.limiter.limit < 16
    list(engine.answer(questions(150)))
    assert engine._transport.limiter.limit >= 8


def test_requests_are_pulled_as_they_are_sent(fake, opened):
    pulled = []

    def endless():
        for request in questions(10_000):
            pulled.append(request.id)
            yield request

    answers = opened(concurrency=4).answer(endless())
    for _ in range(20):
        next(answers)
    assert len(pulled) <= 20 + 8
    answers.close()


def test_x_should_retry_is_obeyed_both_ways(fake, opened):
    fake.script = [Fault(503, error("drained"), {"x-should-retry": "false"})]
    output = only(opened())
    assert isinstance(output, Failure)
    assert output.kind is FailureKind.ENGINE
    assert len(fake.requests) == 1
    fake.script = [Fault(400, error("odd"), {"x-should-retry": "true"})]
    assert isinstance(only(opened()), Generation)


def test_a_fault_of_one_request_is_its_failure_and_no_one_elses(fake, opened):
    fake.script = [Fault(400, error("bad emoji"))]
    outputs = [output for _, output in opened(concurrency=1).answer(questions(3))]
    assert [type(output) for output in outputs] == [Failure, Generation, Generation]
    assert "bad emoji" in outputs[0].message
    assert len(fake.requests) == 3


def test_what_stays_broken_becomes_a_failure_that_is_asked_again(fake, opened):
    fake.script = [Fault(500, error("melted"))] * 8
    output = only(opened())
    assert output.kind is FailureKind.ENGINE
    assert "melted" in output.message
    assert "tried 8 times" in output.message


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(401, error("bad key")), "key is missing"),
        (Fault(403, error("not in your country")), "may not use"),
        (Fault(404, error("no such model", code="model_not_found")), "no such model"),
        (Fault(402, error("pay", "billing_error")), "pay"),
        (Fault(429, error("You exceeded your quota", code="insufficient_quota")), "quota"),
        (Fault(400, error("Your credit balance is too low")), "credit"),
        (Fault(307, {}, {"location": "/elsewhere"}), "moved"),
        (Fault(400, error("Unsupported value", code="unsupported_value", param="temperature")), "Unsupported value"),
    ],
)
def test_what_no_request_can_survive_stops_the_run_at_once(fake, opened, fault, words):
    fake.script = [fault] * 2_000
    with pytest.raises(EngineError, match=words) as raised:
        list(opened(concurrency=4).answer(questions(500)))
    assert raised.value.todo
    assert len(fake.requests) <= 8


def test_answers_in_flight_are_delivered_before_the_run_stops(fake, opened):
    fake.delay_s = 0.05
    fake.script = [Fault()] * 3 + [Fault(401)]
    found = []
    with pytest.raises(EngineError):
        found.extend(answer for answer in _each(opened(concurrency=4).answer(questions(40)), found))
    assert len(found) == sum(fake.answered.values()) >= 3


def _each(answers, found):
    for answer in answers:
        found.append(answer)
    return []


def test_an_endpoint_that_answers_nothing_any_more_ends_the_run(fake, opened):
    fake.random_faults = lambda: Fault(500)
    with pytest.raises(EngineError, match="in a row"):
        list(opened().answer(questions(1_000)))
    assert len(fake.requests) < 1_000


def test_nobody_at_the_address_is_said_quickly(opened):
    engine = EndpointEngine(ModelRef.parse("http://127.0.0.1:9/v1#m"), environment={}, patience=HURRIED)
    with pytest.raises(EngineError, match="Nothing answers at"):
        list(engine.answer(questions(3)))
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        list(engine.answer(questions(1)))


def test_a_slow_body_is_given_up_and_asked_again(fake, opened):
    fake.script = [Fault(slow_s=20.0)]
    begun = time.monotonic()
    assert isinstance(only(opened()), Generation)
    assert time.monotonic() - begun < 15
    assert len(fake.requests) == 2


@pytest.mark.parametrize(
    "raw",
    [
        b"[]",
        b'{"choices": []}',
        b'{"choices": [{"message": {"content": "B"}}], "usage": {"prompt_tokens": 3}}',
        b'{"choices": [{"message": {"content": 7}, "finish_reason": "stop"}]}',
        b"\xff\xfe",
        b"",
    ],
)
def test_a_reply_that_is_no_answer_is_never_taken_for_one(fake, opened, raw):
    fake.script = [Fault(raw=raw)] * 8
    assert isinstance(only(opened()), Failure)


def test_a_reply_without_usage_stops_the_run_for_no_budget_would_hold(fake, opened):
    fake.usage = False
    with pytest.raises(EngineError, match="how many tokens"):
        only(opened())


@pytest.mark.parametrize(
    "message",
    [
        error("too long", code="context_length_exceeded"),
        error("This model's maximum context length is 4096 tokens. However, you requested 5000", "BadRequestError"),
        {
            "type": "error",
            "error": {"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8 maximum"},
        },
        [
            {
                "error": {
                    "code": 400,
                    "message": "The input token count (9) exceeds the maximum number of tokens allowed (8).",
                }
            }
        ],
    ],
)
def test_a_prompt_that_is_too_long_is_context_exceeded(fake, opened, message):
    fake.script = [Fault(400, message)] * 2
    engine = opened()
    assert only(engine).kind is FailureKind.CONTEXT_EXCEEDED
    with pytest.raises(ContextExceeded):
        list(engine.stream(questions(1)[0]))
    assert len(fake.requests) == 2


@pytest.mark.parametrize(
    ("wire", "reply"),
    [
        ("chat", {"choices": [{"message": {"content": "I"}, "finish_reason": "content_filter"}]}),
        ("chat", {"choices": [{"message": {"refusal": "no"}, "finish_reason": "stop"}]}),
        ("chat", error("flagged", code="content_policy_violation")),
        ("anthropic:c", {"type": "message", "content": [], "stop_reason": "refusal", "usage": {"input_tokens": 3}}),
    ],
)  # fmt: skip
def test_an_answer_that_was_withheld_is_refused_not_an_answer(fake, opened, wire, reply):
    fake.script = [Fault(400 if "error" in reply else 200, reply)]
    output = only(opened(wire))
    assert isinstance(output, Failure)
    assert output.kind is FailureKind.REFUSED
    assert len(fake.requests) == 1


def test_an_answer_that_is_all_reasoning_is_no_empty_answer(fake, opened):
    usage = {"prompt_tokens": 3, "completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 9}}
    fake.script = [Fault(200, {"choices": [{"message": {"content": ""}, "finish_reason": "length"}], "usage": usage})]
    assert "reasoning" in only(opened()).message


@pytest.mark.parametrize("wire", ["chat", "anthropic:c"])
def test_a_stream_that_is_cut_is_an_error_never_a_short_answer(fake, opened, wire):
    fake.script = [Fault(cut=True)]
    pieces = []
    with pytest.raises(EngineError, match="without a finish reason"):
        pieces.extend(piece for piece in _streamed(opened(wire), pieces))
    assert all(piece.finish is None for piece in pieces)
    assert pieces


def _streamed(engine, pieces):
    for piece in engine.stream(questions(1)[0]):
        pieces.append(piece)
    return []


@pytest.mark.parametrize(
    ("wire", "event"),
    [
        ("chat", '{"error": {"message": "overloaded", "code": 503}}'),
        ("anthropic:c", '{"type": "error", "error": {"type": "overloaded_error", "message": "overloaded"}}'),
        ("anthropic:c", '{"type": "error", "message": "overloaded"}'),
    ],
)
def test_an_error_in_a_stream_is_raised(fake, opened, wire, event):
    fake.script = [Fault(events=(event,))]
    with pytest.raises(EngineError, match="overloaded"):
        list(opened(wire).stream(questions(1)[0]))


def test_a_stream_may_have_data_over_several_lines_and_no_done(fake, opened):
    chunk = json.dumps({"choices": [{"delta": {"content": "B"}, "finish_reason": "stop"}]}, indent=1)
    fake.script = [Fault(events=(chunk,))]
    pieces = list(opened().stream(questions(1)[0]))
    assert [(piece.text, piece.finish) for piece in pieces] == [("B", None), ("", "stop")]


def test_a_stream_is_begun_again_after_a_refusal(fake, opened):
    fake.script = [BUSY, Fault(500)]
    assert list(opened().stream(questions(1)[0]))[-1].finish
    assert len(fake.requests) == 3


def test_cancelling_breaks_off_what_is_in_flight(fake, opened):
    fake.script = [Fault(slow_s=20.0)]
    engine, request = opened(patience=Patience()), questions(1)[0]
    threading.Timer(0.05, engine.cancel, [request.id]).start()
    begun = time.monotonic()
    assert only(engine, request).kind is FailureKind.CANCELLED
    assert time.monotonic() - begun < 15
    assert isinstance(only(engine, request), Generation)


def test_nothing_is_kept_of_requests_that_are_done(fake, opened):
    engine = opened()
    list(engine.answer(questions(50)))
    list(engine.stream(questions(1)[0]))
    gc.collect()
    assert engine._jobs == {}


NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": format_datetime(NOW + timedelta(seconds=7), usegmt=True)}, 7.0),
        ({"retry-after": format_datetime(NOW - timedelta(days=1), usegmt=True)}, 0.0),
        ({"retry-after": "86400"}, LONGEST_WAIT_S),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_the_time_a_server_names_is_read_and_capped(headers, seconds):
    assert wait_s(headers, NOW) == seconds
