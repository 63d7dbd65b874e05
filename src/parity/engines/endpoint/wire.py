"""What the wires share: a request as JSON, an answer read from JSON, and the rules of what may be asked at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError

from parity.core.outputs import FailureKind, Usage
from parity.core.prompts import ChatPrompt, Generate, Message, Prompt, Sampling
from parity.engines.endpoint.faults import ItemFault, Trouble
from parity.engines.endpoint.profiles import Profile
from parity.errors import EngineError

Finish: TypeAlias = Literal["stop", "length"]
Body: TypeAlias = dict[str, object]
Model = TypeVar("Model", bound=BaseModel)

# What draws share with the torch engine: neighbouring seeds and draws never meet.
SEED_STRIDE, SEED_RANGE = 1_000_003, 2**31 - 1


@dataclass(frozen=True, slots=True)
class Answered:
    """A whole answer as the endpoint gave it."""

    text: str
    finish: Finish
    usage: Usage


class StreamReader(Protocol):
    """Reads the events of one stream. `finish` is None until the endpoint has said why the answer ended."""

    finish: Finish | None
    usage: Usage | None

    def feed(self, event: str, data: str) -> str:
        """The text that an event adds.

        Raises:
            ItemFault, Trouble, EngineError: the event is an error, or the answer was withheld.
        """
        ...


class Wire(Protocol):
    """One API of one service."""

    @property
    def path(self) -> str: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    def body(self, request: Generate, prompt: Prompt, stream: bool) -> Body: ...

    def read(self, content: bytes) -> Answered:
        """The answer in a reply.

        Raises:
            Trouble: the reply is not what the API promises.
            ItemFault: the answer was withheld, or ended for a reason that makes it no answer.
        """
        ...

    def reader(self) -> StreamReader: ...


def turns(prompt: Prompt) -> tuple[Message, ...]:
    """A prompt as a conversation: a text is one user's turn."""
    return prompt.messages if isinstance(prompt, ChatPrompt) else (Message("user", prompt.text),)


def seed_of(request: Generate) -> int:
    """A seed of its own for every draw, below 2^31 for servers that keep it in 32 bits."""
    return (request.sampling.seed * SEED_STRIDE + request.id.draw) % SEED_RANGE


def sent_stops(sampling: Sampling, profile: Profile) -> list[str]:
    """The stop strings the service takes; those left out are cut from its answer here."""
    usable = [stop for stop in sampling.stop if stop and (profile.blank_stops or stop.strip())]
    return usable[: profile.most_stops]


def decoding(request: Generate, profile: Profile) -> Body:
    """The fields that say how an answer is drawn, as far as the service lets one say it."""
    sampling = request.sampling
    if profile.decoding != "asked":
        return {}
    fields: Body = {"temperature": sampling.temperature}
    if profile.top_p_always or sampling.top_p != 1.0:
        fields["top_p"] = sampling.top_p
    if profile.seed:
        fields["seed"] = seed_of(request)
    return fields


def check_decoding(sampling: Sampling, profile: Profile) -> None:
    """Greedy is taken as "as the provider does it" where nothing can be said, and the identity records it.

    Raises:
        EngineError: a temperature or top_p is asked for that this service does not let one choose.
    """
    # A service that is not greedy samples at 1, so that asking for 1 is asking for what it does.
    if profile.decoding == "asked" or (sampling.temperature in (0.0, 1.0) and sampling.top_p == 1.0):
        return
    raise EngineError(
        f"{profile.name}: temperature {sampling.temperature:g} and top_p {sampling.top_p:g} cannot be sent; "
        "the provider samples at its own default.",
        "Ask with temperature 0 or 1 (both are then the provider's default, and recorded as such), or, for "
        "Anthropic models that allow it, set ANTHROPIC_VERSION=2023-06-01.",
    )


def parsed(kind: type[Model], content: bytes | str) -> Model:
    """A reply as its model.

    Raises:
        Trouble: it is not JSON, or not of this shape.
    """
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise Trouble(f"the reply is not what the API promises: {where or 'body'}: {first['type']}") from None


def finished(reason: str | None, stop: Sequence[str], length: Sequence[str], withheld: Sequence[str]) -> Finish:
    """Why an answer ended.

    Raises:
        ItemFault: it was withheld, or ended as no text answer does.
        Trouble: the endpoint does not say; such an answer may be cut short.
    """
    if reason in stop:
        return "stop"
    if reason in length:
        return "length"
    if reason in withheld:
        raise ItemFault(FailureKind.REFUSED, f"the provider withheld the answer: {reason}")
    if reason is None:
        raise Trouble("the answer has no finish reason, so it may be cut short")
    if reason == "model_context_window_exceeded":
        raise ItemFault(FailureKind.CONTEXT_EXCEEDED, "the answer ran into the end of the context window")
    raise ItemFault(FailureKind.ENGINE, f"the answer ended with {reason[:40]!r}, which is no text answer")


def check_reasoning(text: str, finish: Finish, usage: Usage) -> None:
    """An answer that is empty because its whole limit went into reasoning is no answer.

    Raises:
        ItemFault: so it is.
    """
    if finish == "length" and not text and usage.reasoning_tokens:
        raise ItemFault(
            FailureKind.ENGINE, f"all {usage.completion_tokens} tokens went into reasoning before an answer began"
        )
