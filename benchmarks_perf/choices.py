"""Multiple choice as prompts and continuations, real tokenizers, and what a Llama's arithmetic needs for them."""

import gzip
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parity.benchmarks import mmlu
from parity.core.prompts import Loglikelihood, RequestId, TextPrompt
from parity.testing.folders import qwen_tokenizer

ROOT = Path(__file__).resolve().parents[1]
DEFAULT_DATA = Path(os.environ.get("PARITY_SHARED") or ROOT.parent / "shared" / "data")
CONTEXT_TOKENS = 4096
Pair = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """A Llama's sizes. Ours and theirs are computed in fp32."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    ffn: int

    def body_flops(self) -> int:
        """Operations of the layers for one token, attention's sums apart."""
        kv = self.hidden * self.kv_heads // self.heads
        return 2 * self.layers * (2 * self.hidden**2 + 2 * self.hidden * kv + 3 * self.hidden * self.ffn)

    def attention_flops(self, seen: float) -> float:
        """Operations of attention for tokens that see `seen` tokens in all, themselves included."""
        return 4 * self.layers * self.hidden * seen

    def parameters(self, vocabulary: int) -> int:
        """Weights, with one matrix for both ends."""
        return self.body_flops() // 2 + self.hidden * vocabulary


def flops(shape: Shape, vocabulary: int, found: dict[str, Any]) -> tuple[float, float]:
    """Operations the harness's way needs, and the least that can do: (theirs, least).

    The least has logits of the whole vocabulary where log-likelihoods are asked for (`positions`), and those of the
    options alone where they are compared (`letters`).
    """
    rows, logit = found["rows"], 2 * shape.hidden
    theirs = sum(rows) * (shape.body_flops() + logit * vocabulary)
    theirs += shape.attention_flops(sum(n * (n + 1) / 2 for n in rows))
    least = found["floor"] * shape.body_flops() + shape.attention_flops(found["seen"])
    least += logit * (found["positions"] * vocabulary + found["letters"])
    return float(theirs), float(least)


def beginnings(sequences: set[tuple[int, ...]]) -> dict[int, int]:
    """Every distinct beginning of the sequences, counted one by one, with its length: the least there is to compute."""
    found = {}
    for sequence in sequences:
        digest = 0
        for depth, token in enumerate(sequence, start=1):
            digest = hash((digest, token))
            found[digest] = depth
    return found


def mmlu_pairs(data: Path, subjects: tuple[str, ...]) -> Iterator[Pair]:
    """5-shot MMLU by the protocol whose prompts are the harness's own."""
    benchmark = mmlu.load(data / "mmlu", subjects)
    protocol = benchmark.protocol("lm-eval")
    for item in benchmark.items:
        asked = protocol.request(item)
        assert isinstance(asked, Loglikelihood)
        prompt, letters = protocol.prompt(item), list(asked.continuations)
        pair = {"item": item.id, "head": prompt.head, "question": prompt.question, "continuations": letters}
        yield pair | {"compared": asked.compared}


def request_of(pair: Pair) -> Loglikelihood:
    """What our engine is asked."""
    prompt, options = TextPrompt(pair["question"], pair["head"]), tuple(pair["continuations"])
    return Loglikelihood(RequestId(pair["item"]), prompt, options, compared=pair.get("compared", False))


def arc_pairs(data: Path) -> Iterator[Pair]:
    """200 questions of ARC-Challenge behind 25 answered ones, options as texts."""
    shots = list(_rows(data / "mc_benchmarks" / "arc_challenge_train.jsonl.gz"))[:25]
    head = "".join(f"{shot['query'].strip()} {shot['choices'][shot['gold']].strip()}\n\n" for shot in shots)
    yield from _questions(data / "mc_benchmarks" / "arc_challenge_test.jsonl.gz", head, 200)


def hellaswag_pairs(data: Path) -> Iterator[Pair]:
    """500 beginnings of HellaSwag with four endings each."""
    yield from _questions(data / "mc_benchmarks" / "hellaswag_validation.jsonl.gz", "", 500)


def _questions(path: Path, head: str, count: int) -> Iterator[Pair]:
    for row in list(_rows(path))[:count]:
        options = [f" {option.strip()}" for option in row["choices"]]
        yield {"item": str(row["doc_id"]), "head": head, "question": row["query"].strip(), "continuations": options}


def _rows(path: Path) -> Iterator[Pair]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def tokenizer_of(name: str, data: Path) -> Any:
    """A real tokenizer of the data folder."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    if name == "qwen2.5":
        return qwen_tokenizer(data / "tokenizers" / name)
    text = gzip.decompress((data / "tokenizers" / "pythia" / "20B_tokenizer.json.gz").read_bytes()).decode()
    end = "<|endoftext|>"
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(text), eos_token=end, pad_token=end)
