"""The endpoint engine passes the public conformance kit over every wire, and keeps its promises about identity."""

import pytest

from engines.endpoint.fake_server import serving
from parity.core.refs import ModelRef
from parity.engines.endpoint import EndpointEngine
from parity.testing.engine_checks import ENGINE_CHECKS

WIRES = ["openai", "anthropic", "anthropic 2026-10-21", "chat", "completions", "completions without echo"]


@pytest.fixture(scope="module", params=WIRES)
def engine(request):
    environment = {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}
    with serving(echo=request.param != "completions without echo") as fake:
        environment |= {"OPENAI_BASE_URL": fake.url, "ANTHROPIC_BASE_URL": fake.root}
        name = {
            "openai": "openai:gpt-4o",
            "anthropic": "anthropic:claude-x",
            "anthropic 2026-10-21": "anthropic:claude-x",
            "chat": f"{fake.url}#m",
        }.get(request.param, f"{fake.url}?api=completions#m")
        if request.param.endswith("2026-10-21"):
            environment["ANTHROPIC_VERSION"] = "2026-10-21"
        opened = EndpointEngine(ModelRef.parse(name), environment=environment)
        yield opened
        opened.close()
        opened.close()


@pytest.mark.parametrize("check", ENGINE_CHECKS, ids=lambda check: check.__name__)
def test_the_conformance_kit_passes(check, engine):
    check(engine)


@pytest.mark.parametrize(
    ("query", "echo", "kinds"),
    [
        ("", True, {"generation"}),
        ("?api=completions", False, {"generation"}),
        ("?api=completions", True, {"generation", "loglikelihood"}),
    ],
)
def test_log_likelihoods_are_offered_only_where_the_server_proves_them(query, echo, kinds):
    with serving(echo=echo) as fake:
        engine = EndpointEngine(ModelRef.parse(f"{fake.url}{query}#m"), environment={})
        assert engine.capabilities.kinds == kinds
        assert len(fake.requests) == (1 if query else 0)
        engine.close()
