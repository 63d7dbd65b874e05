"""`parity fit`: does a model fit this machine, or a named GPU, and in which type."""

import json
import sys
from dataclasses import KW_ONLY, dataclass
from typing import Literal

from cyclopts import Parameter

from parity.cli.options import Json


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class FitOptions:
    """What should fit.

    Parameters
    ----------
    model
        A folder (config.json is enough), gguf:FILE, or hf:org/name@revision, of which only headers are read.
    context
        Tokens of context of each sequence; 8,192 or the model's own if not given (2,048 when training).
    parallel
        Sequences at once; rows of a batch when training.
    type
        One storage type, such as Q4_K_M, instead of the list.
    kv_type
        What the key-value cache is kept in.
    train
        Size a training step instead of running.
    on
        A named GPU, such as "RTX 4090" or "H100 SXM", instead of this machine.
    """

    model: str
    _: KW_ONLY
    context: int | None = None
    parallel: int = 1
    type: str | None = None
    kv_type: Literal["F32", "F16", "Q8_0", "Q4_0"] = "F16"
    train: Literal["lora", "qlora", "full"] | None = None
    on: str | None = None


def fit(
    spec: FitOptions,
    *,
    json_: Json = False,
) -> int:
    """Say how many bytes a model needs, what fits, how fast it can be, and which knob to turn. Loads nothing.

    Parameters
    ----------
    json_
        Print one JSON object and nothing else.
    """
    from parity.core.refs import ModelRef
    from parity.models.fit import FitSpec
    from parity.models.fit import fit as size
    from parity.reporting.fits import fit_json, fit_page
    from parity.reporting.terminal import draw, screen

    asked = FitSpec(spec.context, spec.parallel, spec.type, spec.train, spec.on, spec.kv_type)
    found = size(ModelRef.parse(spec.model), asked)
    if json_:
        sys.stdout.write(json.dumps(fit_json(found), ensure_ascii=False) + "\n")
    else:
        draw(fit_page(found), screen())
    return 0
