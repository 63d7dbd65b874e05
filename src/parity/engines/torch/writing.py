"""Written answers, many at once: `Decoding` computes, `pick` chooses, each `Draft` says when it ends.

An answer depends on its request alone: greedy ones are the likeliest tokens, drawn ones come from the request's own
numbers. Threads that ask at the same time take turns step by step.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch

from parity.core.outputs import Delta, FailureKind, Generation, Output
from parity.core.prompts import Generate
from parity.engines.base import CANCELLED
from parity.engines.stops import StreamCutter
from parity.engines.tokens.drafts import Draft, ends_of, special_ids
from parity.engines.tokens.encoding import Encoded
from parity.engines.tokens.ledger import NOT_A_NUMBER, NOTHING_TO_READ, Cancelled
from parity.engines.torch.body import Body
from parity.engines.torch.decoding import Decoding
from parity.engines.torch.generation import end_ids
from parity.engines.torch.sampling import pick
from parity.errors import EngineError


class Writer(Protocol):
    """Writes answers to encoded requests; `cancelled` is asked by index."""

    def write(
        self, requests: Sequence[Generate], encoded: Sequence[Encoded], cancelled: Cancelled
    ) -> Iterator[tuple[int, Output]]:
        """Yields (index, answer or failure) of every request as it is settled."""
        ...

    def stream(self, request: Generate, encoded: Encoded, cancelled: Cancelled) -> Iterator[Delta]:
        """The answer in pieces; without a last piece that carries `finish` if it was cancelled."""
        ...


class SharingWriter:
    """Writes along shared prefixes with one model's layers and output matrix."""

    def __init__(self, model: Any, tokenizer: Any, body: Body, turn: AbstractContextManager[object]) -> None:
        self._tokenizer, self._body, self._turn = tokenizer, body, turn
        self._head = model.get_output_embeddings()
        self._ends, self._special = end_ids(model, tokenizer), special_ids(tokenizer)

    def write(
        self, requests: Sequence[Generate], encoded: Sequence[Encoded], cancelled: Cancelled
    ) -> Iterator[tuple[int, Output]]:
        drafts = [self._draft(request, entry) for request, entry in zip(requests, encoded, strict=True)]
        for index, output, _ in self._write(drafts, cancelled):
            if output is not None:
                yield index, output

    def stream(self, request: Generate, encoded: Encoded, cancelled: Cancelled) -> Iterator[Delta]:
        cutter, told = StreamCutter(request.sampling.stop), ""
        for _, output, settled in self._write([self._draft(request, encoded, True)], cancelled):
            if piece := cutter.feed(settled):
                told += piece
                # The end of the text may come with the last piece.
                yield Delta(piece)
            if isinstance(output, Generation):
                rest = output.text[len(told) :] if output.text.startswith(told) else ""
                yield Delta(rest, output.finish, output.usage)
            elif output is not None and output.kind is not FailureKind.CANCELLED:  # type: ignore[union-attr]
                raise EngineError(f"The answer broke off: {output.message}.", "Check the model's weights.")  # type: ignore[union-attr]

    def _draft(self, request: Generate, encoded: Encoded, streamed: bool = False) -> Draft:
        return Draft(self._tokenizer, request, encoded, ends_of(request, self._ends, self._special), streamed)

    def _write(self, drafts: Sequence[Draft], cancelled: Cancelled) -> Iterator[tuple[int, Output | None, str]]:
        """Yields (index, its result once there is one, text that its last token settled)."""
        ready = []
        for index, draft in enumerate(drafts):
            if not draft.encoded.context:
                yield index, NOTHING_TO_READ, ""
            elif draft.request.sampling.max_tokens < 1:
                yield index, draft.output(), ""
            else:
                ready.append(index)
        asked = [drafts[index] for index in ready]
        with self._turn:
            contexts = [draft.encoded.context for draft in asked]
            most = max((draft.request.sampling.max_tokens for draft in asked), default=0)
            decoding = Decoding(self._body, contexts, most, lambda at: cancelled(ready[at]))
        while decoding.open:
            rows, tokens = self._step(decoding, asked)
            following = [
                token if token is not None and asked[row].take(token) else None
                for row, token in zip(rows, tokens, strict=True)
            ]
            decoding.feed(following)
            while decoding.dropped:
                yield ready[decoding.dropped.pop()], CANCELLED, ""
            for row, token, goes_on in zip(rows, tokens, following, strict=True):
                output = asked[row].output() if goes_on is None else None
                yield ready[row], output if token is not None else NOT_A_NUMBER, asked[row].piece

    def _step(self, decoding: Decoding, drafts: Sequence[Draft]) -> tuple[list[int], list[int | None]]:
        """One token of every running answer; its time is shared between them."""
        with self._turn:
            begun = time.perf_counter()
            try:
                rows, hidden_RH = decoding.step()
                self._body.multiplied(len(rows))
                samplings = [drafts[row].request.sampling for row in rows]
                with torch.inference_mode():
                    tokens = pick(self._head, hidden_RH, samplings, lambda at: drafts[rows[at]].share())
            except RuntimeError as error:
                raise EngineError(f"The model broke off: {error}", "Try a smaller --memory or --batch-size.") from error
            seconds = time.perf_counter() - begun
            self._body.work.seconds += seconds
        for row in rows:
            drafts[row].seconds += seconds / len(rows)
        return rows, tokens
