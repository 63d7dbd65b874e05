"""`parity check`: is a GGUF file still the model it was made from, and if not, where was it lost?"""

import json
import sys
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from parity.cli.options import BENCHMARK, Json, Repeated
from parity.cli.progress import showing
from parity.errors import UsageError, listed

if TYPE_CHECKING:
    from parity.core.gaps import Gap
    from parity.core.refs import ModelRef
    from parity.quantization.check import CheckSpec, TaskGap


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Check:
    """What to compare.

    Parameters
    ----------
    base
        The transformers folder; with --adapter or --merged, as it was before merging.
    file
        The GGUF file; of a split one any part.
    adapter
        The LoRA adapter that went into the file: base and adapter together are held against the merged model.
    merged
        The merged folder, where there is one; it is made for the check from --adapter if not given.
    f32
        The F32, F16 or BF16 file that the quantized one was made from; made for the check if not given.
    text
        Texts to compare outputs on, a paragraph each; a few of Parity's own if not given.
    benchmark
        Also the gap on this benchmark, or on a TOML file's: the file against what it was made from.
    data
        Folder that holds the benchmark's files; without it they come from the hub.
    only
        Only items with this tag, such as subject=anatomy. May be repeated.
    margin
        The loss on the benchmark that you tolerate, as a fraction: 0.02 is two points.
    max_items
        Ask only so many items, drawn at random.
    """

    base: Path
    file: Path
    _: KW_ONLY
    adapter: Path | None = None
    merged: Path | None = None
    f32: Path | None = None
    text: Path | None = None
    benchmark: Annotated[str | None, BENCHMARK] = None
    data: Path | None = None
    only: Repeated = ()
    margin: float | None = None
    max_items: int | None = None


def check(
    spec: Check,
    *,
    workspace: Path = Path(".parity"),
    json_: Json = False,
) -> int:
    """Follow a model from its folder (and adapter) through GGUF and quantizing to an answer: what does each hop lose?

    The first hop that fails is named, with its likely cause; the exit code is 1 then, or the verdict's on a benchmark.

    Parameters
    ----------
    workspace
        Folder that keeps the answers to a benchmark.
    json_
        Print one JSON object and nothing else; shares are fractions.
    """
    from parity.quantization.check import check as run
    from parity.reporting.checks import checked_json, checked_page
    from parity.reporting.terminal import draw, screen

    _check(spec)
    with showing(enabled=not json_) as progress:
        found = run(_asked(spec, workspace), progress)
    if json_:
        sys.stdout.write(json.dumps(checked_json(found), ensure_ascii=False) + "\n")
    else:
        draw(checked_page(found), screen())
    verdict = found.task.gap.verdict if found.task else None
    if found.first is not None and found.first.aspect != "task":
        return 1
    return verdict.exit_code if verdict else 0


def _asked(spec: Check, workspace: Path) -> "CheckSpec":
    from parity.errors import DataError
    from parity.files import read_text
    from parity.quantization.check import CheckSpec
    from parity.quantization.check_outputs import TEXTS

    texts = TEXTS
    if spec.text is not None:
        texts = tuple(filter(None, map(str.strip, read_text(spec.text, "text", DataError).split("\n\n"))))
    task = _task(spec, workspace) if spec.benchmark else None
    return CheckSpec(spec.base, spec.file, texts, spec.adapter, spec.merged, spec.f32, task)


def _task(spec: Check, workspace: Path) -> "TaskGap":
    """The gap on the benchmark the user names, as `parity measure` finds it; its answers are kept."""
    from parity.benchmarks.catalog import open_benchmark
    from parity.core.items import Tag

    assert spec.benchmark is not None
    benchmark = open_benchmark(spec.benchmark, spec.data, tuple(map(Tag.parse, spec.only)))

    def gap(before: "ModelRef", after: "ModelRef") -> "tuple[str, Gap]":
        from parity.measurement.asking import Asking
        from parity.measurement.measure import MeasureSpec, measure
        from parity.store import Workspace

        opened = Workspace(workspace)
        try:
            asked = MeasureSpec((after,), before, margin=spec.margin, asking=Asking(max_items=spec.max_items))
            return benchmark.name, measure(asked, benchmark, opened).comparisons[0].gap
        finally:
            opened.close()

    return gap


def _check(spec: Check) -> None:
    """Everything that does not fit together, in one message."""
    rules = (
        (
            spec.margin is not None and not 0 < spec.margin < 1,
            f"--margin {spec.margin or 0:g} is not a fraction between 0 and 1 (two points are 0.02)",
        ),
        (spec.max_items is not None and spec.max_items < 1, f"--max-items {spec.max_items} is not at least 1"),
        (
            spec.benchmark is None and bool(spec.data or spec.only or spec.max_items or spec.margin is not None),
            "--data, --only, --margin and --max-items go with --benchmark",
        ),
        *(("=" not in tag, f"--only {tag} is not KIND=VALUE, such as subject=anatomy") for tag in spec.only),
    )
    problems = [problem for broken, problem in rules if broken]
    if problems:
        raise UsageError("This cannot be checked:\n" + listed(problems), "See parity check --help.")
