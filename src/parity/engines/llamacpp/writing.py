"""Written answers, many at once: slots compute, a choice is made, each draft says when it ends.

An answer depends on its request alone. Requests come at any time and take a slot as soon as one is free, in the order
in which they share beginnings.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parity.core.outputs import Failure, FailureKind, Output
from parity.core.prompts import Generate
from parity.engines.base import CANCELLED
from parity.engines.llamacpp.grammar import Grammar, held_to
from parity.engines.llamacpp.model import Context, Model
from parity.engines.llamacpp.slots import Slot, Slots
from parity.engines.tokens.drafts import Draft, ends_of, special_ids
from parity.engines.tokens.draws import choose
from parity.engines.tokens.encoding import Encoded
from parity.engines.tokens.ledger import NOT_A_NUMBER, NOTHING_TO_READ, Work
from parity.errors import EngineError

# Cells of all slots together, unless one answer alone needs more.
_MOST_CELLS = 65536
_NOTHING_ALLOWED = Failure(FailureKind.ENGINE, "the grammar allows no token of the model, or its logits are no numbers")


@dataclass(slots=True)
class Writing:
    """One answer. `tell` gets its pieces and, last, its result; `cancelled` is asked before every token."""

    request: Generate
    encoded: Encoded
    tell: Callable[[str, Output | None], None]
    cancelled: Callable[[], bool]
    streamed: bool = False

    @property
    def cells(self) -> int:
        return len(self.encoded.context) + self.request.sampling.max_tokens


class Writer:
    """Writes at most `slots` answers at once with one model; `reuse`: what one prompt has read serves the next."""

    def __init__(self, model: Model, slots: int, pass_tokens: int, work: Work, reuse: bool = True) -> None:
        self._model, self._most_slots, self._pass_tokens, self.work = model, slots, pass_tokens, work
        self._reuse = reuse and model.shares
        self._special = special_ids(model.tokenizer)
        self._queue: list[Writing] = []
        self._running: dict[int, tuple[Writing, Draft, Grammar | None]] = {}
        self._slots: Slots | None = None
        self._next = 0

    @property
    def busy(self) -> bool:
        return bool(self._queue or self._running)

    def submit(self, several: Sequence[Writing]) -> None:
        """Answer these too; those that begin alike follow each other."""
        ready = []
        for writing in several:
            if not writing.encoded.context:
                writing.tell("", NOTHING_TO_READ)
            elif writing.request.sampling.max_tokens < 1:
                writing.tell("", self._draft(writing).output())
            else:
                ready.append(writing)
        self._queue += sorted(ready, key=lambda writing: writing.encoded.context)

    def step(self) -> None:
        """One token of every running answer.

        Raises:
            EngineError: llama.cpp broke off; every answer in progress was told so.
        """
        begun = time.perf_counter()
        self._drop()
        self._admit()
        if not self._running:
            return
        assert self._slots is not None
        try:
            done, logits_RV = self._slots.decode()
        except EngineError as error:
            self._fail(error)
            raise
        drafts = [self._take(slot, logits_V) for slot, logits_V in zip(done, logits_RV, strict=True)]
        seconds = time.perf_counter() - begun
        self.work.seconds += seconds
        for draft in drafts:
            draft.seconds += seconds / len(drafts)
        for slot in done:
            self._settle(slot)

    def _draft(self, writing: Writing) -> Draft:
        ends = ends_of(writing.request, self._model.tokenizer.ends, self._special)
        return Draft(self._model.tokenizer, writing.request, writing.encoded, ends, writing.streamed)

    def _drop(self) -> None:
        gone = [writing for writing in self._queue if writing.cancelled()]
        self._queue = [writing for writing in self._queue if writing not in gone]
        for slot in self._slots.busy if self._slots else ():
            assert slot.owner is not None
            if self._running[slot.owner][0].cancelled():
                gone.append(self._end(slot))
        for writing in gone:
            writing.tell("", CANCELLED)

    def _admit(self) -> None:
        if not self._queue:
            return
        self._make_room()
        assert self._slots is not None
        while self._queue and self._slots.free and self._queue[0].cells <= self._slots.tokens:
            writing = self._queue.pop(0)
            try:
                grammar = held_to(self._model, writing.request.constraint)
            except EngineError as error:
                writing.tell("", Failure(FailureKind.ENGINE, error.what))
                continue
            owner, self._next = self._next, self._next + 1
            slot = self._slots.seat(owner, writing.encoded.context)
            self.work.distinct += slot.waiting
            self._running[owner] = writing, self._draft(writing), grammar

    def _make_room(self) -> None:
        """Slots for those that wait: made anew, when nobody runs, if they are too few or too short."""
        wanted = min(len(self._queue), self._most_slots)
        longest = max(writing.cells for writing in self._queue)
        have = self._slots
        if have and (self._running or (len(have.all) >= wanted and have.tokens >= longest)):
            return
        if have:
            have.context.close()
            wanted = max(wanted, len(have.all))
        # Room to grow into: a conversation comes back longer.
        cells = min(longest + max(256, longest // 2), max(longest, self._model.context_tokens))
        slots = max(1, min(wanted, _MOST_CELLS // cells))
        self._slots = Slots(
            Context(self._model, cells, slots, self._pass_tokens, unified=False), self._reuse, self.work
        )

    def _take(self, slot: Slot, logits_V: NDArray[np.float32]) -> Draft:
        assert slot.owner is not None
        writing, draft, grammar = self._running[slot.owner]
        sampling = writing.request.sampling
        share = draft.share() if sampling.temperature > 0 else 0.0
        token = grammar.choose(logits_V, sampling, share) if grammar else choose(logits_V, sampling, share)
        if token is None:
            self._end(slot).tell("", _NOTHING_ALLOWED if grammar else NOT_A_NUMBER)
        elif draft.take(token):
            slot.ids.append(token)
            for work in ("requested", "distinct"):
                setattr(self.work, work, getattr(self.work, work) + 1)
        return draft

    def _settle(self, slot: Slot) -> None:
        """Tell what a token has settled, and end what has ended: it got no further id to read."""
        if slot.owner is None:
            return
        writing, draft, _ = self._running[slot.owner]
        if slot.waiting:
            if draft.piece:
                writing.tell(draft.piece, None)
            return
        self._end(slot)
        writing.tell(draft.piece, draft.output())

    def _end(self, slot: Slot) -> Writing:
        assert slot.owner is not None
        assert self._slots is not None
        writing, _, grammar = self._running.pop(slot.owner)
        if grammar:
            grammar.close()
        self._slots.leave(slot)
        return writing

    def _fail(self, error: EngineError) -> None:
        assert self._slots is not None
        failure = Failure(FailureKind.ENGINE, error.what)
        for slot in self._slots.busy:
            self._end(slot).tell("", failure)
        self._slots.clear()
