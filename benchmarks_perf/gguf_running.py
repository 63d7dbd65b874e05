"""How right and how fast GGUF files run through the llama.cpp engine. Ends with one line of JSON.

    python benchmarks_perf/gguf_running.py [--quick] [--data SHARED_DATA]

`loglik_error_max`: against transformers in fp32, all families. `mmlu_prefix_speedup`: items/s of 5-shot MMLU over the
same library without sequence copies. `decode_vs_bare`, `prompt_vs_bare`: tokens/s over a bare loop of decode and argmax
on the same ids, 1 and 8 at once (the worse). Vocabularies are real: with a tiny one prompts are long, and answers end.
"""

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from choices import DEFAULT_DATA

from parity.benchmarks.catalog import open_benchmark
from parity.core.items import Tag
from parity.core.outputs import Generation, Loglikelihoods
from parity.core.prompts import Generate, Loglikelihood, Request, RequestId, Sampling, TextPrompt
from parity.core.refs import ModelRef
from parity.engines.llamacpp import LlamaCppEngine
from parity.engines.llamacpp.model import Context, Model, Settings
from parity.engines.open import EngineOptions, open_engine
from parity.quantization.quantize import QuantizeSpec, quantize
from parity.testing.families import FAMILIES, WIDE, family_folder
from parity.testing.folders import trained_tokenizer
from parity.testing.llama2c import sentencepiece_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TEXTS = ("the cat sat on the mat and the dog ran over the hill", "one two three four five six seven", "A B C D answer")
OPTIONS = (" A", " B", " the dog ran", " seven")
HALF_BILLION = {
    "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 28, "num_attention_heads": 16,
    "num_key_value_heads": 4, "max_position_embeddings": 1024,
}  # fmt: skip
SMALL = {
    "hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 4, "num_attention_heads": 8,
    "num_key_value_heads": 4, "max_position_embeddings": 8192,
}  # fmt: skip
SUBJECTS = ("anatomy", "high_school_us_history", "college_mathematics")
AT_ONCE = (1, 8)
REPEATS = 8


def gguf_of(folder: Path, target: Path, to: str) -> Path:
    """A folder's GGUF file in a type."""
    return quantize(QuantizeSpec(ModelRef.parse(str(folder)), to, target)).files[0]


def loglik_error_max(scratch: Path) -> tuple[float, int]:
    """The largest difference of a continuation's log-likelihood in nats, and how many families were compared."""
    tokenizer = trained_tokenizer(list(TEXTS) * 4, vocabulary=320)
    requests = [Loglikelihood(RequestId(text), TextPrompt(text), OPTIONS) for text in TEXTS]
    worst = 0.0
    for name in FAMILIES:
        sizes = {**WIDE, **({"sliding_window": None} if name == "mistral" else {})}
        folder = family_folder(name, scratch / name, tokenizer, sizes=sizes)
        file = gguf_of(folder, scratch / f"{name}.gguf", "F32")
        found = []
        for ref in (f"gguf:{file}", str(folder)):
            engine = open_engine(ModelRef.parse(ref), EngineOptions(device="cpu"))
            found.append(dict(engine.answer(requests)))
            engine.close()
        for request in requests:
            one, other = (outputs[request.id] for outputs in found)
            assert isinstance(one, Loglikelihoods)
            assert isinstance(other, Loglikelihoods)
            assert one.tokens == other.tokens, (name, one, other)
            worst = max(worst, float(np.abs(np.subtract(one.values, other.values)).max()))
    return worst, len(FAMILIES)


def llama_tokenizer(data: Path, scratch: Path) -> "PreTrainedTokenizerBase":
    """Llama 2's own, with 32,000 tokens."""
    return sentencepiece_tokenizer(data / "tokenizers" / "llama2" / "tokenizer.model", scratch / "llama2-tokenizer")


def mmlu_prefix_speedup(
    scratch: Path, data: Path, items: int, subjects: Sequence[str] = SUBJECTS
) -> tuple[float, float]:
    """Items/s with sequence copies over items/s without, and how many times fewer tokens were computed.

    `items` of each subject: a prefix of five worked examples is shared by all of a subject.
    """
    benchmark = open_benchmark("mmlu", data / "mmlu" / "data", tuple(Tag("subject", name) for name in subjects))
    protocol = benchmark.protocol(None)
    chosen = [item for name in subjects for item in [one for one in benchmark.items if name in one.id][:items]]
    requests: list[Request] = [protocol.request(item) for item in chosen]
    folder = family_folder("llama-2", scratch / "mmlu", llama_tokenizer(data, scratch), sizes=SMALL)
    file = gguf_of(folder, scratch / "mmlu.gguf", "F32")
    seconds, computed, values = {}, {}, {}
    for sharing in (True, False):
        engine = LlamaCppEngine(ModelRef.parse(f"gguf:{file}"), EngineOptions(), sharing=sharing)
        list(engine.answer(requests[:1]))  # memory is taken before the clock starts
        before = engine.token_work
        begun = time.perf_counter()
        outputs = dict(engine.answer(requests))
        seconds[sharing] = time.perf_counter() - begun
        assert engine.token_work is not None
        assert before is not None
        computed[sharing] = (engine.token_work - before).computed
        values[sharing] = [outputs[request.id] for request in requests]
        engine.close()
    for one, other in zip(values[True], values[False], strict=True):
        assert isinstance(one, Loglikelihoods)
        assert isinstance(other, Loglikelihoods)
        assert np.allclose(one.values, other.values, atol=1e-3)
    return seconds[False] / seconds[True], computed[False] / computed[True]


