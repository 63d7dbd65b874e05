"""From the metadata of a GGUF file to a ModelShape. Any architecture will do: counts come from the tensors."""

from parity.core.models import Block, Experts, LatentAttention, ModelShape, ParameterCount, Rope, SlidingWindow
from parity.errors import ModelError
from parity.models.counts import active_elements
from parity.models.gguf import GgufArray, GgufHeader


def shape_of_gguf(header: GgufHeader) -> ModelShape:
    """The sizes a GGUF file states.

    Raises:
        ModelError: it names no architecture, or a size is missing or differs from layer to layer.
    """
    arch = header.text("general.architecture")
    if not arch:
        raise ModelError("The file names no architecture (general.architecture).", "Convert the model again.")
    layers, hidden = _need(header, arch, "block_count"), _need(header, arch, "embedding_length")
    heads = _need(header, arch, "attention.head_count")
    names = {tensor.name for tensor in header.tensors}
    latent = _latent(header, arch)
    return ModelShape(
        architecture=arch,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=heads if latent else _whole(header, arch, "attention.head_count_kv") or heads,
        head_dim=latent.nope_dim + latent.rope_dim if latent else _key_length(header, arch, hidden, heads),
        ffn=_whole(header, arch, "feed_forward_length") or 0,
        vocabulary=_vocabulary(header, arch),
        context_tokens=_whole(header, arch, "context_length"),
        tied=bool(names) and "output.weight" not in names,
        window=_window(header, arch, layers),
        experts=_experts(header, arch, layers),
        latent=latent,
        rope=_rope(header, arch),
        block=Block(qkv_bias="blk.0.attn_q.bias" in names),
        dtype=_dtype(header),
    )


def count_gguf(header: GgufHeader, experts: Experts | None) -> ParameterCount:
    """Parameters by the tensor table; factors of rotary positions are no parameters."""
    total = active = embedding = 0
    for tensor in header.tensors:
        if tensor.name.startswith("rope_freqs"):
            continue
        role = tensor.name.removesuffix(".weight")
        total += tensor.elements
        active += active_elements(role, tensor.elements, experts)
        embedding += tensor.elements if role == "token_embd" else 0
    return ParameterCount(total, active, embedding)


def _whole(header: GgufHeader, arch: str, key: str) -> int | None:
    value = header.metadata.get(f"{arch}.{key}")
    if isinstance(value, GgufArray):
        if value.values is None or len(set(value.values)) != 1:
            raise ModelError(f"{arch}.{key} differs from layer to layer, which is not sized.", "Read its tensors.")
        value = value.values[0]
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _need(header: GgufHeader, arch: str, key: str) -> int:
    found = _whole(header, arch, key)
    if found is None:
        raise ModelError(f"The file does not state {arch}.{key}.", "Convert the model again.")
    return found


def _key_length(header: GgufHeader, arch: str, hidden: int, heads: int) -> int:
    return _whole(header, arch, "attention.key_length") or hidden // heads


def _vocabulary(header: GgufHeader, arch: str) -> int:
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    table = next((tensor for tensor in header.tensors if tensor.name == "token_embd.weight"), None)
    if table is not None and len(table.shape) == 2:
        return table.shape[1]
    return tokens.length if isinstance(tokens, GgufArray) else _need(header, arch, "vocab_size")


def _window(header: GgufHeader, arch: str, layers: int) -> SlidingWindow | None:
    tokens = _whole(header, arch, "attention.sliding_window")
    # llama.cpp ignores the window of architecture llama, so its cache is a full one.
    if tokens is None or arch == "llama":
        return None
    pattern = header.metadata.get(f"{arch}.attention.sliding_window_pattern")
    if isinstance(pattern, GgufArray) and pattern.values is not None:
        return SlidingWindow(tokens, tuple(i for i, sliding in enumerate(pattern.values[:layers]) if sliding))
    step = {"gemma2": 2, "gemma3": 6}.get(arch)
    return SlidingWindow(tokens, tuple(i for i in range(layers) if step is None or (i + 1) % step))


def _experts(header: GgufHeader, arch: str, layers: int) -> Experts | None:
    count = _whole(header, arch, "expert_count")
    if count is None:
        return None
    ffn = _whole(header, arch, "expert_feed_forward_length") or _need(header, arch, "feed_forward_length")
    shared = _whole(header, arch, "expert_shared_feed_forward_length")
    shared = shared or (_whole(header, arch, "expert_shared_count") or 0) * ffn
    sparse = tuple(range(_whole(header, arch, "leading_dense_block_count") or 0, layers))
    return Experts(count, _need(header, arch, "expert_used_count"), ffn, sparse, shared)


def _latent(header: GgufHeader, arch: str) -> LatentAttention | None:
    rank = _whole(header, arch, "attention.kv_lora_rank")
    if rank is None:
        return None
    rope = _need(header, arch, "rope.dimension_count")
    key = _whole(header, arch, "attention.key_length_mla") or _need(header, arch, "attention.key_length")
    value = _whole(header, arch, "attention.value_length_mla") or _need(header, arch, "attention.value_length")
    return LatentAttention(rank, _whole(header, arch, "attention.q_lora_rank"), rope, key - rope, value)


def _rope(header: GgufHeader, arch: str) -> Rope:
    base, factor = header.metadata.get(f"{arch}.rope.freq_base"), header.metadata.get(f"{arch}.rope.scaling.factor")
    return Rope(
        float(base) if isinstance(base, float | int) else None,
        header.text(f"{arch}.rope.scaling.type") or "default",
        float(factor) if isinstance(factor, float | int) else None,
        _whole(header, arch, "rope.scaling.original_context_length"),
    )


def _dtype(header: GgufHeader) -> str | None:
    """The type most bytes are in."""
    sizes: dict[str, int] = {}
    for tensor in header.tensors:
        sizes[tensor.type.name] = sizes.get(tensor.type.name, 0) + tensor.size_bytes
    return max(sizes, key=lambda name: sizes[name]) if sizes else None
