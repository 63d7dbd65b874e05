"""The problems of a benchmark of code by its name, for grading programs that exist already."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from parity.benchmarks import humaneval, mbpp, multipl_e
from parity.errors import UsageError, did_you_mean
from parity.marking.problems import Problem

PROBLEMS: Mapping[str, Callable[[Path | None], dict[str, Problem]]] = {
    "humaneval": humaneval.problems,
    "humaneval+": humaneval.plus_problems,
    "mbpp": mbpp.problems,
    "mbpp-sanitized": mbpp.sanitized_problems,
    **{f"multipl-e-{name}": partial(multipl_e.problems, name) for name in (*multipl_e.RUN, *multipl_e.OTHERS)},
}


def open_problems(name: str, data: Path | None) -> dict[str, Problem]:
    """Problems by id, from the folder `data`.

    Raises:
        UsageError: no benchmark of code has that name.
        DataError: the data is missing, malformed, or another version.
    """
    if name not in PROBLEMS:
        raise UsageError(f"No benchmark of code is called {name!r}.", did_you_mean(name, list(PROBLEMS)))
    return PROBLEMS[name](data.expanduser() if data else None)
