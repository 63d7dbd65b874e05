"""What services do differently, one row each. All that the wires branch on is a field here; the first match counts."""

import re
from dataclasses import dataclass
from typing import Literal

from parity.engines.endpoint.address import Address, Service

# A reasoning model writes these before its answer; they count against its limit, and OpenAI advises to reserve as many.
REASONING_TOKENS = 25_000
ANTHROPIC_VERSIONS = ("2023-06-01", "2026-10-21")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How one family of models at one service is asked.

    `decoding`: whether temperature, top_p and seed may be sent ("asked"), or must not be ("provider's default").
    `hidden_tokens`: room added to the limit for reasoning that is billed but not part of the answer.
    `most_stops`: how many stop strings may be sent; the rest is cut here. `blank_stops`: whether one may be all space.
    `top_p_always`: sent even at 1, because the server's own default is another.
    """

    name: str
    service: Service
    models: str = ""
    version: str = ""
    limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    decoding: Literal["asked", "provider's default"] = "asked"
    seed: bool = True
    top_p_always: bool = False
    most_stops: int = 4
    blank_stops: bool = True
    hidden_tokens: int = 0


_OPENAI_REASONING = r"^(o\d|codex|gpt-([5-9]|\d\d)(?!.*chat))"
_GEMINI_THINKING = r"(gemini-)(2\.5|[3-9]|\d\d)"

PROFILES = (
    Profile(
        name="OpenAI reasoning models",  # a temperature, a seed or a stop string is answered with 400
        service="openai",
        models=_OPENAI_REASONING,
        limit_field="max_completion_tokens",
        decoding="provider's default",
        seed=False,
        most_stops=0,
        hidden_tokens=REASONING_TOKENS,
    ),
    Profile(name="OpenAI", service="openai", limit_field="max_completion_tokens"),
    Profile(
        name="Gemini, thinking",  # thinks by default, within the same limit
        service="gemini",
        models=_GEMINI_THINKING,
        seed=False,
        hidden_tokens=REASONING_TOKENS,
    ),
    Profile(name="Gemini", service="gemini", seed=False),  # an unknown field such as seed is answered with 400
    Profile(
        name="Anthropic 2026-10-21",  # temperature, top_p and top_k are answered with 400, even at their defaults
        service="anthropic",
        version="2026-10-21",
        decoding="provider's default",
        seed=False,
        most_stops=8_191,
        blank_stops=False,
    ),
    Profile(
        name="Anthropic 2023-06-01",
        service="anthropic",
        version="2023-06-01",
        seed=False,
        most_stops=8_191,
        blank_stops=False,
    ),
    # vLLM, Ollama, llama.cpp and others. vLLM takes an unsent top_p from the model's generation_config.json.
    Profile(name="OpenAI-compatible server", service="compatible", top_p_always=True, most_stops=64),
)


def find_profile(address: Address, anthropic_version: str) -> Profile:
    """The first row that fits the service, the model's name and, for Anthropic, the API version."""
    version = anthropic_version if address.service == "anthropic" else ""
    for row in PROFILES:
        if row.service == address.service and row.version == version and re.search(row.models, address.model, re.I):
            return row
    raise AssertionError(f"no profile for {address.service} {version}")
