"""Prompts read for many answers: each distinct token once, along a path, packed into as few passes as there is room.

What several answers begin with is kept once, as a `Head`; what follows it is copied from the path to each answer's
slot while the path stands there. Knows ids and hidden states; nothing of what is answered.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from parity.engines.tokens.walk import Cut, Piece, Row, passes, walk
from parity.engines.torch.body import Body
from parity.engines.torch.path import Path
from parity.engines.torch.slots import Head, Slots

# A head takes products of its own in every layer: for fewer ids saved in slots they cost more than copies would.
WORTH_TOKENS = 256.0


@dataclass(slots=True, eq=False)
class Prompt:
    """A distinct context and the requests that wait for it. `last_H` is its last hidden state, once it is read."""

    row: Row
    requests: deque[int]
    head: Head | None = None
    slots: list[int] = field(default_factory=list)
    last_H: Tensor | None = None

    @property
    def shared_tokens(self) -> int:
        return self.head.length if self.head else 0


class Reader:
    """Reads prompts in walking order into `slots`, as these become free.

    `dropped` are requests that were cancelled before they were read.
    """

    def __init__(
        self,
        body: Body,
        prompts: Sequence[Prompt],
        slots: Slots,
        cut: Cut,
        cancelled: Callable[[int], bool],
    ) -> None:
        self._body, self._slots, self._cut, self._cancelled = body, slots, cut, cancelled
        self._queue = deque(prompts)
        self._path = Path(cut.room(deepest(prompts)))
        self._path.passed = self._passed
        self._now: list[tuple[Piece, Prompt]] = []
        self.dropped: list[int] = []

    @property
    def done(self) -> bool:
        return not self._queue

    def admit(self) -> list[tuple[int, Tensor]]:
        """Requests that got a slot, in the order of their slots, each with the hidden state (H) after its prompt."""
        admitted: list[tuple[int, Prompt]] = []
        unread: list[Prompt] = []
        while self._queue and self._slots.free:
            prompt = self._queue[0]
            admitted += [(request, prompt) for request in self._seated(prompt)]
            if prompt.last_H is None and prompt.slots:
                unread.append(prompt)
            if not prompt.requests:
                self._leave()
        self._read(unread)
        if not self._queue:
            self._path = Path(0)
        found = []
        for request, prompt in admitted:
            assert prompt.last_H is not None
            found.append((request, prompt.last_H))
        return found

    def _seated(self, prompt: Prompt) -> list[int]:
        """Give free slots to requests of the first prompt; from the path, if it was read before."""
        seated = []
        while prompt.requests and self._slots.free:
            request = prompt.requests.popleft()
            if self._cancelled(request):
                self.dropped.append(request)
                continue
            begin, end = prompt.shared_tokens, len(prompt.row.ids)
            self._body.work.requested += end
            slot = self._slots.open(prompt.head, end - begin)
            seated.append(request)
            prompt.slots.append(slot)
            if prompt.last_H is not None:
                for layer, keys, values in self._path.held(begin, end):
                    self._slots.fill(slot, layer, keys, values)
        return seated

    def _leave(self) -> None:
        """Go on to the next prompt. One that nobody waits for any more is never read: less lies on the path then."""
        left = self._queue.popleft()
        if left.last_H is None and not left.slots and self._queue:
            row = self._queue[0].row
            row.begin, row.shared = min(row.begin, left.row.begin), min(row.shared, left.row.shared)

    def _read(self, prompts: Sequence[Prompt]) -> None:
        owners = {id(prompt.row): prompt for prompt in prompts}
        for pieces in passes([prompt.row for prompt in prompts], self._cut):
            self._now = [(piece, owners[id(piece.row)]) for piece in pieces]
            hidden_TH = self._body.read(self._path, pieces)
            for (piece, prompt), (_, last, _, _) in zip(self._now, self._path.spans, strict=True):
                if piece.end == len(piece.row.ids):
                    prompt.last_H = hidden_TH[last - 1].clone()

    def _passed(self, layer: int, number: int, keys: Tensor, values: Tensor) -> None:
        """A piece lies on the path: if its prompt is complete, keep what its answers will look back at."""
        piece, prompt = self._now[number]
        if piece.end < len(piece.row.ids):
            return
        if prompt.head:
            prompt.head.keep(layer, keys[0], values[0])
        for slot in prompt.slots:
            self._slots.fill(slot, layer, keys[0, :, prompt.shared_tokens :], values[0, :, prompt.shared_tokens :])


def prompts_of(contexts: Sequence[Sequence[int]], tile: int | None, worth_tokens: float) -> list[Prompt]:
    """Distinct contexts in walking order, neighbours that share enough with one head."""
    rows = walk(contexts, [((0,),)] * len(contexts), tile)
    prompts = [Prompt(row, deque(request for request, _, _ in row.wants[len(row.ids) - 1])) for row in rows]
    group: list[Prompt] = []
    common = 0
    for prompt in prompts:
        still = min(common, prompt.row.shared)
        if 2 * still < max(len(member.row.ids) for member in (prompt, *group)):
            _share(group, common, worth_tokens)
            group, still = [], len(prompt.row.ids)
        group.append(prompt)
        common = still
    _share(group, common, worth_tokens)
    return prompts


def deepest(prompts: Sequence[Prompt]) -> int:
    """Ids of the longest prompt."""
    return max((len(prompt.row.ids) for prompt in prompts), default=0)


def _share(group: Sequence[Prompt], common: int, worth_tokens: float) -> None:
    answers = sum(len(prompt.requests) for prompt in group)
    if common * (answers - 1) >= worth_tokens:
        head = Head(common)
        for prompt in group:
            prompt.head = head
