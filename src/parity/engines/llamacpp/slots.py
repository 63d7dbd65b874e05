"""Slots in which answers are read and written: each a sequence of llama.cpp with keys and values of its own.

A slot remembers its ids after its answer has ended, so that the next prompt that begins like it need not be read again;
a prompt that begins like another slot's takes a copy. Knows ids; what is chosen next is said by whoever calls.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from parity.engines.llamacpp.model import Context
from parity.engines.tokens.ledger import Work

# Copying a sequence costs a pass over all it holds: not for less than this.
_WORTH_COPYING = 32


@dataclass(slots=True)
class Slot:
    """`ids` are what the sequence will have read, the first `held` of them what it has; `owner` is None when free."""

    number: int
    ids: list[int] = field(default_factory=list)
    held: int = 0
    owner: int | None = None

    @property
    def waiting(self) -> int:
        """Ids that are still to be read."""
        return len(self.ids) - self.held if self.owner is not None else 0


class Slots:
    """All slots of one context. `tokens` is how many ids one of them may come to."""

    def __init__(self, context: Context, reuse: bool, work: Work) -> None:
        self.context, self._reuse, self._work = context, reuse, work
        self.all = [Slot(number) for number in range(context.sequences)]
        self.tokens = context.cells

    @property
    def busy(self) -> list[Slot]:
        return [slot for slot in self.all if slot.owner is not None]

    @property
    def free(self) -> list[Slot]:
        return [slot for slot in self.all if slot.owner is None]

    def seat(self, owner: int, ids: Sequence[int]) -> Slot:
        """Give a free slot to a prompt: the one that begins most like it; of equals the one with least to lose."""
        slot = max(self.free, key=lambda free: (_common(free.ids[: free.held], ids), -free.held))
        held = self._usable(slot, ids)
        if not self.context.keep(slot.number, held):
            held = 0
            self.context.keep(slot.number, 0)
        slot.ids, slot.held, slot.owner = list(ids), held, owner
        self._work.requested += len(ids)
        return slot

    def leave(self, slot: Slot) -> None:
        """The answer has ended; what was read stays for the next."""
        slot.ids, slot.owner = slot.ids[: slot.held], None

    def clear(self) -> None:
        """Forget everything, after a pass that broke off."""
        for slot in self.all:
            self.context.keep(slot.number, 0)
            slot.ids, slot.held = [], 0

    def decode(self) -> tuple[list[Slot], NDArray[np.float32]]:
        """One pass: the next id of every slot that writes, and as much of prompts as there is room for.

        Returns the slots that have read all they have, and the logits (slots, V) after it.
        """
        room = self.context.pass_tokens
        parts: list[tuple[Slot, int]] = []
        for slot in sorted(self.busy, key=lambda slot: (slot.waiting > 1, slot.number)):
            if room and slot.waiting and not (slot.waiting > 1 and self._copied_or_waits(slot, parts)):
                taken = min(slot.waiting, room)
                parts.append((slot, taken))
                room -= taken
        parts.sort(key=lambda part: part[0].number)
        ids_T = np.concatenate([np.array(slot.ids[slot.held : slot.held + taken], np.int32) for slot, taken in parts])
        depths_T = np.concatenate([np.arange(slot.held, slot.held + taken, dtype=np.int32) for slot, taken in parts])
        wanted_T = np.zeros(len(ids_T), np.int8)
        done, at = [], 0
        for slot, taken in parts:
            at += taken
            if slot.waiting == taken:
                wanted_T[at - 1] = 1
                done.append(slot)
        logits = self.context.decode(
            ids_T, depths_T, [[slot.number] for slot, taken in parts for _ in range(taken)], wanted_T
        )
        for slot, taken in parts:
            slot.held += taken
        self._work.computed += len(ids_T)
        return done, logits

    def _usable(self, slot: Slot, ids: Sequence[int]) -> int:
        """How many ids of a prompt a slot has; the last is read anew, for its logits."""
        return min(_common(slot.ids[: slot.held], ids), len(ids) - 1) if self._reuse else 0

    def _copied_or_waits(self, slot: Slot, parts: Sequence[tuple[Slot, int]]) -> bool:
        """Take a copy of what another slot has of this prompt; True while one in this pass is about to have more."""
        if not self._reuse:
            return False
        shared = {other.number: self._usable(other, slot.ids) for other in self.all if other is not slot}
        best = max(shared, key=lambda number: shared[number], default=None)
        if best is not None and shared[best] >= slot.held + _WORTH_COPYING:
            self._copy(self.all[best], slot, shared[best])
        coming = max((_common(other.ids, slot.ids) for other, taken in parts if taken > 1), default=0)
        return min(coming, len(slot.ids) - 1) >= slot.held + _WORTH_COPYING

    def _copy(self, source: Slot, target: Slot, tokens: int) -> None:
        self.context.keep(target.number, 0)
        self.context.copy(source.number, target.number)
        self.context.keep(target.number, tokens)
        target.held = tokens


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many ids two sequences begin with alike."""
    length = min(len(one), len(other))
    if one[:length] == list(other[:length]):
        return length
    return next(at for at in range(length) if one[at] != other[at])
