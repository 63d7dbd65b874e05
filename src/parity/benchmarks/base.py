"""Benchmark: frozen items, and the protocols by which they may be asked and marked.

A protocol turns an item into a request and an output into a mark. Log-likelihood and generation are different
measurements; one comparison uses one protocol.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from parity.core.digests import digest
from parity.core.items import Item, Tag
from parity.core.outputs import Failure, Generation, Loglikelihoods, Output
from parity.core.prompts import (
    ChatPrompt,
    Drawing,
    Fit,
    Generate,
    Loglikelihood,
    Message,
    Request,
    RequestId,
    RequestKind,
    Sampling,
    TextPrompt,
)
from parity.core.scores import Mark, Unscored, UnscoredReason
from parity.errors import UsageError, did_you_mean
from parity.marking import most_likely, named_letter
from parity.marking.checks import Marking, Progress, Reading, mark_all

_NO_CHAT = "Use --template none, or the protocol 'letter'."


@dataclass(frozen=True, slots=True)
class Protocol:
    """How items are asked and marked.

    `sampling` is None for log-likelihood protocols, whose `continuations` are compared instead, each after its own of
    the `contexts` where the options stand in the prompt; `weigh` marks their log-likelihoods (the most likely wins if
    not given), `read` marks what is written. `version` changes with anything that changes a prompt or a mark.
    Letters of which the most likely wins are asked to be compared only: no engine has to normalise for them.
    `system` is said before the prompt: as a system message in turns, as a paragraph otherwise. `asks` says which items
    it asks, all if not given.
    """

    name: str
    version: str
    prompt: Callable[[Item], TextPrompt]
    continuations: Callable[[Item], tuple[str, ...]] | None = None
    sampling: Sampling | None = None
    read: Callable[[str, Item], Reading] | None = None
    fit: Fit | None = None
    contexts: Callable[[Item], tuple[str, ...]] | None = None
    weigh: Callable[[tuple[float, ...], Item], Mark] | None = None
    system: Callable[[Item], str] | None = None
    asks: Callable[[Item], bool] | None = None

    @property
    def unmarked(self) -> bool:
        """Whether answers are only kept, for a judge or a person to mark."""
        return self.sampling is not None and self.read is None

    @property
    def kind(self) -> RequestKind:
        return "generation" if self.sampling is not None else "loglikelihood"

    def request(
        self, item: Item, draw: int = 0, fit: Fit | None = None, chat: bool = False, drawing: Drawing | None = None
    ) -> Request:
        """What is asked for an item; the protocol's own window rule goes before the caller's.

        `chat` puts the prompt into a user's turn, after which an answer begins without a space.
        """
        fit = self.fit or fit or Fit()
        asked = RequestId(item.id, draw)
        text = self.prompt(item)
        said = self.system(item) if self.system else ""
        if said and not chat:
            text = replace(text, preamble=f"{said}\n\n{text.preamble}")
        turns = (*([Message("system", said)] if said else []), Message("user", text.text))
        prompt = ChatPrompt(turns) if chat else text
        if self.sampling is not None:
            return Generate(asked, prompt, drawing.of(self.sampling) if drawing else self.sampling, fit)
        assert self.continuations is not None
        options = self.continuations(item)
        if self.contexts is not None:
            if chat:
                raise UsageError(
                    f"{self.name!r} cannot be asked in turns: its options go on from the prompt.", _NO_CHAT
                )
            return Loglikelihood(asked, text, options, fit, self.contexts(item))
        compared = self.weigh is None and tuple(map(str.strip, options)) == item.letters
        options = tuple(map(str.lstrip, options)) if chat else options
        return Loglikelihood(asked, prompt, options, fit, compared=compared)

    def marks(self, answered: Iterable[tuple[Item, Output]], on_progress: Progress | None = None) -> Marking:
        """What answers are worth; those that have to be run are run together, several at a time.

        Raises:
            SandboxError: model-written code cannot be run safely here.
        """
        return mark_all([self._reading(item, output) for item, output in answered], on_progress)

    def mark(self, item: Item, output: Output) -> Mark:
        """What one answer is worth. A technical failure is unscored, whatever the protocol."""
        return self.marks([(item, output)]).marks[0]

    def _reading(self, item: Item, output: Output) -> Reading:
        if isinstance(output, Failure):
            return Unscored(UnscoredReason.FAILED, f"{output.kind.value}: {output.message}")
        if isinstance(output, Loglikelihoods) and self.continuations is not None:
            if self.weigh is not None:
                return self.weigh(output.values, item)
            return most_likely(output.values, item.letters, item.targets)
        if isinstance(output, Generation) and self.sampling is not None:
            return self.read(output.text, item) if self.read else Unscored(UnscoredReason.UNJUDGED, "nobody marks it")
        return Unscored(UnscoredReason.FAILED, f"a {type(output).__name__} where the protocol expects a {self.kind}")


def spaced_letters(item: Item) -> tuple[str, ...]:
    """The letters of the options as continuations of `Answer:`."""
    return tuple(f" {letter}" for letter in item.letters)


def read_letter(text: str, item: Item) -> Mark:
    """Mark the letter that an answer begins with."""
    return named_letter(text, item.letters, item.targets)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Items and protocols. `groupings` are the tag kinds whose averages are reported, in that order."""

    name: str
    version: str
    items: tuple[Item, ...]
    protocols: Mapping[str, Protocol]
    default_protocol: str
    groupings: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Digest of every item; prompts and marks are covered by the protocol's version and the requests."""
        return digest((self.name, self.version, self.items))

    def protocol(self, name: str | None) -> Protocol:
        """A protocol by name, or the default one.

        Raises:
            UsageError: no such protocol.
        """
        name = name or self.default_protocol
        if name not in self.protocols:
            raise UsageError(f"{self.name} has no protocol {name!r}.", did_you_mean(name, list(self.protocols)))
        return self.protocols[name]

    def items_of(self, protocol: Protocol) -> tuple[Item, ...]:
        """The items that a protocol asks."""
        return tuple(item for item in self.items if protocol.asks is None or protocol.asks(item))

    def only(self, wanted: tuple[Tag, ...]) -> "Benchmark":
        """The items with any of the wanted tags.

        Raises:
            UsageError: no item has a wanted tag.
        """
        if not wanted:
            return self
        known = {tag for item in self.items for tag in item.tags}
        for tag in wanted:
            if tag not in known:
                raise UsageError(f"No item of {self.name} is tagged {tag}.", did_you_mean(str(tag), [*map(str, known)]))
        kept = tuple(item for item in self.items if set(item.tags) & set(wanted))
        return Benchmark(self.name, self.version, kept, self.protocols, self.default_protocol, self.groupings)
