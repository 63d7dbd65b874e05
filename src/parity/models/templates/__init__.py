"""Chat templates: where they are in a model folder, and the only place where one is rendered.

Rendering happens in a child process with limits on memory, time and output: a template is foreign code, and a sandbox
that forbids attributes does not forbid `"a" * 10**10`.
"""

import json
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from parity.core.digests import Plain
from parity.core.prompts import Message
from parity.errors import ModelError
from parity.files.line_process import LineProcess
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


@dataclass(frozen=True, slots=True)
class Job:
    """A conversation to render, its turns and `tools` in the form templates expect (Hugging Face's chat format).

    With `prompt` the text ends where the model's answer begins, without it after the last turn.
    """

    messages: Sequence[Mapping[str, Plain]]
    tools: Sequence[Mapping[str, Plain]] = ()
    prompt: bool = True


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a template renders no text for a conversation."""

    reason: str


class Renderer:
    """Renders conversations for one template. Thread-safe; its child process is started when it is first needed."""

    def __init__(self, template: str, special_tokens: Mapping[str, str], time_limit_s: float = TIME_LIMIT_S) -> None:
        self._template, self._special_tokens = template, dict(special_tokens)
        self._limit_s = time_limit_s
        self._worker = LineProcess("parity.models.templates.worker")
        self._lock = threading.Lock()

    def render(self, messages: Sequence[Message]) -> str:
        """The text a model reads for a conversation, ending where its answer begins.

        Raises:
            ModelError: the template is broken, refuses these messages, or takes too long or too much memory.
        """
        turns = [{"role": message.role, "content": message.content} for message in messages]
        answer = self.render_all([Job(turns)])[0]
        if isinstance(answer, Refusal):
            raise ModelError(f"The model's chat template cannot be rendered: {answer.reason}.", _TODO)
        return answer

    def render_all(self, jobs: Sequence[Job]) -> list[str | Refusal]:
        """The text of every job, or why the template refuses it, in the jobs' order; one trip to the child process."""
        asked = {
            "template": self._template,
            "special_tokens": self._special_tokens,
            "jobs": [{"messages": job.messages, "tools": job.tools, "prompt": job.prompt} for job in jobs],
        }
        with self._lock:
            answers = self._ask(json.dumps(asked))
        if isinstance(answers, Refusal):
            return [answers] * len(jobs)
        return [Refusal(answer["refused"]) if "refused" in answer else answer["text"] for answer in answers]

    def close(self) -> None:
        """End the child process; rendering again starts another."""
        self._worker.stop()

    def _ask(self, line: str) -> list[dict[str, str]] | Refusal:
        try:
            if not self._worker.started:
                self._worker.start(_environment())
            self._worker.tell(line)
            answer = self._worker.next(self._limit_s)
        except TimeoutError:
            return Refusal(f"it takes longer than {self._limit_s:g} seconds")
        except OSError:
            answer = None
        if answer is None or not answer.endswith("\n"):  # it ended before, or while, it wrote
            self.close()
            return Refusal("it ended the process it is rendered in, most likely for want of memory")
        answers: list[dict[str, str]] = json.loads(answer)
        return answers


def _environment() -> dict[str, str]:
    """Nothing of ours: keys have no business in a process that runs foreign code."""
    return {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
