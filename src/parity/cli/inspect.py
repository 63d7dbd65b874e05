"""`parity inspect`: what a model is, from its headers and small files alone."""

import json
import sys

from parity.cli.options import Json


def inspect(
    model: str,
    /,
    *,
    base: str | None = None,
    json_: Json = False,
) -> int:
    """Say what a model is without loading it: architecture, parameters in total and per token, context, tokenizer,
    chat template, licence, files. Broken files are named with the byte where they break.

    Parameters
    ----------
    model
        A folder (config.json is enough), a .safetensors or .gguf file, gguf:FILE, or hf:org/name@revision, of which
        only headers and small files are read.
    base
        Also show how its chat template differs from this model's.
    json_
        Print one JSON object and nothing else.
    """
    from parity.core.refs import ModelRef
    from parity.models.inspection import inspect as look
    from parity.reporting.models import inspection_json, inspection_page
    from parity.reporting.terminal import draw, screen

    found = look(ModelRef.parse(model), ModelRef.parse(base) if base else None)
    if json_:
        sys.stdout.write(json.dumps(inspection_json(found), ensure_ascii=False) + "\n")
    else:
        draw(inspection_page(found), screen())
    return 0
