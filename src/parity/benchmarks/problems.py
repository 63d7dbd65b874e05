"""The problems of a benchmark of code by its name, for grading programs that exist already."""

from pathlib import Path

from parity.benchmarks.catalog import MULTIPL_E, catalog, named
from parity.errors import UsageError, did_you_mean
from parity.marking.problems import Problem


def open_problems(name: str, data: Path | None) -> dict[str, Problem]:
    """Problems by id, from the folder `data`. What has problems is said in the catalog.

    Raises:
        UsageError: no benchmark of code has that name.
        DataError: the data is missing, malformed, or another version.
    """
    folder = data.expanduser() if data else None
    if name.startswith(MULTIPL_E):
        from parity.benchmarks import multipl_e

        return multipl_e.problems(name.removeprefix(MULTIPL_E), folder)  # it says what a language would need
    known = {entry.name: entry.problems for entry in catalog().values() if entry.problems}
    if name not in known:
        code = [*known, *(each for each in catalog() if each.startswith(MULTIPL_E))]
        raise UsageError(f"No benchmark of code is called {name!r}.", did_you_mean(name, code))
    found: dict[str, Problem] = named(known[name])(folder)
    return found
