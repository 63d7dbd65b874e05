"""Was the test in the training data? Runs of words shared with a training file, and two tests of the model itself.

Knows items, protocols, and texts that were trained on (handed in: this room reads no training file). Refuses to declare
anything clean: what is looked for may be missed, paraphrases are not looked for at all.

Sources: Brown et al. 2020, appendix C (13-grams); Oren et al. 2023, arXiv 2310.17623 (order of the items).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from parity.benchmarks.base import Benchmark, Protocol
from parity.core.fingerprints import Fingerprints
from parity.core.items import Item
from parity.core.outputs import Failure, FailureKind, Loglikelihoods, Output
from parity.core.prompts import Loglikelihood, Request, RequestId, TextPrompt
from parity.core.scores import Score
from parity.engines.base import Engine
from parity.errors import DataError, EngineError, UsageError
from parity.files.tables import read_table
from parity.measurement.accounting import Terms, tell_forecast
from parity.runs.plan import place
from parity.runs.runner import ask
from parity.stats.contamination import LEAST_ITEMS, LEAST_SHARDS, OrderTest, ShuffleTest, order_test, shuffle_test
from parity.store import Workspace

# Every order follows the same word; a first token has no likelihood of its own.
_BEFORE = "Questions:"
# Options that speak of their places or of each other mean another thing when they are moved.
_FIXED = re.compile(r"\b(above|below|preceding|foregoing)\b|\b(all|none|both|neither|either) of (the|these|them)\b|"
                    r"\b[A-E] (and|or|nor) [A-E]\b", re.IGNORECASE)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Overlap:
    """Which share of an item's runs of words was found in training texts; `too_short` ones cannot be looked for."""

    found: dict[str, float]
    too_short: tuple[str, ...]
    texts: int

    @property
    def tainted(self) -> tuple[str, ...]:
        """Items of which at least one run of words was found."""
        return tuple(item for item, share in self.found.items() if share > 0)


def overlap(items: Sequence[Item], texts: Iterable[str]) -> Overlap:
    """Look for the 13-grams of every question (the whole of one that has 5 to 12 words) in the texts."""
    prints = {item.id: Fingerprints.of([item.question])[0].hashes for item in items}
    wanted, _ = Fingerprints.of(item.question for item in items)
    seen, count = set[str](), 0
    for text in texts:
        seen.update(wanted.runs_in(text))
        count += 1
    found = {item: len(own & seen) / len(own) for item, own in prints.items() if own}
    return Overlap(found, tuple(item for item, own in prints.items() if not own), count)


def clean_items(path: Path) -> dict[str, bool]:
    """Which items are clean, from a table of item,clean with 1 for clean and 0 for tainted.

    Raises:
        DataError: the file is missing or of another form.
    """
    table = read_table(path)
    table.require("clean")
    found = dict(zip(table.item_ids(), (row["clean"] for row in table.rows), strict=True))
    wrong = [item for item, clean in found.items() if clean not in ("0", "1")]
    if wrong:
        raise DataError(f"{path}: {wrong[0]!r} has clean {found[wrong[0]]!r}.", "It is 1 for clean, 0 for tainted.")
    return {item: clean == "1" for item, clean in found.items()}


@dataclass(frozen=True, slots=True)
class Contamination:
    """What was looked for and found; a text says why a test was not run, None that nobody asked for it.

    `too_long`: shards that did not fit the context and were left out, whatever their order.
    """

    benchmark: str
    items: int
    alpha: float
    overlap: Overlap | None = None
    order: OrderTest | str | None = None
    options: ShuffleTest | str | None = None
    too_long: int = 0

    @property
    def caught(self) -> bool:
        """Whether anything was found, at `alpha` each test."""
        tests = [test for test in (self.order, self.options) if isinstance(test, OrderTest | ShuffleTest)]
        return bool(self.overlap and self.overlap.tainted) or any(test.p < self.alpha for test in tests)


@dataclass(frozen=True, slots=True)
class Trial:
    """How a model is tried: `shards` runs of `items` items in `orders` random orders beside the published one.

    `max_items` is how many items are asked with their options moved (None: all); `alpha` the level of each test.
    """

    shards: int = 20
    items: int = 8
    orders: int = 10
    max_items: int | None = None
    alpha: float = 0.05


