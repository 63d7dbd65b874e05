"""Where the time of scoring goes: real MMLU prompts, a random Llama, torch's own profiler. No peer; one JSON line.

    .venv/bin/python benchmarks_perf/scoring_profile.py [--quick] [--deterministic] [--vocabulary qwen2.5]

Letters are compared (`seconds`), and normalised over the whole vocabulary as if log p were asked for (`seconds_whole`),
in turns, medians. Operations are grouped by what they are for. Tile sizes are compared by what they compute, in tokens.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from choices import CONTEXT_TOKENS, DEFAULT_DATA, Pair, request_of, tokenizer_of
from scoring import works
from torch.profiler import ProfilerActivity, profile

from parity.core.prompts import Loglikelihood
from parity.core.refs import ModelRef, Scheme
from parity.engines.open import EngineOptions
from parity.engines.tokens.walk import Cut, walk
from parity.engines.torch import TorchEngine
from parity.testing.folders import random_llama_folder

KINDS = {"products": ("mm", "addmm", "bmm"), "attention": ("attention",), "normalising": ("softmax",)}
TILES = (None, 16, 32, 64, 128)
ITEMS, ROUNDS = 314, 3


def main() -> int:
    parser = argparse.ArgumentParser(description="Profile scoring of MMLU prompts.")
    parser.add_argument("--quick", action="store_true", help="8 layers of 160, NeoX vocabulary; else 61 M, Qwen's")
    parser.add_argument("--deterministic", action="store_true")
    parser.add_argument("--vocabulary", choices=("pythia", "qwen2.5"), help="another vocabulary with the same layers")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="shared data; default: %(default)s")
    arguments = parser.parse_args()
    work = works(True)[0] if arguments.quick else works(False)[1]
    tokenizer = tokenizer_of(arguments.vocabulary or work.vocabulary, arguments.data)
    rows = list(work.pairs(arguments.data))[:ITEMS]
    requests = list(map(request_of, rows))
    with tempfile.TemporaryDirectory() as scratch:
        sizes = {name: getattr(work.shape, name) for name in work.shape.__slots__}
        random_llama_folder(Path(scratch, "model"), tokenizer, **sizes, context_tokens=CONTEXT_TOKENS)
        options = EngineOptions(device="cpu", dtype="float32", deterministic=arguments.deterministic)
        engine = TorchEngine(ModelRef(Scheme.FOLDER, str(Path(scratch, "model"))), options)
        list(engine.answer(requests[:20]))
        found = both_ways(engine, requests)
        before = engine.token_work
        with profile(activities=[ProfilerActivity.CPU]) as watched:
            list(engine.answer(requests))
    print(json.dumps(found | figures(engine, before, watched) | {"tokens_by_tile": tiles(tokenizer, rows)}))
    return 0


def both_ways(engine: TorchEngine, requests: list[Loglikelihood]) -> dict[str, float]:
    """Seconds and logits of comparing letters, and of normalising for them, in turns."""
    spent: dict[bool, list[float]] = {True: [], False: []}
    logits = {}
    for compared in (True, False) * ROUNDS:
        asked = [replace(request, compared=compared) for request in requests]
        assert engine.work is not None
        before, begun = engine.work.logits, time.perf_counter()
        list(engine.answer(asked))
        spent[compared].append(time.perf_counter() - begun)
        logits[compared] = engine.work.logits - before
    few, whole = statistics.median(spent[True]), statistics.median(spent[False])
    return {
        "seconds": round(few, 2),
        "seconds_whole": round(whole, 2),
        "logits": logits[True],
        "logits_whole": logits[False],
    }


def figures(engine: TorchEngine, before: Any, watched: Any) -> dict[str, Any]:
    """Shares of the profiled time, and what was computed in it."""
    spent = dict.fromkeys((*KINDS, "all else computed"), 0.0)
    for event in watched.key_averages():
        name = event.key.removeprefix("aten::")
        kind = next((kind for kind, parts in KINDS.items() if _is(name, parts)), "all else computed")
        spent[kind] += event.self_cpu_time_total / 1e6
    whole, work = sum(spent.values()), engine.token_work
    assert work is not None
    done = work - before
    return {
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
