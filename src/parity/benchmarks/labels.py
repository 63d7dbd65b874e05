"""What benchmarks of classification have in common: a text, and one of several labels for it.

- `choice`: the label with the highest log-likelihood behind the prompt.
- `label`: the model writes a label; case, quotes and marks around it do not count. What is no label is outside.

Labels are not letters: there may be 77 of them. Refuses to know any one benchmark.
"""

from collections.abc import Callable, Mapping, Sequence

from parity.benchmarks.base import Protocol
from parity.core.items import Item
from parity.core.prompts import Sampling, TextPrompt
from parity.core.scores import Mark, Score
from parity.marking import most_likely

Labels = Callable[[Item], Sequence[str]]
_AROUND = " \t\n\"'`*.:;,()[]"


def label_protocols(
    prompt: Callable[[Item], TextPrompt], labels: Labels, version: str, max_tokens: int = 24
) -> dict[str, Protocol]:
    """The two protocols over one prompt; `labels` are those of an item."""

    def continuations(item: Item) -> tuple[str, ...]:
        return tuple(f" {label}" for label in labels(item))

    def weigh(values: tuple[float, ...], item: Item) -> Mark:
        return most_likely(values, tuple(labels(item)), item.targets)

    def read(text: str, item: Item) -> Mark:
        return named_label(text, labels(item), item.targets)

    sampling = Sampling(max_tokens, stop=("\n",))
    return {
        "label": Protocol("label", version, prompt, sampling=sampling, read=read),
        "choice": Protocol("choice", version, prompt, continuations, weigh=weigh),
    }


def named_label(text: str, labels: Sequence[str], targets: Sequence[str]) -> Score:
    """Score 1 when the answer is a target.

    >>> named_label(' "Card Arrival". ', ("card arrival", "top up"), ("card arrival",)).value
    1.0
    >>> named_label("lost card", ("card arrival",), ("card arrival",)).outside
    True
    """
    known = {plain(label): label for label in labels}
    answer = known.get(plain(text))
    if answer is None:
        return Score(0.0, text.strip()[:80], outside=True)
    return Score(float(plain(answer) in map(plain, targets)), answer)


def plain(text: str) -> str:
    """A label without case, and without what is put around one."""
    return text.strip(_AROUND).casefold()


def shown(labels: Mapping[str, object] | Sequence[str]) -> str:
    return "\n".join(f"- {label}" for label in labels)
