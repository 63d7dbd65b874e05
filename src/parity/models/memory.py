"""How many bytes running or training a model takes beside its weights: closed formulas, no measurement.

Sources: KV cache and the logits of llama.cpp's compute buffer follow from the shapes; activations and states of
training follow Unsloth's VRAM_ESTIMATION notes (per layer), LLaMA-Factory's README (18 bytes a parameter for full
mixed precision) and the logits term that estimators leave out.
"""

from dataclasses import dataclass, fields
from typing import Literal

from parity.core.models import ModelShape
from parity.models.counts import Weight, weights_of

Train = Literal["lora", "qlora", "full"]

# llama.cpp evaluates a prompt in pieces of this many tokens and keeps logits for a whole piece.
PIECE_TOKENS = 512
KV_TYPES = {"F32": 4.0, "F16": 2.0, "Q8_0": 34 / 32, "Q4_0": 18 / 32}
# NF4 with its block scales quantized again (QLoRA, arXiv 2305.14314, section 3): 4 + 0.127 bits.
NF4_BITS = 4.127
# fp32 weight 4, gradient 4, AdamW's two moments 8.
ADAPTER_BYTES = 16
# bf16 weight 2 (counted as weights), fp32 master 4, gradient 4, moments 8: 18 in all.
FULL_STATE_BYTES = 16


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes by what they are for; `total_bytes` is their sum."""

    weights_bytes: int
    kv_bytes: int = 0
    activations_bytes: int = 0
    logits_bytes: int = 0
    adapter_bytes: int = 0
    optimizer_bytes: int = 0
    overhead_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        return sum(getattr(self, field.name) for field in fields(self))


def kv_elements(shape: ModelShape, context_tokens: int) -> int:
    """Elements of the key-value cache of one sequence.

    Grouped heads count once, layers with a window keep at most its tokens, and latent attention keeps its compressed
    row, as llama.cpp, vLLM and transformers (5.24) do.
    """
    latent = shape.latent
    row = latent.kv_rank + latent.rope_dim if latent else 2 * shape.kv_heads * shape.head_dim
    window = shape.window
    full_layers = shape.layers - (len(window.layers) if window else 0)
    short = len(window.layers) * min(context_tokens, window.tokens) if window else 0
    return row * (full_layers * context_tokens + short)


def kv_bytes(shape: ModelShape, context_tokens: int, parallel: int = 1, kind: str = "F16") -> int:
    """Bytes of the key-value caches of `parallel` sequences."""
    return round(kv_elements(shape, context_tokens) * parallel * KV_TYPES[kind])


def running_memory(
    shape: ModelShape, weights_bytes: int, context: int, parallel: int, kv: str, overhead: int
) -> Memory:
    """What answering takes: weights, caches, one piece of the prompt in fp32, its logits."""
    piece = min(PIECE_TOKENS, context)
    return Memory(
        weights_bytes,
        kv_bytes=kv_bytes(shape, context, parallel, kv),
        activations_bytes=4 * piece * (2 * shape.hidden + 2 * _widest(shape)),
        logits_bytes=4 * piece * shape.vocabulary,
        overhead_bytes=overhead,
    )


def training_memory(shape: ModelShape, train: Train, tokens: int, batch: int, rank: int, overhead: int) -> Memory:
    """What one step takes, with full activation checkpointing and a batch of `batch` rows of `tokens` tokens."""
    weights = tuple(weights_of(shape))
    total = sum(weight.elements for weight in weights)
    seen = tokens * batch
    keys = shape.kv_heads * shape.head_dim
    layer = (seen * (shape.hidden + 2 * keys) + 2 * seen + 2 * seen * _widest(shape)) * 2 * 1.25
    adapter = 0 if train == "full" else sum(map(_adapter(rank), weights))
    return Memory(
        weights_bytes=_frozen_bytes(weights) if train == "qlora" else 2 * total,
        activations_bytes=round(shape.layers * seen * shape.hidden * 2 + layer),
        logits_bytes=seen * shape.vocabulary * (2 + 4 + 4),
        adapter_bytes=4 * adapter,
        optimizer_bytes=FULL_STATE_BYTES * total if train == "full" else (ADAPTER_BYTES - 4) * adapter,
        overhead_bytes=overhead,
    )


def adapter_parameters(shape: ModelShape, rank: int) -> int:
    """Parameters of a LoRA adapter on every linear layer of the blocks: rank x (columns + rows), experts each."""
    return sum(map(_adapter(rank), weights_of(shape)))


class _adapter:
    """Adapter parameters of one weight at a rank."""

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def __call__(self, weight: Weight) -> int:
        if not _is_linear(weight):
            return 0
        *stacked, rows, columns = weight.shape
        return (stacked[0] if stacked else 1) * self.rank * (rows + columns)


def _is_linear(weight: Weight) -> bool:
    return weight.layer is not None and len(weight.shape) >= 2 and "gate_inp" not in weight.role


def _frozen_bytes(weights: tuple[Weight, ...]) -> int:
    """Linear layers of the blocks in NF4, the rest in bf16."""
    return round(sum(w.elements * (NF4_BITS / 8 if _is_linear(w) else 2) for w in weights))


def _widest(shape: ModelShape) -> int:
    """The widest row a token makes inside a layer: the feed-forward width, or that of its chosen experts."""
    experts = shape.experts
    return max(shape.ffn, experts.per_token * experts.ffn + experts.shared_ffn if experts else 0)
