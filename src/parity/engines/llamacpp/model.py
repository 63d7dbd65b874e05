"""Weights and contexts of llama.cpp, in the process that runs them. Knows pointers; its users see arrays and ids."""

import ctypes as c
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parity.engines.llamacpp.library import LogCallback, check_context, library
from parity.engines.llamacpp.structs import F16, F32, FLASH_ATTENTION_OFF, FLASH_ATTENTION_ON, Batch
from parity.engines.llamacpp.tokenizer import LlamaTokenizer
from parity.errors import EngineError, ModelError

_WARNING, _ERROR, _CONTINUED = 3, 4, 5


@dataclass(frozen=True, slots=True)
class Settings:
    """How a model is run.

    `device`: auto, cpu or cuda. `exact`: keys and values in fp32, no flash attention: sums are transformers'.
    """

    threads: int
    exact: bool = True
    device: str = "cpu"


class Complaints:
    """What llama.cpp said went wrong, newest last; its own log goes nowhere else."""

    def __init__(self, library: c.CDLL) -> None:
        self._lines: list[str] = []
        self._callback = LogCallback(self._hear)  # must outlive the library's use of it
        library.llama_log_set(self._callback, None)

    def _hear(self, level: int, text: bytes, _: int | None) -> None:
        if level == _ERROR:
            self._lines.append(text.decode("utf-8", "replace").strip())
            del self._lines[:-20]

    def take(self) -> str:
        """The last few lines, as one sentence; forgotten then."""
        lines, self._lines = [line for line in self._lines if line], []
        return "; ".join(dict.fromkeys(lines[-3:])) or "no reason given"


class Model:
    """One loaded GGUF model (all its files, in order), with at most one LoRA adapter.

    Raises:
        ModelError: llama.cpp cannot load it; the message is its own.
    """

    def __init__(self, files: Sequence[Path], adapter: Path | None, settings: Settings) -> None:
        self.library, self.settings = library(), settings
        self.complaints = Complaints(self.library)
        self.library.llama_backend_init()
        params = self.library.llama_model_default_params()
        params.n_gpu_layers = 0 if settings.device == "cpu" or not self._gpu(settings.device) else -1
        if len(files) == 1:
            self.pointer = self.library.llama_model_load_from_file(bytes(files[0]), params)
        else:
            paths = (c.c_char_p * len(files))(*map(bytes, files))
            self.pointer = self.library.llama_model_load_from_splits(paths, len(files), params)
        if not self.pointer:
            raise ModelError(
                f"llama.cpp cannot load {files[0]}: {self.complaints.take()}.",
                "Convert it again, or see with parity inspect what it is.",
            )
        if self.library.llama_model_has_encoder(self.pointer):
            raise ModelError(f"{files[0]} is no decoder-only model.", "Parity runs decoder-only models.")
        self.tokenizer = LlamaTokenizer(self.library, self.pointer)
        self.context_tokens: int = self.library.llama_model_n_ctx_train(self.pointer)
        # What remembers a state instead of keys and values cannot go back to a shared beginning.
        self.shares = not (
            self.library.llama_model_is_recurrent(self.pointer) or self.library.llama_model_is_hybrid(self.pointer)
        )
        self.adapter = self._adapter(adapter) if adapter else None

    @property
    def template(self) -> str | None:
        found = self.library.llama_model_chat_template(self.pointer, None)
        return found.decode("utf-8", "replace") if found else None

    @property
    def processor(self) -> str:
        """What of the processor llama.cpp makes use of, which decides how it sums."""
        said = self.library.llama_print_system_info().decode()
        entries = (entry.rpartition(":")[2].split("=") for entry in said.split("|") if "=" in entry)
        return " ".join(name.strip() for name, value in entries if value.strip() == "1")

    def _gpu(self, device: str) -> bool:
        there = bool(self.library.llama_supports_gpu_offload())
        if device != "auto" and not there:
            raise EngineError(f"This build of llama.cpp has no {device}.", "Use --device cpu.")
        return there

    def _adapter(self, file: Path) -> int:
        adapter: int | None = self.library.llama_adapter_lora_init(self.pointer, bytes(file))
        if not adapter:
            raise ModelError(
                f"llama.cpp cannot use the adapter {file}: {self.complaints.take()}.",
                "It must be a LoRA adapter in GGUF, made for this model.",
            )
        return adapter


