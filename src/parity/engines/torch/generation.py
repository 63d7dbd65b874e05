"""Written answers the plain way: transformers' own `generate`, in left-padded batches, with stops and cancellation.

For models that `proof.py` cannot show to be right along shared prefixes.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList, TextIteratorStreamer

from parity.core.outputs import Delta, Generation, Output, Usage
from parity.core.prompts import Generate
from parity.engines.base import CANCELLED
from parity.engines.stops import StreamCutter, cut
from parity.engines.tokens.draws import source
from parity.engines.tokens.encoding import Encoded
from parity.engines.tokens.ledger import NOTHING_TO_READ, Cancelled
from parity.errors import EngineError


class PlainWriter:
    """Writes at most `batch_size` answers at once; what is drawn at random is drawn alone."""

    def __init__(self, model: Any, tokenizer: Any, batch_size: int, turn: AbstractContextManager[object]) -> None:
        self._model, self._tokenizer, self._batch_size, self._turn = model, tokenizer, batch_size, turn

    def write(
        self, requests: Sequence[Generate], encoded: Sequence[Encoded], cancelled: Cancelled
    ) -> Iterator[tuple[int, Output]]:
        """Yields (index, answer or failure) of every request as its batch is done."""
        groups: dict[object, list[int]] = {}
        for index, (request, entry) in enumerate(zip(requests, encoded, strict=True)):
            if not entry.context:
                yield index, NOTHING_TO_READ
                continue
            # Alone, a drawn answer is decided by its seed whatever else is asked.
            groups.setdefault(index if request.sampling.temperature > 0 else request.sampling, []).append(index)
        for group in groups.values():
            group.sort(key=lambda index: -len(encoded[index].context))
            for start in range(0, len(group), self._batch_size):
                batch = group[start : start + self._batch_size]
                left = [index for index in batch if not cancelled(index)]
                yield from ((index, CANCELLED) for index in batch if index not in left)
                if left:
                    yield from self._batch(left, requests, encoded, cancelled)

    def stream(self, request: Generate, encoded: Encoded, cancelled: Cancelled) -> Iterator[Delta]:
        """The answer in pieces; without a last piece that carries `finish` if it was cancelled."""
        pieces: Any = TextIteratorStreamer(self._tokenizer, skip_prompt=True, skip_special_tokens=True)
        results: list[Output | Exception] = []
        left = threading.Event()

        def work() -> None:
            try:
                for _, output in self._batch(
                    [0], [request], [encoded], lambda at: left.is_set() or cancelled(at), pieces
                ):
                    results.append(output)
            except Exception as error:  # noqa: BLE001  handed to the reading thread, which raises it
                results.append(error)
                pieces.end()

        worker = threading.Thread(target=work, daemon=True)
        worker.start()
        cutter = StreamCutter(request.sampling.stop)
        try:
            for piece in pieces:
                if text := cutter.feed(piece):
                    yield Delta(text)
        except GeneratorExit:  # the reader went away: nobody is left to answer
            left.set()
            raise
        finally:
            worker.join()
        output = results[0]
        if isinstance(output, Exception):
            raise EngineError(f"The model broke off: {output}", "Try again with a smaller answer.") from output
        if isinstance(output, Generation):
            yield Delta("" if cutter.stopped else cutter.finish(), output.finish, output.usage)

    def _batch(
        self,
        indexes: Sequence[int],
        requests: Sequence[Generate],
        encoded: Sequence[Encoded],
        cancelled: Cancelled,
        streamer: Any = None,
    ) -> Iterator[tuple[int, Output]]:
        model, tokenizer = self._model, self._tokenizer
        ids_BT, mask_BT = _padded([encoded[index].context for index in indexes], pad_id(tokenizer))
        first = indexes[0]
        with self._turn, torch.random.fork_rng(), torch.inference_mode():
            begun = time.perf_counter()
            torch.manual_seed(source(requests[first], encoded[first].context).getrandbits(63))
            whole_BT = model.generate(
                ids_BT.to(model.device),
                attention_mask=mask_BT.to(model.device),
                generation_config=_config(model, tokenizer, requests[first]),
                stopping_criteria=StoppingCriteriaList([_Cancelling(indexes, cancelled)]),
                tokenizer=tokenizer,
                streamer=streamer,
            )
            seconds = (time.perf_counter() - begun) / len(indexes)
        for row, index in enumerate(indexes):
            new = whole_BT[row, ids_BT.shape[1] :].tolist()
            answer = _answer(model, tokenizer, requests[index], encoded[index], new, seconds)
            yield index, CANCELLED if cancelled(index) else answer


class _Cancelling(StoppingCriteria):
    """Ends the rows whose requests were cancelled."""

    def __init__(self, indexes: Sequence[int], cancelled: Cancelled) -> None:
        self._indexes, self._cancelled = indexes, cancelled

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        return torch.tensor([self._cancelled(index) for index in self._indexes], device=input_ids.device)


def _padded(contexts: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids (B, T) padded on the left, and where (B, T) they are not padding."""
    longest = max(map(len, contexts))
    ids_BT = torch.full((len(contexts), longest), pad, dtype=torch.long)
    mask_BT = torch.zeros_like(ids_BT)
    for row, context in enumerate(contexts):
        ids_BT[row, longest - len(context) :] = torch.tensor(context)
        mask_BT[row, longest - len(context) :] = 1
    return ids_BT, mask_BT


def _answer(
    model: Any, tokenizer: Any, request: Generate, entry: Encoded, new: list[int], seconds: float
) -> Generation:
    # A row that ended early is filled with padding up to the longest of its batch: that is not part of the answer.
    ends = end_ids(model, tokenizer) | ({pad_id(tokenizer)} if tokenizer.pad_token_id is not None else set())
    length = next((at for at, token in enumerate(new) if token in ends), len(new))
    text, stopped = cut(tokenizer.decode(new[:length], skip_special_tokens=True), request.sampling.stop)
    usage = Usage(len(entry.context), length, entry.truncated_tokens, entry.dropped_shots)
    return Generation(text, "stop" if stopped or length < len(new) else "length", usage, seconds)


def _config(model: Any, tokenizer: Any, request: Generate) -> GenerationConfig:
    sampling = request.sampling
    drawn = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
    return GenerationConfig(
        max_new_tokens=sampling.max_tokens,
        eos_token_id=sorted(end_ids(model, tokenizer)) or None,
        pad_token_id=pad_id(tokenizer),
        stop_strings=list(sampling.stop) or None,
        **(drawn if sampling.temperature > 0 else {"do_sample": False}),
    )


def end_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """Every id that ends an answer: the tokenizer's and those of the model's generation config."""
    configured = model.generation_config.eos_token_id
    ids = configured if isinstance(configured, list) else [configured]
    return frozenset(int(token) for token in (*ids, tokenizer.eos_token_id) if token is not None)


def pad_id(tokenizer: Any) -> int:
    """What fills short rows; masked, so any id serves where the tokenizer has none."""
    for token in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    return 0
