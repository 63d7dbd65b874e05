"""LlamaCppEngine: a GGUF file as an Engine. llama.cpp runs in a process of its own, which may die without harm.

When it does, the requests it had are asked again in halves by a fresh process, until the one that kills it is alone;
that one fails.
"""

import base64
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parity.core.outputs import Delta, Failure, FailureKind, Generation, Output, decode_output
from parity.core.prompts import Generate, Request, RequestId
from parity.core.quantized import Speed
from parity.core.refs import ModelRef
from parity.core.runs import Identity, TokenWork
from parity.engines.base import (
    ACTIVATIONS,
    ACTIVATIONS_ROUNDED,
    CANCELLED,
    EXACT,
    PREFIXES,
    PREFIXES_NOT_SHARED,
    Capabilities,
)
from parity.engines.llamacpp.library import PINNED, WHEEL, check_version
from parity.engines.llamacpp.process import Job, LlamaProcess
from parity.engines.llamacpp.scoring import TILE
from parity.engines.llamacpp.weights import find_weights
from parity.engines.llamacpp.wire import Loading, encode_request
from parity.engines.open import EngineOptions
from parity.engines.stops import StreamCutter
from parity.errors import ContextExceeded, EngineError, UsageError

PASS_TOKENS = 512
# Answers written at once, where the user does not say.
SLOTS = 8
# Enough to find two culprits among thousands of requests.
_MOST_CRASHES = 24


