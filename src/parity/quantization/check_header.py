"""What a GGUF file says of itself against what its folder says: sizes, numbers, vocabulary, template.

Entries are compared as bytes with those that Parity's converter writes for the folder; keys that are a converter's own
affair (names, licences, file types) are left alone.
"""

import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from parity.engines.llamacpp import LlamaCppEngine
from parity.errors import ParityError
from parity.quantization.models import GgufModel

# Ends of keys that decide what is computed, and what a difference in them is called.
_CAUSES: Mapping[str, str] = {
    "rope.freq_base": "wrong rope base",
    "attention.layer_norm_rms_epsilon": "wrong epsilon",
    "rope.scaling.type": "wrong rope scaling",
    "rope.scaling.factor": "wrong rope scaling",
    "rope.dimension_count": "wrong rope size",
    "attention.head_count": "wrong number of heads",
    "attention.head_count_kv": "wrong number of key heads",
    "block_count": "wrong number of layers",
    "expert_count": "wrong number of experts",
    "expert_used_count": "wrong number of experts",
    "expert_weights_scale": "wrong expert weights",
    "expert_weights_norm": "wrong expert weights",
    "expert_gating_func": "wrong expert gate",
}
HARD_TEXTS = (
    "Hello world", " two  spaces   and\ttabs\n\nlines", "naïve café — “quotes” …", "数学と日本語、中文。",
    "😀👩‍👧 e\u0301 ﬁ",
    "def f(x):\n    return x**2  # 3.14159", "1234567890 007", "don't WON'T I'll", "",
)  # fmt: skip
Found = Iterator[tuple[str, str]]


def header_problems(ours: GgufModel, theirs: GgufModel) -> Found:
    """Numbers of the configuration that differ, as (cause, what was seen)."""
    for key in sorted(ours.metadata):
        for end, cause in _CAUSES.items():
            if key.endswith("." + end) and theirs.metadata.get(key) != ours.metadata[key]:
                yield cause, f"{key} is {'absent' if key not in theirs.metadata else 'another value'}"


def template_problems(ours: GgufModel, theirs: GgufModel) -> Found:
    """Whether the chat template is the folder's."""
    key = "tokenizer.chat_template"
    mine, other = ours.metadata.get(key), theirs.metadata.get(key)
    if mine != other:
        seen = "is absent" if other is None else "is not in the folder" if mine is None else "differs from the folder's"
        yield "wrong template", f"the chat template {seen}"


def tokenizer_problems(base: Path, engine: LlamaCppEngine | None, ours: GgufModel, theirs: GgufModel) -> Found:
    """Vocabulary, special ids, and ids of hard texts; `engine` None where the file cannot be run."""
    key = "tokenizer.ggml.tokens"
    if ours.metadata.get(key) != theirs.metadata.get(key):
        mine, other = len(ours.metadata.get(key, b"")), len(theirs.metadata.get(key, b""))
        yield (
            "truncated vocabulary" if other < mine else "another vocabulary",
            f"the token list has {other:,} bytes where the folder's has {mine:,}",
        )
    for name, cause in (("eos_token_id", "missing EOS"), ("bos_token_id", "another BOS")):
        key = f"tokenizer.ggml.{name}"
        if ours.metadata.get(key) != theirs.metadata.get(key):
            yield cause, f"{key} is {'absent' if key not in theirs.metadata else 'another id'}"
    if engine is not None:
        yield from _id_problems(base, engine)


def _id_problems(base: Path, engine: LlamaCppEngine) -> Found:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base, trust_remote_code=False, local_files_only=True)
    texts = [_composed(text, tokenizer) for text in HARD_TEXTS]
    expected = [tuple(tokenizer.encode(text)) for text in texts]
    try:
        found = engine.encode(texts)
    except ParityError as error:
        yield "the tokenizer cannot run", error.what
        return
    pairs = list(zip(texts, expected, found, strict=True))
    fronts = {other[: len(other) - len(mine)] for _, mine, other in pairs if other[len(other) - len(mine) :] == mine}
    if len(fronts) == 1 and (front := fronts.pop()) and all(len(other) > len(mine) for _, mine, other in pairs):
        yield (
            "doubled BOS",
            f"token {front[0]} stands before every text, {len(front)} more than the folder's tokenizer puts there: "
            "where the template or the caller writes one, there are two",
        )
        return
    lost = {mine[: len(mine) - len(other)] for _, mine, other in pairs if mine[len(mine) - len(other) :] == other}
    if len(lost) == 1 and lost.pop():
        yield "missing BOS", "what the folder's tokenizer puts before every text is not there"
        return
    differing = [text for text, mine, other in pairs if mine != other]
    if differing:
        yield "other token ids", f"{len(differing)} of {len(pairs)} hard texts, such as {differing[0][:40]!r}"


def _composed(text: str, tokenizer: Any) -> str:
    """The text with its marks composed (NFC) where the source's tokenizer does that itself: llama.cpp does not."""
    composed = unicodedata.normalize("NFC", text)
    return composed if tokenizer.encode(composed) == tokenizer.encode(text) else text
