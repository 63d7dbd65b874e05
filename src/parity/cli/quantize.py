"""`parity quantize`: a model in any form to a GGUF file of fewer bits a weight, or to many that are compared."""

import json
import sys
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from parity.cli.options import BENCHMARK, Json
from parity.cli.progress import Unit, showing
from parity.errors import UsageError, listed

if TYPE_CHECKING:
    from parity.quantization.quantize import QuantizeSpec
    from parity.quantization.sweep import Task
    from parity.quantization.sweep_files import SweepSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweeping:
    """Many types at once.

    Parameters
    ----------
    sweep
        Make every type of --to (a ladder of ten if not given) into the folder --out, and measure size, speed and loss
        of each.
    text
        What the loss is measured on: text the model was made for; Parity's few sentences if not given.
    text_tokens
        How much of that text.
    benchmark
        Also count right answers on these items: a benchmark's name, or the TOML file that describes your own.
    data
        Folder that holds the benchmark's files; without it they come from the hub.
    protocol
        How items are asked and marked; the benchmark's default if not given.
    template
        chat: every prompt is a user's turn in the model's own chat template. none: the prompt as it is.
    margin
        The loss you tolerate against the unquantized file, as a fraction: the smallest type within it is named.
    alpha
        One-sided chance that any of the types that are claimed is not within the margin.
    max_items
        Ask only so many items, drawn at random; more can be asked later.
    """

    sweep: bool = False
    text: Path | None = None
    text_tokens: int = 2048
    benchmark: Annotated[str | None, BENCHMARK] = None
    data: Path | None = None
    protocol: str | None = None
    template: Literal["none", "chat"] = "none"
    margin: float | None = None
    alpha: float = 0.05
    max_items: int | None = None


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Quantize:
    """What to make.

    Parameters
    ----------
    model
        A transformers folder, hf:org/name (pulled before), or gguf:FILE in F32, F16 or BF16; of a split file any part.
    to
        The type, such as Q4_K_M, Q8_0 or F16; of a sweep several with commas between, or all.
    out
        The GGUF file to write; of a sweep the folder.
    adapter
        A LoRA adapter to merge into the folder first.
    imatrix
        Calibration text, from which an importance matrix is computed; or a matrix of llama.cpp (.gguf, .dat).
    imatrix_tokens
        Tokens of one chunk of calibration text.
    imatrix_chunks
        Read only so many chunks.
    save_imatrix
        Keep the computed matrix in this file.
    converter
        llama.cpp's convert_hf_to_gguf.py, for an architecture that Parity does not convert; it is run.
    split_gb
        Split the result into files of at most so many GB.
    threads
        How many threads quantize, and run the files of a sweep; every core if not given.
    sweeping
        Many types at once.
    """

    model: str
    _: KW_ONLY
    to: str | None = None
    out: Annotated[Path, Parameter(name=["--out", "-o"])]
    adapter: Path | None = None
    imatrix: Path | None = None
    imatrix_tokens: int = 512
    imatrix_chunks: int | None = None
    save_imatrix: Path | None = None
    converter: Path | None = None
    split_gb: float | None = None
    threads: int | None = None
    sweeping: Annotated[Sweeping, Parameter(name="*")] = field(default_factory=Sweeping)


def quantize(
    spec: Quantize,
    *,
    workspace: Path = Path(".parity"),
    json_: Json = False,
) -> int:
    """Convert a model to GGUF and quantize it with llama.cpp's own kernels, in one pass and a few blocks of memory.

    The file has its name only when it is whole; an interrupted run is taken up by the same command.

    With --sweep many types are made and measured: which is the smallest that is still good enough?

    Parameters
    ----------
    workspace
        Folder that keeps the answers of a sweep's benchmark.
    json_
        Print one JSON object and nothing else.
    """
    _check(spec)
    if spec.sweeping.sweep:
        return _swept(spec, workspace, json_)
    from parity.quantization.quantize import quantize as run
    from parity.reporting.quantized import quantized_json, quantized_page
    from parity.reporting.terminal import draw, screen

    asked = _spec(spec)
    with showing(enabled=not json_, unit=_unit_of) as progress:
        found = run(asked, progress)
    if json_:
        sys.stdout.write(json.dumps(quantized_json(found), ensure_ascii=False) + "\n")
    else:
        draw(quantized_page(found), screen())
    return 0


def _unit_of(what: str) -> Unit:
    from parity.quantization.quantize import QUANTIZING

    return "bytes" if what.endswith(QUANTIZING) else "items"


