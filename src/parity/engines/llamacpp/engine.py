"""LlamaCppEngine: a GGUF file as an Engine. llama.cpp runs in a process of its own, which may die without harm.

When it does, the requests it had are asked again in halves by a fresh process, until the one that kills it is alone;
that one fails.
"""

import base64
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parity.core.outputs import Delta, Failure, FailureKind, Generation, Output, decode_output
from parity.core.prompts import Generate, Message, Request, RequestId
from parity.core.quantized import Speed
from parity.core.refs import ModelRef
from parity.core.runs import TokenWork
from parity.engines.base import CANCELLED, Capabilities
from parity.engines.llamacpp.library import check_version
from parity.engines.llamacpp.loading import identity_of, loading_of
from parity.engines.llamacpp.process import Job, LlamaProcess
from parity.engines.llamacpp.weights import find_weights
from parity.engines.llamacpp.wire import encode_request
from parity.engines.open import EngineOptions
from parity.engines.stops import StreamCutter
from parity.errors import ContextExceeded, EngineError
from parity.models.templates import Job as Conversation
from parity.models.templates import Refusal

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
        self._loading = loading_of(weights, options, sharing)
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
        self.identity = identity_of(weights, self._loading, ready)

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

    def continued(self, ids: Sequence[int], tokens: int) -> tuple[tuple[int, ...], str]:
        """The likeliest `tokens` ids after these, one by one, and their text; end tokens are tokens like others.

        Raises:
            EngineError: as `logits`.
        """
        answer = self._asked({"continue": list(ids), "tokens": tokens})
        return tuple(answer["ids"]), answer["text"]

    def rendered(self, conversations: Sequence[Conversation]) -> list[str | Refusal]:
        """Conversations as the file's own chat template writes them.

        Raises:
            EngineError: the file has no template, or the process ended over it.
        """
        asked = [
            {"messages": list(map(dict, one.messages)), "tools": list(map(dict, one.tools))} for one in conversations
        ]
        found = self._asked({"render": asked})["texts"]
        return [Refusal(one["refused"]) if "refused" in one else one["text"] for one in found]

    def chat_ids(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """Token ids that a conversation becomes when it is answered.

        Raises:
            EngineError: the file has no template, its template refuses this, or the process ended over it.
        """
        turns = [{"role": turn.role, "content": turn.content} for turn in messages]
        return tuple(self._asked({"chat": turns})["ids"])

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
