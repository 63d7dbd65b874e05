"""The wheel's shared object: a wrong version or layout must be refused, never computed with."""

import ctypes
import importlib.metadata

import numpy as np
import pytest

from parity.engines.llamacpp import library as lib
from parity.engines.llamacpp import structs
from parity.errors import EngineError

Q8_0 = 8


def test_quantized_rows_read_back() -> None:
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize

    opened = lib.library()
    rows = np.random.default_rng(0).normal(size=(4, 256)).astype(np.float32)
    out = np.zeros((4, opened.ggml_row_size(Q8_0, 256)), np.uint8)
    opened.ggml_quantize_init(Q8_0)
    written = opened.ggml_quantize_chunk(Q8_0, rows.ctypes.data, out.ctypes.data, 0, 4, 256, None)
    assert written == out.nbytes
    assert np.abs(dequantize(out, GGMLQuantizationType.Q8_0) - rows).max() < 0.02


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lib, "version", lambda _: "2026.10.1")
    with pytest.raises(EngineError, match=lib.PINNED):
        lib.check_version()


def test_a_missing_wheel_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> str:
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(lib, "version", missing)
    with pytest.raises(EngineError, match="pip install"):
        lib.check_version()


def test_another_layout_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = lib.library()
    monkeypatch.setitem(structs.CONTEXT_DEFAULTS, "n_batch", 2049)
    with pytest.raises(EngineError, match="n_batch reads 2048, not 2049"):
        lib._check_layout(opened)


def test_the_structs_are_as_large_as_in_the_header() -> None:
    assert {struct: ctypes.sizeof(struct) for struct in structs.SIZES} == structs.SIZES
    assert structs.ContextParams.flash_attn_type.offset == 52
    assert structs.ContextParams.type_k.offset == 104
    assert structs.ContextParams.kv_unified.offset == 141
    assert structs.ModelParams.load_mode.offset == 24
    assert structs.ModelParams.check_tensors.offset == 73
