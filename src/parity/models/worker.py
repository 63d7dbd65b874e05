"""Keeps the process of `fetching` at work: gives it one job at a time, and ends it when nothing comes from it."""

import json
import os
from collections.abc import Callable
from tempfile import TemporaryFile
from typing import Any

from parity.files.line_process import LineProcess

# Loading the hub's library from a slow disk is not a stall.
_START_S = 120.0
Job = dict[str, Any]


class Stalled(Exception):
    """Nothing came from the hub for too long."""


class Worker:
    """One process, started when first needed. `xet` says whether it may use Xet."""

    def __init__(self, xet: bool) -> None:
        self.xet = xet
        self._problems = TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - close() does
        self._process = LineProcess("parity.models.fetching", self._problems)

    def ask(self, job: Job, stall_s: float, on_bytes: Callable[[int], None]) -> Job:
        """The answer to a job: done, a listing, or an error with its kind.

        Raises:
            Stalled: there was no sign of life for `stall_s` seconds; the process is ended.
        """
        if not self._process.started and "error" in (ready := self._start()):
            return ready
        try:
            self._process.tell(json.dumps({**job, "xet": self.xet, "timeout_s": stall_s}))
        except OSError:
            return self._died()
        while True:
            answer = self._next(stall_s)
            if "bytes" in answer and len(answer) == 1:
                on_bytes(answer["bytes"])
            elif "checking" not in answer:
                return answer

    def close(self) -> None:
        """End the process at once; what it wrote to disk stays."""
        self._process.stop()
        self._problems.close()

    def _start(self) -> Job:
        environment = {**os.environ, "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        if not self.xet:
            environment["HF_HUB_DISABLE_XET"] = "1"
        self._process.start(environment)
        return self._next(_START_S)

    def _next(self, patience_s: float) -> Job:
        try:
            line = self._process.next(patience_s)
        except TimeoutError as error:
            raise Stalled(str(error)) from None
        if line is None:
            return self._died()
        answer: Job = json.loads(line)
        return answer

    def _died(self) -> Job:
        self._process.stop()
        self._problems.seek(0)
        last = self._problems.read().strip().rsplit("\n", 1)[-1]
        missing = "ModuleNotFoundError" in last
        return {"error": "library" if missing else "network", "detail": f"the download process ended: {last}"[:300]}