def _swept(spec: Quantize, workspace: Path, json_: bool) -> int:
    from parity.quantization.sweep import sweep
    from parity.reporting.sweeps import keep, sweep_json, sweep_page
    from parity.reporting.terminal import draw, screen

    asked, task = _sweep_spec(spec), _task(spec.sweeping, workspace)
    try:
        with showing(enabled=not json_, unit=_unit_of) as progress:
            found = sweep(asked, task, progress)
    finally:
        if task is not None:
            task.workspace.close()
    kept = keep(found, spec.out)
    if json_:
        sys.stdout.write(json.dumps(sweep_json(found), ensure_ascii=False) + "\n")
    else:
        console = screen()
        draw(sweep_page(found), console)
        console.print("\nKept: " + ", ".join(map(str, kept)))
    verdicts = [one.gap.verdict for one in found.swept if one.gap and one.gap.verdict]
    return 0 if found.smallest or not verdicts else min(verdict.exit_code or 11 for verdict in verdicts)


def _check(spec: Quantize) -> None:
    """Everything that does not fit together, in one message."""
    asked = spec.sweeping
    numbers = (
        ("--threads", spec.threads), ("--imatrix-tokens", spec.imatrix_tokens),
        ("--imatrix-chunks", spec.imatrix_chunks), ("--text-tokens", asked.text_tokens),
        ("--max-items", asked.max_items),
    )  # fmt: skip
    problems = [f"{flag} {value} is not at least 1" for flag, value in numbers if value is not None and value < 1]
    if spec.split_gb is not None and not spec.split_gb > 0:
        problems.append(f"--split-gb {spec.split_gb:g} is not above 0")
    problems += [problem for broken, problem in (_sweep_rules(spec) if asked.sweep else _file_rules(spec)) if broken]
    if problems:
        raise UsageError("This cannot be quantized:\n" + listed(problems), "See parity quantize --help.")


def _file_rules(spec: Quantize) -> tuple[tuple[bool, str], ...]:
    asked = spec.sweeping
    return (
        (spec.to is None, "name the type with --to, or compare many with --sweep"),
        (spec.out.suffix != ".gguf", f"--out {spec.out} does not end in .gguf"),
        (
            bool(spec.save_imatrix and not spec.imatrix),
            "--save-imatrix keeps what --imatrix TEXT computes: give the text",
        ),
        (
            any((asked.text, asked.benchmark, asked.data, asked.protocol, asked.margin, asked.max_items)),
            "what is measured (--text, --benchmark, --margin and the like) goes with --sweep",
        ),
    )


def _sweep_rules(spec: Quantize) -> tuple[tuple[bool, str], ...]:
    asked = spec.sweeping
    return (
        (spec.out.suffix == ".gguf", f"--out {spec.out} is a file's name: a sweep writes a folder"),
        (spec.split_gb is not None, "--split-gb goes with one type, not with --sweep"),
        (spec.save_imatrix is not None, "--save-imatrix goes with one type: a sweep keeps its matrix in its folder"),
        (
            asked.margin is not None and not 0 < asked.margin < 1,
            f"--margin {asked.margin or 0:g} is not a fraction between 0 and 1 (two points are 0.02)",
        ),
        (not 0 < asked.alpha < 0.5, f"--alpha {asked.alpha:g} is not between 0 and 0.5"),
        (
            asked.benchmark is None and any((asked.data, asked.protocol, asked.margin, asked.max_items)),
            "--data, --protocol, --margin and --max-items are about a benchmark: name it with -b",
        ),
    )


def _spec(spec: Quantize) -> "QuantizeSpec":
    """What the command line says, in the words of the verb."""
    from parity.core.refs import ModelRef
    from parity.quantization.quantize import QuantizeSpec

    assert spec.to is not None
    split = round(spec.split_gb * 1e9) if spec.split_gb else None
    return QuantizeSpec(
        ModelRef.parse(spec.model), spec.to, spec.out, spec.adapter, spec.imatrix, spec.imatrix_tokens,
        spec.imatrix_chunks, spec.save_imatrix, spec.converter, split, spec.threads,
    )  # fmt: skip


def _sweep_spec(spec: Quantize) -> "SweepSpec":
    from parity.core.refs import ModelRef
    from parity.quantization.sweep_files import EVERY, LADDER, SweepSpec

    named = [name.strip() for name in (spec.to or "").split(",") if name.strip()]
    types = EVERY if [name.casefold() for name in named] == ["all"] else tuple(named) or LADDER
    return SweepSpec(
        ModelRef.parse(spec.model), spec.out, types, spec.sweeping.text, spec.sweeping.text_tokens, spec.adapter,
        spec.imatrix, spec.imatrix_tokens, spec.imatrix_chunks, spec.converter, spec.threads,
    )  # fmt: skip


def _task(asked: Sweeping, workspace: Path) -> "Task | None":
    from parity.benchmarks.catalog import open_benchmark
    from parity.measurement.asking import Asking
    from parity.measurement.measure import MeasureSpec
    from parity.quantization.sweep import Task
    from parity.store import Workspace

    if asked.benchmark is None:
        return None
    measured = MeasureSpec(
        (), margin=asked.margin, alpha=asked.alpha,
        asking=Asking(asked.protocol, asked.template, asked.max_items),
    )  # fmt: skip
    return Task(open_benchmark(asked.benchmark, asked.data), Workspace(workspace), measured)
