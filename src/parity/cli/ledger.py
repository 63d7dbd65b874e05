"""`parity ledger`: every verdict that was asked of the same question, and what alpha is left."""

import json
import sys
from pathlib import Path

from parity.cli.options import Json


def ledger(
    *,
    workspace: Path = Path(".parity"),
    json_: Json = False,
) -> int:
    """List the questions that verdicts were asked of, every look at them, and what the next look may spend.

    Parameters
    ----------
    workspace
        The folder to look in.
    json_
        Print one JSON object and nothing else.
    """
    from parity.reporting.ledgers import ledger_json, ledger_page
    from parity.reporting.terminal import draw, screen
    from parity.store.ledger import Ledger
    from parity.store.workspace import existing

    with existing(workspace) as opened:
        looks = Ledger(opened).looks()
    if json_:
        sys.stdout.write(json.dumps(ledger_json(looks), ensure_ascii=False) + "\n")
    else:
        draw(ledger_page(looks, str(workspace)), screen())
    return 0
