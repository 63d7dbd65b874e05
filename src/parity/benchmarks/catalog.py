"""Benchmarks by name, or by the TOML file that describes one; what is known of each without its data.

Other packages add theirs through the entry-point group `parity.benchmarks`: a function (folder or None, subjects) ->
Benchmark. Every benchmark is imported when it is opened.
"""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from pathlib import Path
from typing import Any

from parity.benchmarks.base import Benchmark
from parity.core.items import Tag
from parity.errors import DataError, UsageError, did_you_mean

Loader = Callable[[Path | None, tuple[str, ...]], Benchmark]
MULTIPL_E = "multipl-e-"


@dataclass(frozen=True, slots=True)
class Entry:
    """A benchmark as the catalog has it. Counts are of the published edition by its default protocol; `prompt_tokens`
    (a quarter of the text's bytes) and `answer_tokens` (every answer at its full length) are None where its data were
    not at hand to count. `hub`: it can be fetched, else it needs --data. `problems`: reads problems of code."""

    name: str
    items: int | None
    protocol: str
    prompt_tokens: int | None
    answer_tokens: int | None
    licence: str
    source: str
    hub: bool
    load: str = ""
    problems: str = ""


@cache
def catalog() -> dict[str, Entry]:
    """Every benchmark that comes with Parity, by name."""
    text = files("parity.benchmarks").joinpath("catalog.csv").read_text("utf-8")
    return {row["name"]: _entry(row) for row in csv.DictReader(io.StringIO(text))}


def plugins() -> tuple[str, ...]:
    """Names of benchmarks that other packages bring."""
    return tuple(sorted(entry.name for entry in entry_points(group="parity.benchmarks")))


def open_benchmark(name: str, data: Path | None = None, only: tuple[Tag, ...] = ()) -> Benchmark:
    """The benchmark of that name, narrowed to the tags in `only`; from the folder `data`, or else from the hub.

    Raises:
        UsageError: unknown name, or a tag no item has.
        DataError: the data is missing or is another version.
    """
    if name.endswith(".toml"):
        return _custom(name, data).only(only)
    subjects = tuple(tag.value for tag in only if tag.kind == "subject")
    narrowed = subjects if len(subjects) == len(only) else ()
    return loader(name)(data.expanduser() if data else None, narrowed).only(only)


def loader(name: str) -> Loader:
    """The function that loads a benchmark.

    Raises:
        UsageError: unknown name.
        DataError: another package's cannot be imported.
    """
    if name in catalog():
        found: Loader = named(catalog()[name].load)
        return found
    if name.startswith(MULTIPL_E):
        from parity.benchmarks import multipl_e

        return partial(multipl_e.load, name.removeprefix(MULTIPL_E))  # it says what a language would need
    for entry in entry_points(group="parity.benchmarks"):
        if entry.name == name:
            return _plugin(entry)
    raise UsageError(
        f"Unknown benchmark {name!r}.",
        did_you_mean(name, [*catalog(), *plugins()]) + " One of your own is named by its .toml file.",
    )


def _plugin(entry: EntryPoint) -> Loader:
    """The loader that another package brings, held to what it promises.

    Raises:
        DataError: it cannot be imported; when called: it gives no benchmark.
    """
    whose = f"{entry.name!r} of {entry.dist.name if entry.dist else 'an unknown package'} ({entry.value})"
    try:
        load = entry.load()
    except Exception as error:
        raise DataError(f"Benchmark {whose} cannot be imported: {error!r}.", "Ask those who made it.") from error

    def checked(folder: Path | None, subjects: tuple[str, ...]) -> Benchmark:
        found = load(folder, subjects)
        if not isinstance(found, Benchmark):
            raise DataError(
                f"Benchmark {whose} gave a {type(found).__name__}, no Benchmark.",
                "An entry point is a function (folder or None, subjects) -> parity.benchmarks.base.Benchmark.",
            )
        return found

    return checked


def named(target: str) -> Any:
    """What a column of the catalog names: `module:function` of this package."""
    module, _, function = target.partition(":")
    return getattr(import_module(f"parity.benchmarks.{module}"), function)


def _custom(name: str, data: Path | None) -> Benchmark:
    from parity.benchmarks import custom

    if data is not None:
        raise UsageError(f"{name} says itself where its items are.", "Leave --data out.")
    return custom.load(Path(name).expanduser())


def _entry(row: dict[str, str]) -> Entry:
    items, prompt, answer = (int(row[key]) if row[key] else None for key in ("items", "prompt_tokens", "answer_tokens"))
    hub = row["hub"] == "yes"
    told = (row["load"], row["problems"])
    return Entry(row["name"], items, row["protocol"], prompt, answer, row["licence"], row["source"], hub, *told)
