"""Anthropic's messages, in both versions of its API."""

from itertools import takewhile
from typing import Literal

from pydantic import BaseModel, JsonValue

from parity.core.outputs import Usage
from parity.core.prompts import Generate, Prompt
from parity.engines.endpoint.address import Address
from parity.engines.endpoint.faults import judge, refusal_of
from parity.engines.endpoint.profiles import Profile
from parity.engines.endpoint.wire import Answered, Body, Finish, decoding, finished, parsed, sent_stops, turns
from parity.errors import EngineError


class _Usage(BaseModel):
    """Tokens as Anthropic counts them: those read from and written to its cache are not in `input_tokens`."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None

    def usage(self) -> Usage:
        cached, written = self.cache_read_input_tokens or 0, self.cache_creation_input_tokens or 0
        prompt = (self.input_tokens or 0) + cached + written
        return Usage(prompt, self.output_tokens or 0, cached_tokens=cached)


class _Block(BaseModel):
    type: str
    text: str = ""


class _Reply(BaseModel):
    type: Literal["message"]
    content: list[_Block]
    stop_reason: str | None = None
    usage: _Usage


class _Change(BaseModel):
    type: str | None = None
    text: str = ""
    stop_reason: str | None = None


class _Start(BaseModel):
    usage: _Usage = _Usage()


class _Event(BaseModel):
    type: str | None = None
    message: _Start | JsonValue = None
    delta: _Change | None = None
    usage: _Usage | None = None
    error: JsonValue = None


def _finish(reason: str | None) -> Finish:
    return finished(reason, ("end_turn", "stop_sequence"), ("max_tokens",), ("refusal",))


class AnthropicWire:
    """/v1/messages of one model."""

    path = "/v1/messages"

    def __init__(self, address: Address, profile: Profile) -> None:
        self._address, self._profile = address, profile
        self._asked = f"{address.model} at {address.host}"
        self.headers = {"anthropic-version": profile.version}

    def body(self, request: Generate, prompt: Prompt, stream: bool) -> Body:
        messages = turns(prompt)
        system = list(takewhile(lambda turn: turn.role == "system", messages))
        rest = messages[len(system) :]
        if any(turn.role == "system" for turn in rest) or not rest:
            raise EngineError(
                f"{self._asked} takes system text before the first turn only.", "Reorder the conversation."
            )
        body: Body = {
            "model": self._address.model,
            "max_tokens": request.sampling.max_tokens + self._profile.hidden_tokens,
            "messages": [{"role": turn.role, "content": turn.content} for turn in rest],
            **decoding(request, self._profile),
        }
        if system:
            body["system"] = "\n\n".join(turn.content for turn in system)
        if stops := sent_stops(request.sampling, self._profile):
            body["stop_sequences"] = stops
        if stream:
            body["stream"] = True
        return body

    def read(self, content: bytes) -> Answered:
        reply = parsed(_Reply, content)
        finish = _finish(reply.stop_reason)
        text = "".join(block.text for block in reply.content if block.type == "text")
        return Answered(text, finish, reply.usage.usage())

    def reader(self) -> "AnthropicReader":
        return AnthropicReader(self._address)


class AnthropicReader:
    """Events of a stream. The reason comes before `message_stop`; without that event the stream was cut."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._reason: str | None = None
        self._counts = _Usage()
        self.finish: Finish | None = None
        self.usage: Usage | None = None

    def feed(self, event: str, data: str) -> str:
        said = parsed(_Event, data)
        kind = said.type or event
        if kind == "error" or event == "error" or said.error:
            raise judge(
                500,
                {},
                refusal_of({"error": said.error or data}, self._address.hide),
                f"{self._address.model} at {self._address.host}",
            )
        counts = said.message.usage if isinstance(said.message, _Start) else said.usage
        if counts is not None:
            self._counts = self._counts.model_copy(update=counts.model_dump(exclude_none=True))
            self.usage = self._counts.usage()
        if said.delta is not None and said.delta.stop_reason is not None:
            self._reason = said.delta.stop_reason
        if kind == "message_stop":
            self.finish = _finish(self._reason)
        is_text = kind == "content_block_delta" and said.delta is not None and said.delta.type == "text_delta"
        return said.delta.text if is_text and said.delta is not None else ""
