"""What benchmarks of multiple choice have in common: a choice is data (question, options, target), asked in three ways.

- `lm-eval`: log-likelihood of the options, as lm-evaluation-harness asks it: `acc`.
- `lm-eval-norm`: the same request, marked by log-likelihood a character: `acc_norm`, where the harness reports it.
- `letter`: the options stand in the prompt under letters, the model writes one. For whatever has no log-likelihoods.

Refuses to know any one benchmark. Item ids are those of the harness's sample logs: task/doc_id, from 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from parity.benchmarks.base import Benchmark, Protocol, read_letter, spaced_letters
from parity.benchmarks.rows import Row, Source, read_all, rows_of
from parity.core.digests import digest
from parity.core.items import Item, Tag
from parity.core.prompts import Sampling, TextPrompt
from parity.core.scores import Mark
from parity.errors import UsageError, did_you_mean
from parity.marking import most_likely_by_length

HARNESS = "0.4.13"
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Choice:
    """One question as a file has it. `right` is the position of the answer among the options, from 0."""

    question: str
    options: tuple[str, ...]
    right: int
    tags: tuple[Tag, ...] = ()

    def item(self, name: str) -> Item:
        """The item of that name.

        Raises:
            ValueError: no option is at `right`.
        """
        if not 0 <= self.right < len(self.options):
            raise ValueError(f"answer {self.right} of {len(self.options)} options")
        return Item(name, self.question, (_LETTERS[self.right],), self.options, self.tags)


@dataclass(frozen=True, slots=True)
class ChoiceForm:
    """A benchmark of multiple choice as data.

    `prompt` is the harness's, without options unless `letters` are what is scored. `norm`: the harness reports
    `acc_norm` too. `asks` is said before the letters in the protocol `letter`.
    """

    name: str
    source: Source
    read: Callable[[Row], Choice]
    prompt: Callable[[Item], TextPrompt]
    letters: bool = False
    norm: bool = True
    default: str = "lm-eval"
    asks: str = "Answer with the letter of the right option alone."
    groupings: tuple[str, ...] = ()
    contexts: Callable[[Item], tuple[str, ...]] | None = None
    continuations: Callable[[Item], tuple[str, ...]] | None = None
    extra: dict[str, Protocol] = field(default_factory=dict)


def load_choices(form: ChoiceForm, folder: Path | None) -> Benchmark:
    """The benchmark of a form.

    Raises:
        DataError: the data is missing or malformed.
    """
    return choices_benchmark(form, rows_of(form.source, folder, form.name))


def choices_benchmark(form: ChoiceForm, rows: Sequence[Row]) -> Benchmark:
    """The benchmark over some rows; its version is the digest of its items.

    Raises:
        DataError: rows of another form.
    """
    items = read_all(rows, lambda at, row: form.read(row).item(f"{form.name}/{at}"), form.name)
    return Benchmark(form.name, version_of(items), tuple(items), choice_protocols(form), form.default, form.groupings)


def choice_protocols(form: ChoiceForm) -> dict[str, Protocol]:
    """The protocols of a form by name."""
    asked = form.continuations or (spaced_letters if form.letters else spaced_options)
    version = f"{HARNESS}/0-shot"
    found = [Protocol("lm-eval", version, form.prompt, asked, contexts=form.contexts)]
    if form.norm:
        found.append(Protocol("lm-eval-norm", version, form.prompt, asked, weigh=weigh_by_length))
    found.append(letter_protocol(form.asks))
    return {protocol.name: protocol for protocol in found} | form.extra


def letter_protocol(asks: str, max_tokens: int = 8) -> Protocol:
    """The model writes the letter of an option that it is shown."""
    version = f"1/0-shot/{digest(asks)[:8]}"
    sampling = Sampling(max_tokens, stop=("\n",))
    return Protocol("letter", version, partial(lettered, asks), sampling=sampling, read=read_letter)


def lettered(asks: str, item: Item) -> TextPrompt:
    """Question, lettered options, and what is asked for."""
    return TextPrompt(f"{item.question}\n\n{lettered_options(item)}\n\n{asks}\nAnswer:")


def lettered_options(item: Item) -> str:
    return "\n".join(f"{letter}. {option}" for letter, option in zip(item.letters, item.options, strict=True))


def spaced_options(item: Item) -> tuple[str, ...]:
    """The options' texts as continuations."""
    return tuple(f" {option}" for option in item.options)


def weigh_by_length(values: tuple[float, ...], item: Item) -> Mark:
    """Log-likelihood by character of the option, the space before it not counted."""
    return most_likely_by_length(values, [len(option) for option in item.options], item.letters, item.targets)


def version_of(items: Sequence[Item]) -> str:
    """Items name their own version: the first 12 hex digits of their digest."""
    return digest(list(items))[:12]


def listed_options(query: str) -> tuple[str, tuple[str, ...]]:
    """(question, options) of OLMES's request files, whose query shows them: `Question: ...`, ` A. ...`, `Answer:`.

    Raises:
        ValueError: the text is of another form.
    """
    lines = query.removesuffix("\nAnswer:").split("\n")
    starts = [at for at, line in enumerate(lines) if line.startswith(" A. ")]
    if not starts:
        raise ValueError("a query without options")
    options: list[str] = []
    for line in lines[starts[-1] :]:
        expected = f" {_LETTERS[len(options)]}. "
        if line.startswith(expected):
            options.append(line.removeprefix(expected))
        else:
            options[-1] += "\n" + line
    question = "\n".join(lines[: starts[-1]])
    return question.partition(": ")[2], tuple(options)


def named(known: dict[str, str], wanted: tuple[str, ...], what: str) -> tuple[str, ...]:
    """The wanted parts of a benchmark in their order, all of them when none is named.

    Raises:
        UsageError: there is no such part.
    """
    for name in wanted:
        if name not in known:
            raise UsageError(f"{what} has no part {name!r}.", did_you_mean(name, list(known)))
    return tuple(name for name in known if not wanted or name in wanted)
