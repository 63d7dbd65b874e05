"""The verb: a model in any form to a GGUF file of fewer bits a weight, in one pass from the source's own numbers.

No intermediate file: rows go from the source through fp32 to their blocks. Reads top to bottom: open, choose types,
write, name. A run that was killed is taken up by the same command; what comes out is the same to the byte.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from parity.core.digests import digest
from parity.core.quantized import Quantized, TypeShare
from parity.core.refs import ModelRef
from parity.engines.llamacpp.library import PINNED
from parity.errors import ModelError, StoreError, UsageError
from parity.models.ggml_types import BY_NAME, GgmlType
from parity.models.mixtures import MIXTURES, Mixture, find_mixture, is_quantized, needs_importance, tensor_types
from parity.quantization.importance import ImportanceMatrix, importance_entries, write_matrix
from parity.quantization.layout import Layout, entries, lay_out, lay_out_split, split_paths
from parity.quantization.models import GgufModel, Tensor
from parity.quantization.opening import opened
from parity.quantization.writing import Importance, Progress, discard, finish, write

# What progress calls the part that counts bytes; all else is counted in pieces.
QUANTIZING = "quantizing"
# Asked for as a type: the smallest plain one that keeps the source's numbers.
SOURCE = "source"
_QUANTIZATION_VERSION = 2
_UNQUANTIZED = frozenset({"F32", "F16", "BF16"})
_REPLACED = ("general.quantization_version", "general.file_type")


@dataclass(frozen=True, slots=True)
class QuantizeSpec:
    """What to make. `to`: a mixture by llama.cpp's name, or SOURCE. `adapter`: a LoRA adapter merged first.

    `importance`: a matrix file, or calibration text from which one is computed. `converter`: llama.cpp's own script,
    for architectures we do not convert. `save_importance`: keep the computed matrix. `split_bytes`: the most bytes of
    tensors in one file.
    """

    model: ModelRef
    to: str
    target: Path
    adapter: Path | None = None
    importance: Path | None = None
    calibration_tokens: int = 512
    calibration_chunks: int | None = None
    save_importance: Path | None = None
    converter: Path | None = None
    split_bytes: int | None = None
    threads: int | None = None


def quantize(spec: QuantizeSpec, on_progress: Progress | None = None) -> Quantized:
    """Write the model to `spec.target` in the asked types; nothing has that name before it is whole.

    Raises:
        UsageError: there is no such type, or one needs an importance matrix and there is none.
        ModelError: the source is missing, broken, or cannot be converted.
        StoreError: the target exists, the disk is too small or full, or another process writes the same file.
        EngineError: the pinned llama.cpp wheel is not installed.
    """
    began, mixture = time.monotonic(), None if spec.to == SOURCE else find_mixture(spec.to)
    show = on_progress or (lambda what, done, total: None)
    _refuse_existing(spec.target)
    with opened(spec, show) as (model, matrix):
        importance = matrix.fitted(model.tensors) if matrix else None
        if matrix and spec.save_importance:
            write_matrix(matrix, spec.save_importance)
        mixture = mixture or stored_mixture(model)
        kinds = choose_types(model, mixture, importance is not None)
        _check_importance(lacking_importance(model, kinds, mixture, importance), mixture, importance is not None)
        metadata = {key: entry for key, entry in model.metadata.items() if key not in _REPLACED}
        metadata |= _added(mixture, None if mixture.plain in _UNQUANTIZED else importance)
        layouts = _laid_out(metadata, list(zip(model.tensors, kinds, strict=True)), spec.split_bytes)
        paths = split_paths(spec.target, len(layouts))
        for path in paths:
            _refuse_existing(path)
        _check_room(spec.target, layouts)
        plan = digest([PINNED, model.origin, importance.digest if importance else None, mixture.name])
        columns = Importance(importance.means() if importance else {})
        threads = spec.threads or len(os.sched_getaffinity(0))
        with _counting(show, layouts) as on_bytes:
            _write_all(layouts, paths, lambda layout, path: write(layout, path, plan, columns, threads, on_bytes))
        return _told(spec, mixture, model, kinds, paths, importance, time.monotonic() - began)


def choose_types(model: GgufModel, mixture: Mixture, importance: bool) -> list[GgmlType]:
    """The type of every tensor.

    Raises:
        ModelError: a tensor is quantized already, in another type than it should get.
    """
    chosen = tensor_types([tensor.weight for tensor in model.tensors], mixture, model.traits, importance)
    kinds = [BY_NAME[kind or tensor.type] for kind, tensor in zip(chosen, model.tensors, strict=True)]
    for kind, tensor in zip(kinds, model.tensors, strict=True):
        if not tensor.parts and kind.name != tensor.type:
            raise ModelError(
                f"{tensor.name} is quantized already ({tensor.type}); quantizing twice loses twice.",
                "Start from the F32, F16 or BF16 file, or from the folder it was converted from.",
            )
    return kinds


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise StoreError(f"{path} exists.", "Name another file with --out, or remove it.")


def stored_mixture(model: GgufModel) -> Mixture:
    """The smallest plain type that keeps every matrix as it is.

    Raises:
        ModelError: some are quantized already.
    """
    kinds = {tensor.type for tensor in model.tensors if is_quantized(tensor.weight)}
    if not kinds <= {"F64", "F32", "F16", "BF16"}:
        raise ModelError(
            f"Tensors are quantized already ({', '.join(sorted(kinds))}); quantizing twice loses twice.",
            "Start from the F32, F16 or BF16 file, or from the folder it was converted from.",
        )
    return find_mixture(kinds.pop() if kinds in ({"F16"}, {"BF16"}) else "F32")


def lacking_importance(
    model: GgufModel, kinds: list[GgmlType], mixture: Mixture, importance: ImportanceMatrix | None
) -> list[Tensor]:
    """Tensors that are garbage in their type without importance, and have none."""
    known = importance.names if importance else frozenset()
    return [
        tensor for tensor, kind in zip(model.tensors, kinds, strict=True)
        if tensor.name not in known and kind.name != tensor.type
        and needs_importance(tensor.weight.role, kind.name, mixture)
    ]  # fmt: skip


def _check_importance(lacking: list[Tensor], mixture: Mixture, importance: bool) -> None:
    if lacking and not importance:
        better = next((name for name in reversed(tuple(MIXTURES)) if not _needs(name)), "Q2_K")
        raise UsageError(
            f"{mixture.name} needs an importance matrix: without one the model is garbage.",
            f"Give calibration text or a matrix with --imatrix, or take {better}.",
        )
    if lacking:
        raise ModelError(
            f"The importance matrix has nothing for {len(lacking)} tensors that need it, among them {lacking[0].name}.",
            "Compute it from more text (experts that were never chosen have no entry).",
        )


def _needs(name: str) -> bool:
    return MIXTURES[name].plain.startswith(("IQ1", "IQ2", "IQ3_XXS")) or name in ("Q2_K_S", "IQ3_XS")


def _added(mixture: Mixture, importance: ImportanceMatrix | None) -> dict[str, bytes]:
    def fill(writer) -> None:  # type: ignore[no-untyped-def]
        writer.add_quantization_version(_QUANTIZATION_VERSION)
        writer.add_file_type(mixture.file_type)
        if importance is not None:
            importance_entries(writer, importance)

    found = entries("any", fill)
    return {key: entry for key, entry in found.items() if key != "general.architecture"}


def _laid_out(
    metadata: dict[str, bytes], tensors: list[tuple[Tensor, GgmlType]], split_bytes: int | None
) -> tuple[Layout, ...]:
    return lay_out_split(metadata, tensors, split_bytes) if split_bytes else (lay_out(metadata, tensors),)


def _check_room(target: Path, layouts: tuple[Layout, ...]) -> None:
    folder = next(path for path in (target.absolute(), *target.absolute().parents) if path.is_dir())
    needed, free = sum(layout.size_bytes for layout in layouts), shutil.disk_usage(folder).free
    if needed > free:
        raise StoreError(
            f"The result takes {needed / 1e9:.2f} GB, {folder} has {free / 1e9:.2f} GB free.",
            "Free some space, choose another folder, or fewer bits.",
        )


@contextmanager
def _counting(show: Progress, layouts: tuple[Layout, ...]) -> Iterator[Callable[[int], None]]:
    total, done = sum(layout.size_bytes for layout in layouts), 0

    def on_bytes(count: int) -> None:
        nonlocal done
        done += count
        show(QUANTIZING, done, total)

    yield on_bytes


def _write_all(layouts: tuple[Layout, ...], paths: tuple[Path, ...], write_one: Callable[[Layout, Path], None]) -> None:
    """Every file, and only then their names, the first one last: it is what people open."""
    try:
        for layout, path in zip(layouts, paths, strict=True):
            write_one(layout, path)
    except ModelError:
        for path in paths:
            discard(path)
        raise
    for path in reversed(paths):
        finish(path)


def _told(
    spec: QuantizeSpec, mixture: Mixture, model: GgufModel, kinds: list[GgmlType], paths: tuple[Path, ...],
    importance: ImportanceMatrix | None, seconds: float,
) -> Quantized:  # fmt: skip
    shares: dict[str, list[int]] = {}
    for tensor, kind in zip(model.tensors, kinds, strict=True):
        size = kind.bytes_of(tensor.shape[::-1])
        entry = shares.setdefault(kind.name, [0, 0, 0])
        elements = size // kind.block_bytes * kind.block
        entry[0], entry[1], entry[2] = entry[0] + 1, entry[1] + elements, entry[2] + size
    types = tuple(TypeShare(name, *row) for name, row in sorted(shares.items(), key=lambda item: -item[1][2]))
    block = BY_NAME[mixture.plain].block
    fallbacks = tuple(
        tensor.name for tensor, kind in zip(model.tensors, kinds, strict=True)
        if kind.name != tensor.type and tensor.shape[0] % block and block > 1
    )  # fmt: skip
    return Quantized(
        paths, mixture.name, sum(path.stat().st_size for path in paths), sum(share.elements for share in types),
        types, fallbacks, importance.source if importance else None, model.caveats, seconds,
    )  # fmt: skip
