"""How a judge is asked about two answers, and how its verdict is read: in our words, yours, or the authors' own.

Knows pairs of answers and prompts. The prompts of FastChat (MT-bench) and AlpacaEval are read from the authors' files
and are not shipped; what is filled in, which one is taken, and how an answer is read follow their code. Refuses to know
who judges, and what comes of all verdicts.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from parity.core.digests import digest
from parity.core.items import Tag
from parity.core.prompts import TextPrompt
from parity.core.scores import Mark
from parity.errors import DataError, listed
from parity.files import read_text
from parity.marking.verdicts import (
    first_bracketed_grade,
    first_bracketed_preference,
    grade,
    named_preference,
    preference,
    weighted_preference,
)

LOWEST, HIGHEST = 1, 10
_PAIRWISE = (
    "Compare two answers to the same message. Judge how helpful, correct and complete each one is for whoever wrote "
    "the message."
)
_PAIRWISE_END = (
    "Do not let their order or their length decide. Give your reasons briefly, then end with one verdict "
    "alone on a line: [[A]] if answer A is better, [[B]] if answer B is better, [[C]] if neither is."
)
_GRADE = "Grade the answer to the message: how helpful, correct and complete it is for whoever wrote it."
_GRADE_END = (
    "Give your reasons briefly, then end with the grade alone on a line, from [[1]] (useless) to [[10]] (could not be "
    "better)."
)
# What AlpacaEval's judge calls the first answer and the second.
ALPACA_NAMES = ("m", "M")
_CHATML = re.compile(r"<\|im_start\|>(system|user)\n(.*?)\n?<\|im_end\|>", re.S)
_FASTCHAT = ("pair-v2", "pair-v2-multi-turn", "pair-math-v1", "pair-math-v1-multi-turn",
             "single-v1", "single-v1-multi-turn", "single-math-v1", "single-math-v1-multi-turn")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Round:
    """One turn of a conversation: what was said, what each model answered, a right answer where there is one."""

    question: str
    candidate: str
    baseline: str
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one message; `reference` is a right answer where there is one.

    `rounds` are the turns where a message is a conversation; otherwise there is one, of the fields themselves.
    """

    name: str
    message: str
    candidate: str
    baseline: str
    reference: str = ""
    tags: tuple[Tag, ...] = ()
    rounds: tuple[Round, ...] = ()

    @property
    def turns(self) -> tuple[Round, ...]:
        return self.rounds or (Round(self.message, self.candidate, self.baseline, self.reference),)


@dataclass(frozen=True, slots=True)
class Style:
    """Prompt and reading. `first`: the candidate's answer is shown first; when `graded` it is the one shown at all.

    `system` is said before, where the judge is asked in turns. `names` are what the judge calls the two answers when
    their likelihoods are compared instead of a verdict being written.
    """

    name: str
    version: str
    prompt: Callable[[Pair, bool], TextPrompt]
    read: Callable[[str, bool], Mark]
    graded: bool = False
    max_tokens: int = 1024
    system: Callable[[Pair], str] | None = None
    names: tuple[str, str] | None = None
    weigh: Callable[[tuple[float, ...], bool], Mark] | None = None


def pairwise_style(words: str = _PAIRWISE) -> Style:
    """A verdict between two answers; `words` say what to judge by."""
    asked = f"{words.strip()} {_PAIRWISE_END}"
    return Style("pairwise", f"1/{digest(asked)[:8]}", partial(_pairwise_prompt, asked), preference)


def rubric_style(words: str = _GRADE) -> Style:
    """A grade of 1 to 10 for one answer, with the right answer beside it where there is one."""
    asked = f"{words.strip()} {_GRADE_END}"
    return Style("rubric", f"1/{digest(asked)[:8]}", partial(_grade_prompt, asked), _read_grade, graded=True)


def fastchat_styles(path: Path) -> tuple[Style, Style]:
    """MT-bench as FastChat judges it, from its `judge_prompts.jsonl`: two answers compared, and one graded.

    With a reference the prompts for mathematics are taken; a second turn has prompts of its own. A verdict of FastChat
    is the first of [[A]], [[B]], [[C]] that occurs, in this order of the letters; a grade the first in brackets.
    Source: Zheng et al. 2023, arXiv 2306.05685; FastChat `llm_judge/common.py`.

    Raises:
        DataError: the file is missing, or lacks one of the prompts.
    """
    text = read_text(path, "FastChat's judge prompts (judge_prompts.jsonl)", DataError)
    try:
        prompts = {row["name"]: row for row in map(json.loads, filter(str.strip, text.split("\n")))}
        found = {name: (str(prompts[name]["system_prompt"]), str(prompts[name]["prompt_template"])) for name in prompts}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not FastChat's file of prompts: {error!r}.", "Take judge_prompts.jsonl.") from error
    if lacking := [name for name in _FASTCHAT if name not in found]:
        raise DataError(f"{path} lacks the prompts:\n{listed(lacking)}", "Take FastChat's judge_prompts.jsonl whole.")
    version = f"1/{digest(sorted(found.items()))[:8]}"

    def style(name: str, kind: str, read: Callable[[str, bool], Mark], graded: bool) -> Style:
        def system(pair: Pair) -> str:
            return found[_fastchat_name(kind, pair)][0]

        def prompt(pair: Pair, first: bool) -> TextPrompt:
            return TextPrompt(_filled(found[_fastchat_name(kind, pair)][1], _fastchat_slots(pair, first)))

        return Style(name, version, prompt, read, graded, 2048, system)

    return (
        style("mt-bench", "pair", first_bracketed_preference, False),
        style("mt-bench-single", "single", _read_first_grade, True),
    )


