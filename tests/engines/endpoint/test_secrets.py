"""A key goes into one header of a request, and nowhere else: not into a log, an error, a repr, a URL or the store."""

import json
import logging
import pickle
import traceback

import pytest

from engines.endpoint.fake_server import Fault, error
from parity.core.outputs import Failure, encode_output
from parity.core.prompts import Generate, RequestId, Sampling, TextPrompt
from parity.core.refs import ModelRef
from parity.engines.endpoint import EndpointEngine
from parity.engines.endpoint.address import Key, find_address
from parity.engines.endpoint.transport import Patience
from parity.errors import EngineError, ParityError, UsageError

CANARY = "sk-canary-7f3a91c2d4"
ECHO = f"You sent {CANARY} " + "and more " * 40 + CANARY
REQUEST = Generate(RequestId("a"), TextPrompt("Q?"), Sampling(4))
PATHS = {
    "401": Fault(401, error(f"Incorrect API key provided: {CANARY}")),
    "400": Fault(400, error(ECHO)),
    "400 at the cut": Fault(400, error("x" * 290 + CANARY)),
    "400 text": Fault(400, raw=ECHO.encode()),
    "404": Fault(404, error(ECHO)),
    "500": Fault(500, error(ECHO)),
    "429": Fault(429, {"detail": ECHO}),
    "context": Fault(400, error(ECHO, code="context_length_exceeded")),
    "withheld": Fault(400, error(ECHO, code="content_filter")),
    "cut": Fault(cut=True),
    "slow": Fault(slow_s=0.7),
    "html": Fault(raw=ECHO.encode()),
    "finish": Fault(200, {"choices": [{"message": {"content": "B"}, "finish_reason": CANARY}]}),
    "stream error": Fault(events=(json.dumps(error(ECHO)),)),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("wire", ["openai:gpt-4o", "anthropic:c", "chat"])
def test_no_path_of_errors_tells_the_key(fake, opened, caplog, capfd, path, wire):
    caplog.set_level(logging.DEBUG)
    names = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "PARITY_API_KEY")
    engine = opened(wire, Patience(tries=2, first_wait_s=0.001, silence_s=0.3), **dict.fromkeys(names, CANARY))
    told = [
        repr(engine),
        str(engine.identity),
        repr(vars(engine)),
        repr(engine._address),
        repr(vars(engine._transport)),
    ]
    fake.script = [PATHS[path]] * 20
    for ask in (engine.answer, lambda requests: engine.stream(requests[0])):
        try:
            for found in ask([REQUEST]):
                output = found[1] if isinstance(found, tuple) else found
                told.append(encode_output(output) if isinstance(output, Failure) else repr(output))
        except ParityError as problem:
            told += ["".join(traceback.format_exception(problem)), str(problem), problem.todo, *_attributes(problem)]
    sent = {value for request in fake.requests for value in request.headers.values()}
    assert any(CANARY in value for value in sent)
    told += [caplog.text, *capfd.readouterr()]
    assert not [text for text in told if CANARY in text]
    assert not [text for text in told if CANARY[:14] in text]


def _attributes(problem):
    """Everything that hangs on an exception and on those behind it."""
    while problem is not None:
        yield repr(vars(problem))
        assert not hasattr(problem, "request")
        problem = problem.__cause__ or problem.__context__


def test_a_key_neither_prints_nor_pickles():
    key = Key(CANARY)
    assert CANARY not in f"{key} {key!r} {[key]}"
    with pytest.raises(TypeError):
        pickle.dumps(key)


def test_a_wrong_key_is_said_without_showing_it(fake, opened):
    fake.key = "right"
    with pytest.raises(EngineError, match="key is missing, wrong") as raised:
        list(opened("openai:gpt-4o", OPENAI_API_KEY=CANARY).answer([REQUEST]))
    assert CANARY not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{CANARY}@127.0.0.1/v1#m",
        f"https://{CANARY}@host/v1#m",
        f"https://host/v1?api_key={CANARY}#m",
        f"https://host/v1?api=chat&token={CANARY}#m",
        f"https://host/v1?{CANARY}#m",
    ],
)
def test_a_secret_in_a_url_is_refused_before_it_becomes_a_name(url):
    with pytest.raises(UsageError) as raised:
        ModelRef.parse(url)
    assert CANARY not in str(raised.value)


@pytest.mark.parametrize("variable", ["OPENAI_BASE_URL", "ANTHROPIC_BASE_URL"])
def test_a_secret_in_a_base_url_is_refused_too(variable):
    ref = ModelRef.parse("openai:m" if variable.startswith("OPENAI") else "anthropic:m")
    with pytest.raises(UsageError) as raised:
        find_address(ref, {variable: f"https://u:{CANARY}@host/v1", "OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"})
    assert CANARY not in str(raised.value)


def test_a_key_may_lie_in_a_file(tmp_path):
    file = tmp_path / "key"
    file.write_text(CANARY + "\n")
    for ref in map(ModelRef.parse, ("openai:m", "anthropic:m", "https://host/v1#m")):
        assert find_address(ref, {"PARITY_API_KEY_FILE": str(file)}).key.reveal() == CANARY
    own = {"OPENAI_API_KEY": "own", "PARITY_API_KEY_FILE": str(file)}
    assert find_address(ModelRef.parse("openai:m"), own).key.reveal() == "own"


@pytest.mark.parametrize("content", ["", "two words\n", "a\nb\n", "caf\u00e9"])
def test_a_file_that_holds_no_key_is_refused_without_showing_it(tmp_path, content):
    file = tmp_path / "key"
    file.write_text(content)
    with pytest.raises(UsageError) as raised:
        find_address(ModelRef.parse("openai:m"), {"PARITY_API_KEY_FILE": str(file)})
    assert not content.strip() or content.strip() not in str(raised.value)
    with pytest.raises(UsageError, match="cannot be read"):
        find_address(ModelRef.parse("openai:m"), {"PARITY_API_KEY_FILE": str(tmp_path / "absent")})


def test_a_service_that_needs_a_key_says_which_variable():
    with pytest.raises(EngineError, match="OPENAI_API_KEY is not set"):
        find_address(ModelRef.parse("openai:m"), {})
    assert find_address(ModelRef.parse("http://127.0.0.1:1/v1#m"), {}).key is None


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://gpu.example:8000/v1#m", "without encryption"),
        ("http://10.0.0.7/v1#m", "without encryption"),
        ("http://127.0.0.1.example.com/v1#m", "without encryption"),
        ("https://host/v1", "which model"),
        ("https://host/v1/chat/completions#m", "one route"),
        ("https://host/v1?api=responses#m", "none of chat and completions"),
        ("https://host/v1?api=chat&api=completions#m", "none of chat and completions"),
        ("https://host:99999/v1#m", "port"),
    ],
)
def test_an_address_that_is_unsafe_or_ambiguous_is_refused(url, words):
    with pytest.raises(UsageError, match=words):
        find_address(ModelRef.parse(url), {})


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]:8000", "127.8.9.1"])
def test_this_machine_needs_no_encryption(host):
    assert find_address(ModelRef.parse(f"http://{host}/v1#m"), {}).local


def test_the_network_may_be_ones_own():
    assert not find_address(ModelRef.parse("http://gpu:8000/v1#m"), {"PARITY_ALLOW_HTTP": "1"}).local


def test_a_proxy_never_comes_between_us_and_this_machine(fake, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    engine = EndpointEngine(ModelRef.parse(f"{fake.url}#m"), environment={})
    assert len(list(engine.answer([REQUEST]))) == 1
    engine.close()
