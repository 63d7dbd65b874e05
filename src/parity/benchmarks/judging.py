"""Judges: a second run, whose items are grading prompts about answers that exist already.

So a judge is asked, stopped, resumed, priced and kept as any model is: `parity judge RUN RUN`, or `parity measure JUDGE
-b ...` for answers in files. Pairs are asked in both orders, as two items that share everything but the order (tag
`order`), for a judge that prefers a place says so only then. What it is asked is a style (`judge_styles`).

Reads two files of answers from a folder, `candidate` and `baseline`: AlpacaEval's (rows of instruction and output), or
MT-bench's (question_id and choices, with `question` beside them; each of two turns is an item). Where the authors' own
prompts lie beside them (`judge_prompts.jsonl`, `judge_prompt.txt`), they are protocols too.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from parity.benchmarks.base import Benchmark, Protocol
from parity.benchmarks.choices import version_of
from parity.benchmarks.judge_styles import (
    Pair,
    Round,
    Style,
    alpaca_eval_styles,
    fastchat_styles,
    pairwise_style,
    rubric_style,
)
from parity.benchmarks.rows import Row, Source, optional_rows, read_all, rows_of
from parity.core.digests import digest
from parity.core.items import Item, Tag
from parity.core.prompts import Sampling, TextPrompt
from parity.core.scores import Mark

CANDIDATE, BASELINE = Source(("candidate", "model_outputs")), Source(("baseline", "reference_outputs"))
QUESTIONS, REFERENCES = Source(("question",)), Source(("reference_answer_gpt-4", "reference"))
FASTCHAT_PROMPTS, ALPACA_PROMPT = "judge_prompts.jsonl", "judge_prompt.txt"
ORDERS = ("candidate first", "baseline first")
SIDES = ("candidate", "baseline")


def load_alpaca(folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """Pairs of AlpacaEval's output files. Raises DataError: a file is missing, or they answer other instructions."""
    ours, theirs = (rows_of(source, folder, "AlpacaEval's answers") for source in (CANDIDATE, BASELINE))
    baseline = {str(row["instruction"]): str(row["output"]) for row in theirs}
    pairs = read_all(ours, partial(_alpaca, baseline), "alpaca-eval")
    return pairwise_benchmark("alpaca-eval", pairs, ("dataset",), _beside(folder, ALPACA_PROMPT, alpaca_eval_styles))


