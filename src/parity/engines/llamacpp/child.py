"""The process in which llama.cpp runs: requests in, results out, JSON lines. Started by `process.py`.

What can kill it (a hostile file, a grammar) kills nothing else. It works on all jobs at once: a token of every running
answer, then a pass of the scoring that waits.
"""

import json
import os
import queue
import resource
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from parity.core.outputs import Failure, FailureKind, Output, encode_output
from parity.core.prompts import Generate, Request
from parity.engines.llamacpp.model import Model, Settings
from parity.engines.llamacpp.probes import Probes
from parity.engines.llamacpp.scoring import TILE, Scorer
from parity.engines.llamacpp.wire import Loading, Ready, decode_request
from parity.engines.llamacpp.writing import Writer, Writing
from parity.engines.tokens.encoding import Encoded, Encoder
from parity.engines.tokens.ledger import Work
from parity.engines.tokens.parts import PartsOfRequests
from parity.errors import ParityError
from parity.files import egress

Message = dict[str, Any]
Key = tuple[int, int]


class Child:
    """Everything loaded, and the jobs under way. A key is (job, index of the request in it)."""

    def __init__(self, loading: Loading, say: Callable[[Message], None]) -> None:
        self._say = say
        settings = Settings(loading["threads"], loading["exact"], loading["device"])
        adapter = Path(loading["adapter"]) if loading["adapter"] else None
        self.model = model = Model([Path(file) for file in loading["files"]], adapter, settings)
        self._work = Work()
        alone = loading["deterministic"]
        self._encoder = Encoder(model.tokenizer, model.template, model.context_tokens, whole=alone)
        self._writer = Writer(model, loading["slots"], loading["pass_tokens"], self._work, reuse=not alone)
        tile = TILE if alone else None
        self._scorer = Scorer(model, loading["pass_tokens"], self._work, loading["sharing"], tile)
        self._probes = Probes(model, self._encoder, self._scorer)
        self._scoring: list[Iterator[None]] = []
        self._cancelled: set[Key] = set()
        self._left: dict[int, int] = {}

    @property
    def ready(self) -> Ready:
        return Ready(
            context_tokens=self.model.context_tokens,
            chat=self._encoder.has_template,
            shares=self.model.shares,
            processor=self.model.processor,
        )

    @property
    def busy(self) -> bool:
        return bool(self._scoring or self._writer.busy)

    def hear(self, message: Message) -> None:
        """Take up what the parent asks."""
        if "cancel" in message:
            job, index = message["cancel"]
            if job in self._left:
                self._cancelled.add((job, index))
        elif self._probes.knows(message):
            self._say({"job": message["job"], **self._probes.answer(message)})
        else:
            self._begin(message["job"], message["requests"], message["stream"])

    def step(self) -> None:
        """A token of every running answer, and a pass of scoring."""
        if self._writer.busy:
            with suppress(ParityError):  # every answer in progress was told
                self._writer.step()
        if self._scoring and next(self._scoring[0], self) is self:
            self._scoring.pop(0)

    def _begin(self, job: int, texts: list[str], streamed: bool) -> None:
        self._left[job] = len(texts)
        scored: list[tuple[int, Encoded]] = []
        parts: PartsOfRequests[int] = PartsOfRequests()
        written: list[Writing] = []
        for index, text in enumerate(texts):
            request = decode_request(text)
            encoded = self._encoded(request)
            if isinstance(encoded, Failure):
                self._tell(job, index, encoded)
            elif isinstance(request, Generate):
                written.append(self._writing(job, index, request, encoded[0], streamed))
            else:
                parts.expect(index, len(request.contexts), len(scored))
                scored += [(index, entry) for entry in encoded]
        self._writer.submit(written)
        if scored:
            self._scoring.append(self._score(job, scored, parts))

    def _encoded(self, request: Request) -> list[Encoded] | Failure:
        """Ids of a request: of each part, where its continuations have contexts of their own."""
        try:
            if isinstance(request, Generate):
                found = [self._encoder.generation(request)]
            else:
                found = [self._encoder.likelihood(part) for part in request.alone()]
        except ParityError as error:
            return Failure(FailureKind.ENGINE, str(error))
        failed = next((entry for entry in found if isinstance(entry, Failure)), None)
        return failed or [entry for entry in found if isinstance(entry, Encoded)]

    def _writing(self, job: int, index: int, request: Generate, encoded: Encoded, streamed: bool) -> Writing:
        def tell(piece: str, output: Output | None) -> None:
            if streamed and piece:
                self._say({"job": job, "piece": piece})
            if output is not None:
                self._tell(job, index, output)

        return Writing(request, encoded, tell, lambda: (job, index) in self._cancelled, streamed)

    def _score(self, job: int, scored: list[tuple[int, Encoded]], parts: PartsOfRequests[int]) -> Iterator[None]:
        open_ = {index for index, _ in scored}
        try:
            settled = self._scorer.score(
                [encoded for _, encoded in scored], lambda at: (job, scored[at][0]) in self._cancelled
            )
            for result in settled:
                if result is None:
                    yield
                    continue
                index = scored[result[0]][0]
                whole = parts.add(index, *result)
                if whole is not None:
                    open_.discard(index)
                    self._tell(job, index, whole)
        except ParityError as error:
            self._scorer.close()
            for index in sorted(open_):
                self._tell(job, index, Failure(FailureKind.ENGINE, str(error)))

    def _tell(self, job: int, index: int, output: Output) -> None:
        work = self._work
        self._say(
            {
                "job": job,
                "index": index,
                "output": encode_output(output),
                "work": [work.requested, work.computed, work.distinct],
            }
        )
        self._cancelled.discard((job, index))
        self._left[job] -= 1
        if not self._left[job]:
            del self._left[job]


def main() -> None:
    """Load what the first line says, then answer until the parent is gone."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    egress.forbid()  # nothing here has business elsewhere
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not look like an answer

    def say(message: Message) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    loading: Loading = json.loads(sys.stdin.readline())
    threading.Thread(target=_read, args=(sys.stdin, lines), daemon=True).start()
    try:
        child = Child(loading, say)
    except ParityError as error:
        say({"failed": error.what, "todo": error.todo, "error": type(error).__name__})
        return
    say({"ready": child.ready})
    while True:
        while not child.busy or not lines.empty():
            child.hear(json.loads(lines.get()))
        child.step()


def _read(source: IO[str], lines: "queue.SimpleQueue[str]") -> None:
    for line in source:
        lines.put(line)
    os._exit(0)  # the parent is gone, whatever is being computed


if __name__ == "__main__":
    main()
