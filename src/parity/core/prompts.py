"""What is asked of a model: prompts, sampling, and the two kinds of request.

Text and roles only: token ids and templates belong to whoever runs the model.
"""

from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, TypeAlias

from parity.core.digests import digest


@dataclass(frozen=True, slots=True)
class TextPrompt:
    """A completion prompt. `text` = preamble + shots + question.

    The worked examples (`shots`) are kept apart because some protocols drop them, last first, until the prompt fits.

    >>> TextPrompt("Q?", preamble="Do this. ", shots=("one ", "two ")).text
    'Do this. one two Q?'
    """

    question: str
    preamble: str = ""
    shots: tuple[str, ...] = ()

    @property
    def head(self) -> str:
        """What stands before the question, and is the same for many."""
        return self.preamble + "".join(self.shots)

    @property
    def text(self) -> str:
        return self.head + self.question

    def with_fewer_shots(self) -> "TextPrompt":
        """The same prompt without its last worked example."""
        return TextPrompt(self.question, self.preamble, self.shots[:-1])


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """A conversation, rendered by the model's own chat template."""

    messages: tuple[Message, ...]


Prompt: TypeAlias = TextPrompt | ChatPrompt


class RequestId(NamedTuple):
    """Which item is asked, and which repeated answer (draw) this is."""

    item: str
    draw: int = 0


@dataclass(frozen=True, slots=True)
class Sampling:
    """How an answer is decoded. `temperature` 0 is greedy; `stop` strings end the answer and are cut off."""

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Drawing:
    """How many answers an item gets, and how they are decoded where that is not the protocol's affair.

    Several answers are drawn at random. Where nothing is said, as the field draws 20 for pass@1: temperature 0.2 of the
    nucleus 0.95 (Chen et al. 2021, MultiPL-E, BigCode). For pass@10 and pass@100 the field takes 0.8.
    """

    draws: int = 1
    temperature: float | None = None
    top_p: float | None = None

    def of(self, sampling: Sampling) -> Sampling:
        """A protocol's sampling, drawn in this way.

        >>> Drawing(20, temperature=0.8).of(Sampling(512))
        Sampling(max_tokens=512, temperature=0.8, top_p=0.95, stop=(), seed=0)
        """
        usual = replace(sampling, temperature=0.2, top_p=0.95) if self.draws > 1 else sampling
        return replace(
            usual,
            temperature=usual.temperature if self.temperature is None else self.temperature,
            top_p=usual.top_p if self.top_p is None else self.top_p,
        )


@dataclass(frozen=True, slots=True)
class Fit:
    """What to do with a prompt longer than the window (`window_tokens`, or the model's context when None).

    error: the item fails. truncate: tokens are cut from the left and counted. drop_shots: worked examples are
    dropped, last first, and counted; a prompt that does not fit without any fails.
    """

    overflow: Literal["error", "truncate", "drop_shots"] = "error"
    window_tokens: int | None = None


ConstraintKind: TypeAlias = Literal["gbnf", "json_schema"]


@dataclass(frozen=True, slots=True)
class Constraint:
    """What an answer must be: a sentence of a grammar (llama.cpp's GBNF), or JSON of a schema (as text)."""

    kind: ConstraintKind
    text: str


@dataclass(frozen=True, slots=True)
class Generate:
    """Write an answer to the prompt; held to `constraint`, where the engine can do that."""

    id: RequestId
    prompt: Prompt
    sampling: Sampling
    fit: Fit = Fit()
    constraint: Constraint | None = None
    _fingerprint: str = field(default="", init=False, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Loglikelihood:
    """Say how likely each continuation is after the prompt: sum of log p over its tokens, in nats.

    `contexts`, where there are any, are one a continuation: text that goes on from the prompt before it, and is read
    but not scored (the options stand in the prompt, as in WinoGrande). `compared`: only which continuation is likelier,
    and by how much, is asked; an engine may then say how likely each is given that it is one of these.
    """

    id: RequestId
    prompt: Prompt
    continuations: tuple[str, ...]
    fit: Fit = Fit()
    contexts: tuple[str, ...] = ()
    compared: bool = False
    _fingerprint: str = field(default="", init=False, repr=False, compare=False)

    def alone(self) -> "tuple[Loglikelihood, ...]":
        """The same as a request for each continuation, its context in the prompt."""
        if not self.contexts:
            return (self,)
        assert isinstance(self.prompt, TextPrompt), "contexts go on from a text"
        asked = zip(self.contexts, self.continuations, strict=True)
        return tuple(
            Loglikelihood(self.id, replace(self.prompt, question=self.prompt.question + context), (rest,), self.fit)
            for context, rest in asked
        )


Request: TypeAlias = Generate | Loglikelihood
RequestKind: TypeAlias = Literal["generation", "loglikelihood"]


def kind_of(request: Request) -> RequestKind:
    return "generation" if isinstance(request, Generate) else "loglikelihood"


def fingerprint(request: Request) -> str:
    """Digest of all that is asked, draw included, item id left out: equal fingerprints ask for equal answers."""
    if not request._fingerprint:  # computed once: a prompt is long, and runs, store and recordings all ask
        object.__setattr__(request, "_fingerprint", _digest(request))
    return request._fingerprint


def _digest(request: Request) -> str:
    # What not every request has is not in every fingerprint, so that answers kept before there was any stay known.
    if isinstance(request, Loglikelihood) and request.compared:
        return digest((fingerprint(replace(request, compared=False)), "compared"))
    if isinstance(request, Loglikelihood) and request.contexts:
        return digest((fingerprint(replace(request, contexts=())), request.contexts))
    if isinstance(request, Generate) and request.constraint:
        return digest((fingerprint(replace(request, constraint=None)), request.constraint))
    asked = request.sampling if isinstance(request, Generate) else request.continuations
    return digest((kind_of(request), request.prompt, asked, request.fit, request.id.draw))
