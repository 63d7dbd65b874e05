"""A folder's tokenizer as llama.cpp wants it: every token with its type, scores or merges, and the name of its cut.

Three sources, the surest first: a SentencePiece model; a `tokenizer.json`, byte-level or in SentencePiece's manner; and
what transformers makes of a vocabulary with merges. Special tokens and chat template are read by the `gguf` package.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.core.digests import Plain
from parity.core.quantized import Caveat
from parity.errors import ModelError
from parity.models.model_files import LocalFolder, read_json
from parity.quantization.pretokenizers import CUT_AT_MARKS, pre_tokenizer_name

if TYPE_CHECKING:
    from gguf import GGUFWriter

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
_SPACE = "\u2581"
_UNLIKELY, _ADDED = -10_000.0, -1_000.0
# Tokens that some configurations forget to call special.
_LOOK_SPECIAL = ("<pad>", "<mask>", "<2mass>", "[@BOS@]")
_INFILL = {"▁<PRE>": "prefix", "▁<SUF>": "suffix", "▁<MID>": "middle", "▁<EOT>": "eot"}


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of text, what kind it is to llama.cpp, and its score where scores decide merges."""

    text: str
    type: int = NORMAL
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """`model`: how text is merged, "llama" by scores, "gpt2" by `merges`. `space_first`: a space before the text."""

    model: str
    pre: str
    tokens: tuple[Token, ...]
    merges: tuple[str, ...] = ()
    space_first: bool | None = None
    caveats: tuple[Caveat, ...] = ()


def read_vocabulary(folder: Path, rows: int) -> Vocabulary:
    """The tokenizer of a transformers folder, padded with unused tokens to the `rows` of the embeddings.

    Raises:
        ModelError: there is none, llama.cpp has no such kind, or it has more tokens than rows.
    """
    if (folder / "tokenizer.model").is_file():
        found = _from_sentencepiece(folder, rows)
    else:
        tokenizer = _tokenizer_json(folder)
        found = _by_merges(tokenizer, rows) if _is_byte_level(tokenizer) else _by_derived_scores(tokenizer, rows)
    if len(found.tokens) != rows:
        raise ModelError(f"The tokenizer has {len(found.tokens)} tokens, the model {rows} rows for them.", _MISMATCH)
    return found


_MISMATCH = "Save the tokenizer the model was trained with into its folder."


def write_vocabulary(writer: "GGUFWriter", found: Vocabulary, folder: Path) -> None:
    """Add the tokenizer, its special tokens and the chat template to a file's metadata."""
    from gguf import SpecialVocab

    writer.add_tokenizer_model(found.model)
    writer.add_tokenizer_pre(found.pre)
    writer.add_token_list([token.text.encode() for token in found.tokens])
    if found.model == "llama":
        writer.add_token_scores([token.score for token in found.tokens])
    writer.add_token_types([token.type for token in found.tokens])
    said = logging.getLogger("gguf.vocab")
    said.setLevel(logging.ERROR)  # it warns of what pairs of texts are joined with, which no model here is given
    special = SpecialVocab(folder, load_merges=False, n_vocab=len(found.tokens))
    said.setLevel(logging.NOTSET)
    special.merges = list(found.merges)
    special.add_to_gguf(writer, quiet=True)
    if found.space_first is not None:
        writer.add_add_space_prefix(found.space_first)
    for at, token in enumerate(found.tokens):
        if token.text in _INFILL and found.model == "llama":
            writer.add_uint32(f"tokenizer.ggml.{_INFILL[token.text]}_token_id", at)


