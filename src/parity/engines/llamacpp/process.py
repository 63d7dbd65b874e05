"""The parent's side of the process in which llama.cpp runs: starts it, hands messages on, notices its end.

A process that ended is said so to every job under way; what is done about it is the engine's business.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from queue import SimpleQueue
from tempfile import TemporaryFile
from typing import Any

from parity import errors
from parity.engines.llamacpp.wire import Loading, Ready
from parity.errors import EngineError, ParityError

Message = dict[str, Any]
# What a child may see of our environment: no keys have business in a process that opens foreign files.
_PASSED = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "SYSTEMROOT")


class LlamaProcess:
    """A process with a loaded model. Thread-safe.

    Raises:
        ModelError, EngineError: the model cannot be loaded; or the process ended over it.
    """

    def __init__(self, loading: Loading) -> None:
        self._problems = TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - close() does
        environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
        environment |= {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "GGML_NO_BACKTRACE": "1"}
        self._process = subprocess.Popen(
            # -P: a folder of the user's that is called like a library is not one.
            [sys.executable, "-P", "-m", "parity.engines.llamacpp.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._problems,
            text=True,
            encoding="utf-8",
            env=environment,
            start_new_session=True,  # Ctrl-C is ours to handle, and may only stop one answer
        )
        self._lock = threading.Lock()
        self._jobs: dict[int, SimpleQueue[Message | None]] = {}
        self._next = 0
        self.alive = True
        try:
            self.ready = self._start(loading)
        except BaseException:
            self.close()
            assert self._process.stdout is not None
            self._process.stdout.close()
            raise
        threading.Thread(target=self._read, daemon=True).start()

    def begin(self, message: Message) -> "Job":
        """Send a message as a new job, whose answers come to the returned queue; None there: the process ended."""
        with self._lock:
            number, self._next = self._next, self._next + 1
            answers: SimpleQueue[Message | None] = SimpleQueue()
            self._jobs[number] = answers
            if not self.alive:
                answers.put(None)
        self.send({**message, "job": number})
        return Job(self, number, answers)

    def send(self, message: Message) -> None:
        """Send a message; to a process that has ended, nothing."""
        assert self._process.stdin is not None
        line = json.dumps(message) + "\n"
        try:
            with self._lock:
                self._process.stdin.write(line)
                self._process.stdin.flush()
        except (OSError, ValueError):
            pass  # its end is told by the reader

    def forget(self, number: int) -> None:
        with self._lock:
            self._jobs.pop(number, None)

    def how_it_ended(self) -> str:
        """A few words on why the process is gone."""
        code = self._process.wait()
        if self._problems.closed:
            return "was ended"
        self._problems.seek(0)
        said = self._problems.read().strip().rsplit("\n", 1)[-1][:300]
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
        return f"ended {how}" + (f", saying: {said}" if said else "")

    def close(self) -> None:
        """End the process. What waits for it is told by the reader."""
        self._process.kill()
        self._process.wait()
        self._problems.close()
        with suppress(OSError):  # what could not be flushed any more
            if self._process.stdin is not None:
                self._process.stdin.close()

    def _start(self, loading: Loading) -> Ready:
        assert self._process.stdout is not None
        self.send(dict(loading))
        line = self._process.stdout.readline()
        if not line:
            raise EngineError(
                f"The process that loads {loading['files'][0]} {self.how_it_ended()}.",
                "The file is broken, or there is too little memory; parity inspect and parity fit say which.",
            )
        answer: Message = json.loads(line)
        if "failed" in answer:
            kind = getattr(errors, answer["error"], EngineError)
            known = isinstance(kind, type) and issubclass(kind, ParityError)
            raise (kind if known else EngineError)(answer["failed"], answer["todo"])
        ready: Ready = answer["ready"]
        return ready

    def _read(self) -> None:
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                message: Message = json.loads(line)
                with self._lock:
                    answers = self._jobs.get(message["job"])
                if answers is not None:
                    answers.put(message)
        except ValueError:
            pass  # a line cut off in the middle: it ended while it wrote
        with self._lock:
            self.alive = False
            for answers in self._jobs.values():
                answers.put(None)
        self._process.stdout.close()


class Job:
    """Messages of one job: `next()` waits; None when the process has ended."""

    def __init__(self, process: LlamaProcess, number: int, answers: "SimpleQueue[Message | None]") -> None:
        self._process, self.number, self._answers = process, number, answers

    def next(self) -> Message | None:
        return self._answers.get()

    def close(self) -> None:
        self._process.forget(self.number)
