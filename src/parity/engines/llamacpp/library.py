"""llama.cpp's and ggml's own C functions, from the shared object of the pinned `xllamacpp` wheel.

Knows names, types and versions. A wheel of another version is refused, and one whose structs do not read as they
should: a struct passed in the wrong layout computes nonsense instead of failing.
"""

import ctypes as c
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from parity.engines.llamacpp.structs import (
    CONTEXT_DEFAULTS,
    MODEL_DEFAULTS,
    SIZES,
    Batch,
    ContextParams,
    ModelParams,
    TokenDataArray,
)
from parity.errors import EngineError

WHEEL = "xllamacpp"
PINNED = "2026.10.11549"
_TODO = f"Install the one Parity knows: pip install '{WHEEL}=={PINNED}' (or 'parity-llm[gguf]')."

LogCallback = c.CFUNCTYPE(None, c.c_int, c.c_char_p, c.c_void_p)
AbortCallback = c.CFUNCTYPE(c.c_bool, c.c_void_p)

_P, _I32, _I64, _SIZE, _BOOL, _TEXT = c.c_void_p, c.c_int32, c.c_int64, c.c_size_t, c.c_bool, c.c_char_p
_FLOATS, _IDS = c.POINTER(c.c_float), c.POINTER(c.c_int32)
# Function: (what it returns, what it takes). Names and order are those of llama.h and ggml.h.
_FUNCTIONS: dict[str, tuple[object, tuple[object, ...]]] = {
    "ggml_type_name": (_TEXT, (c.c_int,)),
    "ggml_blck_size": (_I64, (c.c_int,)),
    "ggml_type_size": (_SIZE, (c.c_int,)),
    "ggml_row_size": (_SIZE, (c.c_int, _I64)),
    "ggml_quantize_init": (None, (c.c_int,)),
    "ggml_quantize_free": (None, ()),
    "ggml_quantize_requires_imatrix": (_BOOL, (c.c_int,)),
    # type, source (float32), target, first value, rows, values a row, importance of each column or None -> bytes
    "ggml_quantize_chunk": (_SIZE, (c.c_int, _P, _P, _I64, _I64, _I64, _P)),
    "ggml_validate_row_data": (_BOOL, (c.c_int, _P, _SIZE)),
    "ggml_log_set": (None, (LogCallback, _P)),
    "llama_log_set": (None, (LogCallback, _P)),
    "llama_backend_init": (None, ()),
    "llama_print_system_info": (_TEXT, ()),
    "llama_model_default_params": (ModelParams, ()),
    "llama_context_default_params": (ContextParams, ()),
    "llama_model_load_from_file": (_P, (_TEXT, ModelParams)),
    "llama_model_load_from_splits": (_P, (c.POINTER(_TEXT), _SIZE, ModelParams)),
    "llama_model_free": (None, (_P,)),
    "llama_init_from_model": (_P, (_P, ContextParams)),
    "llama_free": (None, (_P,)),
    "llama_set_abort_callback": (None, (_P, AbortCallback, _P)),
    "llama_set_embeddings": (None, (_P, _BOOL)),
    "llama_n_ctx": (c.c_uint32, (_P,)),
    "llama_n_ctx_seq": (c.c_uint32, (_P,)),
    "llama_n_batch": (c.c_uint32, (_P,)),
    "llama_n_ubatch": (c.c_uint32, (_P,)),
    "llama_n_seq_max": (c.c_uint32, (_P,)),
    "llama_n_threads": (_I32, (_P,)),
    "llama_n_threads_batch": (_I32, (_P,)),
    "llama_supports_gpu_offload": (_BOOL, ()),
    "llama_get_memory": (_P, (_P,)),
    "llama_memory_clear": (None, (_P, _BOOL)),
    "llama_memory_seq_rm": (_BOOL, (_P, _I32, _I32, _I32)),
    "llama_memory_seq_cp": (None, (_P, _I32, _I32, _I32, _I32)),
    "llama_memory_seq_pos_max": (_I32, (_P, _I32)),
    "llama_model_get_vocab": (_P, (_P,)),
    "llama_model_n_ctx_train": (_I32, (_P,)),
    "llama_model_n_embd_out": (_I32, (_P,)),
    "llama_model_n_layer": (_I32, (_P,)),
    "llama_model_n_params": (c.c_uint64, (_P,)),
    "llama_model_n_swa": (_I32, (_P,)),
    "llama_model_has_encoder": (_BOOL, (_P,)),
    "llama_model_is_recurrent": (_BOOL, (_P,)),
    "llama_model_is_hybrid": (_BOOL, (_P,)),
    "llama_model_chat_template": (_TEXT, (_P, _TEXT)),
    "llama_vocab_n_tokens": (_I32, (_P,)),
    "llama_vocab_type": (c.c_int, (_P,)),
    "llama_vocab_is_eog": (_BOOL, (_P, _I32)),
    "llama_vocab_is_control": (_BOOL, (_P, _I32)),
    "llama_vocab_get_text": (_TEXT, (_P, _I32)),
    "llama_vocab_bos": (_I32, (_P,)),
    "llama_vocab_eos": (_I32, (_P,)),
    "llama_vocab_pad": (_I32, (_P,)),
    "llama_vocab_get_add_bos": (_BOOL, (_P,)),
    "llama_vocab_get_add_eos": (_BOOL, (_P,)),
    "llama_tokenize": (_I32, (_P, _TEXT, _I32, _IDS, _I32, _BOOL, _BOOL)),
    "llama_token_to_piece": (_I32, (_P, _I32, _P, _I32, _I32, _BOOL)),
    "llama_detokenize": (_I32, (_P, _IDS, _I32, _P, _I32, _BOOL, _BOOL)),
    "llama_decode": (_I32, (_P, Batch)),
    "llama_get_logits": (_FLOATS, (_P,)),
    "llama_get_logits_ith": (_FLOATS, (_P, _I32)),
    "llama_get_embeddings_ith": (_FLOATS, (_P, _I32)),
    "llama_get_embeddings_seq": (_FLOATS, (_P, _I32)),
    "llama_adapter_lora_init": (_P, (_P, _TEXT)),
    "llama_adapter_lora_free": (None, (_P,)),
    "llama_set_adapters_lora": (_I32, (_P, c.POINTER(_P), _SIZE, _FLOATS)),
    "llama_sampler_init_grammar": (_P, (_P, _TEXT, _TEXT)),
    "llama_sampler_apply": (None, (_P, c.POINTER(TokenDataArray))),
    "llama_sampler_accept": (None, (_P, _I32)),
    "llama_sampler_free": (None, (_P,)),
}


