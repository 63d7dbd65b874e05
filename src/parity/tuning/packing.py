"""Which rows make a step, and which of them are computed together: micro-batches of almost equal work.

Rows of one packed line restart their positions, so none sees another (transformers builds a block-diagonal mask from
restarting positions when no mask is given). Lines are as long as their longest row, not as the longest of all data:
attention then costs what the rows need. All is decided before the first step, from the seed alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parity.curation.packing import Pack, pack

# Lines shorter than this are filled up with more rows. Longer ones make attention compare tokens that never meet: with
# rows of 20 tokens, lines of 256 took 1.8 times as long a token as lines of 64.
SHORTEST_LINE = 64
# As many tokens in a line make attention as dear as all matrices: 6 widths of a model (4 L h against 24 h^2), of 1,024.
ATTENTION_TOKENS = 6_144
_TRIED = 6  # numbers of lines that are weighed
Line = tuple[int, ...]
MicroBatch = tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Micro-batches in the order they are computed; every `per_step` of them make one optimizer step."""

    batches: tuple[MicroBatch, ...]
    per_step: int

    @property
    def steps(self) -> int:
        return len(self.batches) // self.per_step


def schedule(
    lengths: Sequence[int] | NDArray[np.int64], batch_tokens: int, micro_tokens: int, epochs: float, seed: int
) -> Schedule:
    """Cut shuffled rows into steps of about `batch_tokens` tokens, and each into equally many micro-batches.

    A step holds whole rows; its micro-batches hold at most `micro_tokens` tokens where rows allow it. The last step of
    a run may be smaller. Rows of a step are computed in order of length; their gradient is a sum, so order is free.
    """
    order = order_of(len(lengths), epochs, seed)
    # No step holds more than an epoch, so a batch larger than the data is a pass over it.
    passes = [order[start : start + len(lengths)] for start in range(0, len(order), max(1, len(lengths)))]
    step_tokens = min(batch_tokens, sum(map(int, lengths)))
    per_step = max(1, -(-step_tokens // micro_tokens))
    batches: list[MicroBatch] = []
    for step in (step for epoch in passes for step in _steps(epoch, lengths, batch_tokens)):
        batches.extend(_micro_batches(step, lengths, per_step))
    return Schedule(tuple(batches), per_step)


def fixed(lengths: Sequence[int] | NDArray[np.int64], micro_tokens: int) -> tuple[MicroBatch, ...]:
    """All rows once, longest first: how dev rows are looked at."""
    batches: list[MicroBatch] = []
    line_up = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    rows: list[int] = []
    used = 0
    for row in line_up:
        if rows and used + int(lengths[row]) > micro_tokens:
            batches.append(_lines(rows, lengths))
            rows, used = [], 0
        rows.append(row)
        used += int(lengths[row])
    return (*batches, _lines(rows, lengths))


def order_of(rows: int, epochs: float, seed: int) -> list[int]:
    """Row numbers of all epochs, each epoch in an order of its own; a part of an epoch is its beginning."""
    order: list[int] = []
    whole = round(epochs * rows)
    epoch = 0
    while len(order) < max(whole, 1):
        random = np.random.default_rng([seed, epoch])
        order.extend(int(row) for row in random.permutation(rows))
        epoch += 1
    return order[: max(whole, 1)]


def _steps(order: list[int], lengths: Sequence[int] | NDArray[np.int64], batch_tokens: int) -> list[list[int]]:
    steps: list[list[int]] = [[]]
    used = 0
    for row in order:
        if steps[-1] and used + int(lengths[row]) > batch_tokens:
            steps.append([])
            used = 0
        steps[-1].append(row)
        used += int(lengths[row])
    return steps


def _micro_batches(rows: list[int], lengths: Sequence[int] | NDArray[np.int64], count: int) -> list[MicroBatch]:
    """`count` groups of rows next to each other in length and about equal in tokens; a group may be empty."""
    rows = sorted(rows, key=lambda row: (int(lengths[row]), row))
    total = sum(int(lengths[row]) for row in rows)
    groups: list[list[int]] = [[] for _ in range(count)]
    used = 0
    for row in rows:
        groups[min(count - 1, used * count // max(total, 1))].append(row)
        used += int(lengths[row])
    return [_lines(group, lengths) for group in groups]


def _lines(rows: list[int], lengths: Sequence[int] | NDArray[np.int64]) -> MicroBatch:
    """Rows in the lines that cost least: many short ones leave padding, few long ones compare more tokens."""
    if not rows:
        return ()
    sizes = [int(lengths[row]) for row in rows]
    most = max(1, -(-sum(sizes) // max(SHORTEST_LINE, *sizes)))
    counts = sorted({max(1, round(most * share / _TRIED)) for share in range(1, _TRIED + 1)})
    tried = (_packed(sizes, count) for count in counts)
    packs = min(tried, key=_cost)
    return tuple(tuple(rows[at] for at in found.rows) for found in packs)


def _packed(sizes: list[int], count: int) -> list[Pack]:
    """The rows in at most `count` lines, as short as they can be."""
    capacity = max(*sizes, -(-sum(sizes) // count))
    while len(packs := pack(sizes, capacity)) > count:
        capacity += max(1, capacity // 64)
    return packs


def _cost(packs: list[Pack]) -> float:
    """Operations of lines, up to a factor: matrices for every token, and attention between all tokens of a line."""
    width = max(found.tokens for found in packs)
    return len(packs) * width * (1 + width / ATTENTION_TOKENS)
