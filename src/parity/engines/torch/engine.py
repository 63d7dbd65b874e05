"""TorchEngine: a checked transformers folder as an Engine. One forward pass at a time; calls from threads queue up."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from parity.core.outputs import Delta, Failure, Output
from parity.core.prompts import Generate, Loglikelihood, Request, RequestId
from parity.core.refs import ModelRef
from parity.core.runs import Identity, TokenWork
from parity.engines.base import EXACT, PREFIXES, PREFIXES_NOT_SHARED, Cancellations, Capabilities
from parity.engines.open import EngineOptions
from parity.engines.tokens.encoding import Encoded, Encoder
from parity.engines.tokens.ledger import Work
from parity.engines.tokens.parts import PartsOfRequests
from parity.engines.torch.body import Body
from parity.engines.torch.determinism import TILE, ExactTurn, exactness
from parity.engines.torch.gauge import gauge
from parity.engines.torch.generation import PlainWriter
from parity.engines.torch.likelihood import likelihoods
from parity.engines.torch.proof import follows_a_walk
from parity.engines.torch.rate import matrix_rate
from parity.engines.torch.room import Room
from parity.engines.torch.scoring import Scorer
from parity.engines.torch.writing import SharingWriter, Writer
from parity.errors import ContextExceeded, EngineError, ModelError, UsageError, did_you_mean
from parity.models.hardware import this_machine
from parity.models.sources import locate
from parity.models.templates import find_template

# Ids a pass computes together, on a CPU and on a GPU.
PASS_TOKENS = (2048, 16384)
# Answers written together, if there is memory for them; and without shared prefixes, where they are padded.
ANSWERS, PLAIN_BATCH = (64, 256), 8
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
        self._tokenizer, self._model = _loaded(local.folder, dtype)
        self._model.eval().to(self._device)
        template = find_template(local.folder)
        self._encoder = Encoder(self._tokenizer, template, local.context_tokens, whole=options.deterministic)
        self._cancellations = Cancellations()
        self._lock = threading.Lock()
        self._closed = False
        self._turn = ExactTurn(self._lock, self._device) if options.deterministic else self._lock
        self._body: Body | None = None
        self._scorer: Scorer | None = None
        # Without shared prefixes; by itself where nothing beside a request may change a bit.
        self._together = None if options.deterministic else options.batch_size or PLAIN_BATCH
        self._writer: Writer = PlainWriter(self._model, self._tokenizer, self._together or 1, self._turn)
        if follows_a_walk(self._model, TILE if options.deterministic else None):
            self._body = Body(self._model, _room(self._model, options))
            self._scorer = Scorer(self._model, self._body, self._turn)
            self._writer = SharingWriter(self._model, self._tokenizer, self._body, self._turn)
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
                (PREFIXES, "shared" if self._body else PREFIXES_NOT_SHARED),
                *([(EXACT, exactness(self._device))] if options.deterministic else []),
            ),
        )

    @property
    def token_work(self) -> TokenWork | None:
        work = self.work
        if work is None or not work.computed:
            return None
        rate = matrix_rate(self._model.device, self._model.dtype)
        return TokenWork(work.requested, work.computed, work.distinct, work.flops, work.seconds, work.flops / rate)

    @property
    def work(self) -> Work | None:
        """Tokens asked for, computed and distinct, so far; None where each row is computed alone."""
        return self._body.work if self._body else None

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[RequestId, Output]]:
        self._check_open()
        block = list(requests)
        self.capabilities.check(block)
        with self._cancellations.watching(request.id for request in block):
            scored = [request for request in block if isinstance(request, Loglikelihood)]
            written = [request for request in block if isinstance(request, Generate)]
            yield from self._score(scored)
            yield from self._write(written)

    def stream(self, request: Generate) -> Iterator[Delta]:
        self._check_open()
        self.capabilities.check([request])
        encoded = self._encoder.generation(request)
        if isinstance(encoded, Failure):
            raise ContextExceeded(encoded.message, "Shorten the prompt or the answer.")
        with self._cancellations.watching([request.id]):
            yield from self._writer.stream(request, encoded, lambda _: self._gone(request.id))

    def cancel(self, request_id: RequestId) -> None:
        self._cancellations.cancel(request_id)

    def close(self) -> None:
        """Free the model. What is being answered in another thread ends as if it were cancelled."""
        self._closed = True
        with self._lock:
            self._model = self._body = self._scorer = self._writer = None  # type: ignore[assignment]
        self._encoder.close()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _score(self, requests: Sequence[Loglikelihood]) -> Iterator[tuple[RequestId, Output]]:
        ready: list[tuple[RequestId, Encoded]] = []
        parts: PartsOfRequests[RequestId] = PartsOfRequests()
        for request in requests:
            encoded = [self._encoder.likelihood(part) for part in request.alone()]
            failure = next((entry for entry in encoded if isinstance(entry, Failure)), None)
            if failure is not None:
                yield request.id, failure
                continue
            parts.expect(request.id, len(request.contexts), len(ready))
            ready += [(request.id, entry) for entry in encoded if isinstance(entry, Encoded)]
        for index, output in self._scores([encoded for _, encoded in ready], lambda at: self._gone(ready[at][0])):
            whole = parts.add(ready[index][0], index, output)
            if whole is not None:
                yield ready[index][0], whole

    def _scores(self, encoded: Sequence[Encoded], cancelled: Callable[[int], bool]) -> Iterator[tuple[int, Output]]:
        if self._scorer is not None:
            return self._scorer.score(encoded, cancelled)
        return likelihoods(self._model, encoded, self._together, cancelled, self._turn)

    def _write(self, requests: Sequence[Generate]) -> Iterator[tuple[RequestId, Output]]:
        ready: list[tuple[Generate, Encoded]] = []
        for request in requests:
            encoded = self._encoder.generation(request)
            if isinstance(encoded, Failure):
                yield request.id, encoded
            else:
                ready.append((request, encoded))
        written = self._writer.write(
            [request for request, _ in ready], [entry for _, entry in ready], lambda at: self._gone(ready[at][0].id)
        )
        for index, output in written:
            yield ready[index][0].id, output

    def _gone(self, request_id: RequestId) -> bool:
        return self._closed or request_id in self._cancellations

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError(f"{self.model} was closed.", "Open it again.")


def _loaded(folder: Path, dtype: Any) -> tuple[Any, Any]:
    """Tokenizer and model; nothing of the folder is run, nothing fetched."""
    safely = {"trust_remote_code": False, "local_files_only": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **safely)
        return tokenizer, AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, use_safetensors=True, **safely)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"{folder} cannot be loaded: {error}", "Check that transformers supports it.") from error


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


def _room(model: Any, options: EngineOptions) -> Room:
    """How much is computed at once by a model that lies in memory already."""
    cuda = model.device.type == "cuda"
    tokens, answers = options.pass_tokens or PASS_TOKENS[cuda], options.batch_size or ANSWERS[cuda]
    free = torch.cuda.mem_get_info(model.device)[0] if cuda else this_machine(measure=False).free_bytes
    bound = int(options.memory * 2**30) or (free // 2 if free is not None else None)
    if options.deterministic:
        return Room(TILE, 1, TILE, bound, gauge(model))
    return Room(tokens, answers, None, bound, gauge(model))


def _dtype(name: str, device: torch.device) -> Any:
    if name == "auto":
        return "auto" if device.type == "cuda" else torch.float32
    if name not in DTYPES:
        raise UsageError(f"Unknown number type {name!r}.", did_you_mean(name, list(DTYPES)))
    return DTYPES[name]
