"""Benchmarks by name, or by the TOML file that describes one.

Other packages add theirs through the entry-point group `parity.benchmarks`.
"""

from collections.abc import Callable
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path

from parity.benchmarks import cruxeval, evalplus, humaneval, mbpp, mmlu, multipl_e
from parity.benchmarks.base import Benchmark
from parity.core.items import Tag
from parity.errors import UsageError, did_you_mean

Loader = Callable[[Path | None, tuple[str, ...]], Benchmark]
BUILT_IN: dict[str, Loader] = {
    "mmlu": mmlu.load,
    "humaneval": humaneval.load,
    "humaneval+": humaneval.load_plus,
    "mbpp": mbpp.load,
    "mbpp+": evalplus.load_mbpp_plus,
    "mbpp-sanitized": mbpp.load_sanitized,
    "cruxeval-output": cruxeval.load_output,
    "cruxeval-input": cruxeval.load_input,
    **{f"multipl-e-{language}": partial(multipl_e.load, language) for language in multipl_e.LANGUAGES},
}


def open_benchmark(name: str, data: Path | None = None, only: tuple[Tag, ...] = ()) -> Benchmark:
    """The benchmark of that name, narrowed to the tags in `only`; from the folder `data`, or else from the hub.

    Raises:
        UsageError: unknown name, or a tag no item has.
        DataError: the data is missing or is another version.
    """
    if name.endswith(".toml"):
        return _custom(name, data).only(only)
    plugins = {entry.name: entry for entry in entry_points(group="parity.benchmarks")}
    if name not in BUILT_IN and name not in plugins:
        raise UsageError(
            f"Unknown benchmark {name!r}.",
            did_you_mean(name, [*BUILT_IN, *plugins]) + " One of your own is named by its .toml file.",
        )
    loader: Loader = BUILT_IN[name] if name in BUILT_IN else plugins[name].load()
    subjects = tuple(tag.value for tag in only if tag.kind == "subject")
    narrowed = subjects if len(subjects) == len(only) else ()
    return loader(data.expanduser() if data else None, narrowed).only(only)


def _custom(name: str, data: Path | None) -> Benchmark:
    from parity.benchmarks import custom

    if data is not None:
        raise UsageError(f"{name} says itself where its items are.", "Leave --data out.")
    return custom.load(Path(name).expanduser())
