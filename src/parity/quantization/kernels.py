"""ggml's quantization kernels, called in the shared object of the pinned llama.cpp wheel.

ctypes lets go of the interpreter while a kernel runs, so threads quantize side by side. The kernels end the process on
a row that is no whole number of blocks: what goes in is checked here.
"""

import ctypes

import numpy as np

from parity.engines.llamacpp.library import library
from parity.errors import ModelError
from parity.models.ggml_types import GgmlType
from parity.quantization.matrices import Floats


def quantized(values: Floats, kind: GgmlType, importance: Floats | None = None) -> bytes:
    """Rows (R, C) in a storage type; `importance` (C,) weighs the columns' errors.

    Raises:
        ModelError: a row is no whole number of blocks, or a value is not finite.
        EngineError: the library is missing or is not the pinned version.
    """
    rows, columns = values.shape
    if columns % kind.block:
        raise ModelError(
            f"Rows of {columns} are no whole blocks of {kind.block} ({kind.name}).", "Choose another type."
        )
    values = np.ascontiguousarray(values, dtype=np.float32)
    weights = None if importance is None else np.ascontiguousarray(importance, dtype=np.float32)
    # The kernels pass over NaN: a block of one comes out as if it were zero.
    if not np.isfinite(values).all():
        raise ModelError("it holds values that are not finite", "Train or download the model again.")
    target = ctypes.create_string_buffer(kind.bytes_of((rows, columns)))
    at = None if weights is None else weights.ctypes.data
    written = library().ggml_quantize_chunk(kind.id, values.ctypes.data, target, 0, rows, columns, at)
    if written != len(target) or not library().ggml_validate_row_data(kind.id, target, written):
        raise ModelError("it holds values that are not finite", "Train or download the model again.")
    return target.raw
