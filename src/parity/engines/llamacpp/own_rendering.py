"""How llama.cpp itself writes a conversation: the chat template of a file, rendered and encoded by the wheel's server.

For comparing with ours; nothing is ever answered this way. The server runs in a process that lives for one question,
listens on this machine only and is asked from inside that process.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from parity.engines.llamacpp.library import WHEEL, check_version
from parity.errors import EngineError
from parity.models.templates import Job, Refusal

_TODO = "parity inspect shows what the file is; llama.cpp's server may want more memory than there is."
_PASSED = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "SYSTEMROOT")


@dataclass(frozen=True, slots=True)
class Rendered:
    """The text, without a BOS that the tokenizer adds itself; and the ids of all that the model reads."""

    text: str
    ids: tuple[int, ...]


def own_renderings(file: Path, jobs: Sequence[Job], time_limit_s: float = 600.0) -> list[Rendered | Refusal]:
    """Every conversation as llama.cpp's server renders and encodes it, or why it refuses; of a split file the first.

    Raises:
        EngineError: the wheel is another one, or its process ended over the file or the template.
    """
    check_version()
    asked = {
        "file": str(file),
        "jobs": [{"messages": list(map(dict, job.messages)), "tools": list(map(dict, job.tools))} for job in jobs],
    }
    environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    command = [sys.executable, "-P", "-m", "parity.engines.llamacpp.own_rendering"]
    try:
        done = subprocess.run(
            command, input=json.dumps(asked), capture_output=True, text=True, encoding="utf-8", errors="replace",
            timeout=time_limit_s, env=environment, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"llama.cpp's server did not render {file.name} in {time_limit_s:g} s.", _TODO) from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1][:300]
        raise EngineError(
            f"llama.cpp's server ended over {file.name} (status {done.returncode}), saying: {said}", _TODO
        )
    answers = json.loads(done.stdout.splitlines()[-1])
    return [
        Refusal(one["refused"]) if "refused" in one else Rendered(one["text"], tuple(one["ids"])) for one in answers
    ]


def main() -> None:
    """Answer one question on stdin by one line of JSON on stdout."""
    from parity.files import egress

    egress.forbid()
    asked = json.load(sys.stdin)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the server prints is no answer
    wheel = import_module(WHEEL)
    params = wheel.CommonParams()
    params.model.path = asked["file"]
    params.n_ctx, params.n_parallel, params.verbosity = 256, 1, 0
    params.warmup = params.fit_params = False
    params.n_gpu_layers = 0
    server = wheel.Server(params)
    found = [_rendered(server.listening_address, job) for job in asked["jobs"]]
    out.write(json.dumps(found) + "\n")
    out.flush()
    os._exit(0)  # its threads would be waited for


def _rendered(address: str, job: Mapping[str, Any]) -> dict[str, Any]:
    try:
        text = _post(address, "/apply-template", {name: part for name, part in job.items() if part})["prompt"]
        ids = _post(address, "/tokenize", {"content": text, "add_special": True, "parse_special": True})["tokens"]
    except HTTPError as error:
        return {"refused": _reason(error)}
    return {"text": text, "ids": ids}


def _post(address: str, path: str, body: Mapping[str, Any]) -> Any:
    request = Request(address + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urlopen(request, timeout=60) as answer:
        return json.load(answer)


def _reason(error: HTTPError) -> str:
    try:
        return str(json.load(error)["error"]["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return f"status {error.code}"


if __name__ == "__main__":
    main()
