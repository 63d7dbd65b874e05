"""`parity quantize`: a model in any form to a GGUF file of fewer bits a weight."""

import json
import sys
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from parity.cli.progress import showing
from parity.errors import UsageError, listed

if TYPE_CHECKING:
    from parity.quantization.quantize import QuantizeSpec


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Quantize:
    """What to make.

    Parameters
    ----------
    model
        A transformers folder, hf:org/name (pulled before), or gguf:FILE in F32, F16 or BF16; of a split file any part.
    to
        The type, such as Q4_K_M, Q8_0 or F16.
    out
        The GGUF file to write.
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
        How many rows of blocks are quantized at once; every core if not given.
    """

    model: str
    _: KW_ONLY
    to: str
    out: Annotated[Path, Parameter(name=["--out", "-o"])]
    adapter: Path | None = None
    imatrix: Path | None = None
    imatrix_tokens: int = 512
    imatrix_chunks: int | None = None
    save_imatrix: Path | None = None
    converter: Path | None = None
    split_gb: float | None = None
    threads: int | None = None


def quantize(
    spec: Quantize,
    *,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Convert a model to GGUF and quantize it with llama.cpp's own kernels, in one pass and a few blocks of memory.

    The file has its name only when it is whole; an interrupted run is taken up by the same command.

    Parameters
    ----------
    json_
        Print one JSON object and nothing else.
    """
    from parity.quantization.quantize import QUANTIZING
    from parity.quantization.quantize import quantize as run
    from parity.reporting.quantized import quantized_json, quantized_page
    from parity.reporting.terminal import draw, screen

    asked = _spec(spec)
    with showing(enabled=not json_, unit=lambda what: "bytes" if what == QUANTIZING else "items") as progress:
        found = run(asked, progress)
    if json_:
        sys.stdout.write(json.dumps(quantized_json(found), ensure_ascii=False) + "\n")
    else:
        draw(quantized_page(found), screen())
    return 0


def _spec(spec: Quantize) -> "QuantizeSpec":
    """What the command line says, in the words of the verb; everything that does not fit in one message."""
    from parity.core.refs import ModelRef
    from parity.quantization.quantize import QuantizeSpec

    numbers = (
        ("--threads", spec.threads), ("--imatrix-tokens", spec.imatrix_tokens),
        ("--imatrix-chunks", spec.imatrix_chunks),
    )  # fmt: skip
    problems = [f"{flag} {value} is not at least 1" for flag, value in numbers if value is not None and value < 1]
    if spec.split_gb is not None and not spec.split_gb > 0:
        problems.append(f"--split-gb {spec.split_gb:g} is not above 0")
    if spec.out.suffix != ".gguf":
        problems.append(f"--out {spec.out} does not end in .gguf")
    if spec.save_imatrix and not spec.imatrix:
        problems.append("--save-imatrix keeps what --imatrix TEXT computes: give the text")
    if problems:
        raise UsageError("This cannot be quantized:\n" + listed(problems), "See parity quantize --help.")
    split = round(spec.split_gb * 1e9) if spec.split_gb else None
    return QuantizeSpec(
        ModelRef.parse(spec.model), spec.to, spec.out, spec.adapter, spec.imatrix, spec.imatrix_tokens,
        spec.imatrix_chunks, spec.save_imatrix, spec.converter, split, spec.threads,
    )  # fmt: skip
