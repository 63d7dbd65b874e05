"""Models behind a URL: OpenAI-compatible servers and Anthropic's, asked over HTTP."""

from parity.engines.endpoint.engine import EndpointEngine

__all__ = ["EndpointEngine"]
