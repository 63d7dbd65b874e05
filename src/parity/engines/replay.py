"""Answers that were recorded: by `record` from any engine, or a table of `item,answer` that someone else made.

A recording answers only the very request it saw (by fingerprint). A table knows items, not prompts: it is matched by
item id, and `replay:table.csv#column` names the column of answers. What was not recorded is a failure, never a guess.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from parity.core.outputs import Delta, Failure, FailureKind, Generation, Output, Usage, decode_output, encode_output
from parity.core.prompts import Generate, Loglikelihood, Request, RequestId, RequestKind, fingerprint, kind_of
from parity.core.refs import ModelRef
from parity.core.runs import Identity
from parity.engines.base import Cancellations, Capabilities, Engine
from parity.engines.open import EngineOptions
from parity.errors import ContextExceeded, DataError, EngineError
from parity.files import digest_file, disk_error, read_text
from parity.files.tables import read_table

FORMAT = "parity recording 1"


@dataclass(frozen=True, slots=True)
class _Recorded:
    fingerprint: str | None
    output: Output


class ReplayEngine:
    """Plays a recording back."""

    def __init__(self, ref: ModelRef, options: EngineOptions | None = None) -> None:
        del options
        path = Path(ref.name).expanduser()
        self.model = ref
        self._path = path
        self._answers = _recording(path) if is_recording(path) else _table(path, ref.part)
        kinds: set[RequestKind] = {
            "generation" if isinstance(entry.output, Generation) else "loglikelihood"
            for entry in self._answers.values()
            if not isinstance(entry.output, Failure)
        }
        self.capabilities = Capabilities(frozenset(kinds), chat=True, constraints=frozenset({"gbnf", "json_schema"}))
        self.identity = Identity(str(ref), digest_file(path), "replay", settings=(("part", ref.part or ""),))
        self._cancellations = Cancellations()

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[RequestId, Output]]:
        block = list(requests)
        with self._cancellations.watching(request.id for request in block):
            for request in block:
                self._check_kind(request)
                cancelled = request.id in self._cancellations
                yield request.id, (Failure(FailureKind.CANCELLED, "cancelled") if cancelled else self._output(request))

    def stream(self, request: Generate) -> Iterator[Delta]:
        output = self._output(request)
        if isinstance(output, Failure):
            kind = ContextExceeded if output.kind is FailureKind.CONTEXT_EXCEEDED else EngineError
            raise kind(output.message, "Record this request first.")
        assert isinstance(output, Generation)
        with self._cancellations.watching([request.id]):
            yield Delta(output.text)
            if request.id not in self._cancellations:
                yield Delta("", output.finish, output.usage)

    def cancel(self, request_id: RequestId) -> None:
        self._cancellations.cancel(request_id)

    def close(self) -> None:
        return

    def _check_kind(self, request: Request) -> None:
        kind = kind_of(request)
        if self.capabilities.kinds and kind not in self.capabilities.kinds:
            raise EngineError(f"{self.model} recorded no {kind} answers.", "Choose a protocol of the recorded kind.")

    def _output(self, request: Request) -> Output:
        recorded = self._answers.get(request.id)
        if recorded is None:
            return Failure(FailureKind.NOT_RECORDED, f"{self._path} has no answer for item {request.id.item!r}")
        # Where options are only compared, their recorded log-likelihoods serve.
        asked = [request, *([replace(request, compared=False)] if isinstance(request, Loglikelihood) else [])]
        if recorded.fingerprint not in (None, *map(fingerprint, asked)):
            return Failure(FailureKind.NOT_RECORDED, f"{self._path} recorded another prompt for {request.id.item!r}")
        return recorded.output


class RecordingEngine:
    """Any engine, with every answer also written to a file that `replay:` plays back."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self._engine = engine
        identity = engine.identity
        self._file = begin_recording(path, identity.model, identity.model_digest, identity.engine)
        self.model, self.identity, self.capabilities = engine.model, engine.identity, engine.capabilities

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[RequestId, Output]]:
        block = {request.id: request for request in requests}
        for request_id, output in self._engine.answer(block.values()):
            if not (isinstance(output, Failure) and output.kind is FailureKind.CANCELLED):
                write_answer(self._file, request_id, fingerprint(block[request_id]), output)
                self._file.flush()
            yield request_id, output

    def stream(self, request: Generate) -> Iterator[Delta]:
        text = ""
        for delta in self._engine.stream(request):
            text += delta.text
            if delta.finish is not None:
                output = Generation(text, delta.finish, delta.usage or Usage())
                write_answer(self._file, request.id, fingerprint(request), output)
            yield delta

    def cancel(self, request_id: RequestId) -> None:
        self._engine.cancel(request_id)

    def close(self) -> None:
        self._file.close()
        self._engine.close()


def begin_recording(path: Path, model: str, digest: str, engine: str) -> TextIO:
    """A new recording, headed by who answered.

    Raises:
        StoreError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("w", encoding="utf-8")
    except OSError as error:
        raise disk_error(error, path) from error
    header = {"format": FORMAT, "model": model, "model_digest": digest, "engine": engine}
    stream.write(json.dumps(header) + "\n")
    return stream


def write_answer(stream: TextIO, request_id: RequestId, request: str, output: Output) -> None:
    """One line of a recording. `request` is the fingerprint of what was asked."""
    entry = {"item": request_id.item, "draw": request_id.draw, "request": request, "output": encode_output(output)}
    stream.write(json.dumps(entry, ensure_ascii=False) + "\n")


def write_recording(path: Path, identity: Mapping[str, str], answers: Iterable[tuple[RequestId, str, Output]]) -> Path:
    """A whole recording from answers kept elsewhere: (id, fingerprint, output) each; returns `path`."""
    with begin_recording(path, identity["model"], identity["model_digest"], identity["engine"]) as stream:
        for request_id, request, output in answers:
            write_answer(stream, request_id, request, output)
    return path


def is_recording(path: Path) -> bool:
    """Whether a file begins with a recording's header."""
    if path.suffix not in (".jsonl", ".ndjson"):
        return False
    return FORMAT in read_text(path, "recording", DataError)[:200]


def _recording(path: Path) -> dict[RequestId, _Recorded]:
    answers = {}
    for number, line in enumerate(read_text(path, "recording", DataError).split("\n")[1:], start=2):
        if not line:
            continue
        try:
            entry = json.loads(line)
            key = RequestId(entry["item"], entry["draw"])
            answers[key] = _Recorded(entry["request"], decode_output(entry["output"]))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}, line {number}, is not a recorded answer: {error}.",
                "A recording cut off while it was written ends in half a line: delete that line.",
            ) from error
    return answers


def _table(path: Path, column: str | None) -> dict[RequestId, _Recorded]:
    table = read_table(path)
    column = column or "answer"
    table.require(column)
    ids = table.item_ids()
    return {
        RequestId(item): _Recorded(None, Generation(row[column] or "", "stop"))
        for item, row in zip(ids, table.rows, strict=True)
        if row[column] is not None
    }
