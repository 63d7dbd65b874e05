"""Where the time of scoring goes: real MMLU prompts, a random Llama, torch's own profiler. No peer; one JSON line.

    .venv/bin/python benchmarks_perf/scoring_profile.py [--quick] [--deterministic] [--whole]

Operations are grouped by what they are for. Tile sizes are compared by what they compute, in tokens.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from choices import CONTEXT_TOKENS, DEFAULT_DATA, Pair, request_of, tokenizer_of
from scoring import works
from torch.profiler import ProfilerActivity, profile

from parity.core.refs import ModelRef, Scheme
from parity.engines.open import EngineOptions
from parity.engines.tokens.walk import Cut, walk
from parity.engines.torch import TorchEngine
from parity.testing.folders import random_llama_folder

KINDS = {"products": ("mm", "addmm", "bmm"), "attention": ("attention",), "normalising": ("softmax",)}
TILES = (None, 16, 32, 64, 128)
ITEMS = 314


def main() -> int:
    parser = argparse.ArgumentParser(description="Profile scoring of MMLU prompts.")
    parser.add_argument("--quick", action="store_true", help="10 M parameters, NeoX vocabulary; else 61 M, Qwen's")
    parser.add_argument("--deterministic", action="store_true")
    parser.add_argument("--whole", action="store_true", help="normalise over the whole vocabulary, as if p were asked")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="shared data; default: %(default)s")
    arguments = parser.parse_args()
    work = works(True)[0] if arguments.quick else works(False)[1]
    tokenizer, rows = tokenizer_of(work.vocabulary, arguments.data), list(work.pairs(arguments.data))[:ITEMS]
    requests = list(map(request_of, rows))
    if arguments.whole:
        requests = [replace(request, compared=False) for request in requests]
    with tempfile.TemporaryDirectory() as scratch:
        sizes = {name: getattr(work.shape, name) for name in work.shape.__slots__}
        random_llama_folder(Path(scratch, "model"), tokenizer, **sizes, context_tokens=CONTEXT_TOKENS)
        options = EngineOptions(device="cpu", dtype="float32", deterministic=arguments.deterministic)
        engine = TorchEngine(ModelRef(Scheme.FOLDER, str(Path(scratch, "model"))), options)
        list(engine.answer(requests[:20]))
        before, begun = engine.token_work, time.perf_counter()
        logits = -engine.work.logits
        list(engine.answer(requests))
        seconds = time.perf_counter() - begun
        logits += engine.work.logits
        with profile(activities=[ProfilerActivity.CPU]) as watched:
            list(engine.answer(requests))
    tokens = {"logits": logits, "tokens_by_tile": tiles(tokenizer, rows)}
    print(json.dumps(figures(engine, before, seconds, watched) | tokens))
    return 0


def figures(engine: TorchEngine, before: Any, seconds: float, watched: Any) -> dict[str, Any]:
    """Shares of the profiled time, and what was computed in both runs."""
    spent = dict.fromkeys((*KINDS, "all else computed"), 0.0)
    for event in watched.key_averages():
        name = event.key.removeprefix("aten::")
        kind = next((kind for kind, parts in KINDS.items() if _is(name, parts)), "all else computed")
        spent[kind] += event.self_cpu_time_total / 1e6
    whole, work = sum(spent.values()), engine.token_work
    assert work is not None
    done = work - before
    return {
        "seconds": round(seconds, 2),
        "computed_over_floor": round(done.computed / done.distinct, 3),
        "matrix_share": round(done.matrix_share or 0, 3),
        "shares": {kind: round(found / whole, 3) for kind, found in spent.items()},
    }


def _is(name: str, parts: tuple[str, ...]) -> bool:
    return name in parts or (len(parts) == 1 and parts[0] in name)


def tiles(tokenizer: Any, rows: list[Pair]) -> dict[str, int]:
    """Tokens that tiles of several sizes compute for these prompts; "None": without tiles, each distinct token once."""
    contexts = [tuple(tokenizer.encode(row["head"] + row["question"])) for row in rows]
    found = {}
    for tile in TILES:
        cut = Cut(0, tile)
        walked = walk(contexts, [((0,),)] * len(contexts), tile)
        found[str(tile)] = sum(cut.room(len(row.ids)) - row.begin for row in walked)
    return found


if __name__ == "__main__":
    sys.exit(main())
