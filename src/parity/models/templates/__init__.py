"""Chat templates: where they are in a model folder, and the only place where one is rendered.

Rendering happens in a child process with limits on memory, time and output: a template is foreign code, and a sandbox
that forbids attributes does not forbid `"a" * 10**10`.
"""

import json
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from parity.core.digests import Plain
from parity.core.prompts import Message
from parity.errors import ModelError
from parity.models.model_files import LocalFolder, ModelFiles, read_json, read_small

TIME_LIMIT_S = 5.0
_TODO = "Use --template none, or the model's original template."


def find_template(folder: Path) -> str | None:
    """The chat template of a model folder.

    Raises:
        ModelError: a file that should hold it is not text, or not JSON.
    """
    found = find_template_text(LocalFolder(folder))
    return found[0] if found else None


def find_template_text(files: ModelFiles) -> tuple[str, str] | None:
    """(text, the file it is in) of the template of a folder or repository, newest convention first.

    Raises:
        ModelError: a file that should hold it is not text, or not JSON.
    """
    names = {entry.name for entry in files.listing()}
    if "chat_template.jinja" in names:
        return read_small(files, "chat_template.jinja"), "chat_template.jinja"
    for name in ("chat_template.json", "tokenizer_config.json"):
        if name in names and (found := default_template(read_json(files, name).get("chat_template"))) is not None:
            return found, name
    return None


def default_template(value: Plain) -> str | None:
    """The template of a configuration's entry, which is a text or a list of named ones."""
    if isinstance(value, list | tuple):
        named = (entry for entry in value if isinstance(entry, Mapping) and entry.get("name") == "default")
        value = next((entry.get("template") for entry in named), None)
    return value if isinstance(value, str) else None


class Renderer:
    """Renders conversations for one template. Thread-safe; its child process is started when it is first needed."""

    def __init__(self, template: str, special_tokens: Mapping[str, str], time_limit_s: float = TIME_LIMIT_S) -> None:
        self._template, self._special_tokens = template, dict(special_tokens)
        self._limit_s = time_limit_s
        self._worker: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def render(self, messages: Sequence[Message]) -> str:
        """The text a model reads for a conversation, ending where its answer begins.

        Raises:
            ModelError: the template is broken, refuses these messages, or takes too long or too much memory.
        """
        turns = [{"role": message.role, "content": message.content} for message in messages]
        asked = {"template": self._template, "messages": turns, "special_tokens": self._special_tokens}
        with self._lock:
            answer = self._ask(json.dumps(asked).encode() + b"\n")
        if "refused" in answer:
            raise ModelError(f"The model's chat template cannot be rendered: {answer['refused']}.", _TODO)
        return answer["text"]

    def close(self) -> None:
        """End the child process; rendering again starts another."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.kill()
            worker.wait()
            for pipe in (worker.stdin, worker.stdout):
                if pipe is not None:
                    pipe.close()

    def _ask(self, line: bytes) -> dict[str, str]:
        worker = self._worker = self._worker or _start()
        assert worker.stdin is not None
        assert worker.stdout is not None
        try:
            worker.stdin.write(line)
            worker.stdin.flush()
            answer: dict[str, str] = json.loads(_read_line(worker.stdout, time.monotonic() + self._limit_s))
        except TimeoutError:
            self.close()
            return {"refused": f"it takes longer than {self._limit_s:g} seconds"}
        except (OSError, ValueError):
            self.close()
            return {"refused": "it ended the process it is rendered in, most likely for want of memory"}
        return answer


def _start() -> "subprocess.Popen[bytes]":
    # No environment of ours: keys have no business in a process that runs foreign code.
    environment = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "parity.models.templates.worker"]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )


def _read_line(stream: IO[bytes], deadline: float) -> bytes:
    """One line from a pipe, or TimeoutError at the deadline; ValueError when the other side is gone."""
    pieces = []
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError
            piece = os.read(stream.fileno(), 1 << 20)
            if not piece:
                raise ValueError("the worker is gone")
            pieces.append(piece)
            if piece.endswith(b"\n"):
                return b"".join(pieces)
