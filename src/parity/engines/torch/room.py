"""How much is computed at once: what the user or the machine leaves beside the weights, shared out.

Keys and values of one path from the root are the least that scoring can do with, so nothing that was computed has to be
given up for want of memory: less memory means shorter passes and fewer answers at once, never another number.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from parity.engines.tokens.walk import Cut
from parity.engines.torch.gauge import Gauge
from parity.engines.torch.path import QUERIES
from parity.errors import EngineError

# Ids a pass has at the least; in fewer, weights are read more often than they are used.
_LEAST_PASS, _USEFUL_PASS = 16, 256
# Positions normalised together: 64 rows of a 152,000-word vocabulary are 39 MB in fp32. Or single logits computed
# together: a row of the output matrix is copied for each.
HEAD_ROWS = 64
# Of a tile, as many are multiplied with the output matrix, whichever of them are wanted.
HEAD_TILE = 8


@dataclass(frozen=True, slots=True)
class Room:
    """Most ids in a pass, most answers at once, and the bytes both share; None is no bound.

    With a `tile`, every pass is one tile of so many ids and answers are written one by one: the same numbers whatever
    else is asked.
    """

    pass_tokens: int
    answers: int
    tile: int | None = None
    bound_bytes: int | None = None
    gauge: Gauge | None = None

    def cut(self, depth: int, taken_bytes: int = 0) -> Cut:
        """How a walk is cut whose longest row has `depth` ids.

        Raises:
            EngineError: the bound is too small for any.
        """
        if self.bound_bytes is None or self.gauge is None:
            return Cut(self.pass_tokens, self.tile)
        gauge, least = self.gauge, self.tile or min(_LEAST_PASS, self.pass_tokens)
        fixed = taken_bytes + self._fixed_bytes(depth)
        tokens = (self.bound_bytes - fixed) // gauge.pass_bytes
        if tokens < least:
            needed = 1.01 * (fixed + least * gauge.pass_bytes) / 2**30
            raise EngineError(
                f"{self.bound_bytes / 2**30:.3g} GiB beside the weights are too few for a prompt of {depth:,} tokens, "
                f"which needs {needed:.3g}.",
                f"Allow more with --memory {needed:.3g}, or make the prompts shorter.",
            )
        return Cut(min(self.pass_tokens, tokens), self.tile)

    def slots(self, depth: int, own_tokens: int, heads: Sequence[int]) -> int:
        """How many answers run at once: each keeps `own_tokens` ids at most, `heads` are what several begin with."""
        if self.bound_bytes is None or self.gauge is None:
            return self.answers
        spare = (
            self.bound_bytes - self._fixed_bytes(depth) - min(self.pass_tokens, _USEFUL_PASS) * self.gauge.pass_bytes
        )
        fitting = (count for count in range(self.answers, 1, -1) if self.slots_bytes(count, own_tokens, heads) <= spare)
        return next(fitting, 1)

    def slots_bytes(self, count: int, own_tokens: int, heads: Sequence[int]) -> int:
        """What answers that run at once keep: their own ids, and the longest beginnings that they can have."""
        if self.gauge is None:
            return 0
        shared = sum(sorted(heads, reverse=True)[:count])
        # Buffers grow layer by layer, and the old one of a layer lives as long as it is copied.
        own = count * own_tokens * (self.gauge.layers + 1) // self.gauge.layers
        return (own + shared) * self.gauge.kv_bytes + count * self.gauge.pass_bytes

    def _fixed_bytes(self, depth: int) -> int:
        """The path, the masks of those who look back at it, and the logits that are normalised together."""
        assert self.gauge is not None
        path = Cut(0, self.tile).room(depth) * self.gauge.kv_bytes
        return path + QUERIES * (QUERIES + 2 * depth + 1024) * 4 + HEAD_ROWS * self.gauge.logit_bytes
