"""A model as llama.cpp wants it, before any bits are saved: metadata, and tensors that can be read.

What a transformers folder and a GGUF file are alike once they are opened. Nothing of a tensor is in memory yet.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from parity.core.quantized import Caveat
from parity.models.counts import Weight
from parity.models.mixtures import Traits
from parity.quantization.matrices import Matrix


@dataclass(frozen=True, slots=True)
class Bytes:
    """A run of bytes of a file, to be copied as it is."""

    path: Path
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor. `shape` as GGUF has it, the contiguous dimension first; `type` is the one it is stored in now.

    `parts` are its matrices one behind the other: one, or one for each expert or head; none where the stored type
    cannot be read, so that it can only be copied from `verbatim`.
    """

    name: str
    shape: tuple[int, ...]
    type: str
    parts: tuple[Matrix, ...]
    verbatim: Bytes | None = None

    @property
    def weight(self) -> Weight:
        """The tensor as rules about names know it."""
        name = self.name.removesuffix(".weight")
        if not name.startswith("blk."):
            return Weight(name, self.shape[::-1])
        _, layer, role = name.split(".", 2)
        return Weight(role, self.shape[::-1], int(layer))


@dataclass(frozen=True, slots=True)
class GgufModel:
    """`metadata`: every key's entry as it stands in a GGUF file. `origin` changes when what was opened changes."""

    metadata: Mapping[str, bytes]
    tensors: tuple[Tensor, ...]
    traits: Traits
    origin: str
    caveats: tuple[Caveat, ...] = field(default=())


def in_order(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """As llama.cpp's quantizer sorts them: what belongs to no layer, then layer by layer, each by name."""
    return tuple(
        sorted(tensors, key=lambda tensor: (-1 if tensor.weight.layer is None else tensor.weight.layer, tensor.name))
    )
