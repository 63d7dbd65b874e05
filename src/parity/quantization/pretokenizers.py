"""How a byte-level BPE tokenizer cuts text before it merges, and the name llama.cpp knows that cut by.

llama.cpp has each cut in its program and is told its name only, so a tokenizer is recognized by what its
`tokenizer.json` does: the sequence of splits, nothing else. One that is not known here is an error, never a guess: a
wrong cut gives nearly right token ids.
"""

import hashlib
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from parity.core.digests import Plain
from parity.errors import ModelError

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_SIGNS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_LLAMA_3 = rf"{_CONTRACTIONS}|{_WORDS}|\p{{N}}{{1,3}}|{_SIGNS}|{_SPACES}"
_QWEN_2 = rf"{_CONTRACTIONS}|{_WORDS}|\p{{N}}|{_SIGNS}|{_SPACES}"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_BEFORE = r"[^\r\n\p{L}\p{N}]?"
_TEKKEN = rf"{_BEFORE}{_UPPER}*{_LOWER}+|{_BEFORE}{_UPPER}+{_LOWER}*|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_SPACES}"
_GPT_4O = (
    rf"{_BEFORE}{_UPPER}*{_LOWER}+{_CONTRACTIONS}?|{_BEFORE}{_UPPER}+{_LOWER}*{_CONTRACTIONS}?|"
    rf"\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_SPACES}"
)
_DEEPSEEK_V3 = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|"
    + _SPACES
).replace(r"\"", '"')
_CJK = "[一-龥ࠀ-一가-퟿]+"
_DEEPSEEK_SIGNS = "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"
_DEEPSEEK_CJK = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
_DIGITS, _GPT_2 = "one digit at a time", "GPT-2's own expression"
# DeepSeek LLM lists every letter range of its first language model; the expression is known by its digest.
_DEEPSEEK_LETTERS = "sha256 38fd0b5eb7e66ecf"
_NAMES: Mapping[tuple[str, ...], str] = MappingProxyType(
    {
        (_LLAMA_3,): "llama-bpe",
        (_QWEN_2,): "qwen2",
        (_TEKKEN,): "tekken",
        (_GPT_4O,): "gpt-4o",
        (_GPT_2,): "gpt-2",
        (_DIGITS, _GPT_2): "smollm",
        ("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _CJK, _DIGITS): "deepseek-coder",
        ("[\r\n]", _DEEPSEEK_LETTERS, _DEEPSEEK_SIGNS, r"\s+$", _CJK, _DIGITS): "deepseek-llm",
        (r"\p{N}{1,3}", _DEEPSEEK_CJK, _DEEPSEEK_V3): "deepseek-v3",
    }
)
# Names for which llama.cpp takes a word that is a token as it is, without merging.
_WHOLE_WORDS_FIRST = frozenset({"llama-bpe", "tekken"})
# Whose words, as llama.cpp cuts them, end before a combining mark (in the tokenizers themselves marks are letters).
CUT_AT_MARKS = frozenset({"tekken", "gpt-4o"})
_MERGED_INSTEAD = {"llama-bpe": "smaug-bpe"}


def pre_tokenizer_name(tokenizer: Mapping[str, Plain]) -> str:
    """llama.cpp's name for the cut of a byte-level `tokenizer.json`.

    Raises:
        ModelError: llama.cpp has no such cut, or none that we know.
    """
    splits = tuple(_splits(tokenizer.get("pre_tokenizer")))
    name = _NAMES.get(splits)
    model = tokenizer.get("model")
    whole = bool(model.get("ignore_merges")) if isinstance(model, Mapping) else False
    if name and whole != (name in _WHOLE_WORDS_FIRST):
        name = _MERGED_INSTEAD.get(name) if not whole else None
    if name is None:
        shown = "; ".join(repr(split if len(split) < 60 else split[:57] + "...") for split in splits) or "nothing"
        raise ModelError(
            f"The tokenizer cuts text in a way Parity does not know by a name of llama.cpp: {shown}"
            f"{', and takes whole words first' if whole else ''}.",
            "If llama.cpp knows it, convert with its own script (--converter convert_hf_to_gguf.py).",
        )
    return name


def _splits(step: Plain) -> Iterator[str]:
    """The cuts of a pre-tokenizer, in order; byte mapping itself cuts nothing."""
    if not isinstance(step, Mapping):
        return
    match step.get("type"):
        case "Sequence":
            inner = step.get("pretokenizers")
            for one in inner if isinstance(inner, list | tuple) else ():
                yield from _splits(one)
        case "ByteLevel":
            if step.get("add_prefix_space"):
                yield "a space before the text"
            if step.get("use_regex", True):
                yield _GPT_2
        case "Digits" if step.get("individual_digits"):
            yield _DIGITS
        case "Split" if _keeps_everything(step):
            yield _expression(step.get("pattern"))
        case other:
            yield f"{other} {dict(step)}"


def _keeps_everything(step: Mapping[str, Plain]) -> bool:
    """Matches become pieces of their own: said as isolated, or as what is left between removed non-matches."""
    return (step.get("behavior"), bool(step.get("invert"))) in (("Isolated", False), ("Removed", True))


def _expression(pattern: Plain) -> str:
    found = pattern.get("Regex") if isinstance(pattern, Mapping) else None
    if not isinstance(found, str):
        return f"{pattern}"
    digest = f"sha256 {hashlib.sha256(found.encode()).hexdigest()[:16]}"
    return digest if digest == _DEEPSEEK_LETTERS else found
