"""Log-likelihoods of continuations: one forward pass for every distinct row, fp32 normalisation over the vocabulary."""

import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch

from parity.core.outputs import Loglikelihoods, Output, Usage
from parity.engines.base import CANCELLED
from parity.engines.tokens.encoding import Encoded


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
    values: list[dict[int, float]] = [{} for _ in encoded]
    seconds = [0.0] * len(encoded)
    dropped: set[int] = set()
    rows = _rows(encoded)
    for start in range(0, len(rows), batch_size):
        asked = {request for row in rows[start : start + batch_size] for request, _ in row.serves}
        for request in sorted(index for index in asked - dropped if cancelled(index)):
            dropped.add(request)
            yield request, CANCELLED
        batch = [row for row in rows[start : start + batch_size] if any(at not in dropped for at, _ in row.serves)]
        if not batch:
            continue
        with turn:
            begun = time.perf_counter()
            logprobs = _batch(model, batch, encoded)
            share = (time.perf_counter() - begun) / len(batch)
        for row, found in zip(batch, logprobs, strict=True):
            for (request, option), value in zip(row.serves, found, strict=True):
                values[request][option] = value
            for request in sorted({request for request, _ in row.serves} - dropped):
                seconds[request] += share
                entry = encoded[request]
                if len(values[request]) == len(entry.continuations):
                    yield request, _result(entry, values[request], seconds[request])


def _result(entry: Encoded, values: dict[int, float], seconds: float) -> Loglikelihoods:
    tokens = tuple(len(rest) for rest in entry.continuations)
    usage = Usage(len(entry.context), sum(tokens), entry.truncated_tokens, entry.dropped_shots)
    return Loglikelihoods(tuple(values[option] for option in range(len(tokens))), tokens, usage, seconds)


def _rows(encoded: Sequence[Encoded]) -> list[_Row]:
    rows: dict[tuple[int, ...], _Row] = {}
    for request, entry in enumerate(encoded):
        for option, rest in enumerate(entry.continuations):
            ids = entry.context + rest[:-1]
            rows.setdefault(ids, _Row(ids)).serves.append((request, option))
    return sorted(rows.values(), key=lambda row: (-len(row.ids), row.ids))


@torch.inference_mode()
def _batch(model: Any, batch: Sequence[_Row], encoded: Sequence[Encoded]) -> list[list[float]]:
    """Log-likelihoods of every continuation a batch serves; logits are computed at the positions needed only."""
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
        scores = []
        for request, option in row.serves:
            rest = encoded[request].continuations[option]
            where = torch.tensor(picks[len(picks) - len(rest) :], device=model.device)
            what = torch.tensor(rest, device=model.device)
            scores.append(float(logprobs_PV[where, what].sum()))
        found.append(scores)
    return found