def _from_sentencepiece(folder: Path, rows: int) -> Vocabulary:
    processor = _processor(folder / "tokenizer.model")
    if processor.vocab_size() > rows:
        raise ModelError(f"tokenizer.model has {processor.vocab_size()} tokens, the model {rows} rows.", _MISMATCH)
    tokens = [_piece(processor, at) for at in range(processor.vocab_size())]
    tokens += [Token(f"[PAD{at}]", UNUSED, _UNLIKELY) for at in range(len(tokens), rows)]
    files = LocalFolder(folder)
    if (folder / "added_tokens.json").is_file():
        for text, at in read_json(files, "added_tokens.json").items():
            _put(tokens, at, Token(text, USER_DEFINED, _ADDED))
    config = read_json(files, "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    for token, at in _declared(config.get("added_tokens_decoder")):
        _put(tokens, at, token)
    stated = config.get("add_prefix_space")
    space = stated if isinstance(stated, bool) else None if _adds_space(processor) else False
    return Vocabulary("llama", "default", tuple(tokens), space_first=space)


def _processor(path: Path) -> Any:
    from sentencepiece import SentencePieceProcessor

    try:
        return SentencePieceProcessor(model_file=str(path))
    except (RuntimeError, OSError) as error:
        raise ModelError(f"{path} is no SentencePiece model: {error}", "Download it again.") from error


def _piece(processor: Any, at: int) -> Token:
    kinds = (
        (processor.IsUnknown, UNKNOWN), (processor.IsControl, CONTROL),
        (processor.IsUnused, UNUSED), (processor.IsByte, BYTE),
    )  # fmt: skip
    kind = next((kind for test, kind in kinds if test(at)), NORMAL)
    return Token(processor.IdToPiece(at), kind, processor.GetScore(at))


def _adds_space(processor: Any) -> bool:
    return bool(processor.EncodeAsPieces("a")[0].startswith(_SPACE))


def _declared(table: Plain) -> Iterator[tuple[Token, int]]:
    """Tokens that `tokenizer_config.json` adds to a SentencePiece model."""
    for at, entry in table.items() if isinstance(table, Mapping) else ():
        if isinstance(entry, Mapping) and isinstance(text := entry.get("content"), str):
            yield replace(_added(text, bool(entry.get("special"))), score=_ADDED), int(at)


def _added(text: str, special: bool) -> Token:
    if special or _looks_special(text):
        return Token(text, CONTROL)
    return Token(text.replace(_SPACE, " "), USER_DEFINED)


def _looks_special(text: str) -> bool:
    ends = (("<|", "|>"), ("<\uff5c", "\uff5c>"), ("<unused", ">"))
    return text in _LOOK_SPECIAL or any(text.startswith(first) and text.endswith(last) for first, last in ends)


def _put(tokens: list[Token], at: Plain, token: Token) -> None:
    if not isinstance(at, int) or not 0 <= at < len(tokens):
        raise ModelError(f"The token {token.text[:40]!r} has number {at}, the model {len(tokens)} rows.", _MISMATCH)
    tokens[at] = token


def _tokenizer_json(folder: Path) -> Mapping[str, Plain]:
    if (folder / "tokenizer.json").is_file():
        return read_json(LocalFolder(folder), "tokenizer.json")
    if not (folder / "merges.txt").is_file():
        own = next((path.name for path in folder.glob("tekken*.json")), None)
        said = f" {own} is Mistral's own format, which has ranks of tokens and no merges." if own else ""
        where = ": the transformers version of this model has tokenizer.json (the cut 'tekken')." if own else "."
        raise ModelError(
            f"{folder} holds no tokenizer that llama.cpp has: no tokenizer.model, tokenizer.json or merges.txt.{said}",
            f"Save the model's tokenizer into its folder{where}",
        )
    from transformers import AutoTokenizer

    try:
        backend = AutoTokenizer.from_pretrained(folder, local_files_only=True).backend_tokenizer
        found: Mapping[str, Plain] = json.loads(backend.to_str())
    except (OSError, ValueError, AttributeError, KeyError) as error:
        raise ModelError(f"The tokenizer of {folder} cannot be read: {error}", "Save it as tokenizer.json.") from error
    return found


def _model_of(tokenizer: Mapping[str, Plain]) -> Mapping[str, Any]:
    model = tokenizer.get("model")
    if not isinstance(model, Mapping) or model.get("type") != "BPE" or not isinstance(model.get("vocab"), Mapping):
        kind = model.get("type") if isinstance(model, Mapping) else None
        raise ModelError(
            f"The tokenizer is of the kind {kind!r}, not BPE.", "Convert with llama.cpp's script (--converter)."
        )
    return model


def _is_byte_level(tokenizer: Mapping[str, Plain]) -> bool:
    return not _model_of(tokenizer).get("byte_fallback") and '"ByteLevel"' in json.dumps(tokenizer.get("decoder"))


def _by_merges(tokenizer: Mapping[str, Plain], rows: int) -> Vocabulary:
    model, cut = _model_of(tokenizer), pre_tokenizer_name(tokenizer)
    return Vocabulary(
        "gpt2", cut, _listed(tokenizer, model["vocab"], rows, {}),
        tuple(" ".join(part.replace(" ", "Ġ") for part in pair) for pair in _pairs(model)),
        caveats=(*_unnormalized(tokenizer.get("normalizer")), *_parted(cut)),
    )  # fmt: skip


def _parted(cut: str) -> Iterator[Caveat]:
    if cut in CUT_AT_MARKS:
        yield Caveat(
            f"llama.cpp's cut {cut!r} ends words at combining marks: Hindi and its like, and letters written with a "
            "mark of their own, get other tokens"
        )


def _unnormalized(normalizer: Plain) -> Iterator[Caveat]:
    kind = normalizer.get("type") if isinstance(normalizer, Mapping) else None
    inner = normalizer.get("normalizers") if isinstance(normalizer, Mapping) else None
    if kind == "NFC":
        yield Caveat(
            "llama.cpp does not normalize text (NFC): a letter written with a combining mark gets other tokens"
        )
    elif kind is not None and not (kind == "Sequence" and not inner):
        raise ModelError(
            f"The tokenizer normalizes text ({kind}), which llama.cpp does not.", "Use --converter, or the folder."
        )


def _by_derived_scores(tokenizer: Mapping[str, Plain], rows: int) -> Vocabulary:
    """SentencePiece's BPE written as a `tokenizer.json`: the earlier a merge, the higher its token's score."""
    model = _model_of(tokenizer)
    if not model.get("byte_fallback"):
        raise ModelError("The tokenizer is neither byte-level nor falls back to bytes.", "llama.cpp has no such kind.")
    scores: dict[str, float] = {}
    for rank, pair in enumerate(_pairs(model)):
        scores.setdefault("".join(pair), -float(rank))
    tokens = _listed(tokenizer, model["vocab"], rows, scores)
    unknown = model.get("unk_token")
    typed = tuple(
        replace(token, type=UNKNOWN) if token.text == unknown
        else replace(token, type=BYTE) if _is_byte(token.text)
        else token
        for token in tokens
    )  # fmt: skip
    return Vocabulary("llama", "default", typed, space_first=_prepends(tokenizer))


def _is_byte(text: str) -> bool:
    return len(text) == 6 and text.startswith("<0x") and text.endswith(">")


def _prepends(tokenizer: Mapping[str, Plain]) -> bool:
    """Whether a space is put before the text, by the normalizer or by the way it is cut."""
    said = json.dumps([tokenizer.get("normalizer"), tokenizer.get("pre_tokenizer")])
    return '"Prepend"' in said or ('"Metaspace"' in said and '"prepend_scheme": "never"' not in said)


def _pairs(model: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """Merges, written as texts with a space between or as pairs."""
    for merge in model.get("merges") or ():
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if len(pair) != 2:
            raise ModelError(f"The merge {merge!r} is no pair.", "Save the tokenizer again.")
        yield pair


def _listed(
    tokenizer: Mapping[str, Plain], vocab: Mapping[str, Any], rows: int, scores: Mapping[str, float]
) -> tuple[Token, ...]:
    added = tokenizer.get("added_tokens")
    tokens = [Token(f"[PAD{at}]", UNUSED, _UNLIKELY) for at in range(rows)]
    for text, at in vocab.items():
        _put(tokens, at, Token(text, NORMAL, scores.get(text, 0.0)))
    for entry in added if isinstance(added, list | tuple) else ():
        if isinstance(entry, Mapping) and isinstance(content := entry.get("content"), str):
            _put(tokens, entry.get("id"), _added(content, bool(entry.get("special"))))
    return tuple(tokens)
