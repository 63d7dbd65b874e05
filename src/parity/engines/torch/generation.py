"""Written answers: transformers' own `generate`, in left-padded batches, with stop strings and cancellation."""

import time
from collections.abc import Sequence
from typing import Any

import torch
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

from parity.core.outputs import Failure, FailureKind, Generation, Output, Usage
from parity.core.prompts import Generate
from parity.engines.base import Cancellations
from parity.engines.stops import cut
from parity.engines.torch.encoding import Encoded


class Cancelled(StoppingCriteria):
    """Ends the rows whose requests were cancelled."""

    def __init__(self, requests: Sequence[Generate], cancellations: Cancellations) -> None:
        self._requests, self._cancellations = requests, cancellations

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        flags = [request.id in self._cancellations for request in self._requests]
        return torch.tensor(flags, device=input_ids.device)


def generate(
    model: Any,
    tokenizer: Any,
    requests: Sequence[Generate],
    encoded: Sequence[Encoded],
    cancellations: Cancellations,
    streamer: Any = None,
) -> list[Output]:
    """Answer a batch of requests that share their sampling; one at a time where they draw at random."""
    sampling = requests[0].sampling
    begun = time.perf_counter()
    longest = max(len(entry.context) for entry in encoded)
    ids_BT = torch.full((len(requests), longest), pad_id(tokenizer), dtype=torch.long)
    mask_BT = torch.zeros_like(ids_BT)
    for at, entry in enumerate(encoded):
        ids_BT[at, longest - len(entry.context) :] = torch.tensor(entry.context)
        mask_BT[at, longest - len(entry.context) :] = 1
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(sampling.seed * 1_000_003 + requests[0].id.draw)
        whole_BT = model.generate(
            ids_BT.to(model.device),
            attention_mask=mask_BT.to(model.device),
            generation_config=_config(model, tokenizer, requests[0]),
            stopping_criteria=StoppingCriteriaList([Cancelled(requests, cancellations)]),
            tokenizer=tokenizer,
            streamer=streamer,
        )
    share = (time.perf_counter() - begun) / len(requests)
    outputs: list[Output] = []
    for at, (request, entry) in enumerate(zip(requests, encoded, strict=True)):
        if request.id in cancellations:
            outputs.append(Failure(FailureKind.CANCELLED, "cancelled while it was answered"))
            continue
        outputs.append(_answer(model, tokenizer, request, entry, whole_BT[at, longest:].tolist(), share))
    return outputs


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
