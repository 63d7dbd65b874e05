"""`parity pull`: a model from the hub to this machine, pinned and checked."""

import json
import sys

from parity.cli.options import Json
from parity.errors import UsageError


def pull(
    model: str,
    /,
    *,
    trust: bool = False,
    stall: float = 30.0,
    json_: Json = False,
) -> int:
    """Fetch a model from the Hugging Face hub, pinned to a commit, every file checked against the hub's listing.

    Stop it at any time and run the same command: it goes on where it stopped.

    Parameters
    ----------
    model
        hf:org/name, or hf:org/name@REVISION with a branch, a tag or a commit.
    trust
        Fetch a model whose configuration asks to run its own code. Parity still never runs it.
    stall
        Seconds without a byte after which a transfer is begun anew, without Xet.
    json_
        Print one JSON object and nothing else.
    """
    from parity.cli.progress import showing
    from parity.core.refs import ModelRef
    from parity.models.hub import pull as fetch
    from parity.models.transfer import Patience
    from parity.reporting.pulls import pulled_json, pulled_page
    from parity.reporting.terminal import draw, screen

    if not stall > 0:
        raise UsageError(f"--stall {stall:g} is not a number of seconds above 0.", "The default is 30.")
    with showing(enabled=not json_, unit="bytes") as progress:
        found = fetch(ModelRef.parse(model), trust, Patience(stall_s=stall), progress)
    if json_:
        sys.stdout.write(json.dumps(pulled_json(found), ensure_ascii=False) + "\n")
    else:
        draw(pulled_page(found), screen())
    return 0
