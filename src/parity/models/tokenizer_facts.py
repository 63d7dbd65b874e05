"""Which kind of tokenizer a model brings, from the first bytes of its files. Builds and runs none."""

import re
from dataclasses import dataclass

from parity.models.model_files import ModelFiles, read_json

# Added tokens come first in tokenizer.json; the model's kind follows them.
_FIRST_BYTES = 512 * 1024
_MODEL = re.compile(r'"model"\s*:\s*\{[^{}]{0,200}?"type"\s*:\s*"(\w{1,40})"')


@dataclass(frozen=True, slots=True)
class TokenizerFacts:
    """`kind`: BPE, Unigram, ... as its file says; `name`: the class that wraps it; `vocabulary` where it is stated."""

    kind: str | None
    name: str | None
    vocabulary: int | None
    found_in: str


def find_tokenizer(files: ModelFiles) -> TokenizerFacts | None:
    """The tokenizer of a folder or repository; None if there is none.

    Raises:
        ModelError: `tokenizer_config.json` is not JSON.
    """
    names = {entry.name for entry in files.listing()}
    stated = (
        read_json(files, "tokenizer_config.json").get("tokenizer_class") if "tokenizer_config.json" in names else None
    )
    name = stated if isinstance(stated, str) else None
    if "tokenizer.json" in names:
        beginning = files.open("tokenizer.json").read(0, _FIRST_BYTES).decode("utf-8", "ignore")
        found = _MODEL.search(beginning)
        kind = found[1] if found else None
        if kind == "BPE" and '"ByteLevel"' in beginning:
            kind = "byte-level BPE"
        return TokenizerFacts(kind, name, None, "tokenizer.json")
    for file, kind in (
        ("tokenizer.model", "SentencePiece"), ("spiece.model", "SentencePiece"),
        ("merges.txt", "byte-level BPE"), ("vocab.txt", "WordPiece"),
    ):  # fmt: skip
        if file in names:
            return TokenizerFacts(kind, name, None, file)
    tiktoken = next((entry for entry in sorted(names) if entry.endswith(".tiktoken")), None)
    if tiktoken:
        return TokenizerFacts("tiktoken BPE", name, None, tiktoken)
    return TokenizerFacts(None, name, None, "tokenizer_config.json") if name else None