def alpaca_eval_styles(path: Path) -> tuple[Style, Style]:
    """AlpacaEval's judge, from its template (such as `alpaca_eval_clf.txt`): the better answer named, m or M; and the
    same weighted by how likely each name is, P(M) / (P(m) + P(M)), as weighted_alpaca_eval_gpt4_turbo does.

    Source: Li et al., AlpacaEval, `completion_parsers.logprob_parser`.

    Raises:
        DataError: the file is missing, or shows no instruction or only one of two outputs.
    """
    text = read_text(path, "AlpacaEval's prompt", DataError)
    slots = ("{instruction}", "{output_1}", "{output_2}")
    if lacking := [slot for slot in slots if slot not in text]:
        raise DataError(f"{path} does not show:\n{listed(lacking)}", "Take the template of an AlpacaEval annotator.")
    turns: dict[str, str] = dict(_CHATML.findall(text)) or {"user": text}
    version = f"1/{digest(text)[:8]}"

    def prompt(pair: Pair, first: bool) -> TextPrompt:
        one, other = (pair.candidate, pair.baseline) if first else (pair.baseline, pair.candidate)
        shown = {"instruction": pair.message, "output_1": one, "output_2": other}
        return TextPrompt(_filled(turns.get("user", text), shown))

    def system(pair: Pair) -> str:
        return turns.get("system", "")

    named, weighted = partial(named_preference, names=ALPACA_NAMES), weighted_preference
    return (
        Style("alpaca-eval", version, prompt, named, False, 1, system),
        Style("alpaca-eval-weighted", version, prompt, named, False, 1, system, ALPACA_NAMES, weighted),
    )


def _pairwise_prompt(asked: str, pair: Pair, first: bool) -> TextPrompt:
    """The prompt for one order; `first`: the candidate's answer is A."""
    one, other = (pair.candidate, pair.baseline) if first else (pair.baseline, pair.candidate)
    right = _part("A right answer, for comparison", pair.reference) if pair.reference else ""
    shown = f"{_part('Message', pair.message)}{right}{_part('Answer A', one)}{_part('Answer B', other)}"
    return TextPrompt(shown, f"{asked}\n\n")


def _grade_prompt(asked: str, pair: Pair, first: bool) -> TextPrompt:
    """The prompt for a grade of one answer alone."""
    right = _part("A right answer, for comparison", pair.reference) if pair.reference else ""
    answer = pair.candidate if first else pair.baseline
    return TextPrompt(f"{_part('Message', pair.message)}{right}{_part('Answer', answer)}", f"{asked}\n\n")


def _part(title: str, text: str) -> str:
    return f"<{title}>\n{text.strip()}\n</{title}>\n\n"


def _read_grade(text: str, _: bool) -> Mark:
    return grade(text, LOWEST, HIGHEST)


def _read_first_grade(text: str, _: bool) -> Mark:
    return first_bracketed_grade(text, LOWEST, HIGHEST)


def _fastchat_name(kind: str, pair: Pair) -> str:
    """FastChat's name of the prompt: for mathematics where there is a right answer, by the number of turns."""
    version = "math-v1" if pair.turns[0].reference else {"pair": "v2", "single": "v1"}[kind]
    return f"{kind}-{version}" + ("-multi-turn" if len(pair.turns) > 1 else "")


def _fastchat_slots(pair: Pair, first: bool) -> dict[str, str]:
    slots: dict[str, str] = {}
    for at, turn in enumerate(pair.turns, start=1):
        one, other = (turn.candidate, turn.baseline) if first else (turn.baseline, turn.candidate)
        slots |= {f"question_{at}": turn.question, f"ref_answer_{at}": turn.reference, f"answer_{at}": one}
        slots |= {f"answer_a_{at}": one, f"answer_b_{at}": other}
    only = {name: slots[f"{name}_1"] for name in ("question", "answer", "answer_a", "answer_b")}
    return slots | only


def _filled(template: str, slots: Mapping[str, str]) -> str:
    """The template with its slots filled; other braces, and braces in what is filled in, stay as they are."""
    return re.sub(r"\{(\w+)\}", lambda slot: slots.get(slot[1], slot[0]), template)
