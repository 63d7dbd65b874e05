"""The process in which templates are rendered: a JSON object of jobs in, a list of answers out, a line each.

Run by `Renderer`.
It may neither write files nor take much memory; how long it takes is watched from outside.
"""

import json
import resource
import signal
import sys
from typing import Any

from parity.models.templates.sandbox import Refused, render

MEMORY_BYTES = 512 * 1024**2
ORPHAN_LIMIT_S = 60
MAX_OUTPUT_CHARACTERS = 4 * 1024**2


def main() -> None:
    for limit, value in ((resource.RLIMIT_AS, MEMORY_BYTES), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(limit)
        ceiling = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (ceiling, ceiling))
    for line in sys.stdin:
        signal.alarm(ORPHAN_LIMIT_S)  # should the parent die while a render never ends, this process does too
        print(_answer(line), flush=True)  # noqa: T201 - stdout is the pipe to the parent
        signal.alarm(0)


def _answer(line: str) -> str:
    asked = json.loads(line)
    return json.dumps([_rendered(asked["template"], asked["special_tokens"], job) for job in asked["jobs"]])


def _rendered(template: str, special_tokens: dict[str, str], job: dict[str, Any]) -> dict[str, str]:
    try:
        text = render(template, job["messages"], special_tokens, job["tools"], job["prompt"])
    except Refused as error:
        return {"refused": str(error)[:500]}
    except MemoryError:
        return {"refused": "it needs more memory than it is given"}
    if len(text) > MAX_OUTPUT_CHARACTERS:
        return {"refused": f"it writes {len(text):,} characters, more than {MAX_OUTPUT_CHARACTERS:,}"}
    return {"text": text}


if __name__ == "__main__":
    main()
