"""What quantizing a model made: files, which types its tensors got, and what will differ from where it came from."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Caveat:
    """Something llama.cpp does otherwise than the source, and from which context length on (None: always)."""

    what: str
    from_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class TypeShare:
    """Tensors of a file in one storage type."""

    type: str
    tensors: int
    elements: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens a second: reading a prompt, writing one answer, and writing `parallel` answers at once, all together."""

    prompt: float
    written: float
    written_parallel: float
    parallel: int


@dataclass(frozen=True, slots=True)
class Quantized:
    """What was made. `mixture` by llama.cpp's name; `fallbacks`: tensors whose rows fit no block of their type.

    `importance`: where the importance matrix came from, where one was used.
    """

    files: tuple[Path, ...]
    mixture: str
    size_bytes: int
    elements: int
    types: tuple[TypeShare, ...]
    fallbacks: tuple[str, ...]
    importance: str | None
    caveats: tuple[Caveat, ...]
    seconds: float

    @property
    def bits_per_weight(self) -> float:
        return 8 * sum(share.size_bytes for share in self.types) / self.elements
