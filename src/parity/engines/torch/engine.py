"""TorchEngine: a checked transformers folder as an Engine. One forward pass at a time; calls from threads queue up."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from parity.core.outputs import Delta, Failure, FailureKind, Output
from parity.core.prompts import Generate, Loglikelihood, Request, RequestId
from parity.core.refs import ModelRef
from parity.core.runs import Identity
from parity.engines.base import Cancellations, Capabilities
from parity.engines.open import EngineOptions
from parity.engines.stops import StreamCutter
from parity.engines.torch.encoding import Encoded, Encoder
from parity.engines.torch.generation import generate
from parity.engines.torch.likelihood import likelihoods
from parity.engines.torch.proof import follows_a_walk
from parity.engines.torch.scoring import Scorer, Work
from parity.errors import ContextExceeded, EngineError, ModelError, UsageError, did_you_mean
from parity.models.sources import locate

# Ids a pass computes together, on a CPU and on a GPU.
PASS_TOKENS = (2048, 16384)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class TorchEngine:
    """Loads the weights at once; `close` frees them."""

    def __init__(self, ref: ModelRef, options: EngineOptions | None = None) -> None:
        options = options or EngineOptions()
        local = locate(ref)
        self.model = local.ref
        self._device = _device(options.device)
        dtype = _dtype(options.dtype, self._device)
        disable_progress_bar()  # the run shows its own
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(
                local.folder, trust_remote_code=False, local_files_only=True
            )
            self._model: Any = AutoModelForCausalLM.from_pretrained(
                local.folder, dtype=dtype, use_safetensors=True, trust_remote_code=False, local_files_only=True
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ModelError(
                f"{local.folder} cannot be loaded: {error}", "Check that transformers supports it."
            ) from error
        self._model.eval().to(self._device)
        self._encoder = Encoder(self._tokenizer, local.folder, local.context_tokens)
        self._batch_size = options.batch_size
        self._cancellations = Cancellations()
        self._one_at_a_time = threading.Lock()
        self._scorer = None
        if follows_a_walk(self._model):
            tokens = options.pass_tokens or PASS_TOKENS[self._device.type == "cuda"]
            self._scorer = Scorer(self._model, tokens, self._one_at_a_time)
        self.capabilities = Capabilities(
            frozenset({"generation", "loglikelihood"}), self._encoder.has_template, local.context_tokens, block=None
        )
        self.identity = Identity(
            str(local.ref),
            local.digest,
            "torch",
            tuple((name, version(name)) for name in ("torch", "transformers", "tokenizers")),
            (
                ("device", self._device.type),
                ("dtype", str(self._model.dtype).removeprefix("torch.")),
                ("scoring", "shared prefixes" if self._scorer else "row by row"),
            ),
        )

    @property
    def work(self) -> Work | None:
        """Tokens asked for, computed and distinct, of all scoring so far; None where each row is computed alone."""
        return self._scorer.work if self._scorer else None

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[RequestId, Output]]:
        block = list(requests)
        with self._cancellations.watching(request.id for request in block):
            scored = [request for request in block if isinstance(request, Loglikelihood)]
            written = [request for request in block if isinstance(request, Generate)]
            yield from self._score(scored)
            yield from self._write(written)

    def stream(self, request: Generate) -> Iterator[Delta]:
        from transformers import TextIteratorStreamer

        encoded = self._encoder.generation(request)
        if isinstance(encoded, Failure):
            raise ContextExceeded(encoded.message, "Shorten the prompt or the answer.")
        pieces = TextIteratorStreamer(self._tokenizer, skip_prompt=True, skip_special_tokens=True)
        results: list[Output | Exception] = []
        with self._cancellations.watching([request.id]):
            worker = threading.Thread(target=self._stream_into, args=(request, encoded, pieces, results), daemon=True)
            worker.start()
            cutter = StreamCutter(request.sampling.stop)
            try:
                for piece in pieces:
                    if text := cutter.feed(piece):
                        yield Delta(text)
            except GeneratorExit:  # the reader went away: nobody is left to answer
                self._cancellations.cancel(request.id)
                raise
            finally:
                worker.join()
        output = results[0]
        if isinstance(output, Exception):
            raise EngineError(f"{self.model} broke off: {output}", "Try again with a smaller answer.") from output
        if not isinstance(output, Failure):
            yield Delta("" if cutter.stopped else cutter.finish(), output.finish, output.usage)  # type: ignore[union-attr]

    def cancel(self, request_id: RequestId) -> None:
        self._cancellations.cancel(request_id)

    def close(self) -> None:
        self._model = None
        self._encoder.close()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _score(self, requests: Sequence[Loglikelihood]) -> Iterator[tuple[RequestId, Output]]:
        ready: list[tuple[RequestId, Encoded]] = []
        for request in requests:
            encoded = self._encoder.likelihood(request)
            if isinstance(encoded, Failure):
                yield request.id, encoded
            else:
                ready.append((request.id, encoded))
        for index, output in self._scores(
            [encoded for _, encoded in ready], lambda at: ready[at][0] in self._cancellations
        ):
            yield ready[index][0], output

    def _scores(self, encoded: Sequence[Encoded], cancelled: Callable[[int], bool]) -> Iterator[tuple[int, Output]]:
        if self._scorer is not None:
            return self._scorer.score(encoded, cancelled)
        return likelihoods(self._model, encoded, self._batch_size, cancelled, self._one_at_a_time)

    def _write(self, requests: Sequence[Generate]) -> Iterator[tuple[RequestId, Output]]:
        groups: dict[object, list[tuple[Generate, Encoded]]] = {}
        for request in requests:
            encoded = self._encoder.generation(request)
            if isinstance(encoded, Failure):
                yield request.id, encoded
                continue
            # What is drawn at random is drawn alone, so that its seed decides it whatever else is asked.
            key = request.id if request.sampling.temperature > 0 else request.sampling
            groups.setdefault(key, []).append((request, encoded))
        for group in groups.values():
            group.sort(key=lambda entry: -len(entry[1].context))
            for start in range(0, len(group), self._batch_size):
                batch = group[start : start + self._batch_size]
                live = [entry for entry in batch if entry[0].id not in self._cancellations]
                yield from ((r.id, _cancelled()) for r, _ in batch if r.id in self._cancellations)
                yield from self._write_batch(live)

    def _write_batch(self, batch: Sequence[tuple[Generate, Encoded]]) -> Iterator[tuple[RequestId, Output]]:
        if not batch:
            return
        requests = [request for request, _ in batch]
        with self._one_at_a_time:
            outputs = generate(
                self._model, self._tokenizer, requests, [encoded for _, encoded in batch], self._cancellations
            )
        yield from zip((request.id for request in requests), outputs, strict=True)

    def _stream_into(self, request: Generate, encoded: Encoded, pieces: Any, results: list[Any]) -> None:
        try:
            with self._one_at_a_time:
                results += generate(
                    self._model, self._tokenizer, [request], [encoded], self._cancellations, streamer=pieces
                )
        except Exception as error:  # noqa: BLE001  handed to the reading thread, which raises it
            results.append(error)
            pieces.end()


def _cancelled() -> Failure:
    return Failure(FailureKind.CANCELLED, "cancelled before it was asked")


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"Unknown device {name!r}.", "Write cpu, cuda or cuda:1.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise EngineError("There is no CUDA device here.", "Use --device cpu.")
    return device


def _dtype(name: str, device: torch.device) -> Any:
    if name == "auto":
        return "auto" if device.type == "cuda" else torch.float32
    if name not in DTYPES:
        raise UsageError(f"Unknown number type {name!r}.", did_you_mean(name, list(DTYPES)))
    return DTYPES[name]
