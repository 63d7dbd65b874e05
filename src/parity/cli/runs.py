"""`parity runs`: what is in the workspace."""

import json
import sys
from pathlib import Path

from parity.cli.options import Json


def runs(
    *,
    workspace: Path = Path(".parity"),
    json_: Json = False,
) -> int:
    """List every run of the workspace, oldest first.

    Parameters
    ----------
    workspace
        The folder to look in.
    json_
        Print one JSON object and nothing else.
    """
    from parity.reporting.runs import runs_json, runs_page
    from parity.reporting.terminal import draw, screen
    from parity.store.workspace import existing

    with existing(workspace) as opened:
        found, accounts = opened.runs(), opened.accounts()
    if json_:
        sys.stdout.write(json.dumps(runs_json(found, accounts), ensure_ascii=False) + "\n")
    else:
        draw(runs_page(found, accounts, str(workspace)), screen())
    return 0
