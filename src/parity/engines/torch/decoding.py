"""Many answers at once, token by token: continuous batching over prompts whose shared beginnings are computed once.

Whenever answers end, the next prompts are read into their slots. One step is one pass over the last tokens of all
running answers and one over what is read. Knows ids and hidden states; which token is taken, and when an answer ends,
is said by whoever calls.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from parity.engines.torch.body import Body
from parity.engines.torch.reading import WORTH_TOKENS, Reader, deepest, prompts_of
from parity.engines.torch.slots import Slots


class Decoding:
    """Decodes after `contexts`: `step`, choose, `feed`, as long as it is `open`.

    `dropped` are requests that were cancelled and get nothing more. No answer gets more than `most_tokens`. Beginnings
    are kept apart, once for all that have them, where this saves at least `worth_tokens`.
    """

    def __init__(
        self,
        body: Body,
        contexts: Sequence[Sequence[int]],
        most_tokens: int,
        cancelled: Callable[[int], bool] = lambda _: False,
        worth_tokens: float = WORTH_TOKENS,
    ) -> None:
        self._body, self._cancelled = body, cancelled
        room, tile = body.room, body.room.tile
        prompts = prompts_of(contexts, tile, float("inf") if tile else worth_tokens)
        depth = deepest(prompts)
        own = max((len(prompt.row.ids) - prompt.shared_tokens for prompt in prompts), default=0) + most_tokens
        heads = [head.length for head in {id(p.head): p.head for p in prompts if p.head}.values()]
        count = min(room.slots(depth, own, heads), len(contexts))
        self._slots = Slots(count, own)
        cut = room.cut(depth, room.slots_bytes(count, own, heads))
        self._reader = Reader(body, prompts, self._slots, cut, cancelled)
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
        depths = self._slots.depths
        self._slots.stand(self._body.device)
        return self._body.step(self._slots, self._tokens, depths)
