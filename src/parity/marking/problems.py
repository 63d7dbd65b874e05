"""A problem that a program has to solve, what its answers mean, and the reward they earn in training.

Knows nothing of benchmarks: a problem is a prompt and a test, wherever they come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from parity.core.items import Tag
from parity.core.scores import Score
from parity.marking.checks import Check, Progress, Reading, mark_all
from parity.marking.code import STOPS, code_of_answer, until_stop
from parity.marking.sandbox import Case, Limits


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem. A program is `prompt` + completion + `closing`; `setup` is what its test may use.

    `preamble` is what the prompt defines before the function; `asks` is the task in words where the prompt is no code
    of the program. `stops` end a completion.
    """

    id: str
    prompt: str
    entry: str
    test: str
    setup: str = ""
    preamble: str = ""
    asks: str = ""
    tags: tuple[Tag, ...] = ()
    closing: str = ""
    stops: tuple[str, ...] = STOPS["function"]
    language: str = "python"
    limits: Limits = field(default_factory=Limits)

    def case(self, program: str) -> Case:
        return Case(program, self.test, self.entry, self.setup, language=self.language, limits=self.limits)

    def completed(self, completion: str) -> Case:
        """The check of a completion, as it is in a file of samples."""
        return self.case(self.prompt + completion + self.closing)

    def answered(self, code: str) -> Case:
        """The check of code that stands alone, with what the prompt imports and defines before the function."""
        return self.case(self.preamble + "\n" + code)


def read_completion(text: str, problem: Problem) -> Reading:
    """A base model's text, which goes on where the prompt ends, up to where the function is over."""
    return Check((problem.completed(until_stop(text, problem.stops)),))


def read_answer(text: str, problem: Problem) -> Reading:
    """A chat model's answer: its code is looked for; an answer without any is wrong."""
    code = code_of_answer(text, problem.entry, problem.language)
    if code is None:
        return Score(0.0, f"no code that defines {problem.entry}", outside=True)
    return Check((problem.answered(code),))


def verify(
    completions: Sequence[str],
    problems: Sequence[Problem],
    form: Literal["completion", "chat"] = "chat",
    on_progress: Progress | None = None,
) -> list[float | None]:
    """Verifiable rewards for training: 1.0 for every completion that passes its problem's test, 0.0 for one that fails.

    All are run in the sandbox, several at a time; the same rule marks benchmarks. None where a check came to no
    verdict: a technical failure is neither a reward nor a punishment, and TRL leaves such a sample out of the step.

    >>> verify(["def f(x): return x"], [Problem("1", "", "f", "assert f(2) == 2")])
    [1.0]

    Raises:
        ValueError: not as many completions as problems.
        SandboxError: model-written code cannot be run safely here.
    """
    read = read_answer if form == "chat" else read_completion
    readings = [read(text, problem) for text, problem in zip(completions, problems, strict=True)]
    marks = mark_all(readings, on_progress).marks
    return [mark.value if isinstance(mark, Score) else None for mark in marks]