def speed_vs_bare(
    scratch: Path, data: Path, sizes: Mapping[str, int], tokens: int, prompt: int
) -> dict[str, dict[str, float]]:
    """Tokens/s of the engine over the bare loop's, of decoding and of prompts, by how many are answered at once."""
    folder = family_folder("llama-2", scratch / "large", llama_tokenizer(data, scratch), sizes=sizes)
    file = gguf_of(folder, scratch / "large.gguf", "Q8_0")
    engine = LlamaCppEngine(ModelRef.parse(f"gguf:{file}"), EngineOptions(batch_size=8))
    bare = Model([file], None, Settings(int(engine._loading["threads"])))
    found: dict[str, dict[str, float]] = {"decode": {}, "prompt": {}}
    for at_once in AT_ONCE:
        rates: dict[str, list[float]] = defaultdict(list)
        for repeat in range(REPEATS):
            short = [f"{repeat} {at} is" for at in range(at_once)]
            long = [f"{at_once} {repeat} {at}" + " one two" * (prompt // 2) for at in range(at_once)]
            for kind, texts, written in (("decode", short, tokens), ("prompt", long, 1)):
                rows = engine.encode(texts)
                for side in ("bare", "ours")[:: -1 if repeat % 2 else 1]:  # in turns, so that both see the same machine
                    rate = _bare(bare, rows, written) if side == "bare" else _engine(engine, texts, written)
                    rates[side + kind].append(rate)
        for kind in found:
            found[kind][str(at_once)] = round(
                float(np.median(rates["ours" + kind]) / np.median(rates["bare" + kind])), 3
            )
    engine.close()
    return found


def _bare(model: Model, rows: Sequence[Sequence[int]], tokens: int) -> float:
    """Read the rows in passes of 512 ids, then choose and read `tokens` - 1 more of each; ids a second."""
    at_once, most = len(rows), max(map(len, rows))
    context = Context(model, most + tokens + 64, at_once, 512, unified=False)
    ids_N = np.concatenate(rows).astype(np.int32)
    depths_N = np.concatenate([np.arange(len(row)) for row in rows]).astype(np.int32)
    owners = [row for row, ids in enumerate(rows) for _ in ids]
    last_N = np.array([depth + 1 == len(rows[row]) for depth, row in zip(depths_N, owners, strict=True)], np.int8)
    begun = time.perf_counter()
    last = np.zeros(at_once, np.int32)
    for start in range(0, len(ids_N), context.pass_tokens):
        part = slice(start, start + context.pass_tokens)
        sequences = [(row,) for row in owners[part]]
        logits_RV = context.decode(ids_N[part], depths_N[part], sequences, last_N[part])
        done = [row for row, wanted in zip(owners[part], last_N[part], strict=True) if wanted]
        last[done] = logits_RV.argmax(-1)
    lengths, wanted = np.array([len(row) for row in rows], np.int32), np.ones(at_once, np.int8)
    sequences = [(row,) for row in range(at_once)]
    for step in range(tokens - 1):
        last = context.decode(last, lengths + step, sequences, wanted).argmax(-1).astype(np.int32)
    seconds = time.perf_counter() - begun
    context.close()
    return (len(ids_N) + at_once * (tokens - 1)) / seconds


def _engine(engine: LlamaCppEngine, texts: Sequence[str], tokens: int) -> float:
    """The same through the engine; ids a second. An answer that ends early would be less work, and is refused."""
    requests = [Generate(RequestId(text), TextPrompt(text), Sampling(tokens)) for text in texts]
    # Slots as long as needed are made before the clock starts.
    list(engine.answer([Generate(RequestId(f"_{text}"), TextPrompt(f"_{text}"), Sampling(1)) for text in texts]))
    begun = time.perf_counter()
    outputs = dict(engine.answer(requests))
    seconds = time.perf_counter() - begun
    usages = [output.usage for output in outputs.values() if isinstance(output, Generation)]
    if len(usages) < len(texts) or any(usage.completion_tokens < tokens for usage in usages):
        raise SystemExit(f"an answer of the random model ended early: {outputs}")
    return (sum(usage.prompt_tokens for usage in usages) + len(texts) * (tokens - 1)) / seconds


def figures(scratch: Path, data: Path, quick: bool) -> dict[str, object]:
    """All of it, printed as it comes; `data` is the folder of shared data."""
    error, families = loglik_error_max(scratch)
    print(f"log-likelihoods of {families} families: at most {error:.2g} nats from transformers")
    speedup, fewer = mmlu_prefix_speedup(scratch, data, 20 if quick else 40, SUBJECTS[::2] if quick else SUBJECTS)
    print(f"MMLU: {speedup:.2f}x items/s, {fewer:.2f}x fewer tokens computed")
    shape = {**HALF_BILLION, "num_hidden_layers": 6} if quick else HALF_BILLION
    speed = speed_vs_bare(scratch, data, shape, 32 if quick else 64, 64 if quick else 256)
    print(f"against a bare loop, by answers at once: {speed}")
    return {
        "families": families,
        "loglik_error_max": error,
        "mmlu_prefix_speedup": speedup,
        "mmlu_fewer_tokens": fewer,
        "decode_vs_bare": min(speed["decode"].values()),
        "decode_vs_bare_by_answers": speed["decode"],
        "prompt_vs_bare": min(speed["prompt"].values()),
        "prompt_vs_bare_by_answers": speed["prompt"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer items and subjects, 6 layers instead of 28")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = figures(Path(folder), asked.data, asked.quick)
    print(json.dumps({**found, "quick": asked.quick}))


if __name__ == "__main__":
    main()
