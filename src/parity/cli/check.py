"""`parity check`: is a GGUF file still the model it was made from, and if not, where was it lost?"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from parity.core.checked import Checked


def check(
    base: Path,
    file: Path,
    /,
    *,
    text: Path | None = None,
    unmerged: Path | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Compare a GGUF file with the transformers folder it was made from, hop by hop: tokenizer, configuration, chat
    template, tensors, outputs. The first hop that fails is named, with its likely cause; the exit code is 1 then.

    Parameters
    ----------
    base
        The transformers folder; where an adapter was merged, the merged one.
    file
        The GGUF file; of a split one any part.
    text
        Texts to compare outputs on, a paragraph each; a few of Parity's own if not given.
    unmerged
        The folder before the adapter was merged, by which a file made without it is known.
    json_
        Print one JSON object and nothing else; shares are fractions.
    """
    from parity.errors import DataError
    from parity.files import read_text
    from parity.quantization.check import check as run
    from parity.quantization.check_outputs import TEXTS
    from parity.reporting.checks import checked_page
    from parity.reporting.terminal import draw, screen

    texts = TEXTS
    if text is not None:
        texts = tuple(filter(None, map(str.strip, read_text(text, "text", DataError).split("\n\n"))))
    found = run(base, file, texts, unmerged)
    if json_:
        sys.stdout.write(json.dumps(_data(found), ensure_ascii=False) + "\n")
    else:
        draw(checked_page(found), screen())
    return 1 if found.problems else 0


def _data(found: "Checked") -> dict[str, object]:
    return {**asdict(found), "first": asdict(found.first) if found.first else None}
