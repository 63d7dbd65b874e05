"""What is known of requests while they are scored, and what that took: ids and numbers, not what computes them."""

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from math import exp, fsum, log

from parity.core.outputs import Failure, FailureKind, Loglikelihoods, Output, Usage
from parity.engines.base import CANCELLED
from parity.engines.tokens.encoding import Encoded
from parity.engines.tokens.walk import Piece

Cancelled = Callable[[int], bool]
NOTHING_TO_READ = Failure(FailureKind.ENGINE, "the prompt has no token")
NOT_A_NUMBER = Failure(FailureKind.ENGINE, "the model's logits are not numbers")


@dataclass(slots=True)
class Work:
    """What was done. `requested`: ids of every sequence whole; `computed`: ids that went through the model; `distinct`:
    the least that could, the nodes of the prefix tree. All are counted as they are done, so that work broken off is
    told as far as it came. `logits`: products of a hidden state with a row of the output
    matrix. `flops`: operations of what was computed, in `seconds`."""

    requested: int = 0
    computed: int = 0
    distinct: int = 0
    logits: int = 0
    flops: float = 0.0
    seconds: float = 0.0

    def walked(self, pieces: Sequence[Piece]) -> None:
        """Count what a pass of a walk comes to first."""
        self.distinct += sum(max(0, piece.end - max(piece.begin, piece.row.shared)) for piece in pieces)

    def scored(self, entry: Encoded) -> None:
        """Count what a request asked for whose continuations are scored."""
        self.requested += sum(len(entry.context) + len(rest) - 1 for rest in entry.continuations)


class Ledger:
    """What is known of each request so far, and which are settled. Of those in `few`, logits; of others, log p."""

    def __init__(self, encoded: Sequence[Encoded], few: Set[int] = frozenset()) -> None:
        self._encoded, self._few = encoded, few
        self._values: list[list[list[float]]] = [[[] for _ in entry.continuations] for entry in encoded]
        self._open = [sum(map(len, entry.continuations)) for entry in encoded]
        self._left = set(range(len(encoded)))
        self._ready: list[int] = []
        self._seconds = 0.0

    @property
    def all_settled(self) -> bool:
        return not self._left

    def add(self, request: int, option: int, value: float) -> None:
        self._values[request][option].append(value)
        self._open[request] -= 1
        if not self._open[request]:
            self._ready.append(request)

    def is_open(self, request: int) -> bool:
        return request in self._left

    def drop(self, cancelled: Callable[[int], bool]) -> Iterator[tuple[int, Output]]:
        for request in sorted(index for index in self._left if cancelled(index)):
            self._left.discard(request)
            yield request, CANCELLED

    def settled(self, seconds: float) -> Iterator[tuple[int, Output]]:
        """Results that became complete; the time of a pass, and of those that settled none before, is theirs in equal
        shares."""
        ready = [request for request in self._ready if request in self._left]
        self._ready, self._seconds = [], self._seconds + seconds
        share = self._seconds / max(1, len(ready))
        self._seconds = 0.0 if ready else self._seconds
        for request in ready:
            self._left.discard(request)
            entry = self._encoded[request]
            tokens = tuple(map(len, entry.continuations))
            usage = Usage(len(entry.context), sum(tokens), entry.truncated_tokens, entry.dropped_shots)
            # The nearest sum, in whatever order its parts came.
            values = tuple(map(fsum, self._values[request]))
            self._values[request] = []
            relative = request in self._few
            values = among_themselves(values) if relative else values
            yield request, Loglikelihoods(values, tokens, usage, share, relative)


def among_themselves(logits: tuple[float, ...]) -> tuple[float, ...]:
    """Log of the probability of each, given that it is one of these; NaN where the largest is no number."""
    most = max(logits)
    total = most + log(fsum(exp(logit - most) for logit in logits))
    return tuple(logit - total for logit in logits)