def try_order(
    engine: Engine, benchmark: Benchmark, protocol: Protocol, trial: Trial, workspace: Workspace, terms: Terms
) -> tuple[OrderTest, int]:
    """Ask how likely runs of items with their answers are, in the benchmark's own order and in shuffled ones.

    Returns the test and how many shards did not fit the context.

    Raises:
        UsageError: the model tells no log-likelihoods, the benchmark has too few items, or too few shards fit the
            context.
        EngineError: an order could not be scored.
    """
    if "loglikelihood" not in engine.capabilities.kinds:
        raise UsageError(
            f"{engine.model} tells no log-likelihoods: the order of items cannot be tested.",
            "Weights that run here tell them: a folder of safetensors, or gguf:FILE.",
        )
    items = benchmark.items
    count = min(trial.shards, len(items) // trial.items)
    if count < LEAST_SHARDS:
        raise UsageError(
            f"{len(items)} items make {count} shards of {trial.items}; at least {LEAST_SHARDS} are needed.",
            "Take fewer items a shard.",
        )
    # Shards lie evenly over the benchmark: its beginning may be better known than the rest.
    begins = [round(at * (len(items) - trial.items) / max(1, count - 1)) for at in range(count)]
    requests: list[Request] = []
    for at, begin in enumerate(begins):
        texts = [_told(protocol, item) for item in items[begin : begin + trial.items]]
        chance = np.random.default_rng(at)
        for order in range(trial.orders + 1):
            # Any order may be drawn, the published one too: a tie counts against it, and so its p stays exact.
            placed = [texts[index] for index in chance.permutation(len(texts))] if order else texts
            text = "\n\n" + "\n\n".join(placed)
            requests.append(Loglikelihood(RequestId(f"order of shard {at}", order), TextPrompt(_BEFORE), (text,)))
    outputs = _asked(engine, requests, workspace, terms)
    value_SP = np.array([_likelihood(outputs[request.id]) for request in requests]).reshape(count, -1)
    # A shard is as long in one order as in another: leaving out the long ones favours none.
    value_SP = value_SP[~np.isnan(value_SP).any(axis=1)]
    if len(value_SP) < LEAST_SHARDS:
        raise UsageError(
            f"{len(value_SP)} of {count} runs of {trial.items} items fit the context of {engine.model}.",
            "Take fewer items a shard.",
        )
    return order_test(value_SP[:, 0], value_SP[:, 1:]), count - len(value_SP)


def try_model(
    engine: Engine, benchmark: Benchmark, protocol: Protocol, trial: Trial, workspace: Workspace, terms: Terms
) -> Contamination:
    """Both tests of the model; where one cannot be made, why.

    Raises:
        UsageError: neither can be made.
        EngineError, BudgetExceeded: what was answered is kept.
    """
    order: OrderTest | str
    options: ShuffleTest | str
    too_long = 0
    try:
        order, too_long = try_order(engine, benchmark, protocol, trial, workspace, terms)
    except UsageError as reason:
        order = reason.what
    try:
        options = try_options(engine, benchmark, protocol, trial, workspace, terms)
    except UsageError as reason:
        options = reason.what
    if isinstance(order, str) and isinstance(options, str):
        raise UsageError(f"No test of the model can be made. {order} {options}", "Name another model or benchmark.")
    return Contamination(benchmark.name, len(benchmark.items), trial.alpha, None, order, options, too_long)


def _told(protocol: Protocol, item: Item) -> str:
    """An item with its answer, as a data set would print it."""
    question = protocol.prompt(item).question.rstrip()
    answers = protocol.continuations(item) if protocol.continuations and item.letters else item.letters
    right = [text for letter, text in zip(item.letters, answers, strict=True) if letter in item.targets]
    return f"{question} {(right or list(item.targets))[0].strip()}"


def _likelihood(output: Output) -> float:
    """NaN where it did not fit the context."""
    if isinstance(output, Loglikelihoods):
        return output.values[0]
    if isinstance(output, Failure) and output.kind is FailureKind.CONTEXT_EXCEEDED:
        return float("nan")
    what = output.message if isinstance(output, Failure) else "no log-likelihood"
    raise EngineError(f"A run of items could not be scored: {what}", "See whether the model answers: parity measure.")


def try_options(
    engine: Engine, benchmark: Benchmark, protocol: Protocol, trial: Trial, workspace: Workspace, terms: Terms
) -> ShuffleTest:
    """Ask the same items as published and with their options moved; right letters are spread alike in both.

    Raises:
        UsageError: fewer than 30 items whose options can be moved, or options that do not stand in the prompt.
        EngineError: too few answers could be marked.
    """
    if protocol.kind not in engine.capabilities.kinds:
        raise UsageError(
            f"{engine.model} cannot be asked by {protocol.name!r}, which takes {protocol.kind}.",
            "Name another protocol, with --protocol.",
        )
    items = sorted(filter(_movable, benchmark.items), key=lambda item: place(RequestId(item.id)))[: trial.max_items]
    moved = moved_options(items)
    if len(items) < LEAST_ITEMS:
        raise UsageError(
            f"{benchmark.name} has {len(items)} items whose options can be moved; {LEAST_ITEMS} are needed.",
            "Take more items, or a benchmark with options.",
        )
    if all(protocol.prompt(item).text == protocol.prompt(other).text for item, other in zip(items, moved, strict=True)):
        raise UsageError(
            f"{protocol.name!r} shows no options in its prompt: moving them changes nothing.",
            "Name a protocol that does, with --protocol.",
        )
    requests = [*map(protocol.request, items), *(_another(protocol.request(item)) for item in moved)]
    outputs = _asked(engine, requests, workspace, terms)
    both = [(item, outputs[request.id]) for item, request in zip((*items, *moved), requests, strict=True)]
    marks = protocol.marks(both).marks
    scored = [mark.value if isinstance(mark, Score) else np.nan for mark in marks]
    score_2I = np.array(scored).reshape(2, -1)
    score_2I = score_2I[:, ~np.isnan(score_2I).any(axis=0)]
    if score_2I.shape[1] < LEAST_ITEMS:
        raise EngineError(f"Only {score_2I.shape[1]} items were marked both ways.", "See what it answers: parity show.")
    return shuffle_test(score_2I[0], score_2I[1], trial.alpha)


def _another(request: Request) -> Request:
    """The request under an id of its own, beside the one about the item as published."""
    return replace(request, id=RequestId(f"{request.id.item} moved", request.id.draw))


def _movable(item: Item) -> bool:
    return len(item.options) > 1 and len(item.targets) == 1 and not any(map(_FIXED.search, item.options))


def moved_options(items: Sequence[Item]) -> list[Item]:
    """The items with their options in other places: right letters trade places among items with as many options.

    So every letter is right as often as before, and a model that likes one letter gains and loses nothing by it.
    """
    chance, letter_of = np.random.default_rng(0), {}
    for size in {len(item.options) for item in items}:
        alike = [item for item in items if len(item.options) == size]
        for item, other in zip(alike, chance.permutation(len(alike)), strict=True):
            letter_of[item.id] = alike[int(other)].targets[0]
    return [_with_right_at(item, item.letters.index(letter_of[item.id]), chance) for item in items]


def _with_right_at(item: Item, place_of_right: int, chance: np.random.Generator) -> Item:
    right = item.letters.index(item.targets[0])
    others = [option for at, option in enumerate(item.options) if at != right]
    options = [others[int(index)] for index in chance.permutation(len(others))]
    options.insert(place_of_right, item.options[right])
    return replace(item, options=tuple(options), targets=(item.letters[place_of_right],))


def _asked(engine: Engine, requests: list[Request], workspace: Workspace, terms: Terms) -> dict[RequestId, Output]:
    tell_forecast(engine, requests, workspace, terms)

    def progress(done: int, total: int) -> None:
        if terms.on_progress:
            terms.on_progress(engine.model.short, done, total)

    return ask(engine, requests, workspace, terms.budget, progress, terms.price).outputs
