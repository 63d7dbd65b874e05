"""What comes back from a model: an answer, a row of log-likelihoods, or a failure that says why."""

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer. What was cut to fit the context is counted here, never hidden.

    `cached_tokens` are those of the prompt that an endpoint had in its cache, and bills at another price;
    `reasoning_tokens` are those of the completion that are not part of the answer.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    truncated_tokens: int = 0
    dropped_shots: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.truncated_tokens + other.truncated_tokens,
            self.dropped_shots + other.dropped_shots,
            self.cached_tokens + other.cached_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Generation:
    """One answer in text, without the stop string that ended it."""

    text: str
    finish: Literal["stop", "length"]
    usage: Usage = field(default_factory=Usage)
    latency_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Loglikelihoods:
    """`values`: sum of log p (nats) of each continuation; `tokens`: how many tokens each has.

    Where they are `relative`, p is the probability of a continuation given that it is one of these: their differences
    are those of log p, their sum of p is 1. Only a request that says `compared` is answered so.
    """

    values: tuple[float, ...]
    tokens: tuple[int, ...]
    usage: Usage = field(default_factory=Usage)
    latency_s: float = 0.0
    relative: bool = False


class FailureKind(StrEnum):
    """Why there is no answer. `PERMANENT` kinds are kept; the others are asked again by the same command.

    REFUSED is an answer the provider withholds (a content filter, a refusal by the service): the item stays unscored
    and is counted as such, since nobody knows what the model would have said. A model that declines in its own words
    has answered: that is a Generation, and the benchmark marks it.
    """

    CONTEXT_EXCEEDED = "context exceeded"
    NOT_RECORDED = "not recorded"
    REFUSED = "withheld by the provider"
    CANCELLED = "cancelled"
    ENGINE = "engine failure"


PERMANENT = frozenset({FailureKind.CONTEXT_EXCEEDED, FailureKind.NOT_RECORDED, FailureKind.REFUSED})


@dataclass(frozen=True, slots=True)
class Failure:
    """A technical failure: the item stays unscored. Never a wrong answer."""

    kind: FailureKind
    message: str


Output: TypeAlias = Generation | Loglikelihoods | Failure


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a streamed answer. The last piece carries `finish` and `usage`."""

    text: str
    finish: Literal["stop", "length"] | None = None
    usage: Usage | None = None


def encode_output(output: Output) -> str:
    """An output as one line of JSON, `type` first."""
    return json.dumps({"type": type(output).__name__, **asdict(output)}, ensure_ascii=False)


def decode_output(text: str) -> Output:
    """The output that `encode_output` wrote.

    Raises:
        ValueError: the text is no encoded output.
    """
    try:
        entries = json.loads(text)
        kind = entries.pop("type")
        if kind == "Failure":
            return Failure(FailureKind(entries["kind"]), entries["message"])
        usage = Usage(**entries.pop("usage"))
        if kind == "Generation":
            return Generation(**entries, usage=usage)
        values, tokens = entries.pop("values"), entries.pop("tokens")
        return Loglikelihoods(tuple(values), tuple(tokens), usage=usage, **entries)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an encoded output: {error!r}") from error
