"""The process in which answers are compared as mathematics: a JSON list of text and targets in, its verdict out.

Run by `mathematics`. It has a main thread for math-verify's alarms and a limit of memory; how long it takes is watched
from outside as well.
"""

import json
import logging
import resource
import sys

from math_verify import parse, verify

from parity.marking.mathematics import TIMEOUT_S

MEMORY_BYTES = 4 * 1024**3


def main() -> None:
    for limit, value in ((resource.RLIMIT_AS, MEMORY_BYTES), (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(limit)
        ceiling = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (ceiling, ceiling))
    logging.disable(logging.CRITICAL)  # a limit that was passed is an answer, not news
    print("ready", flush=True)  # noqa: T201 - stdout is the pipe to the parent
    for line in sys.stdin:
        text, targets = json.loads(line)
        print(json.dumps(_verdict(text, targets)), flush=True)  # noqa: T201 - as above


def _verdict(text: str, targets: list[str]) -> dict[str, object]:
    golds = [parse(_as_mathematics(target), parsing_timeout=TIMEOUT_S) for target in targets]
    if not any(golds):
        return {"unread": True}
    try:
        answer = parse(text, parsing_timeout=TIMEOUT_S)
        right = any(verify(gold, answer, timeout_seconds=TIMEOUT_S) for gold in golds if gold and answer)
        return {"answer": str(answer[-1])[:200] if answer else None, "right": right}
    except (MemoryError, ValueError, RecursionError):
        # ValueError: Python writes no integer of more than 4,300 digits.
        return {"answer": None}


def _as_mathematics(target: str) -> str:
    """A bare answer is put between dollars; a whole solution stays as it is."""
    return target if "$" in target or "\\boxed" in target else f"${target}$"


if __name__ == "__main__":
    main()
