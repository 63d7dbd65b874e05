"""Many answers at once, token by token: continuous batching over prompts whose shared beginnings are computed once.

Whenever answers end, the next prompts are read into their slots. One step is one pass over the last tokens of all
running answers and one over what is read. Knows ids and hidden states; which token is taken, and when an answer ends,
is said by whoever calls.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from parity.engines.tokens.ledger import Work
from parity.engines.torch.path import walking
from parity.engines.torch.reading import Limits, Reader
from parity.engines.torch.slots import Slots


class Decoding:
    """Decodes after `contexts` with one model: `step`, choose, `feed`, as long as it is `open`.

    `dropped` are requests that were cancelled and get nothing more; `work` counts
    ids.
    """

    def __init__(
        self,
        model: Any,
        contexts: Sequence[Sequence[int]],
        limits: Limits,
        cancelled: Callable[[int], bool] = lambda _: False,
        work: Work | None = None,
    ) -> None:
        self._model, self._cancelled = model, cancelled
        self.work = work or Work()
        self._slots = Slots(min(limits.slots, len(contexts)))
        self._reader = Reader(model, contexts, self._slots, limits, cancelled, self.work)
        self._running: list[int] = []
        self._tokens: list[int] = []
        self.dropped = self._reader.dropped

    @property
    def open(self) -> bool:
        return bool(self._running) or not self._reader.done

    @torch.inference_mode()
    def step(self) -> tuple[list[int], Tensor]:
        """The next position of every running answer: their requests, and hidden states (R, H) that predict its token.

        There are none where all that was left has been cancelled.
        """
        self._drop()
        hidden = [self._write()] if self._running else []
        for request, last_H in self._reader.admit():
            self._running.append(request)
            hidden.append(last_H[None])
        if not hidden:
            return [], torch.empty(0, 0)
        return list(self._running), torch.cat(hidden)

    @torch.inference_mode()
    def feed(self, tokens: Sequence[int | None]) -> None:
        """What each request of the step takes next; None ends its answer and frees its slot."""
        self._tokens = [-1 if token is None else token for token in tokens]
        for slot in reversed(range(len(tokens))):
            if tokens[slot] is None:
                self._end(slot)

    def _drop(self) -> None:
        for slot in reversed(range(len(self._running))):
            if self._cancelled(self._running[slot]):
                self.dropped.append(self._running[slot])
                self._end(slot)

    def _end(self, slot: int) -> None:
        """The last answer takes the place of one that ended, here as in the slots."""
        self._slots.close(slot)
        request, token = self._running.pop(), self._tokens.pop()
        if slot < len(self._running):
            self._running[slot], self._tokens[slot] = request, token

    def _write(self) -> Tensor:
        """Hidden states (B, H) after the tokens that were fed."""
        device = self._model.device
        depths = self._slots.depths
        self._slots.stand(device)
        with walking(self._model, self._slots):
            hidden_B1H: Tensor = self._model.base_model(
                input_ids=torch.tensor(self._tokens, device=device)[:, None],
                position_ids=torch.tensor(depths, device=device)[:, None],
                use_cache=False,
            ).last_hidden_state
        # Every answer's tokens are its own: computed because asked for, and never twice.
        self.work.requested += len(depths)
        self.work.computed += len(depths)
        self.work.distinct += len(depths)
        return hidden_B1H[:, 0]