@cache
def library() -> c.CDLL:
    """The shared object with its functions declared; opened once a process.

    Raises:
        EngineError: the wheel is missing, of another version, or its structs have another layout.
    """
    check_version()
    file = _shared_object()
    try:
        opened = c.CDLL(str(file))
        for name, (returns, takes) in _FUNCTIONS.items():
            function = getattr(opened, name)
            function.restype, function.argtypes = returns, takes
    except (OSError, AttributeError) as error:
        raise EngineError(f"{file.name} cannot be opened as llama.cpp: {error}", _TODO) from error
    _check_layout(opened)
    return opened


def check_version() -> None:
    """See that the pinned wheel is installed, without opening it.

    Raises:
        EngineError: it is missing or of another version.
    """
    try:
        found = version(WHEEL)
    except PackageNotFoundError as error:
        raise EngineError(f"Running a GGUF file needs {WHEEL}, which is not installed.", _TODO) from error
    if found != PINNED:
        raise EngineError(
            f"{WHEEL} {found} is installed; Parity passes structs to llama.cpp in the layout of {PINNED}.", _TODO
        )


def _shared_object() -> Path:
    spec = find_spec(WHEEL)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        for suffix in EXTENSION_SUFFIXES:
            file = Path(folder) / f"{WHEEL}{suffix}"
            if file.is_file():
                return file
    raise EngineError(f"{WHEEL} is installed without its shared object.", _TODO)


def _check_layout(opened: c.CDLL) -> None:
    wrong = [
        f"{struct.__doc__}: {c.sizeof(struct)} bytes" for struct, size in SIZES.items() if c.sizeof(struct) != size
    ]
    for found, expected in (
        (opened.llama_context_default_params(), CONTEXT_DEFAULTS),
        (opened.llama_model_default_params(), MODEL_DEFAULTS),
    ):
        wrong += [
            f"{name} reads {getattr(found, name)}, not {value}"
            for name, value in expected.items()
            if getattr(found, name) != value
        ]
    if wrong:
        raise EngineError(f"llama.cpp's structs do not have the layout of {PINNED}: {'; '.join(wrong)}.", _TODO)


def check_context(opened: c.CDLL, context: int, asked: ContextParams) -> None:
    """Hold what a new context says of itself against what was asked for.

    Raises:
        EngineError: a field arrived elsewhere than it was put.
    """
    getters = {
        "n_batch": opened.llama_n_batch,
        "n_ubatch": opened.llama_n_ubatch,
        "n_seq_max": opened.llama_n_seq_max,
        "n_threads": opened.llama_n_threads,
        "n_threads_batch": opened.llama_n_threads_batch,
    }
    wrong = [
        f"{name} is {getter(context)} where {getattr(asked, name)} was asked"
        for name, getter in getters.items()
        if getter(context) != getattr(asked, name)
    ]
    # n_ctx may only be rounded up.
    if not asked.n_ctx <= opened.llama_n_ctx(context) < asked.n_ctx + 65536:
        wrong.append(f"n_ctx is {opened.llama_n_ctx(context)} where {asked.n_ctx} was asked")
    if wrong:
        raise EngineError(f"llama.cpp took its settings in another layout than {PINNED}: {'; '.join(wrong)}.", _TODO)
