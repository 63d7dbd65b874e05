"""Benchmarks by name. Other packages add theirs through the entry-point group `parity.benchmarks`."""

from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

from parity.benchmarks import mmlu
from parity.benchmarks.base import Benchmark
from parity.core.items import Tag
from parity.errors import UsageError, did_you_mean

Loader = Callable[[Path, tuple[str, ...]], Benchmark]
BUILT_IN: dict[str, Loader] = {"mmlu": mmlu.load}


def open_benchmark(name: str, data: Path | None, only: tuple[Tag, ...] = ()) -> Benchmark:
    """The benchmark of that name, from a folder, narrowed to the tags in `only`.

    Raises:
        UsageError: unknown name, no data folder, or a tag no item has.
        DataError: the data is missing or is another version.
    """
    plugins = {entry.name: entry for entry in entry_points(group="parity.benchmarks")}
    if name not in BUILT_IN and name not in plugins:
        raise UsageError(f"Unknown benchmark {name!r}.", did_you_mean(name, [*BUILT_IN, *plugins]))
    loader: Loader = BUILT_IN[name] if name in BUILT_IN else plugins[name].load()
    if data is None:
        raise UsageError(f"Where are the files of {name}?", "Name their folder with --data FOLDER.")
    subjects = tuple(tag.value for tag in only if tag.kind == "subject")
    narrowed = subjects if len(subjects) == len(only) else ()
    known = mmlu.subjects() if name == "mmlu" else {}
    wrong = [subject for subject in narrowed if known and subject not in known]
    if wrong:
        raise UsageError(f"{name} has no subject {wrong[0]!r}.", did_you_mean(wrong[0], list(known)))
    return loader(data.expanduser(), narrowed).only(only)
