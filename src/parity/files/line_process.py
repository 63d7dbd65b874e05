"""A module of Parity in a process of its own that answers lines with lines, and is ended when it takes too long.

Knows how it is started, told, waited for and ended. Refuses to know what the lines mean and who may ask at a time.
"""

import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from queue import Empty, Queue
from typing import IO


class LineProcess:
    """Started by `start`, also again after `stop`. `problems`: where its stderr goes, nowhere if None."""

    def __init__(self, module: str, problems: IO[str] | None = None) -> None:
        self._module, self._problems = module, problems
        self._running: subprocess.Popen[str] | None = None
        self._lines: Queue[str | None] = Queue()

    @property
    def started(self) -> bool:
        return self._running is not None

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start it; None is our own environment."""
        self._running = running = subprocess.Popen(
            # -P: a folder of the user's that is called like a library is not one.
            [sys.executable, "-P", "-m", self._module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if self._problems is None else self._problems,
            text=True,
            encoding="utf-8",
            env=environment,
        )
        self._lines = Queue()
        threading.Thread(target=_read, args=(running, self._lines), daemon=True).start()

    def tell(self, line: str) -> None:
        """Send a line. It is stopped where that is broken off.

        Raises:
            OSError: it has ended.
        """
        assert self._running is not None
        assert self._running.stdin is not None
        try:
            self._running.stdin.write(line + "\n")
            self._running.stdin.flush()
        except OSError:
            raise
        except BaseException:
            self.stop()
            raise

    def next(self, patience_s: float) -> str | None:
        """Its next line; None when it has ended. It is stopped where the wait is broken off.

        Raises:
            TimeoutError: no line came in time; it is stopped.
        """
        try:
            return self._lines.get(timeout=patience_s)
        except Empty:
            self.stop()
            raise TimeoutError(f"nothing came for {patience_s:g} s") from None
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it at once; what it wrote to disk stays."""
        running, self._running = self._running, None
        if running is None:
            return
        running.kill()
        running.wait()
        for pipe in (running.stdin, running.stdout):
            if pipe is not None:
                with suppress(OSError):  # a line that could not be sent any more
                    pipe.close()


def _read(running: "subprocess.Popen[str]", lines: "Queue[str | None]") -> None:
    assert running.stdout is not None
    try:
        for line in running.stdout:
            lines.put(line)
    except ValueError:
        pass  # the pipe was closed by stop()
    lines.put(None)
