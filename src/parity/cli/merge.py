"""`parity merge`: an adapter into its base, proved by logits."""

import json
import sys
from pathlib import Path

from parity.cli.options import Json


def merge(
    adapter: Path,
    out: Path,
    /,
    *,
    base: str | None = None,
    json_: Json = False,
) -> int:
    """Merge a LoRA adapter into its base and prove that the merged model says what base and adapter say together.

    Parameters
    ----------
    adapter
        Folder of the adapter.
    out
        New folder for the merged model.
    base
        The base, if not the one the adapter names.
    json_
        Print one JSON object and nothing else.
    """
    from parity.cli.progress import showing
    from parity.core.digests import plain
    from parity.reporting.terminal import draw, screen
    from parity.reporting.tunings import merge_page
    from parity.tuning.merging import merge as join

    with showing(not json_) as progress:
        found = join(base, adapter, out, progress)
    if json_:
        entries = {name: getattr(found, name) for name in found.__dataclass_fields__}
        sys.stdout.write(json.dumps(plain({**entries, "folder": str(found.folder)}), ensure_ascii=False) + "\n")
    else:
        draw(merge_page(found), screen())
    return 0
