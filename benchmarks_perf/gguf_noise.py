"""How far what is asked beside a prompt moves its log-likelihood through llama.cpp, by type, and what exactness costs.

    python benchmarks_perf/gguf_noise.py [--quick]

The same requests asked all at once along shared prefixes, one by one, in parts, in small passes, each computed whole:
the shape of a pass chooses kernels, and where keys and values lie the order of sums. By type, the largest difference
of a continuation between any two ways, in nats:

`noise_TYPE`: as Parity runs it (`typical_TYPE`: the median between alone and all at once). `plain_TYPE`: without the
weights that llama.cpp repacks for its fastest kernels. `moved_TYPE`: passes of equal shape, so that only the order of
sums differs. `deterministic_TYPE`: with --deterministic, which must be 0. `price_tokens`, `price_seconds_TYPE`:
--deterministic over the usual way. Ends with one line of JSON.
"""

import argparse
import json
import random
import tempfile
import time
from itertools import combinations
from pathlib import Path

import numpy as np

from parity.core.outputs import Loglikelihoods
from parity.core.prompts import Loglikelihood, RequestId, TextPrompt
from parity.core.refs import ModelRef
from parity.engines.llamacpp.library import library
from parity.engines.llamacpp.model import Context, Model, Settings
from parity.engines.llamacpp.scoring import TILE, Scorer
from parity.engines.tokens.encoding import Encoded, Encoder
from parity.engines.tokens.ledger import Work
from parity.quantization.quantize import QuantizeSpec, quantize
from parity.testing.families import WIDE, family_folder
from parity.testing.folders import trained_tokenizer

WORDS = (
    *("the", "cat", "sat", "on", "mat", "and", "dog", "ran", "over", "hill", "answer", "question", "even", "odd"),
    *("one", "two", "three", "four", "five", "six", "seven"),
)
OPTIONS = (" A", " B", " the dog ran", " seven")
TYPES = ("F32", "BF16", "F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "IQ4_XS", "Q2_K")
Values = dict[int, tuple[float, ...]]


def requests_of(count: int) -> list[Loglikelihood]:
    """Prompts in groups of ten that begin with the same worked examples, like those of a benchmark."""
    chance, head = random.Random(0), ""
    found = []
    for at in range(count):
        if at % 10 == 0:
            head = " ".join(chance.choices(WORDS, k=90))
        text = f"{head}\nquestion {at}: " + " ".join(chance.choices(WORDS, k=chance.randint(3, 20))) + " answer:"
        found.append(Loglikelihood(RequestId(str(at)), TextPrompt(text), OPTIONS))
    return found


def loaded(file: Path, repacked: bool = True) -> Model:
    """The model in this process; `repacked` weights are what llama.cpp does by itself."""
    real = library().llama_model_default_params

    def plain() -> object:
        params = real()
        params.use_extra_bufts = repacked
        return params

    library().llama_model_default_params = plain
    try:
        return Model([file], None, Settings(threads=1))
    finally:
        library().llama_model_default_params = real


class Asking:
    """Requests asked of one model in several companies."""

    def __init__(self, model: Model, requests: list[Loglikelihood]) -> None:
        encoder = Encoder(model.tokenizer, None, model.context_tokens)
        self.model = model
        self.encoded = []
        for request in requests:
            found = encoder.likelihood(request)
            assert isinstance(found, Encoded)
            self.encoded.append(found)
        self.order = random.Random(1).sample(range(len(requests)), len(requests))

    def ask(self, blocks: list[list[int]], size: int = 512, sharing: bool = True, tile: int | None = None) -> Values:
        found: Values = {}
        self.work = Work()
        scorer = Scorer(self.model, size, self.work, sharing, tile)
        for block in blocks:
            for settled in scorer.score([self.encoded[at] for at in block], lambda at: False):
                if settled is not None:
                    assert isinstance(settled[1], Loglikelihoods), settled
                    found[block[settled[0]]] = settled[1].values
        scorer.close()
        return found

    def ways(self, tile: int | None) -> list[Values]:
        """All at once, one by one, in two parts, in small passes; and whole, where that is not refused."""
        whole, alone = [self.order], [[at] for at in self.order]
        found = [self.ask(whole, tile=tile), self.ask(alone, tile=tile)]
        found.append(self.ask([self.order[:7], self.order[7:]], 64, tile=tile))
        return found if tile else [*found, self.ask(whole, sharing=False)]

    def moved(self) -> list[Values]:
        """Every prompt in one pass of its own, keys and values in the first cells, and behind another sequence's."""
        context = Context(self.model, 1024, 2, 1024, unified=True)
        found = [{at: self._whole(context, at, behind) for at in self.order} for behind in (0, 37)]
        context.close()
        return found

    def _whole(self, context: Context, at: int, behind: int) -> tuple[float, ...]:
        for sequence in range(2):
            context.keep(sequence, 0)
        if behind:
            other = np.arange(behind, dtype=np.int32)
            context.decode(other + 100, other, [[1]] * behind, np.zeros(behind, np.int8))
        encoded = self.encoded[at]
        ids, wanted = np.array(encoded.context, np.int32), np.zeros(len(encoded.context), np.int8)
        wanted[-1] = 1
        logits_V = context.decode(ids, np.arange(len(ids), dtype=np.int32), [[0]] * len(ids), wanted)[0].astype(float)
        return tuple(float(logits_V[rest[0]] - np.logaddexp.reduce(logits_V)) for rest in encoded.continuations)


def largest(several: list[Values]) -> float:
    return max(
        float(np.abs(np.subtract(one[item], other[item])).max())
        for one, other in combinations(several, 2)
        for item in one
    )


def seconds(asking: Asking, tile: int | None) -> tuple[float, int]:
    begun = time.perf_counter()
    asking.ask([asking.order], tile=tile)
    return time.perf_counter() - begun, asking.work.computed


def of_type(kind: str, source: Path, folder: Path, requests: list[Loglikelihood]) -> dict[str, float]:
    """The figures of one type."""
    target = folder / f"{kind}.gguf"
    file = quantize(QuantizeSpec(ModelRef.parse(str(source)), kind, target, threads=1)).files[0]
    asking = Asking(loaded(file), requests)
    (usual_s, computed), (exact_s, exact) = seconds(asking, None), seconds(asking, TILE)
    usual = asking.ways(None)
    found = {
        f"noise_{kind}": largest(usual),
        f"typical_{kind}": float(np.median([np.abs(np.subtract(usual[0][at], usual[1][at])) for at in usual[0]])),
        f"plain_{kind}": largest(Asking(loaded(file, repacked=False), requests).ways(None)),
        f"moved_{kind}": largest(asking.moved()),
        f"deterministic_{kind}": largest(asking.ways(TILE)),
        f"price_seconds_{kind}": exact_s / usual_s,
        "price_tokens": exact / computed,
    }
    print(kind, json.dumps(found))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="four types and fewer prompts")
    quick = parser.parse_args().quick
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        tokenizer = trained_tokenizer([" ".join(WORDS)] * 4, vocabulary=320)
        sizes = {**WIDE, "max_position_embeddings": 1024}
        source = family_folder("llama-3", folder / "model", tokenizer, sizes=sizes)
        requests = requests_of(20 if quick else 60)
        for kind in ("F32", "BF16", "Q8_0", "Q4_K_M") if quick else TYPES:
            figures |= of_type(kind, source, folder, requests)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