class LlamaCppEngine:
    """Starts the process and loads the model at once; `close` ends it.

    Raises:
        ModelError: the file is missing, broken, or no model that llama.cpp runs.
        EngineError: the wheel is missing or another one.
    """

    def __init__(self, ref: ModelRef, options: EngineOptions | None = None, sharing: bool = True) -> None:
        options = options or EngineOptions()
        check_version()
        weights = find_weights(ref)
        self.model = weights.ref
        self._loading = Loading(
            files=[str(file) for file in weights.files],
            adapter=str(weights.adapter) if weights.adapter else None,
            threads=options.threads or _threads(),
            exact=_exact(options),
            device=options.device,
            slots=1 if options.deterministic else options.batch_size or SLOTS,
            pass_tokens=PASS_TOKENS if options.deterministic else options.pass_tokens or PASS_TOKENS,
            sharing=sharing,
            deterministic=options.deterministic,
        )
        self._lock = threading.Lock()
        self._closed = False
        self._active: dict[RequestId, set[tuple[int, int]]] = {}
        self._work = self._work_before = TokenWork()
        self._process = LlamaProcess(self._loading)
        ready = self._process.ready
        self.capabilities = Capabilities(
            frozenset({"generation", "loglikelihood"}),
            ready["chat"],
            ready["context_tokens"] or None,
            block=None,
            constraints=frozenset({"gbnf", "json_schema"}),
        )
        self.identity = Identity(
            str(weights.ref),
            weights.digest,
            "llama.cpp",
            ((WHEEL, PINNED),),
            (
                ("cache", "float32" if self._loading["exact"] else "float16"),
                (PREFIXES, "shared" if sharing and ready["shares"] else PREFIXES_NOT_SHARED),
                *self._rounding(weights.types, ready["processor"]),
            ),
        )

    def _rounding(self, types: frozenset[str], processor: str) -> Iterator[tuple[str, str]]:
        """What a reader of log-likelihoods should know of how they are rounded."""
        if self._loading["deterministic"]:
            yield EXACT, f"tiles of {TILE} tokens, {self._loading['threads']} threads, {processor}"
        elif types != {"F32"}:
            yield ACTIVATIONS, ACTIVATIONS_ROUNDED

    @property
    def token_work(self) -> TokenWork | None:
        return self._work + self._work_before

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[RequestId, Output]]:
        self._check_open()
        block = list(requests)
        self.capabilities.check(block)
        crashes = [0]
        waiting = [block] if block else []
        while waiting:
            asked = waiting.pop()
            left = dict(enumerate(asked))
            for index, output in self._ask(asked):
                del left[index]
                yield asked[index].id, output
            rest = list(left.values())
            if not rest:
                continue
            how = self._fresh()
            crashes[0] += 1
            if self._closed or len(rest) == 1 or crashes[0] >= _MOST_CRASHES:
                yield from ((request.id, CANCELLED if self._closed else _broke_off(how)) for request in rest)
            else:
                waiting += [rest[len(rest) // 2 :], rest[: len(rest) // 2]]

    def stream(self, request: Generate) -> Iterator[Delta]:
        self._check_open()
        self.capabilities.check([request])
        cutter, told = StreamCutter(request.sampling.stop), ""
        job = self._begin([request], streamed=True)
        try:
            while (message := job.next()) is not None:
                if "piece" in message:
                    if piece := cutter.feed(message["piece"]):
                        told += piece
                        yield Delta(piece)
                    continue
                output = self._heard(message)
                if isinstance(output, Generation):
                    rest = output.text[len(told) :] if output.text.startswith(told) else ""
                    yield Delta(rest, output.finish, output.usage)
                elif isinstance(output, Failure):
                    _raise_unless_cancelled(output)
                return
            how = self._fresh()
            if not self._closed:
                raise EngineError(_broke_off(how).message, "Ask again; what was asked may be what it cannot do.")
        finally:
            self._end(job, [request])

    def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        """A vector of length 1 for each text; see `Embeds`.

        Raises:
            EngineError: a text is empty, or does not fit the context.
        """
        message = self._asked({"embed": list(texts)})
        return [tuple(vector) for vector in message["vectors"]]

    def encode(self, texts: Sequence[str], special: bool = True) -> list[tuple[int, ...]]:
        """Token ids of texts as the file's own tokenizer gives them; with its BOS, if it adds one.

        Raises:
            EngineError: the process ended over it.
        """
        return [tuple(ids) for ids in self._asked({"encode": list(texts), "special": special})["ids"]]

    def logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Logits (T, V) after each id of one sequence, each computed with all before it.

        Raises:
            EngineError: the ids are none of the model's, do not fit its context, or the process ended over it.
        """
        answer = self._asked({"logits": list(ids)})
        raw = np.frombuffer(base64.b64decode(answer["rows"]), np.float32)
        return raw.reshape(len(ids), -1)

    def speed(self, prompt_tokens: int, written_tokens: int, parallel: int) -> Speed:
        """How fast the model reads and writes here, on ids drawn at random; the middle of a few tries.

        Raises:
            EngineError: the context is too short for it, or the process ended over it.
        """
        read, one, several = self._asked({"time": [prompt_tokens, written_tokens, parallel]})["speed"]
        return Speed(read, one, several, parallel)

    def cancel(self, request_id: RequestId) -> None:
        with self._lock:
            keys = list(self._active.get(request_id, ()))
        for key in keys:
            self._process.send({"cancel": key})

    def close(self) -> None:
        self._closed = True
        self._process.close()

    def _asked(self, message: dict[str, Any]) -> dict[str, Any]:
        self._check_open()
        job = self._process.begin(message)
        answer = job.next()
        job.close()
        if answer is None:
            raise EngineError(_broke_off(self._fresh()).message, "Ask again.")
        if "failed" in answer:
            raise EngineError(answer["failed"], answer["todo"])
        return answer

    def _ask(self, block: Sequence[Request]) -> Iterator[tuple[int, Output]]:
        """Results as they come; fewer than were asked for when the process ends."""
        job = self._begin(block, streamed=False)
        left = len(block)
        try:
            while left and (message := job.next()) is not None:
                left -= 1
                yield message["index"], self._heard(message)
        finally:
            self._end(job, block)

    def _begin(self, block: Sequence[Request], streamed: bool) -> Job:
        job = self._process.begin({"requests": list(map(encode_request, block)), "stream": streamed})
        with self._lock:
            for index, request in enumerate(block):
                self._active.setdefault(request.id, set()).add((job.number, index))
        return job

    def _end(self, job: Job, block: Sequence[Request]) -> None:
        """Forget a job; what nobody waits for any more is not worked on."""
        job.close()
        for index, request in enumerate(block):
            with self._lock:
                keys = self._active.get(request.id, set())
                under_way = (job.number, index) in keys
                keys.discard((job.number, index))
                if not keys:
                    self._active.pop(request.id, None)
            if under_way:
                self._process.send({"cancel": (job.number, index)})

    def _heard(self, message: dict[str, Any]) -> Output:
        self._work = TokenWork(*message["work"])
        return decode_output(message["output"])

    def _fresh(self) -> str:
        """Start another process in place of one that ended; how that one did."""
        with self._lock:
            if self._process.alive or self._closed:
                return "ended"
            how = self._process.how_it_ended()
            self._work_before += self._work
            self._work = TokenWork()
            self._process.close()
            self._process = LlamaProcess(self._loading)
            return how

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError(f"{self.model} was closed.", "Open it again.")


def _broke_off(how: str) -> Failure:
    return Failure(FailureKind.ENGINE, f"llama.cpp's process {how}; a fresh one was started")


def _raise_unless_cancelled(failure: Failure) -> None:
    if failure.kind is FailureKind.CONTEXT_EXCEEDED:
        raise ContextExceeded(failure.message, "Shorten the prompt or the answer.")
    if failure.kind is not FailureKind.CANCELLED:
        raise EngineError(f"The answer broke off: {failure.message}.", "Ask again, or check the model's weights.")


def _threads() -> int:
    """All cores this process may use; fewer where OMP_NUM_THREADS says so."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdigit() and int(said) else len(os.sched_getaffinity(0))


def _exact(options: EngineOptions) -> bool:
    if options.dtype not in ("auto", "float32"):
        raise UsageError(
            f"The weights of a GGUF file have the types they were quantized to; {options.dtype} has no meaning there.",
            "Leave --dtype out; --cache float16 halves the memory of keys and values.",
        )
    return options.cache == "float32"
