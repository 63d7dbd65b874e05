"""Log-likelihoods of continuations: one forward pass for every distinct row, fp32 normalisation over the vocabulary."""

import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch

from parity.core.outputs import Output
from parity.engines.tokens.encoding import Encoded
from parity.engines.tokens.ledger import Ledger


@dataclass(slots=True)
class _Row:
    """Ids read by one forward pass, and the (request, continuation) pairs it serves."""

    ids: tuple[int, ...]
    serves: list[tuple[int, int]] = field(default_factory=list)


def likelihoods(
    model: Any,
    encoded: Sequence[Encoded],
    batch_size: int | None,
    cancelled: Callable[[int], bool],
    turn: AbstractContextManager[object],
) -> Iterator[tuple[int, Output]]:
    """Yields (index of the request, result) as batches finish, longest first; each batch waits for its `turn`.

    Without a `batch_size` every request is computed by itself.

    Continuations of one token after the same context share their row: its last position holds all of them.
    Rows are padded on the right, where a causal model does not look.
    """
    if batch_size is None:
        for at, entry in enumerate(encoded):
            alone = likelihoods(model, [entry], 1, lambda _, at=at: cancelled(at), turn)  # type: ignore[misc]
            yield from ((at, output) for _, output in alone)
        return
    ledger, rows = Ledger(encoded), _rows(encoded)
    for start in range(0, len(rows), batch_size):
        yield from ledger.drop(cancelled)
        several = rows[start : start + batch_size]
        batch = [row for row in several if any(ledger.is_open(request) for request, _ in row.serves)]
        if not batch:
            continue
        with turn:
            begun = time.perf_counter()
            for request, option, values in _batch(model, batch, encoded):
                for value in values:
                    ledger.add(request, option, value)
            seconds = time.perf_counter() - begun
        yield from ledger.settled(seconds)


def _rows(encoded: Sequence[Encoded]) -> list[_Row]:
    rows: dict[tuple[int, ...], _Row] = {}
    for request, entry in enumerate(encoded):
        for option, rest in enumerate(entry.continuations):
            ids = entry.context + rest[:-1]
            rows.setdefault(ids, _Row(ids)).serves.append((request, option))
    return sorted(rows.values(), key=lambda row: (-len(row.ids), row.ids))


@torch.inference_mode()
def _batch(model: Any, batch: Sequence[_Row], encoded: Sequence[Encoded]) -> list[tuple[int, int, list[float]]]:
    """For every (request, continuation) a batch serves log p of its tokens; logits only at the positions needed."""
    length = max(len(row.ids) for row in batch)
    ids_BT = torch.zeros((len(batch), length), dtype=torch.long, device=model.device)
    for at, row in enumerate(batch):
        ids_BT[at, : len(row.ids)] = torch.tensor(row.ids, device=model.device)
    longest = [max(len(encoded[request].continuations[option]) for request, option in row.serves) for row in batch]
    spans = [range(len(row.ids) - most, len(row.ids)) for row, most in zip(batch, longest, strict=True)]
    positions = sorted({position for span in spans for position in span})
    kept_P = torch.tensor(positions, device=model.device)
    if "logits_to_keep" in inspect.signature(model.forward).parameters:
        logits_BPV = model(ids_BT, use_cache=False, logits_to_keep=kept_P).logits
    else:
        logits_BPV = model(ids_BT, use_cache=False).logits[:, kept_P]
    slot = {position: index for index, position in enumerate(positions)}
    found = []
    for at, row in enumerate(batch):
        first = slot[spans[at][0]]
        logprobs_PV = torch.log_softmax(logits_BPV[at, first : slot[spans[at][-1]] + 1].float(), dim=-1)
        picks = [slot[position] - first for position in spans[at]]
        for request, option in row.serves:
            rest = encoded[request].continuations[option]
            where = torch.tensor(picks[len(picks) - len(rest) :], device=model.device)
            what = torch.tensor(rest, device=model.device)
            found.append((request, option, logprobs_PV[where, what].tolist()))
    return found
