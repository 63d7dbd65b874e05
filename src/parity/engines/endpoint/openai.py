"""OpenAI's chat/completions and completions, as OpenAI, Gemini, vLLM, Ollama and llama.cpp speak them."""

from collections.abc import Mapping

from pydantic import BaseModel, JsonValue

from parity.core.outputs import Usage
from parity.core.prompts import ChatPrompt, Generate, Prompt
from parity.engines.endpoint.address import Address
from parity.engines.endpoint.faults import judge, refusal_of
from parity.engines.endpoint.profiles import Profile
from parity.engines.endpoint.wire import (
    Answered,
    Body,
    Finish,
    check_reasoning,
    decoding,
    finished,
    parsed,
    sent_stops,
    turns,
)
from parity.errors import EngineError


class _PromptDetails(BaseModel):
    cached_tokens: int | None = None


class _CompletionDetails(BaseModel):
    reasoning_tokens: int | None = None


class WireUsage(BaseModel):
    """Tokens as OpenAI counts them: cached ones are part of the prompt, reasoning ones part of the completion."""

    prompt_tokens: int
    completion_tokens: int = 0
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None

    def usage(self) -> Usage:
        cached = self.prompt_tokens_details.cached_tokens if self.prompt_tokens_details else 0
        reasoning = self.completion_tokens_details.reasoning_tokens if self.completion_tokens_details else 0
        return Usage(
            self.prompt_tokens, self.completion_tokens, cached_tokens=cached or 0, reasoning_tokens=reasoning or 0
        )


class _Said(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    """A choice of either API, whole or streamed."""

    text: str | None = None
    message: _Said | None = None
    delta: _Said | None = None
    finish_reason: str | None = None


class _Reply(BaseModel):
    choices: list[_Choice] = []
    usage: WireUsage | None = None
    error: JsonValue = None


def _finish(choice: _Choice) -> Finish | None:
    said = choice.message or choice.delta
    reason = "refusal" if said and said.refusal else choice.finish_reason
    if reason is None:
        return None
    return finished(reason, ("stop", "eos", "end_turn"), ("length", "max_tokens"), ("content_filter", "refusal"))


class OpenAIWire:
    """Chat or completions of one model."""

    def __init__(self, address: Address, profile: Profile) -> None:
        self._address, self._profile = address, profile
        self._asked = f"{address.model} at {address.host}"
        self.headers: Mapping[str, str] = {}
        self.path = "/completions" if address.api == "completions" else "/chat/completions"

    def body(self, request: Generate, prompt: Prompt, stream: bool) -> Body:
        body: Body = {"model": self._address.model, **self._prompt(prompt), **decoding(request, self._profile)}
        limit = "max_tokens" if self._address.api == "completions" else self._profile.limit_field
        body[limit] = request.sampling.max_tokens + self._profile.hidden_tokens
        if stops := sent_stops(request.sampling, self._profile):
            body["stop"] = stops
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return body

    def read(self, content: bytes) -> Answered:
        reply = parsed(_Reply, content)
        self._raise(reply)
        if not reply.choices:
            finished(None, (), (), ())
        choice = reply.choices[0]
        finish = _finish(choice) or finished(None, (), (), ())
        text = (choice.text if choice.message is None else choice.message.content) or ""
        usage = _counted(reply.usage, self._asked)
        check_reasoning(text, finish, usage)
        return Answered(text, finish, usage)

    def reader(self) -> "OpenAIReader":
        return OpenAIReader(self)

    def _prompt(self, prompt: Prompt) -> Body:
        if self._address.api == "chat":
            return {"messages": [{"role": turn.role, "content": turn.content} for turn in turns(prompt)]}
        if isinstance(prompt, ChatPrompt):
            raise EngineError(
                f"{self._asked} is asked by completions, which have no turns.", "Leave ?api=completions out to chat."
            )
        return {"prompt": prompt.text}

    def _raise(self, reply: _Reply) -> None:
        """Some gateways answer 200 with an error in it, and streams can do no other."""
        if reply.error:
            raise judge(500, {}, refusal_of({"error": reply.error}, self._address.hide), self._asked)


class OpenAIReader:
    """Events of a stream: text in `delta.content` or `text`; usage comes last, in an event without choices."""

    def __init__(self, wire: OpenAIWire) -> None:
        self._wire = wire
        self.finish: Finish | None = None
        self.usage: Usage | None = None

    def feed(self, event: str, data: str) -> str:
        if data.startswith("[DONE]"):
            return ""
        reply = parsed(_Reply, data)
        if event == "error" and not reply.error:
            reply.error = data
        self._wire._raise(reply)
        if reply.usage is not None:
            self.usage = reply.usage.usage()
        if not reply.choices:
            return ""
        choice = reply.choices[0]
        self.finish = _finish(choice) or self.finish
        return (choice.text if choice.delta is None else choice.delta.content) or ""


def _counted(usage: WireUsage | None, asked: str) -> Usage:
    if usage is None:
        raise EngineError(
            f"{asked} does not say how many tokens it used, so that no budget and no cost would hold.",
            "Use a server that reports usage.",
        )
    return usage.usage()