class Context:
    """Keys and values of several sequences of one model.

    `unified`: all sequences share `cells`, and a copied prefix costs nothing; else each has `cells` of its own, and
    looks at no other's.

    Raises:
        EngineError: there is no memory for it.
    """

    def __init__(
        self, model: Model, cells: int, sequences: int, pass_tokens: int, unified: bool, embeddings: bool = False
    ) -> None:
        self._model, self._library = model, model.library
        params = self._library.llama_context_default_params()
        params.n_ctx = -(-cells // 256) * 256 * (1 if unified else sequences)
        # No pass has more tokens than there are cells: llama.cpp would cut it in silence.
        self.cells, self.sequences, self.pass_tokens = cells, sequences, min(pass_tokens, params.n_ctx)
        params.n_batch = params.n_ubatch = self.pass_tokens
        params.n_seq_max = sequences
        params.n_outputs_max_per_seq = 0  # as many as a pass has
        params.n_threads = params.n_threads_batch = model.settings.threads
        params.flash_attn_type = FLASH_ATTENTION_OFF if model.settings.exact else FLASH_ATTENTION_ON
        params.type_k = params.type_v = F32 if model.settings.exact else F16
        params.kv_unified, params.embeddings = unified, embeddings
        self.pointer = self._library.llama_init_from_model(model.pointer, params)
        if not self.pointer:
            raise EngineError(
                f"llama.cpp cannot keep {params.n_ctx} tokens in memory: {model.complaints.take()}.",
                "Use fewer slots (--batch-size), shorter prompts, or --cache float16.",
            )
        check_context(self._library, self.pointer, params)
        self._memory = self._library.llama_get_memory(self.pointer)
        if model.adapter:
            adapters, scales = (c.c_void_p * 1)(model.adapter), (c.c_float * 1)(1.0)
            if self._library.llama_set_adapters_lora(self.pointer, adapters, 1, scales):
                raise EngineError(f"The adapter cannot be used: {model.complaints.take()}.", "Check that it fits.")

    def close(self) -> None:
        if self.pointer:
            self._library.llama_free(self.pointer)
            self.pointer = None

    def copy(self, source: int, target: int, tokens: int = -1) -> None:
        """Let `target` have the first `tokens` of `source`, or all; what it had must have been removed."""
        self._library.llama_memory_seq_cp(self._memory, source, target, 0 if tokens >= 0 else -1, tokens)

    def keep(self, sequence: int, tokens: int) -> bool:
        """Forget all but the first `tokens`; False where the model's memory cannot be cut (0 always can)."""
        return bool(self._library.llama_memory_seq_rm(self._memory, sequence, tokens if tokens else -1, -1))

    def decode(
        self,
        ids_T: NDArray[np.int32],
        depths_T: NDArray[np.int32],
        sequences_T: Sequence[Sequence[int]],
        wanted_T: NDArray[np.int8],
    ) -> NDArray[np.float32]:
        """One pass; the logits (wanted, V) of the wanted positions, valid until the next one.

        Raises:
            EngineError: llama.cpp refused or broke off.
        """
        counts_T = np.array([len(several) for several in sequences_T], np.int32)
        flat = np.fromiter((one for several in sequences_T for one in several), np.int32, int(counts_T.sum()))
        starts_T = np.concatenate(([0], np.cumsum(counts_T)[:-1]))
        self._run(ids_T, depths_T, counts_T, flat.ctypes.data + starts_T * flat.itemsize, wanted_T)
        wanted = int(np.count_nonzero(wanted_T))
        if not wanted:
            return np.empty((0, self._model.tokenizer.size), np.float32)
        logits = self._library.llama_get_logits(self.pointer)
        return np.ctypeslib.as_array(logits, (wanted, self._model.tokenizer.size))

    def embed(self, ids_T: NDArray[np.int32]) -> NDArray[np.float32]:
        """The vector of sequence 0 after these ids: pooled as the file says, else the mean of all.

        Raises:
            EngineError: llama.cpp refused or broke off.
        """
        sequence, length = np.zeros(1, np.int32), len(ids_T)
        pointers_T = np.full(length, sequence.ctypes.data)
        self._run(
            ids_T, np.arange(length, dtype=np.int32), np.ones(length, np.int32), pointers_T, np.ones(length, np.int8)
        )
        size = self._library.llama_model_n_embd_out(self._model.pointer)
        pooled = self._library.llama_get_embeddings_seq(self.pointer, 0)
        if pooled:
            return np.ctypeslib.as_array(pooled, (size,)).copy()
        rows = [self._library.llama_get_embeddings_ith(self.pointer, at) for at in range(len(ids_T))]
        mean: NDArray[np.float32] = np.mean([np.ctypeslib.as_array(row, (size,)) for row in rows], axis=0)
        return mean

    def _run(
        self,
        ids_T: NDArray[np.int32],
        depths_T: NDArray[np.int32],
        counts_T: NDArray[np.int32],
        sequences_T: NDArray[np.integer[Any]],
        wanted_T: NDArray[np.int8],
    ) -> None:
        """One pass; `sequences_T` are addresses of ids of sequences, `counts_T` of them for each position."""
        # A pointer into an array does not keep it: these names do, until the pass is over.
        addresses_T = sequences_T.astype(np.uintp)
        ids_T, depths_T, wanted_T = map(np.ascontiguousarray, (ids_T, depths_T, wanted_T))
        batch = Batch(
            len(ids_T), _ids(ids_T), None, _ids(depths_T), _ids(counts_T),
            addresses_T.ctypes.data_as(c.POINTER(c.POINTER(c.c_int32))),
            wanted_T.ctypes.data_as(c.POINTER(c.c_int8)),
        )  # fmt: skip
        code = self._library.llama_decode(self.pointer, batch)
        if code:
            raise EngineError(
                f"llama.cpp could not compute {len(ids_T)} tokens (code {code}): {self._model.complaints.take()}.",
                "Try a smaller --batch-size.",
            )


def _ids(array: NDArray[np.int32]) -> object:
    return array.ctypes.data_as(c.POINTER(c.c_int32))
