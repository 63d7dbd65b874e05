"""A fake endpoint, and engines opened on it that do not wait long."""

import pytest

from engines.endpoint.fake_server import serving
from parity.core.refs import ModelRef
from parity.engines.endpoint import EndpointEngine
from parity.engines.endpoint.transport import Patience
from parity.engines.open import EngineOptions

HURRIED = Patience(first_wait_s=0.001, longest_wait_s=0.01, connect_s=2.0, silence_s=0.5, answer_s=5.0)


@pytest.fixture
def fake():
    with serving() as fake:
        yield fake


@pytest.fixture
def opened(fake):
    """Opens engines on the fake endpoint, and closes them."""
    engines = []

    def open_engine(wire="chat", patience=HURRIED, concurrency=16, **environment):
        environment = {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k", **environment}
        environment |= {"OPENAI_BASE_URL": fake.url, "ANTHROPIC_BASE_URL": fake.root}
        name = {"chat": f"{fake.url}#m", "completions": f"{fake.url}?api=completions#m"}.get(wire, wire)
        options = EngineOptions(concurrency=concurrency)
        engines.append(EndpointEngine(ModelRef.parse(name), options, environment=environment, patience=patience))
        return engines[-1]

    yield open_engine
    for engine in engines:
        engine.close()
