"""From what the user named to a model that can be quantized: a folder, a pulled hub model, a GGUF file, with or
without an adapter, or whatever llama.cpp's own script makes of it.

What has to be written for that lies beside the target under a hidden name, and is gone afterwards.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from parity.core.digests import Plain
from parity.core.refs import ModelRef, Scheme
from parity.errors import ModelError, UsageError
from parity.models.cache import snapshot
from parity.quantization.convert import open_folder
from parity.quantization.gguf_source import open_gguf
from parity.quantization.importance import ImportanceMatrix, is_matrix, read_matrix
from parity.quantization.matrices import Scaled
from parity.quantization.models import GgufModel
from parity.quantization.writing import Progress


class Asked(Protocol):
    """What of a specification says where the model and its importance come from."""

    @property
    def model(self) -> ModelRef: ...

    @property
    def target(self) -> Path: ...

    @property
    def adapter(self) -> Path | None: ...

    @property
    def importance(self) -> Path | None: ...

    @property
    def calibration_tokens(self) -> int: ...

    @property
    def calibration_chunks(self) -> int | None: ...

    @property
    def converter(self) -> Path | None: ...


@contextmanager
def opened(asked: Asked, on_progress: Progress) -> Iterator[tuple[GgufModel, ImportanceMatrix | None]]:
    """The model, and its importance matrix where one is asked for.

    Raises:
        UsageError: options that do not go together.
        ModelError: see `open_folder`, `open_gguf`, `merge_adapter`, `compute`.
    """
    gguf = gguf_file(asked.model)
    _check(asked, gguf)
    scratch = asked.target.with_name(f".{asked.target.name}.source")
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        if gguf is not None:
            yield open_gguf(gguf), _matrix(asked)
            return
        folder = _folder(asked, scratch, on_progress)
        model = _converted(folder, asked.converter, scratch) if asked.converter else open_folder(folder)
        yield model, _matrix(asked) or _computed(asked, folder, model, on_progress)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def gguf_file(ref: ModelRef) -> Path | None:
    """The file, where a model is one."""
    if ref.scheme is Scheme.GGUF or (ref.scheme is Scheme.FOLDER and ref.name.endswith(".gguf")):
        return Path(ref.name).expanduser()
    return None


def source_state(ref: ModelRef, *others: Path | None) -> list[Plain]:
    """Every file a model and what goes with it are read from, by name, size and time of change."""
    named = gguf_file(ref) or (snapshot(ref)[1] if ref.scheme is Scheme.HUB else Path(ref.name).expanduser())
    found: list[Plain] = []
    for path in (named, *others):
        files = sorted(one for one in path.iterdir() if one.is_file()) if path and path.is_dir() else [path]
        found.append([(one.name, one.stat().st_size, one.stat().st_mtime_ns) for one in files if one and one.is_file()])
    return found


def _check(asked: Asked, gguf: Path | None) -> None:
    if gguf is None:
        if asked.model.scheme not in (Scheme.FOLDER, Scheme.HUB):
            raise UsageError(
                f"{asked.model} is no model whose weights are here.", "Name a folder, hf:org/name or gguf:FILE."
            )
        return
    if asked.adapter or asked.converter:
        raise UsageError(
            "--adapter and --converter go with a transformers folder, not with a GGUF file.", "Name the folder."
        )
    if asked.importance and not is_matrix(asked.importance):
        raise UsageError(
            "An importance matrix is computed from text with the model's transformers folder.",
            "Name the folder instead of the GGUF file, or a matrix that is computed already.",
        )


def _folder(asked: Asked, scratch: Path, on_progress: Progress) -> Path:
    if asked.model.scheme is Scheme.HUB:
        _, folder = snapshot(asked.model)
    else:
        folder = Path(asked.model.name).expanduser()
    if not folder.is_dir():
        raise ModelError(f"There is no model folder at {folder}.", "Check the path.")
    if asked.adapter is None:
        return folder
    from parity.models.merge import merge_adapter

    return merge_adapter(folder, asked.adapter, scratch / "merged", on_progress).folder


def _converted(folder: Path, script: Path, scratch: Path) -> GgufModel:
    """What llama.cpp's own script makes of the folder. The user named the script; it runs as they do."""
    if not script.is_file():
        raise UsageError(f"There is no script at {script}.", "Name convert_hf_to_gguf.py of a llama.cpp checkout.")
    scratch.mkdir(parents=True, exist_ok=True)
    target = scratch / "converted.gguf"
    command = [sys.executable, str(script), str(folder), "--outtype", "auto", "--outfile", str(target)]
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", check=False, stdin=subprocess.DEVNULL,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    if done.returncode or not target.is_file():
        said = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise ModelError(f"{script.name} failed on {folder}: " + " / ".join(said), "Run it by hand to see all it says.")
    return open_gguf(target)


def _matrix(asked: Asked) -> ImportanceMatrix | None:
    return read_matrix(asked.importance) if asked.importance and is_matrix(asked.importance) else None


def _computed(asked: Asked, folder: Path, model: GgufModel, on_progress: Progress) -> ImportanceMatrix | None:
    if asked.importance is None:
        return None
    if any(isinstance(part, Scaled) for tensor in model.tensors for part in tensor.parts):
        raise ModelError(
            f"{folder} holds FP8 weights, which transformers computes with on some GPUs only.",
            "Give a matrix that is computed already (.gguf, .dat), or write the model in bf16 first.",
        )
    from parity.quantization.calibration import compute

    return compute(folder, asked.importance, model, asked.calibration_tokens, asked.calibration_chunks, on_progress)
