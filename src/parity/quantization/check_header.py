"""What a GGUF file says of itself against what it should say: sizes, numbers, vocabulary, template.

Entries are compared as bytes, a folder's as Parity's converter would write them; keys that are a converter's own
affair (names, licences, file types) are left alone.
"""

from collections.abc import Iterator, Mapping

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
Found = Iterator[tuple[str, str]]


def header_problems(ours: GgufModel, theirs: GgufModel) -> Found:
    """Numbers of the configuration that differ, as (cause, what was seen)."""
    for key in sorted(ours.metadata):
        for end, cause in _CAUSES.items():
            if key.endswith("." + end) and theirs.metadata.get(key) != ours.metadata[key]:
                yield cause, f"{key} is {'absent' if key not in theirs.metadata else 'another value'}"


def template_problems(ours: GgufModel, theirs: GgufModel) -> Found:
    """Whether the chat template is the same, to the byte."""
    key = "tokenizer.chat_template"
    mine, other = ours.metadata.get(key), theirs.metadata.get(key)
    if mine != other:
        seen = "is absent" if other is None else "is new" if mine is None else "is another"
        yield "wrong template", f"the chat template {seen}"


def vocabulary_problems(ours: GgufModel, theirs: GgufModel) -> Found:
    """Token list and special ids."""
    key = "tokenizer.ggml.tokens"
    if ours.metadata.get(key) != theirs.metadata.get(key):
        mine, other = len(ours.metadata.get(key, b"")), len(theirs.metadata.get(key, b""))
        yield (
            "truncated vocabulary" if other < mine else "another vocabulary",
            f"the token list has {other:,} bytes where {mine:,} are right",
        )
    for name, cause in (("eos_token_id", "missing EOS"), ("bos_token_id", "another BOS")):
        key = f"tokenizer.ggml.{name}"
        if ours.metadata.get(key) != theirs.metadata.get(key):
            yield cause, f"{key} is {'absent' if key not in theirs.metadata else 'another id'}"
