"""RunKey: the digest of everything that decides an answer. It is the cache key and the resume key."""

from dataclasses import dataclass

from parity.core.digests import digest
from parity.core.prompts import RequestKind
from parity.core.scores import Mark


@dataclass(frozen=True, slots=True)
class Identity:
    """Who answers: the weights (or recording) by digest, the engine, and every version that can change a digit."""

    model: str
    model_digest: str
    engine: str
    versions: tuple[tuple[str, str], ...] = ()
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def digest(self) -> str:
        # The name is left out: the same weights in another folder give the same answers.
        return digest((self.model_digest, self.engine, self.versions, self.settings))


@dataclass(frozen=True, slots=True)
class TokenWork:
    """What scoring and writing took: tokens asked for (every sequence whole), computed, and the least that could be.

    The least are the distinct beginnings of all sequences. `flops` operations were done in `seconds`; they take
    `matrix_s` at the rate of matrix products that was measured on the spot.
    """

    requested: int = 0
    computed: int = 0
    distinct: int = 0
    flops: float = 0.0
    seconds: float = 0.0
    matrix_s: float = 0.0

    def __add__(self, other: "TokenWork") -> "TokenWork":
        return TokenWork(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    def __sub__(self, other: "TokenWork") -> "TokenWork":
        return TokenWork(*(getattr(self, name) - getattr(other, name) for name in self.__slots__))

    @property
    def matrix_share(self) -> float | None:
        """The share of the machine's rate of matrix products that was reached."""
        return self.matrix_s / self.seconds if self.seconds and self.matrix_s else None


@dataclass(frozen=True, slots=True)
class RunKey:
    """One model x one set of prompts x decoding. `requests_digest` covers every prompt, its sampling and its window."""

    identity: Identity
    benchmark: str
    benchmark_digest: str
    protocol: str
    kind: RequestKind
    template: str
    requests_digest: str

    @property
    def digest(self) -> str:
        return digest((self.identity.digest, self.benchmark_digest, self.protocol, self.template, self.requests_digest))

    @property
    def run_id(self) -> str:
        """Short enough to type; the store refuses a collision."""
        return self.digest[:12]


@dataclass(frozen=True, slots=True)
class Marked:
    """The mark of one draw of one item, with the tags that say which slices it belongs to."""

    item: str
    mark: Mark
    tags: tuple[tuple[str, str], ...] = ()
    draw: int = 0


@dataclass(frozen=True, slots=True)
class Ran:
    """How the answers of a run were run: what kept them in, and how many tests handled objects of the program itself,
    not plain values alone."""

    isolation: str
    held_objects: int = 0
