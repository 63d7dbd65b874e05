"""How right and how fast GGUF files run through the llama.cpp engine. Ends with one line of JSON.

    python benchmarks_perf/gguf_running.py [--quick] [--data MMLU_FOLDER]

`loglik_error_max`: against transformers in fp32, all families. `mmlu_prefix_speedup`: items/s over the same library
without sequence copies. `decode_vs_bare`: tokens/s over a bare loop of decode and argmax, 1 and 8 at once (the worse).
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from parity.core.outputs import Generation, Loglikelihoods
from parity.core.prompts import Generate, Loglikelihood, Request, RequestId, Sampling, TextPrompt
from parity.core.refs import ModelRef
from parity.engines.llamacpp import LlamaCppEngine
from parity.engines.llamacpp.model import Context, Model, Settings
from parity.engines.open import EngineOptions, open_engine
from parity.quantization.quantize import QuantizeSpec, quantize
from parity.testing.families import FAMILIES, WIDE, family_folder
from parity.testing.folders import trained_tokenizer

TEXTS = ("the cat sat on the mat and the dog ran over the hill", "one two three four five six seven", "A B C D answer")
OPTIONS = (" A", " B", " the dog ran", " seven")
HALF_BILLION = {
    "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 28, "num_attention_heads": 16,
    "num_key_value_heads": 4, "max_position_embeddings": 1024,
}  # fmt: skip


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


def mmlu_prefix_speedup(scratch: Path, data: Path, items: int) -> tuple[float, float]:
    """Items/s with sequence copies over items/s without, and how many times fewer tokens were computed."""
    from parity.benchmarks.catalog import open_benchmark
    from parity.core.items import Tag

    benchmark = open_benchmark("mmlu", data, (Tag.parse("subject=anatomy"),))
    protocol = benchmark.protocol(None)
    requests: list[Request] = [protocol.request(item) for item in benchmark.items[:items]]
    texts = [request.prompt.text for request in requests[:4] if isinstance(request.prompt, TextPrompt)]
    sizes = {**WIDE, "num_hidden_layers": 4, "max_position_embeddings": 8192}
    folder = family_folder("llama-2", scratch / "mmlu", trained_tokenizer(texts, vocabulary=2048), sizes=sizes)
    file = gguf_of(folder, scratch / "mmlu.gguf", "F32")
    seconds, computed, values = {}, {}, {}
    for sharing in (True, False):
        engine = LlamaCppEngine(ModelRef.parse(f"gguf:{file}"), EngineOptions(), sharing=sharing)
        list(engine.answer(requests[:1]))  # memory is taken before the clock starts
        begun = time.perf_counter()
        outputs = dict(engine.answer(requests))
        seconds[sharing] = time.perf_counter() - begun
        assert engine.token_work is not None
        computed[sharing] = engine.token_work.computed
        values[sharing] = [outputs[request.id] for request in requests]
        engine.close()
    for one, other in zip(values[True], values[False], strict=True):
        assert isinstance(one, Loglikelihoods)
        assert isinstance(other, Loglikelihoods)
        assert np.allclose(one.values, other.values, atol=1e-3)
    return seconds[False] / seconds[True], computed[False] / computed[True]


def decode_vs_bare(scratch: Path, sizes: dict[str, int], tokens: int) -> dict[str, float]:
    """Tokens/s of the engine over a bare loop, by how many answers are written at once; the worse order of two."""
    tokenizer = trained_tokenizer(list(TEXTS) * 4, vocabulary=320)
    folder = family_folder("llama-2", scratch / "large", tokenizer, sizes={**sizes, "vocab_size": 32000})
    file = gguf_of(folder, scratch / "large.gguf", "Q8_0")
    threads = EngineOptions().threads
    engine = LlamaCppEngine(ModelRef.parse(f"gguf:{file}"), EngineOptions(batch_size=8, threads=threads))
    bare = Model([file], None, Settings(int(engine._loading["threads"])))
    found = {}
    for at_once in (1, 8):
        ours, theirs = [], []
        for repeat in range(3):  # taking turns, so that both see the same machine
            theirs.append(_bare(bare, at_once, tokens))
            ours.append(_engine(engine, at_once, tokens, repeat))
        found[str(at_once)] = float(np.median(ours) / np.median(theirs))
    engine.close()
    return found


def _bare(model: Model, at_once: int, tokens: int) -> float:
    context = Context(model, tokens + 64, at_once, 512, unified=False)
    last = np.arange(3, 3 + at_once, dtype=np.int32)
    sequences = [(row,) for row in range(at_once)]
    wanted = np.ones(at_once, np.int8)
    context.decode(last, np.zeros(at_once, np.int32), sequences, wanted)
    begun = time.perf_counter()
    for depth in range(1, tokens):
        logits_RV = context.decode(last, np.full(at_once, depth, np.int32), sequences, wanted)
        last = logits_RV.argmax(-1).astype(np.int32)
    seconds = time.perf_counter() - begun
    context.close()
    return at_once * (tokens - 1) / seconds


def _engine(engine: LlamaCppEngine, at_once: int, tokens: int, repeat: int) -> float:
    requests = [Generate(RequestId(f"{repeat}/{at}"), TextPrompt(f"{at}"), Sampling(tokens)) for at in range(at_once)]
    list(engine.answer([Generate(RequestId("first"), TextPrompt("x"), Sampling(1))] * at_once))
    begun = time.perf_counter()
    outputs = dict(engine.answer(requests))
    seconds = time.perf_counter() - begun
    written = [output.usage.completion_tokens for output in outputs.values() if isinstance(output, Generation)]
    assert len(written) == at_once, outputs
    return sum(written) / seconds


def figures(scratch: Path, data: Path, quick: bool) -> dict[str, object]:
    """All of it, printed as it comes; `data` is MMLU's folder."""
    error, families = loglik_error_max(scratch)
    print(f"log-likelihoods of {families} families: at most {error:.2g} nats from transformers")
    speedup, fewer = mmlu_prefix_speedup(scratch, data, 12 if quick else 40)
    print(f"MMLU: {speedup:.2f}x items/s, {fewer:.2f}x fewer tokens computed")
    shape = {**HALF_BILLION, "num_hidden_layers": 8} if quick else HALF_BILLION
    decode = decode_vs_bare(scratch, shape, 32 if quick else 64)
    print(f"decode against a bare loop, by answers at once: {decode}")
    return {
        "families": families,
        "loglik_error_max": error,
        "mmlu_prefix_speedup": speedup,
        "mmlu_fewer_tokens": fewer,
        "decode_vs_bare": min(decode.values()),
        "decode_vs_bare_by_answers": decode,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared/data/mmlu/data")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = figures(Path(folder), asked.data, asked.quick)
    print(json.dumps({**found, "quick": asked.quick}))


if __name__ == "__main__":
    main()
