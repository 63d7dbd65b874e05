"""Tensors of a GGUF file against those of its folder, and which of the known mistakes explains a difference.

A tensor in fewer bits may differ by what its type loses; one whose values are elsewhere, or others, by far more.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from parity.quantization.models import GgufModel, Tensor

# Types whose values are those of the folder, or rounded to 16 bits.
EXACT = frozenset({"F32", "F16", "BF16"})
# Relative distance a type may lose: half precision rounds, two bits leave a third.
_ROUNDING, _QUANTIZING = 0.01, 0.6
# What a value is called that no known mistake explains, in a type of few bits.
QUANTIZED_AWAY = "more lost than the type loses"
Values = NDArray[np.float32]


def tensor_problems(ours: GgufModel, theirs: GgufModel, before: GgufModel | None) -> Iterator[tuple[str, str]]:
    """(Cause, what was seen) for every kind of difference, once each, the most tensors first."""
    found: dict[str, list[str]] = {}
    there = {tensor.name: tensor for tensor in theirs.tensors}
    unmerged = {tensor.name: tensor for tensor in before.tensors} if before else {}
    for tensor in ours.tensors:
        cause = _cause(tensor, there.get(tensor.name), unmerged)
        if cause:
            found.setdefault(cause, []).append(tensor.name)
    for cause, names in sorted(found.items(), key=lambda entry: -len(entry[1])):
        yield cause, f"{len(names)} tensors, such as {names[0]}"


def _cause(tensor: Tensor, other: Tensor | None, unmerged: Mapping[str, Tensor]) -> str | None:
    if other is None:
        tied = tensor.name == "output.weight"  # llama.cpp takes the embedding then
        return None if tied else "lost bias" if tensor.name.endswith(".bias") else "missing tensor"
    if other.shape != tensor.shape:
        return "truncated vocabulary" if tensor.name in ("token_embd.weight", "output.weight") else "another shape"
    mine, found = _values(tensor), _values(other)
    if tensor.name in unmerged and _is_older(mine, found, _values(unmerged[tensor.name])):
        return "stale adapter"
    allowed = _ROUNDING if other.type in EXACT else _QUANTIZING
    return None if _distance(mine, found) <= allowed else _misplaced(tensor, mine, found, allowed)


def _is_older(merged: Values, found: Values, before: Values) -> bool:
    """Whether a tensor is nearer to what it was before merging: quantizing loses more than an adapter changes."""
    return _distance(before, merged) > 1e-5 and _distance(before, found) < _distance(merged, found)


def _misplaced(tensor: Tensor, mine: Values, found: Values, allowed: float) -> str:
    permuted = ("attn_q.weight", "attn_k.weight", "attn_q.bias", "attn_k.bias")
    if tensor.name.endswith(permuted) and _same_rows(mine, found, allowed):
        return "wrong permutation"
    if len(tensor.parts) > 1 and _same_parts(mine, found, len(tensor.parts), allowed):
        return "swapped experts"
    return "other values" if allowed == _ROUNDING else QUANTIZED_AWAY


def _values(tensor: Tensor) -> Values:
    """All rows of a tensor in fp32."""
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize

    if tensor.parts:
        return np.concatenate([part.read(0, part.rows).reshape(part.rows, -1) for part in tensor.parts])
    assert tensor.verbatim is not None
    raw = np.fromfile(tensor.verbatim.path, np.uint8, tensor.verbatim.size_bytes, offset=tensor.verbatim.offset)
    rows = int(np.prod(tensor.shape[1:], dtype=np.int64))
    values: Values = dequantize(raw.reshape(rows, -1), GGMLQuantizationType[tensor.type])
    return values


def _distance(one: Values, other: Values) -> float:
    if not np.isfinite(other).all():
        return float("inf")
    size = float(np.linalg.norm(one))
    return float(np.linalg.norm(one - other.reshape(one.shape))) / size if size else float(np.linalg.norm(other))


def _same_rows(one: Values, other: Values, allowed: float) -> bool:
    """Whether the rows are the same in another order (a row is known by its sums)."""
    if one.shape[0] == 1 or one.shape[1] == 1:
        return _distance(np.sort(one.ravel()), np.sort(other.ravel())) <= allowed
    marks = [np.sort(np.linalg.norm(values, axis=1)) for values in (one, other.reshape(one.shape))]
    return _distance(*marks) <= min(allowed, 0.1)


def _same_parts(one: Values, other: Values, parts: int, allowed: float) -> bool:
    mine, theirs = one.reshape(parts, -1), other.reshape(parts, -1)
    return all(min(_distance(part, candidate) for candidate in theirs) <= allowed for part in mine)
