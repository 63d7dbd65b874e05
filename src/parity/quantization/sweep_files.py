"""The files of a sweep: the unquantized one, the importance matrix, and one of every type that can be made.

All of a folder are made from the same source; what is there already is whole, and is not made again.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from parity.core.digests import digest
from parity.core.refs import ModelRef, Scheme
from parity.core.swept import Skipped
from parity.engines.llamacpp.library import PINNED
from parity.errors import StoreError, UsageError
from parity.files import disk_error
from parity.models.mixtures import MIXTURES, Mixture, find_mixture
from parity.quantization.gguf_source import files_of, open_gguf
from parity.quantization.importance import ImportanceMatrix, is_matrix, read_matrix
from parity.quantization.models import GgufModel
from parity.quantization.opening import gguf_file, source_state
from parity.quantization.quantize import (
    SOURCE,
    QuantizeSpec,
    choose_types,
    lacking_importance,
    quantize,
    stored_mixture,
)
from parity.quantization.writing import Progress

# A ladder with every step that changes something; those that need an importance matrix are skipped without one.
LADDER = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "IQ4_XS", "Q3_K_M", "IQ3_XXS", "Q2_K", "IQ2_M", "IQ2_XXS")
EVERY = tuple(name for name, mixture in MIXTURES.items() if mixture.plain not in ("F32", "BF16", "F16"))
_PART = re.compile(r"-00001-of-\d{5}$")
_TYPE = re.compile(r"[-.](f32|bf16|f16|source)$", re.I)


@dataclass(frozen=True, slots=True)
class SweepSpec:
    """What to make in the folder `out`. `types` in any order; `text`: what the loss is measured on, its first
    `text_tokens` tokens; Parity's few texts where there is none."""

    model: ModelRef
    out: Path
    types: tuple[str, ...] = LADDER
    text: Path | None = None
    text_tokens: int = 2048
    adapter: Path | None = None
    importance: Path | None = None
    calibration_tokens: int = 512
    calibration_chunks: int | None = None
    converter: Path | None = None
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class SweepFiles:
    """`files` by type, from the largest to the smallest; `base_type` is how the unquantized file stores its weights."""

    base: Path
    base_type: str
    files: Mapping[str, Path]
    skipped: tuple[Skipped, ...]
    importance: str | None


def make_files(spec: SweepSpec, show: Progress) -> SweepFiles:
    """Every file of the sweep. The folder must be there.

    Raises:
        UsageError: no or unknown types.
        ModelError, StoreError, EngineError: as `quantize`.
    """
    mixtures = [find_mixture(name) for name in dict.fromkeys(spec.types)]
    if not mixtures:
        raise UsageError("There is no type to sweep.", f"Leave --to out, or name some of {', '.join(EVERY)}.")
    base = _base(spec, show)
    model, matrix = open_gguf(base), _matrix(spec)
    fitted = matrix.fitted(model.tensors) if matrix else None
    stored = stored_mixture(model).name
    skipped, files = [], {}
    for mixture in mixtures:
        if mixture.name == stored:
            continue
        if why := _lacking(model, mixture, fitted):
            skipped.append(Skipped(mixture.name, why))
        else:
            files[mixture.name] = _made(spec, mixture, base, show)
    # By size, and of equals as llama.cpp ranks them. This is the order of the tests, and no question was asked yet.
    order = sorted(files, key=lambda name: (-size_of(files[name]), list(MIXTURES).index(name)))
    return SweepFiles(
        base, stored, {name: files[name] for name in order}, tuple(skipped), matrix.source if matrix else None
    )


def open_out(spec: SweepSpec) -> Path:
    """The sweep's folder, made if need be.

    Raises:
        StoreError: it cannot be.
    """
    if spec.out.exists() and not spec.out.is_dir():
        raise StoreError(f"{spec.out} is a file.", "Name a folder with --out: a sweep writes a file a type.")
    try:
        spec.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error, spec.out) from error
    return spec.out


def plan_of(spec: SweepSpec) -> str:
    """Changes with whatever the folder's files are made from."""
    calibration = (spec.calibration_tokens, spec.calibration_chunks) if spec.importance else None
    return digest([PINNED, source_state(spec.model, spec.adapter, spec.importance, spec.converter), calibration])


def _path(spec: SweepSpec, type_: str) -> Path:
    name = (
        Path(spec.model.name).expanduser().resolve().name if spec.model.scheme is not Scheme.HUB else spec.model.short
    )
    stem = _TYPE.sub("", _PART.sub("", name.removesuffix(".gguf")))
    return spec.out / f"{stem}-{type_}.gguf"


def _matrix_path(spec: SweepSpec) -> Path:
    return spec.out / "imatrix.gguf"


def _base(spec: SweepSpec, show: Progress) -> Path:
    """The unquantized file: the user's own, or made here, with the matrix computed on the way."""
    if (given := gguf_file(spec.model)) is not None:
        return given
    path = _path(spec, SOURCE)
    if not path.exists():
        from_text = spec.importance is not None and not _is_given(spec)
        quantize(
            QuantizeSpec(
                spec.model, SOURCE, path, spec.adapter, spec.importance if from_text else None, spec.calibration_tokens,
                spec.calibration_chunks, _matrix_path(spec) if from_text else None, spec.converter, None, spec.threads,
            ),
            _named(show, SOURCE),
        )  # fmt: skip
    return path


def _is_given(spec: SweepSpec) -> bool:
    return spec.importance is not None and is_matrix(spec.importance)


def _matrix(spec: SweepSpec) -> ImportanceMatrix | None:
    if spec.importance is None:
        return None
    return read_matrix(spec.importance if _is_given(spec) else _matrix_path(spec))


def _lacking(model: GgufModel, mixture: Mixture, importance: ImportanceMatrix | None) -> str | None:
    """Why a type cannot be made, or nothing."""
    kinds = choose_types(model, mixture, importance is not None)
    lacking = lacking_importance(model, kinds, mixture, importance)
    if not lacking:
        return None
    if importance is None:
        return "(needs an importance matrix: give calibration text or a matrix with --imatrix)"
    return f"(the importance matrix has nothing for {len(lacking)} tensors, such as {lacking[0].name}: give more text)"


def _made(spec: SweepSpec, mixture: Mixture, base: Path, show: Progress) -> Path:
    """The file of a type; one that is there already is whole, and of this plan."""
    path = _path(spec, mixture.name)
    if not path.exists():
        matrix = spec.importance if _is_given(spec) or spec.importance is None else _matrix_path(spec)
        source = ModelRef(Scheme.GGUF, str(base))
        quantize(
            QuantizeSpec(source, mixture.name, path, importance=matrix, threads=spec.threads),
            _named(show, mixture.name),
        )
    return path


def _named(show: Progress, type_: str) -> Progress:
    return lambda what, done, total: show(f"{type_}: {what}", done, total)


def size_of(path: Path) -> int:
    """Bytes on the disk, of a split file all parts'."""
    return sum(part.stat().st_size for part in files_of(path))
