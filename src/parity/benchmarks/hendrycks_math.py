"""MATH: 5,000 competition problems in seven subjects and five levels (Hendrycks et al. 2021, arXiv 2103.03874; MIT).

- `boxed` (the default): no shots, the answer in \\boxed{}, marked by equivalence with math-verify.
- `minerva`: lm-evaluation-harness `minerva_math`, four examples of Lewkowycz et al. 2022 (arXiv 2206.14858) from
  `minerva_shots.jsonl` beside the data; marked by math-verify as its metric of that name is.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from parity.benchmarks.base import Benchmark, Protocol
from parity.benchmarks.choices import HARNESS, version_of
from parity.benchmarks.hub import HubFile
from parity.benchmarks.rows import Row, Source, optional_rows, read_all, rows_of
from parity.core.digests import digest
from parity.core.items import Item, Tag
from parity.core.prompts import Sampling, TextPrompt
from parity.core.scores import Mark
from parity.errors import DataError
from parity.marking.mathematics import check_available, equivalent

MATH_500 = Source(
    ("math_500", "MATH-500", "test"),
    HubFile("HuggingFaceH4/MATH-500", "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be", "test.jsonl"),
)
TEST = Source(("math_test", "test"), get_it="Rows of problem, level, type and solution.")
MINERVA_SHOTS = Source(("minerva_shots",))
MINERVA_DIGEST = "d2a5ddf8df4ae073"
_BOXED = "Solve the problem. Put the final answer in \\boxed{}."


def load(folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """MATH, test split, from a folder. Raises DataError: the data is missing, or math-verify is."""
    return assemble("math", rows_of(TEST, folder, "MATH"), minerva_shots(folder))


def load_500(folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """The 500 problems of Lightman et al. 2023. Raises DataError: the data is missing, or math-verify is."""
    return assemble("math-500", rows_of(MATH_500, folder, "MATH-500"), minerva_shots(folder))


def assemble(name: str, rows: Sequence[Row], shots: tuple[str, ...] = ()) -> Benchmark:
    """The benchmark over rows of problem, solution, level and type (or subject)."""
    check_available()
    items = read_all(rows, partial(_item, name), name)
    version = f"1/{digest(_BOXED)[:8]}"
    protocols = {"boxed": Protocol("boxed", version, _boxed, sampling=Sampling(2048), read=_read)}
    if shots:
        stops = Sampling(1024, stop=("Problem:",))
        protocols["minerva"] = Protocol(
            "minerva", f"{HARNESS}/4-shot", partial(_minerva, shots), sampling=stops, read=_read
        )
    return Benchmark(name, version_of(items), tuple(items), protocols, "boxed", ("subject", "level"))


def minerva_shots(folder: Path | None) -> tuple[str, ...]:
    """The four examples, where a folder holds them: rows of problem and solution.

    Raises:
        DataError: they are others than the harness's.
    """
    rows = optional_rows(MINERVA_SHOTS, folder) if folder and folder.is_dir() else None
    if rows is None:
        return ()
    pairs = read_all(rows, lambda _, row: (str(row["problem"]), str(row["solution"])), "minerva_shots")
    seen = digest(pairs)[:16]
    if seen != MINERVA_DIGEST:
        raise DataError(
            f"The examples of minerva_shots are not those of minerva_math (digest {seen}, not {MINERVA_DIGEST}).",
            "Take them from lm-evaluation-harness, as docs/benchmarks.md says.",
        )
    return tuple(f"Problem:\n{problem}\n\nSolution: {solution}\n\n" for problem, solution in pairs)


def _item(name: str, at: int, row: Row) -> Item:
    subject, level = str(row.get("type") or row.get("subject")), str(row["level"]).removeprefix("Level ")
    tags = (Tag("subject", subject), Tag("level", level))
    return Item(f"{name}/{at}", str(row["problem"]), (str(row["solution"]),), (), tags)


def _boxed(item: Item) -> TextPrompt:
    return TextPrompt(f"{_BOXED}\n\n{item.question}")


def _minerva(shots: tuple[str, ...], item: Item) -> TextPrompt:
    return TextPrompt(f"Problem:\n{item.question}\n\nSolution:", shots=shots)


def _read(text: str, item: Item) -> Mark:
    return equivalent(text, item.targets)
