"""Which rows share a training sequence, so that little is padding and no row reads another.

Best-fit decreasing: the longest row first, each into the fullest sequence it fits. Pure arithmetic on lengths; the
trainer keeps the rows of a sequence apart by positions that begin again (and a block-diagonal mask where its attention
needs one). No row is ever cut to fit.
"""

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from parity.errors import UsageError


@dataclass(frozen=True, slots=True)
class Pack:
    """Rows (by index) of one sequence, in order, and their lengths in tokens."""

    rows: tuple[int, ...]
    lengths_tokens: tuple[int, ...]

    @property
    def tokens(self) -> int:
        return sum(self.lengths_tokens)

    def positions(self) -> list[int]:
        """Position ids, beginning at 0 again with every row."""
        return [position for length in self.lengths_tokens for position in range(length)]

    def boundaries(self) -> list[int]:
        """Where rows begin and the last one ends: the `cu_seqlens` of variable-length attention."""
        ends = [0]
        for length in self.lengths_tokens:
            ends.append(ends[-1] + length)
        return ends

    def blocks(self) -> list[int]:
        """Number of the row every token belongs to: tokens may attend to each other only where it is equal."""
        return [block for block, length in enumerate(self.lengths_tokens) for _ in range(length)]


def pack(lengths_tokens: Sequence[int], capacity_tokens: int) -> list[Pack]:
    """Every row in exactly one pack of at most `capacity_tokens`; the same lengths give the same packs.

    Packs come in the order of their first row, the rows of a pack in theirs, so that what was shuffled stays shuffled.

    Raises:
        UsageError: a row is empty, or longer than the capacity.
    """
    wrong = [row for row, length in enumerate(lengths_tokens) if not 0 < length <= capacity_tokens]
    if wrong:
        raise UsageError(
            f"{len(wrong)} rows are empty or longer than {capacity_tokens} tokens, the first is row {wrong[0]}"
            f" with {lengths_tokens[wrong[0]]}.",
            "Audit the data first: rows that do not fit are dropped or truncated there, and counted.",
        )
    bins = _best_fit(lengths_tokens, capacity_tokens)
    ordered = sorted(tuple(sorted(rows)) for rows in bins)
    return [Pack(rows, tuple(lengths_tokens[row] for row in rows)) for rows in ordered]


def unpacked(lengths_tokens: Sequence[int]) -> list[Pack]:
    """Every row in a pack of its own."""
    return [Pack((row,), (length,)) for row, length in enumerate(lengths_tokens)]


def _best_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    bins: list[list[int]] = []
    with_room: defaultdict[int, list[int]] = defaultdict(list)  # free tokens -> bins that have exactly that many
    rooms: list[int] = []  # the keys of `with_room`, ascending
    for row in sorted(range(len(lengths)), key=lambda row: (-lengths[row], row)):
        at = bisect_left(rooms, lengths[row])
        if at == len(rooms):
            bins.append([])
            chosen, room = len(bins) - 1, capacity
        else:
            room = rooms[at]
            chosen = with_room[room].pop()
            if not with_room[room]:
                del rooms[at], with_room[room]
        bins[chosen].append(row)
        left = room - lengths[row]
        if left:
            if left not in with_room:
                insort(rooms, left)
            with_room[left].append(chosen)
    return bins
