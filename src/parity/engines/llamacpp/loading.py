"""From weights and options to what a child is told to load, and to the identity under which its answers are kept."""

import os
from collections.abc import Iterator

from parity.core.runs import Identity
from parity.engines.base import ACTIVATIONS, ACTIVATIONS_ROUNDED, EXACT, PREFIXES, PREFIXES_NOT_SHARED
from parity.engines.llamacpp.library import PINNED, WHEEL
from parity.engines.llamacpp.scoring import TILE
from parity.engines.llamacpp.weights import Weights
from parity.engines.llamacpp.wire import Loading, Ready
from parity.engines.open import EngineOptions
from parity.errors import UsageError

PASS_TOKENS = 512
# Answers written at once, where the user does not say.
SLOTS = 8


def loading_of(weights: Weights, options: EngineOptions, sharing: bool) -> Loading:
    """What the child is told. Where not a bit may move, options that shape a pass mean nothing.

    Raises:
        UsageError: a number type for weights that have theirs.
    """
    alone = options.deterministic
    return Loading(
        files=[str(file) for file in weights.files],
        adapter=str(weights.adapter) if weights.adapter else None,
        threads=options.threads or default_threads(),
        exact=_exact(options),
        device=options.device,
        slots=1 if alone else options.batch_size or SLOTS,
        pass_tokens=PASS_TOKENS if alone else options.pass_tokens or PASS_TOKENS,
        sharing=sharing,
        deterministic=alone,
    )


def identity_of(weights: Weights, loading: Loading, ready: Ready) -> Identity:
    """Everything that decides an answer, and what its reader should know."""
    shared = loading["sharing"] and ready["shares"]
    return Identity(
        str(weights.ref),
        weights.digest,
        "llama.cpp",
        ((WHEEL, PINNED),),
        (
            ("cache", "float32" if loading["exact"] else "float16"),
            (PREFIXES, "shared" if shared else PREFIXES_NOT_SHARED),
            *_rounding(weights.types, loading, ready),
        ),
    )


def _rounding(types: frozenset[str], loading: Loading, ready: Ready) -> Iterator[tuple[str, str]]:
    if loading["deterministic"]:
        yield EXACT, f"tiles of {TILE} tokens, {loading['threads']} threads, {ready['processor']}"
    elif types != {"F32"} or not loading["exact"]:
        yield ACTIVATIONS, ACTIVATIONS_ROUNDED


def default_threads() -> int:
    """All cores this process may use; fewer where OMP_NUM_THREADS says so."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdigit() and int(said) else len(os.sched_getaffinity(0))


def _exact(options: EngineOptions) -> bool:
    if options.dtype not in ("auto", "float32"):
        raise UsageError(
            f"The weights of a GGUF file have the types they were quantized to; {options.dtype} has no meaning there.",
            "Leave --dtype out; --cache float16 halves the memory of keys and values.",
        )
    return options.cache == "float32"
