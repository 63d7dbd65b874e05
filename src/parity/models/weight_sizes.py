"""Bytes of a model's weights in a storage type, tensor by tensor, with the mixtures llama.cpp makes.

Block sizes are ggml's, mixtures those of `parity.models.mixtures` without an importance matrix. Averages over
Llama-2-7B are checked against the published ones by tests/models/test_fit.py.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from parity.core.models import ModelShape
from parity.models.counts import Weight, active_elements, weights_of
from parity.models.ggml_types import BY_NAME
from parity.models.gguf import GgufHeader
from parity.models.mixtures import Traits, find_mixture, tensor_types


@dataclass(frozen=True, slots=True)
class WeightBytes:
    """Bytes of all weights, and of those one token passes through (the input table is only looked up)."""

    total: int
    active: int


def weights_in(shape: ModelShape, weights: Iterable[Weight], mixture: str) -> WeightBytes:
    """Bytes of the given weights in a type.

    Raises:
        UsageError: there is no such type.
    """
    found, weights = find_mixture(mixture), list(weights)
    total = active = 0
    for weight, kind in zip(weights, tensor_types(weights, found, Traits.of(shape)), strict=True):
        size = BY_NAME[kind or "F32"].bytes_of(weight.shape)
        total += size
        active += _read_per_token(weight.role, size, shape)
    return WeightBytes(total, active)


def stored_bytes(shape: ModelShape, header: GgufHeader) -> WeightBytes:
    """Bytes of a GGUF file's tensors as they are."""
    total = active = 0
    for tensor, weight in zip(header.tensors, weights_of_gguf(header), strict=True):
        total += tensor.size_bytes
        active += _read_per_token(weight.role, tensor.size_bytes, shape)
    return WeightBytes(total, active)


def weights_of_gguf(header: GgufHeader) -> Iterator[Weight]:
    """The tensors of a GGUF file as weights, rows before columns."""
    for tensor in header.tensors:
        name = tensor.name.removesuffix(".weight")
        if name.startswith("blk."):
            _, layer, role = name.split(".", 2)
            yield Weight(role, tensor.shape[::-1], int(layer) if layer.isdecimal() else None)
        else:
            yield Weight(name, tensor.shape[::-1])


def weights_of_shape(shape: ModelShape) -> tuple[Weight, ...]:
    return tuple(weights_of(shape))


def _read_per_token(role: str, size: int, shape: ModelShape) -> int:
    if role == "position_embd" or (role == "token_embd" and not shape.tied):
        return 0
    return active_elements(role, size, shape.experts)
