"""The weights a ModelShape stands for, one by one, and how many parameters they are. No file is opened.

Roles are llama.cpp's tensor names without the block number, so that the same list says what a quantization does.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from parity.core.models import Block, Experts, LatentAttention, ModelShape, ParameterCount


@dataclass(frozen=True, slots=True)
class Weight:
    """One tensor. `shape` is (rows, columns), with experts stacked in front, or (width,) for a norm or bias."""

    role: str
    shape: tuple[int, ...]
    layer: int | None = None

    @property
    def elements(self) -> int:
        return prod(self.shape)


def weights_of(shape: ModelShape) -> Iterator[Weight]:
    """Every weight of the model once; a tied output head is not repeated."""
    block = shape.block
    yield Weight("token_embd", (shape.vocabulary, shape.hidden))
    if block.learned_positions:
        yield Weight("position_embd", (block.learned_positions, shape.hidden))
    if block.embedding_norm:
        yield from _norm("token_embd_norm", shape.hidden, block, None)
    sparse = set(shape.experts.layers) if shape.experts else set()
    for layer in range(shape.layers):
        for index in range(block.norms):
            yield from _norm(f"norm_{index}", shape.hidden, block, layer)
        yield from _attention(shape, layer)
        if shape.experts and layer in sparse:
            yield from _mixture(shape.experts, shape, layer)
        else:
            yield from _mlp("", shape.ffn, shape.hidden, block, layer)
    yield from _norm("output_norm", shape.hidden, block, None)
    if not shape.tied:
        yield Weight("output", (shape.vocabulary, shape.hidden))
    if block.head_bias:
        yield Weight("output.bias", (shape.vocabulary,))


def count(shape: ModelShape) -> ParameterCount:
    """Parameters in total, per token, and in the embedding tables."""
    total = active = embedding = 0
    for weight in weights_of(shape):
        total += weight.elements
        active += active_elements(weight.role, weight.elements, shape.experts)
        embedding += weight.elements if weight.role in ("token_embd", "position_embd") else 0
    return ParameterCount(total, active, embedding)


def active_elements(role: str, elements: int, experts: Experts | None) -> int:
    """How many of a tensor's elements one token passes through."""
    return elements * experts.per_token // experts.count if experts and role.endswith("_exps") else elements


def _norm(role: str, width: int, block: Block, layer: int | None) -> Iterator[Weight]:
    if block.norm_weight:
        yield Weight(role, (width,), layer)
    if block.norm_bias:
        yield Weight(f"{role}.bias", (width,), layer)


def _linear(role: str, rows: int, columns: int, biased: bool, layer: int) -> Iterator[Weight]:
    yield Weight(role, (rows, columns), layer)
    if biased:
        yield Weight(f"{role}.bias", (rows,), layer)


def _attention(shape: ModelShape, layer: int) -> Iterator[Weight]:
    block = shape.block
    if shape.latent:
        yield from _latent_attention(shape, shape.latent, layer)
        return
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    yield from _linear("attn_q", queries, shape.hidden, block.qkv_bias, layer)
    yield from _linear("attn_k", keys, shape.hidden, block.qkv_bias, layer)
    yield from _linear("attn_v", keys, shape.hidden, block.qkv_bias, layer)
    yield from _linear("attn_output", shape.hidden, queries, block.output_bias, layer)
    if block.query_key_norm:
        by_head = block.query_key_norm == "head"
        yield Weight("attn_q_norm", (shape.head_dim if by_head else queries,), layer)
        yield Weight("attn_k_norm", (shape.head_dim if by_head else keys,), layer)


def _latent_attention(shape: ModelShape, latent: LatentAttention, layer: int) -> Iterator[Weight]:
    biased = shape.block.qkv_bias
    queries = shape.heads * shape.head_dim
    if latent.query_rank:
        yield from _linear("attn_q_a", latent.query_rank, shape.hidden, biased, layer)
        yield Weight("attn_q_a_norm", (latent.query_rank,), layer)
        yield Weight("attn_q_b", (queries, latent.query_rank), layer)
    else:
        yield Weight("attn_q", (queries, shape.hidden), layer)
    yield from _linear("attn_kv_a_mqa", latent.kv_rank + latent.rope_dim, shape.hidden, biased, layer)
    yield Weight("attn_kv_a_norm", (latent.kv_rank,), layer)
    yield Weight("attn_kv_b", (shape.heads * (latent.nope_dim + latent.value_dim), latent.kv_rank), layer)
    yield from _linear("attn_output", shape.hidden, shape.heads * latent.value_dim, shape.block.output_bias, layer)


def _mlp(suffix: str, ffn: int, hidden: int, block: Block, layer: int) -> Iterator[Weight]:
    if block.gated:
        yield from _linear(f"ffn_gate{suffix}", ffn, hidden, block.mlp_bias, layer)
    yield from _linear(f"ffn_up{suffix}", ffn, hidden, block.mlp_bias, layer)
    yield from _linear(f"ffn_down{suffix}", hidden, ffn, block.mlp_bias, layer)


def _mixture(experts: Experts, shape: ModelShape, layer: int) -> Iterator[Weight]:
    hidden = shape.hidden
    yield Weight("ffn_gate_inp", (experts.count, hidden), layer)
    yield Weight("ffn_gate_exps", (experts.count, experts.ffn, hidden), layer)
    yield Weight("ffn_up_exps", (experts.count, experts.ffn, hidden), layer)
    yield Weight("ffn_down_exps", (experts.count, hidden, experts.ffn), layer)
    if experts.shared_ffn:
        yield from _mlp("_shexp", experts.shared_ffn, hidden, shape.block, layer)
    if experts.shared_gate:
        yield Weight("ffn_gate_inp_shexp", (1, hidden), layer)
