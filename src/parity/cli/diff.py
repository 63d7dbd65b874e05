"""`parity diff`: what a training changed, in weights, answers and refusals."""

import json
import sys
from pathlib import Path

from parity.cli.options import Json


def diff(
    base: str,
    tuned: str,
    /,
    *,
    prompts: Path | None = None,
    max_tokens: int = 128,
    json_: Json = False,
) -> int:
    """Say which tensors moved and how far, and, with prompts, which answers and refusals changed.

    Parameters
    ----------
    base
        The model before: a folder or hf:org/name@revision.
    tuned
        The model after, or the folder of an adapter.
    prompts
        JSONL of prompts to ask both, greedily: "prompt" (text or messages) or "messages".
    max_tokens
        Longest answer.
    json_
        Print one JSON object and nothing else.
    """
    from parity.cli.progress import showing
    from parity.core.digests import plain
    from parity.reporting.terminal import draw, screen
    from parity.reporting.tunings import diff_page
    from parity.tuning.diff import diff as compare

    with showing(not json_) as progress:
        found = compare(base, tuned, prompts, max_tokens, progress)
    if json_:
        sys.stdout.write(json.dumps(plain(found), ensure_ascii=False) + "\n")
    else:
        draw(diff_page(found), screen())
    return 0
