"""The endpoint engine against transformers' own server, and its answers against the torch engine's.

With a trained model, because that server drops the end of a stream which is no whole UTF-8.
"""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engines.endpoint.llama_cpp import CHATML
from parity.core.prompts import ChatPrompt, Generate, Message, RequestId, Sampling, TextPrompt
from parity.core.refs import ModelRef
from parity.engines.endpoint import EndpointEngine
from parity.testing.engine_checks import ENGINE_CHECKS
from shared import needs_shared

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """(base URL, folder) of a running server."""
    for module in ("fastapi", "uvicorn", "transformers"):
        pytest.importorskip(module)
    from parity.testing.llama2c import llama2c_folder

    source, scratch = needs_shared("weights_small", "stories260K"), tmp_path_factory.mktemp("served")
    folder = llama2c_folder(source / "stories260K.bin", source / "tok512.bin", scratch / "stories")
    (folder / "chat_template.jinja").write_text(CHATML)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).parent / "transformers"
    command = [program, "serve", folder, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with (scratch / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        _wait_for(port, process)
        yield f"http://127.0.0.1:{port}/v1", folder
    finally:
        process.terminate()
        process.wait(timeout=20)


def _wait_for(port, process):
    for _ in range(600):
        assert process.poll() is None, "the server ended"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the server does not answer")


@pytest.fixture(scope="module", params=["", "?api=completions"])
def engine(request, served):
    url, folder = served
    opened = EndpointEngine(ModelRef.parse(f"{url}{request.param}#{folder}"), environment={})
    yield opened
    opened.close()


@pytest.mark.parametrize("check", ENGINE_CHECKS, ids=lambda check: check.__name__)
def test_the_conformance_kit_passes(check, engine):
    check(engine)


def test_the_answers_are_those_of_the_torch_engine(engine, served):
    from parity.engines.open import open_engine

    prompts = [ChatPrompt((Message("user", "one two"),))] if engine.capabilities.chat else [TextPrompt("Once upon a")]
    requests = [Generate(RequestId(f"q{at}"), prompt, Sampling(12)) for at, prompt in enumerate(prompts)]
    local = open_engine(ModelRef.parse(str(served[1])))
    mine, theirs = dict(engine.answer(requests)), dict(local.answer(requests))
    local.close()
    for request in requests:
        assert mine[request.id].text == theirs[request.id].text
        assert mine[request.id].usage.prompt_tokens == theirs[request.id].usage.prompt_tokens
