"""Keys and values of answers being written: a beginning that several share once, what follows it in a slot of each.

A step adds one id to every answer. Its query is compared with the shared beginnings (one product for all answers that
have it) and with the answer's own slot, under one softmax; nothing is copied or repeated for it. Slots in use are the
first ones, without gaps. Knows the attention of `path.py`, and no ids.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

# Slots grow by this many ids at least, and by half of what they are.
_GROWTH = 64
# Rows of every head begin at a multiple of 64 bytes, wherever the buffer's end is: the same sums for equal answers.
_ALIGNED = 16


@dataclass(slots=True, eq=False)
class Head:
    """A beginning of several answers: for every layer keys and values (heads, length, size)."""

    length: int
    layers: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def keep(self, layer: int, keys_KAD: Tensor, values_KAD: Tensor) -> None:
        """Copy a layer of the beginning, unless it is known."""
        if layer not in self.layers:
            keys, values = (part[:, : self.length].clone() for part in (keys_KAD, values_KAD))
            self.layers[layer] = keys.contiguous(), values.contiguous()


@dataclass(frozen=True, slots=True, eq=False)
class _Sharing:
    """A head, the slots of its answers in this step, and how many ids of its own the youngest of them has."""

    head: Head
    slots: Tensor
    fewest: int


class Slots:
    """At most `count` answers of at most `own_tokens` ids after their heads.

    Axes: B answers, K key heads, G query heads a key head, C ids of slots, A of a head.
    """

    def __init__(self, count: int, own_tokens: int) -> None:
        self.count, self._own_tokens = count, own_tokens
        self._heads: list[Head | None] = []
        self._lengths: list[int] = []
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}
        self._at_B = self._row_B = torch.empty(0, dtype=torch.long)
        self._sharing: list[_Sharing] = []
        self._masks: dict[tuple[int, int | None], Tensor] = {}

    @property
    def free(self) -> int:
        return self.count - len(self._lengths)

    @property
    def depths(self) -> list[int]:
        """Ids each answer has in memory: those of its head and its own."""
        heads = (head.length if head else 0 for head in self._heads)
        return [shared + own for shared, own in zip(heads, self._lengths, strict=True)]

    def open(self, head: Head | None, length: int) -> int:
        """Take a slot for `length` ids after a head; returns its number. `fill` says what they are."""
        self._heads.append(head)
        self._lengths.append(length)
        return len(self._lengths) - 1

    def fill(self, slot: int, layer: int, keys_KCD: Tensor, values_KCD: Tensor) -> None:
        """Copy what the slot's own ids are in one layer."""
        if length := keys_KCD.shape[1]:
            keys, values = self._room(layer, keys_KCD[None], values_KCD[None], length)
            keys[slot, :, :length] = keys_KCD
            values[slot, :, :length] = values_KCD

    def close(self, slot: int) -> None:
        """Give a slot up; the last one takes its number."""
        length, head = self._lengths.pop(), self._heads.pop()
        if slot == len(self._lengths):
            return
        self._lengths[slot], self._heads[slot] = length, head
        for parts in self._layers.values():
            for part in parts:
                part[slot, :, :length] = part[len(self._lengths), :, :length]

    def stand(self, device: torch.device) -> None:
        """Say that the next pass adds one id to every answer."""
        self._at_B = torch.tensor(self._lengths, device=device)
        self._row_B = torch.arange(len(self._lengths), device=device)
        self._masks = {}
        sharing: dict[int, tuple[Head, list[int]]] = {}
        for slot, head in enumerate(self._heads):
            if head is not None:
                sharing.setdefault(id(head), (head, []))[1].append(slot)
        self._sharing = [
            _Sharing(head, torch.tensor(slots, device=device), min(self._lengths[slot] for slot in slots))
            for head, slots in sharing.values()
        ]
        self._lengths = [length + 1 for length in self._lengths]

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float | None, window: int | None
    ) -> Tensor:
        """Attention output (B, 1, heads, value size) of queries (B, heads, 1, size); keys and values join the slots."""
        answers, heads, columns = len(self._lengths), key.shape[1], max(self._lengths)
        keys, values = self._room(layer, key, value, columns)
        keys[self._row_B, :, self._at_B] = key[:, :, 0]
        values[self._row_B, :, self._at_B] = value[:, :, 0]
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        query_BKGD = query.reshape(answers, heads, -1, query.shape[-1])
        shared = self._against_heads(layer, query_BKGD, scale, window)
        own_BKGC = _wide(query_BKGD @ keys[:answers, :, :columns].mT).mul_(scale)
        own_BKGC.masked_fill_(self._unseen(columns, window)[:, None, None], -torch.inf)
        peak_BKG1 = own_BKGC.amax(-1, keepdim=True)
        for slots, scores, _ in shared:
            peak_BKG1[slots] = peak_BKG1[slots].maximum(scores.amax(-1, keepdim=True).transpose(0, 1))
        own_BKGC.sub_(peak_BKG1).exp_()
        total_BKG1 = own_BKGC.sum(-1, keepdim=True)
        found_BKGD = _wide(own_BKGC.to(value.dtype) @ values[:answers, :, :columns])
        for slots, scores, values_KAD in shared:
            scores.sub_(peak_BKG1[slots].transpose(0, 1)).exp_()
            total_BKG1[slots] += scores.sum(-1, keepdim=True).transpose(0, 1)
            seen = scores.to(value.dtype).flatten(1, 2) @ values_KAD
            found_BKGD[slots] += _wide(seen).unflatten(1, scores.shape[1:3]).transpose(0, 1)
        return (found_BKGD / total_BKG1).to(value.dtype).reshape(answers, 1, -1, value.shape[-1])

    def _against_heads(
        self, layer: int, query_BKGD: Tensor, scale: float, window: int | None
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """For every head: its answers, their scores (K, answers, G, A), and its values (K, A, size)."""
        found = []
        for number, sharing in enumerate(self._sharing):
            head, slots = sharing.head, sharing.slots
            # Nobody sees further back than the window of the answer that has come least far.
            first = max(0, head.length + sharing.fewest - window + 1) if window else 0
            if first >= head.length:
                continue
            keys_KAD, values_KAD = (part[:, first:] for part in head.layers[layer])
            asked_KRD = query_BKGD[slots].transpose(0, 1).flatten(1, 2)
            scores = _wide(asked_KRD @ keys_KAD.mT).unflatten(1, (len(slots), -1)).mul_(scale)
            if window:
                scores.masked_fill_(self._out_of_sight(number, first, window)[None, :, None], -torch.inf)
            found.append((slots, scores, values_KAD))
        return found

    def _unseen(self, columns: int, window: int | None) -> Tensor:
        """Where (B, C) a slot holds nothing of its answer, or nothing in the window."""
        key = (-1, window)
        if key not in self._masks:
            behind_BC = self._at_B[:, None] - torch.arange(columns, device=self._at_B.device)
            self._masks[key] = (behind_BC < 0) | (behind_BC >= window) if window else behind_BC < 0
        return self._masks[key]

    def _out_of_sight(self, number: int, first: int, window: int) -> Tensor:
        """Where (answers, A from `first`) a head lies further back than the window."""
        key = (number, window)
        if key not in self._masks:
            head, slots = self._sharing[number].head, self._sharing[number].slots
            behind_A = head.length - torch.arange(first, head.length, device=slots.device)
            self._masks[key] = self._at_B[slots][:, None] + behind_A >= window
        return self._masks[key]

    def _room(self, layer: int, key: Tensor, value: Tensor, columns: int) -> tuple[Tensor, Tensor]:
        """Buffers (count, K, C, size) of a layer with room for `columns` ids; what they hold is kept.

        They begin as zeros: what a mask hides is still multiplied, by nothing, and must be a number.
        """
        held = self._layers.get(layer)
        if held is None or held[0].shape[2] < columns:
            before = held[0].shape[2] if held else 0
            room = max(columns, min(columns + _GROWTH, self._own_tokens), min(before + before // 2, self._own_tokens))
            room += -room % _ALIGNED
            parts = [like.new_zeros(self.count, like.shape[1], room, like.shape[3]) for like in (key, value)]
            if held:
                for part, old in zip(parts, held, strict=True):
                    part[:, :, :before] = old
            held = self._layers[layer] = parts[0], parts[1]
        return held


def _wide(values: Tensor) -> Tensor:
    """Sums are kept in fp32 at least."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