def load_mt_bench(folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """Pairs of MT-bench's answer files. Raises DataError: a file is missing, or a question has no answers."""
    questions = rows_of(QUESTIONS, folder, "MT-bench's questions")
    ours, theirs = (_turns(rows_of(source, folder, "MT-bench's answers")) for source in (CANDIDATE, BASELINE))
    right = _turns(optional_rows(REFERENCES, folder) or [])
    found = read_all(questions, partial(_mt_bench, ours, theirs, right), "mt-bench")
    pairs = [pair for several in found for pair in several]
    styles = _beside(folder, FASTCHAT_PROMPTS, fastchat_styles)
    return pairwise_benchmark("mt-bench", pairs, ("category", "turn"), styles)


def pairwise_benchmark(
    name: str, pairs: Sequence[Pair], groupings: tuple[str, ...], styles: Sequence[Style] = ()
) -> Benchmark:
    """Grading prompts for pairs: every pair in both orders, and by protocols that grade the candidate's answer alone.

    Without `styles` in ours of both kinds; the first style is the default protocol.
    """
    chosen = tuple(styles) or (pairwise_style(), rubric_style())
    asked = {}
    for pair in pairs:
        for order in ORDERS:
            item = Item(f"{pair.name}/{order}", pair.message, (order,), (), (*pair.tags, Tag("order", order)))
            asked[item] = pair, order == ORDERS[0]
    return _benchmark(name, asked, chosen, (*groupings, "order"))


def graded_benchmark(name: str, pairs: Sequence[Pair], groupings: tuple[str, ...], style: Style) -> Benchmark:
    """Grading prompts for both answers of every pair, each alone; the tag `answer` says whose it is."""
    asked = {}
    for pair in pairs:
        for side in SIDES:
            tags = (*pair.tags, Tag("answer", side))
            asked[Item(f"{pair.name}/{side}", pair.message, (side,), (), tags)] = pair, side == SIDES[0]
    return _benchmark(name, asked, (style,), (*groupings, "answer"))


def _benchmark(
    name: str, asked: Mapping[Item, tuple[Pair, bool]], styles: Sequence[Style], groupings: tuple[str, ...]
) -> Benchmark:
    pairs = {item.id: pair for item, pair in asked.items()}
    both = "order" in groupings
    protocols = {style.name: _protocol(style, pairs, both) for style in styles}
    answers = [(pair.candidate, pair.baseline) for pair, first in asked.values() if first]
    version = f"{version_of(list(asked))}-{digest(answers)[:8]}"
    return Benchmark(name, version, tuple(asked), protocols, styles[0].name, groupings)


def _protocol(style: Style, pairs: Mapping[str, tuple[Pair, bool]], both_orders: bool) -> Protocol:
    """A style as a protocol over the pairs; a grade of the candidate's answer needs no second order."""

    def prompt(item: Item) -> TextPrompt:
        return style.prompt(*pairs[item.id])

    def system(item: Item) -> str:
        return style.system(pairs[item.id][0]) if style.system else ""

    def read(text: str, item: Item) -> Mark:
        return style.read(text, pairs[item.id][1])

    def asks(item: Item) -> bool:
        return not (style.graded and both_orders) or pairs[item.id][1]

    if style.names is None or style.weigh is None:
        sampling = Sampling(style.max_tokens)
        return Protocol(style.name, style.version, prompt, sampling=sampling, read=read, system=system, asks=asks)
    names, weigh = style.names, style.weigh
    return Protocol(
        style.name, style.version, prompt, lambda _: names, system=system, asks=asks,
        weigh=lambda values, item: weigh(values, pairs[item.id][1]),
    )  # fmt: skip


def _beside(folder: Path | None, name: str, styles: Callable[[Path], tuple[Style, Style]]) -> tuple[Style, ...]:
    """Ours, and the authors' own where their prompts lie beside the answers."""
    path = folder / name if folder else None
    return pairwise_style(), rubric_style(), *(styles(path) if path and path.exists() else ())


def _alpaca(baseline: Mapping[str, str], at: int, row: Row) -> Pair:
    message = str(row["instruction"])
    if message not in baseline:
        raise ValueError("the baseline does not answer this instruction")
    tags = (Tag("dataset", str(row["dataset"])),) if row.get("dataset") else ()
    return Pair(f"alpaca_eval/{at}", message, str(row["output"]), baseline[message], "", tags)


def _turns(rows: Sequence[Row]) -> dict[str, list[str]]:
    """question_id: the answer of each turn.

    Raises:
        DataError: rows of another form.
    """

    def read(_: int, row: Row) -> tuple[str, list[str]]:
        choices = row["choices"]
        assert isinstance(choices, list)
        return str(row["question_id"]), [str(turn) for turn in choices[0]["turns"]]

    return dict(read_all(rows, read, "answers"))


def _mt_bench(
    ours: Mapping[str, list[str]], theirs: Mapping[str, list[str]], right: Mapping[str, list[str]], _: int, row: Row
) -> list[Pair]:
    key, turns = str(row["question_id"]), row["turns"]
    assert isinstance(turns, list)
    if key not in ours or key not in theirs:
        raise ValueError(f"question {key} is not answered by both")
    references = [*right.get(key, []), *([""] * len(turns))]
    pairs = []
    for at in range(len(turns)):
        one, other = (_conversation_answers(turns, side[key], at) for side in (ours, theirs))
        tags = (Tag("category", str(row["category"])), Tag("turn", str(at + 1)))
        rounds = tuple(map(Round, turns[: at + 1], ours[key], theirs[key], references))
        name, message = f"mt_bench/{key}/{at + 1}", _conversation(turns, at)
        pairs.append(Pair(name, message, one, other, references[at], tags, rounds))
    return pairs


def _conversation(turns: Sequence[str], at: int) -> str:
    """What the user said up to a turn."""
    return "\n\n".join(f"User: {turn}" for turn in turns[: at + 1])


def _conversation_answers(turns: Sequence[str], answers: Sequence[str], at: int) -> str:
    """A model's side up to a turn: each has its own first answer, which the second message goes on from.

    Raises:
        ValueError: it stopped answering before.
    """
    if len(answers) <= at:
        raise ValueError(f"{len(answers)} answers to {len(turns)} turns")
    return "\n\n".join(f"To message {place + 1}: {answer}" for place, answer in enumerate(answers[: at + 1]))
