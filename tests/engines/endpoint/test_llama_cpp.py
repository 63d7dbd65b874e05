"""The endpoint engine against a server that others wrote: llama.cpp's, with a model whose greedy text is known."""

import pytest

from engines.endpoint.llama_cpp import llama_cpp_server, stories_gguf
from parity.core.outputs import Failure, FailureKind, Generation
from parity.core.prompts import Fit, Generate, RequestId, Sampling, TextPrompt
from parity.core.refs import ModelRef
from parity.engines.endpoint import EndpointEngine
from parity.testing.engine_checks import ENGINE_CHECKS
from shared import needs_shared

pytestmark = pytest.mark.slow
KNOWN = ", there was a little girl named Lily. She loved to play outside in the park."


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    pytest.importorskip("xllamacpp")
    source = needs_shared("weights_small", "stories260K")
    path = tmp_path_factory.mktemp("llama_cpp") / "stories.gguf"
    with llama_cpp_server(stories_gguf(source / "stories260K.bin", source / "tok512.bin", path)) as url:
        yield url


@pytest.fixture(scope="module", params=["", "?api=completions"])
def engine(request, url):
    opened = EndpointEngine(ModelRef.parse(f"{url}{request.param}#stories"), environment={})
    yield opened
    opened.close()


@pytest.mark.parametrize("check", ENGINE_CHECKS, ids=lambda check: check.__name__)
def test_the_conformance_kit_passes(check, engine):
    check(engine)


def asked(url, prompt, **options):
    engine = EndpointEngine(ModelRef.parse(f"{url}?api=completions#stories"), environment={})
    ((_, output),) = engine.answer([Generate(RequestId("a"), prompt, Sampling(40), **options)])
    engine.close()
    return output


def test_the_known_text_comes_back(url):
    output = asked(url, TextPrompt("Once upon a time"))
    assert isinstance(output, Generation)
    assert output.text.startswith(KNOWN)
    assert (output.usage.prompt_tokens, output.usage.completion_tokens) == (5, 40)


def test_a_prompt_that_is_too_long_is_told_and_shots_are_dropped_one_by_one(url):
    long = TextPrompt("Once upon a time", shots=("One day, ", "word " * 600, "word " * 700))
    refused = asked(url, long)
    assert isinstance(refused, Failure)
    assert refused.kind is FailureKind.CONTEXT_EXCEEDED
    dropped = asked(url, long, fit=Fit("drop_shots"))
    assert dropped.usage.dropped_shots == 2
    assert dropped.text == asked(url, TextPrompt("Once upon a time", shots=("One day, ",))).text
