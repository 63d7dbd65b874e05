"""Keeps the process of `fetching` at work: gives it one job at a time, and ends it when nothing comes from it."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from queue import Empty, Queue
from tempfile import TemporaryFile
from typing import Any

# Loading the hub's library from a slow disk is not a stall.
_START_S = 120.0
Job = dict[str, Any]


class Stalled(Exception):
    """Nothing came from the hub for too long."""


class Worker:
    """One process, started when first needed. `xet` says whether it may use Xet."""

    def __init__(self, xet: bool) -> None:
        self.xet = xet
        self._process: subprocess.Popen[str] | None = None
        self._lines: Queue[str | None] = Queue()
        self._problems = TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - close() does

    def ask(self, job: Job, stall_s: float, on_bytes: Callable[[int], None]) -> Job:
        """The answer to a job: done, a listing, or an error with its kind.

        Raises:
            Stalled: there was no sign of life for `stall_s` seconds; the process is ended.
        """
        if self._process is None and "error" in (ready := self._start()):
            return ready
        process = self._process
        assert process is not None
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps({**job, "xet": self.xet, "timeout_s": stall_s}) + "\n")
            process.stdin.flush()
        except OSError:
            return self._died()
        while True:
            answer = self._next(stall_s)
            if "bytes" in answer and len(answer) == 1:
                on_bytes(answer["bytes"])
            elif "checking" not in answer:
                return answer

    def stop(self) -> None:
        """End the process at once; what it wrote to disk stays."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def close(self) -> None:
        self.stop()
        self._problems.close()

    def _start(self) -> Job:
        environment = {**os.environ, "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        if not self.xet:
            environment["HF_HUB_DISABLE_XET"] = "1"
        self._process = subprocess.Popen(
            # -P: a folder of the user's that is called like a library is not one.
            [sys.executable, "-P", "-m", "parity.models.fetching"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._problems,
            text=True,
            env=environment,
        )
        self._lines = Queue()
        threading.Thread(target=_read, args=(self._process, self._lines), daemon=True).start()
        return self._next(_START_S)

    def _next(self, patience_s: float) -> Job:
        try:
            line = self._lines.get(timeout=patience_s)
        except Empty:
            self.stop()
            raise Stalled(f"nothing came for {patience_s:g} s") from None
        except BaseException:
            self.stop()
            raise
        if line is None:
            return self._died()
        answer: Job = json.loads(line)
        return answer

    def _died(self) -> Job:
        self.stop()
        self._problems.seek(0)
        last = self._problems.read().strip().rsplit("\n", 1)[-1]
        missing = "ModuleNotFoundError" in last
        return {"error": "library" if missing else "network", "detail": f"the download process ended: {last}"[:300]}


def _read(process: "subprocess.Popen[str]", lines: "Queue[str | None]") -> None:
    assert process.stdout is not None
    try:
        for line in process.stdout:
            lines.put(line)
    except ValueError:
        pass  # the pipe was closed by stop()
    lines.put(None)
