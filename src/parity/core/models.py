"""What a decoder-only language model is made of: its sizes and how many parameters that makes.

Knows numbers only. Where they were read, and what they cost, is the business of `parity.models`.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class ParameterCount:
    """Parameters. `active`: those one token passes through (total less the experts not chosen, embeddings included)."""

    total: int
    active: int
    embedding: int


@dataclass(frozen=True, slots=True)
class SlidingWindow:
    """Layers that see only the last `tokens` tokens."""

    tokens: int
    layers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Experts:
    """A sparse mixture: `count` experts of width `ffn` in each of `layers`, `per_token` of them chosen by a router.

    `shared_ffn` is the width of what every token passes through beside them, 0 if nothing; `shared_gate`: a learned
    gate weighs it.
    """

    count: int
    per_token: int
    ffn: int
    layers: tuple[int, ...]
    shared_ffn: int = 0
    shared_gate: bool = False


@dataclass(frozen=True, slots=True)
class LatentAttention:
    """Multi-head latent attention (MLA): the ranks queries and keys go through, and the sizes of a head's parts."""

    kv_rank: int
    query_rank: int | None
    rope_dim: int
    nope_dim: int
    value_dim: int


@dataclass(frozen=True, slots=True)
class Rope:
    """Rotary positions: their base, and how they are stretched beyond the trained context."""

    base: float | None = None
    kind: str = "default"
    factor: float | None = None
    original_context_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """What a layer has beside its matrices. `norms` of width hidden; `query_key_norm` by head or over all heads."""

    gated: bool = True
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    head_bias: bool = False
    norms: int = 2
    norm_weight: bool = True
    norm_bias: bool = False
    query_key_norm: Literal["", "head", "heads"] = ""
    embedding_norm: bool = False
    learned_positions: int = 0


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Everything that counts and memory need. `head_dim` is the size of a query head; `ffn` that of a dense layer."""

    architecture: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocabulary: int
    context_tokens: int | None = None
    tied: bool = False
    window: SlidingWindow | None = None
    experts: Experts | None = None
    latent: LatentAttention | None = None
    rope: Rope = Rope()
    block: Block = Block()
    dtype: str | None = None
