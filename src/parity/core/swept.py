"""What one model becomes in many types: size, speed and loss of each, and which of them are proved good enough."""

from dataclasses import dataclass
from pathlib import Path

from parity.core.checked import Agreement
from parity.core.gaps import Gap
from parity.core.quantized import Speed


@dataclass(frozen=True, slots=True)
class Swept:
    """One type. `loss` is against the unquantized file on a text, `gap` on the items of a benchmark, with run `run_id`.

    `failed`: why there is no gap. `claimed`: shown non-inferior, and so were all larger ones; None where no margin was
    given.
    """

    type: str
    file: Path
    size_bytes: int
    bits_per_weight: float
    speed: Speed
    loss: Agreement | None = None
    run_id: str | None = None
    gap: Gap | None = None
    failed: str | None = None
    claimed: bool | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A type that was not made, and why."""

    type: str
    why: str


@dataclass(frozen=True, slots=True)
class Sweep:
    """`base`: the unquantized file. `swept`: from the largest file to the smallest, which is the order of the tests.

    `own_text`: the loss was measured on the text the importance matrix was computed from.
    """

    model: str
    base: Swept
    swept: tuple[Swept, ...]
    skipped: tuple[Skipped, ...] = ()
    importance: str | None = None
    benchmark: str | None = None
    own_text: bool = False

    @property
    def smallest(self) -> Swept | None:
        """The smallest file shown non-inferior."""
        return next((one for one in reversed(self.swept) if one.claimed), None)

    @property
    def front(self) -> tuple[Swept, ...]:
        """Types that no other beats: smaller or as small, and losing less."""
        return tuple(
            one for one in self.swept
            if one.loss and not any(
                other is not one and other.loss and other.size_bytes <= one.size_bytes
                and other.loss.kl_mean < one.loss.kl_mean
                for other in self.swept
            )
        )  # fmt: skip
