"""What parent and child of the llama.cpp engine say to each other: JSON, an object a line.

No pickle: the child opens foreign files, and must not be able to run anything in its parent.
"""

import json
from dataclasses import asdict
from typing import Any, TypedDict

from parity.core.prompts import (
    ChatPrompt,
    Constraint,
    Fit,
    Generate,
    Loglikelihood,
    Message,
    Prompt,
    Request,
    RequestId,
    Sampling,
    TextPrompt,
)


class Loading(TypedDict):
    """The child's first line: what to load, and how."""

    files: list[str]
    adapter: str | None
    threads: int
    exact: bool
    device: str
    slots: int
    pass_tokens: int
    sharing: bool
    deterministic: bool


class Ready(TypedDict):
    """The child's first answer, when the model is loaded."""

    context_tokens: int
    chat: bool
    shares: bool
    processor: str


def encode_request(request: Request) -> str:
    """A request as JSON."""
    kind = "text" if isinstance(request.prompt, TextPrompt) else "chat"
    entries = {name: entry for name, entry in asdict(request).items() if not name.startswith("_")}
    return json.dumps({"type": type(request).__name__, "prompt_type": kind, **entries})


def decode_request(text: str) -> Request:
    """The request that `encode_request` wrote."""
    entries: dict[str, Any] = json.loads(text)
    request_id, fit = RequestId(*entries["id"]), Fit(**entries["fit"])
    prompt = _prompt(entries["prompt_type"], entries["prompt"])
    if entries["type"] == "Loglikelihood":
        continuations, contexts = tuple(entries["continuations"]), tuple(entries["contexts"])
        return Loglikelihood(request_id, prompt, continuations, fit, contexts, entries["compared"])
    sampling = entries["sampling"]
    held = entries["constraint"]
    return Generate(
        request_id,
        prompt,
        Sampling(**{**sampling, "stop": tuple(sampling["stop"])}),
        fit,
        Constraint(**held) if held else None,
    )


def _prompt(kind: str, entries: dict[str, Any]) -> Prompt:
    if kind == "text":
        return TextPrompt(entries["question"], entries["preamble"], tuple(entries["shots"]))
    return ChatPrompt(tuple(Message(**message) for message in entries["messages"]))
