"""The process in which templates are rendered: one JSON object in, one out, a line each. Run by `Renderer`.

It may neither write files nor take much memory; how long it takes is watched from outside.
"""

import json
import resource
import signal
import sys

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
    try:
        text = render(asked["template"], asked["messages"], asked["special_tokens"])
        if len(text) > MAX_OUTPUT_CHARACTERS:
            return json.dumps({"refused": f"it writes {len(text):,} characters, more than {MAX_OUTPUT_CHARACTERS:,}"})
        return json.dumps({"text": text})
    except Refused as error:
        return json.dumps({"refused": str(error)[:500]})
    except MemoryError:
        return json.dumps({"refused": "it needs more memory than it is given"})


if __name__ == "__main__":
    main()
