"""An importance matrix from calibration text: what goes into a model's matrices while it reads, squared and summed.

Reads as llama.cpp does: the text as one run of tokens, in chunks of a fixed length, each beginning with BOS where the
model has one. Experts are counted one by one, by the tokens that were sent to them; MLA's split matrices by head.
The model is loaded whole, by transformers.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor as Values
from torch import nn

from parity.errors import DataError, ModelError
from parity.files import read_text
from parity.quantization.arranging import tensor_namer
from parity.quantization.importance import ImportanceMatrix, Sums
from parity.quantization.models import GgufModel
from parity.quantization.writing import Progress


@dataclass(slots=True)
class _Sum:
    """Squares and plain sums (P, C) and rows seen (P,), in double precision."""

    squares: np.ndarray[Any, Any]
    inputs: np.ndarray[Any, Any]
    counts: np.ndarray[Any, Any]


class _Collector:
    """Sums by tensor, filled by hooks."""

    def __init__(self) -> None:
        self._sums: dict[str, _Sum] = {}

    def add(self, name: str, rows: Values, part: int = 0, parts: int = 1) -> None:
        """Rows (R, C) that went into one part of a tensor."""
        values = rows.detach().reshape(-1, rows.shape[-1]).double()
        if name not in self._sums:
            zeros = np.zeros((parts, values.shape[1]))
            self._sums[name] = _Sum(zeros, zeros.copy(), np.zeros(parts))
        found = self._sums[name]
        found.squares[part] += values.square().sum(0).cpu().numpy()
        found.inputs[part] += values.sum(0).cpu().numpy()
        found.counts[part] += len(values)

    def sums(self) -> dict[str, Sums]:
        found = {}
        for name, one in self._sums.items():
            squares, inputs = one.squares.astype(np.float32), one.inputs.astype(np.float32)
            # Heads see every token: one count for all of them, and one long row, as llama.cpp writes it.
            heads = name.endswith((".attn_k_b.weight", ".attn_v_b.weight"))
            counts = (one.counts[:1] if heads else one.counts).astype(np.float32)
            found[name] = Sums(
                squares.reshape(1, -1) if heads else squares, counts, inputs.reshape(1, -1) if heads else inputs
            )
        return found


def compute(
    folder: Path, text: Path, model: GgufModel, tokens: int, chunks: int | None, on_progress: Progress
) -> ImportanceMatrix:
    """The importance matrix of a transformers folder on a text, in `chunks` (all there are) of `tokens` tokens.

    Raises:
        DataError: the text is missing, not UTF-8, or shorter than one chunk.
        ModelError: the model cannot be loaded, or nothing of it could be watched.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    pieces = _chunks(tokenizer, read_text(text, "calibration text", DataError), text, tokens)[:chunks]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # Eager attention tells its weights, which MLA's value matrix needs.
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        folder, local_files_only=True, dtype="auto", attn_implementation="eager"
    )
    loaded = loaded.to(device).eval()
    collector = _Collector()
    _watch(loaded, tensor_namer(model.traits.architecture, model.traits.layers), collector)
    with torch.inference_mode():
        for at, piece in enumerate(pieces, 1):
            loaded.model(torch.tensor([piece], device=device), use_cache=False)
            on_progress("reading calibration text", at, len(pieces))
    sums = collector.sums()
    if not sums:
        raise ModelError(f"No matrix of {folder} could be watched.", "Compute the matrix with llama-imatrix instead.")
    return ImportanceMatrix(sums, text.name, len(pieces), tokens)


def _chunks(tokenizer: Any, content: str, text: Path, tokens: int) -> list[list[int]]:
    ids = tokenizer(content, add_special_tokens=True)["input_ids"]
    pieces = [ids[at : at + tokens] for at in range(0, len(ids) - tokens + 1, tokens)]
    if not pieces:
        raise DataError(
            f"{text} has {len(ids)} tokens, fewer than one chunk of {tokens}.",
            "Give more text (100 chunks are usual), or smaller chunks with --imatrix-tokens.",
        )
    first = tokenizer.bos_token_id
    if first is not None and ids[0] == first:
        pieces = [[first, *piece[1:]] for piece in pieces]
    return pieces


def _watch(loaded: nn.Module, name_of: Callable[[str], str], collector: _Collector) -> None:
    for path, module in loaded.named_modules():
        if hasattr(module, "gate_up_proj") and hasattr(module, "down_proj") and path.endswith(".experts"):
            module.register_forward_pre_hook(_experts_hook(path.split(".")[2], collector), with_kwargs=True)
        elif hasattr(module, "kv_b_proj"):
            _watch_latent(path.split(".")[2], module, collector)
    for path, module in loaded.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, nn.Parameter) and weight.dim() == 2 and ".layers." in path and "kv_b_proj" not in path:
            module.register_forward_pre_hook(_rows_hook(name_of(f"{path}.weight"), collector))


def _rows_hook(name: str, collector: _Collector) -> Callable[..., None]:
    def look(_: nn.Module, inputs: tuple[Values, ...]) -> None:
        collector.add(name, inputs[0])

    return look


def _experts_hook(layer: str, collector: _Collector) -> Callable[..., None]:
    """Experts fused into one parameter: what goes into their last matrix is computed once more, expert by expert."""

    def look(module: Any, inputs: tuple[Values, ...], named: dict[str, Values]) -> None:
        hidden, chosen = (*inputs, *named.values())[:2]
        hidden = hidden.reshape(-1, hidden.shape[-1])
        count = module.gate_up_proj.shape[0]
        for expert in range(count):
            rows = hidden[(chosen.reshape(len(hidden), -1) == expert).any(-1)]
            gate, up = nn.functional.linear(rows, module.gate_up_proj[expert]).chunk(2, dim=-1)
            between = module.act_fn(gate) * up
            for role, values in (("gate", rows), ("up", rows), ("down", between)):
                collector.add(f"blk.{layer}.ffn_{role}_exps.weight", values, expert, count)

    return look


def _watch_latent(layer: str, attention: Any, collector: _Collector) -> None:
    """MLA as llama.cpp computes it: queries meet keys, and weights meet values, in the compressed space."""
    latest: dict[str, Values] = defaultdict(lambda: torch.empty(0))
    heads, nope = attention.num_heads, attention.qk_nope_head_dim

    def queries(_: nn.Module, __: object, output: Values) -> None:
        by_head = output.view(*output.shape[:2], heads, -1)[..., :nope]
        for head in range(heads):
            collector.add(f"blk.{layer}.attn_k_b.weight", by_head[:, :, head], head, heads)

    def compressed(_: nn.Module, __: object, output: Values) -> None:
        latest["compressed"] = output

    def weighed(_: nn.Module, __: object, output: tuple[Values, Values]) -> None:
        mixed = output[1] @ latest["compressed"][:, None].to(output[1].dtype)
        for head in range(heads):
            collector.add(f"blk.{layer}.attn_v_b.weight", mixed[:, head], head, heads)

    (getattr(attention, "q_proj", None) or attention.q_b_proj).register_forward_hook(queries)
    attention.kv_a_layernorm.register_forward_hook(compressed)
    attention.register_forward_hook(weighed)
