"""Judges: a second run, whose items are grading prompts about answers that exist already.

So a judge is asked, stopped, resumed, priced and kept as any model is: `parity measure JUDGE -b ...`. Pairs are asked
in both orders, as two items that share everything but the order (tag `order`), for a judge that prefers a place says so
only then. Protocols: `pairwise`, a verdict between the candidate's answer and the baseline's; `rubric`, a grade of 1 to
10 for the candidate's alone, with the reference answer where there is one. The words are ours; verdicts are written as
FastChat has judges write them.

Reads two files of answers from a folder, `candidate` and `baseline`: AlpacaEval's (rows of instruction and output), or
MT-bench's (question_id and choices, with `question` beside them; each of two turns is an item).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from parity.benchmarks.base import Benchmark, Protocol
from parity.benchmarks.choices import version_of
from parity.benchmarks.rows import Row, Source, optional_rows, read_all, rows_of
from parity.core.digests import digest
from parity.core.items import Item, Tag
from parity.core.prompts import Sampling, TextPrompt
from parity.core.scores import Mark
from parity.marking.verdicts import grade, preference

CANDIDATE, BASELINE = Source(("candidate", "model_outputs")), Source(("baseline", "reference_outputs"))
QUESTIONS, REFERENCES = Source(("question",)), Source(("reference_answer_gpt-4", "reference"))
LOWEST, HIGHEST = 1, 10
_PAIRWISE = (
    "Compare two answers to the same message. Judge how helpful, correct and complete each one is for whoever wrote "
    "the message. Do not let their order or their length decide. Give your reasons briefly, then end with one verdict "
    "alone on a line: [[A]] if answer A is better, [[B]] if answer B is better, [[C]] if neither is."
)
_RUBRIC = (
    "Grade the answer to the message: how helpful, correct and complete it is for whoever wrote it. Give your reasons "
    "briefly, then end with the grade alone on a line, from [[1]] (useless) to [[10]] (could not be better)."
)
ORDERS = ("candidate first", "baseline first")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one message; `reference` is a right answer where there is one."""

    name: str
    message: str
    candidate: str
    baseline: str
    reference: str = ""
    tags: tuple[Tag, ...] = ()


def load_alpaca(folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """Pairs of AlpacaEval's output files. Raises DataError: a file is missing, or they answer other instructions."""
    ours, theirs = (rows_of(source, folder, "AlpacaEval's answers") for source in (CANDIDATE, BASELINE))
    baseline = {str(row["instruction"]): str(row["output"]) for row in theirs}
    pairs = read_all(ours, partial(_alpaca, baseline), "alpaca-eval")
    return pairwise_benchmark("alpaca-eval", pairs, ("dataset",))


def load_mt_bench(folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """Pairs of MT-bench's answer files. Raises DataError: a file is missing, or a question has no answers."""
    questions = rows_of(QUESTIONS, folder, "MT-bench's questions")
    ours, theirs = (_turns(rows_of(source, folder, "MT-bench's answers")) for source in (CANDIDATE, BASELINE))
    right = _turns(optional_rows(REFERENCES, folder) or [])
    found = read_all(questions, partial(_mt_bench, ours, theirs, right), "mt-bench")
    return pairwise_benchmark("mt-bench", [pair for several in found for pair in several], ("category", "turn"))


def pairwise_benchmark(name: str, pairs: Sequence[Pair], groupings: tuple[str, ...]) -> Benchmark:
    """Grading prompts for pairs: every pair in both orders."""
    items, prompts, grades = [], {}, {}
    for pair in pairs:
        for order in ORDERS:
            item = Item(f"{pair.name}/{order}", pair.message, (order,), (), (*pair.tags, Tag("order", order)))
            items.append(item)
            prompts[item.id] = pairwise_prompt(pair, order == ORDERS[0])
            grades[item.id] = rubric_prompt(pair)
    sampling = Sampling(1024)
    protocols = {
        "pairwise": Protocol(
            "pairwise", f"1/{digest(_PAIRWISE)[:8]}", partial(_asked, prompts), sampling=sampling, read=_read_verdict
        ),
        "rubric": Protocol(
            "rubric", f"1/{digest(_RUBRIC)[:8]}", partial(_asked, grades), sampling=sampling, read=_read_grade
        ),
    }
    version = f"{version_of(items)}-{digest([(pair.candidate, pair.baseline) for pair in pairs])[:8]}"
    return Benchmark(name, version, tuple(items), protocols, "pairwise", (*groupings, "order"))


def pairwise_prompt(pair: Pair, first: bool) -> TextPrompt:
    """The prompt for one order; `first`: the candidate's answer is A."""
    one, other = (pair.candidate, pair.baseline) if first else (pair.baseline, pair.candidate)
    right = _part("A right answer, for comparison", pair.reference) if pair.reference else ""
    shown = f"{_part('Message', pair.message)}{right}{_part('Answer A', one)}{_part('Answer B', other)}"
    return TextPrompt(shown, f"{_PAIRWISE}\n\n")


def rubric_prompt(pair: Pair) -> TextPrompt:
    """The prompt for a grade of the candidate's answer alone."""
    right = _part("A right answer, for comparison", pair.reference) if pair.reference else ""
    return TextPrompt(f"{_part('Message', pair.message)}{right}{_part('Answer', pair.candidate)}", f"{_RUBRIC}\n\n")


def _part(title: str, text: str) -> str:
    return f"<{title}>\n{text.strip()}\n</{title}>\n\n"


def _asked(prompts: Mapping[str, TextPrompt], item: Item) -> TextPrompt:
    return prompts[item.id]


def _read_verdict(text: str, item: Item) -> Mark:
    return preference(text, item.targets[0] == ORDERS[0])


def _read_grade(text: str, _: Item) -> Mark:
    return grade(text, LOWEST, HIGHEST)


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
    pairs = []
    for at in range(len(turns)):
        message = _conversation(turns, at)
        tags = (Tag("category", str(row["category"])), Tag("turn", str(at + 1)))
        references = right.get(key, [])
        pairs.append(
            Pair(
                f"mt_bench/{key}/{at + 1}", message, _conversation_answers(turns, ours[key], at),
                _conversation_answers(turns, theirs[key], at), references[at] if at < len(references) else "", tags,
            )
        )  # fmt: skip
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
