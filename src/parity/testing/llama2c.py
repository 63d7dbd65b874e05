"""Trained weights in llama2.c's format (github.com/karpathy/llama2.c, `export.py` version 0) as a transformers folder.

Knows the layouts of its checkpoints and vocabularies. Refuses files whose size or header does not fit, because a wrong
reshape still yields a model that runs. Importing it loads no torch or transformers.
"""

import struct
from collections.abc import Iterator
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from parity.errors import ModelError
from parity.testing.folders import LlamaShape, untrained_llama

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor

_UNK, _BOS, _EOS, _FIRST_BYTE, _FIRST_LEARNED = 0, 1, 2, 3, 259
_SPACE = "\u2581"  # SentencePiece writes a space inside a piece as this block
_HEADER = struct.Struct("<7i")
_EXPORT_HINT = "Export it with llama2.c's export.py --version 0 (fp32), or download it again."


def llama2c_folder(weights: Path, vocabulary: Path, folder: Path, context_tokens: int | None = None) -> Path:
    """Convert a llama2.c checkpoint and its `tok*.bin` into a transformers Llama folder; returns `folder`.

    Weights stay fp32. The tokenizer adds BOS (id 1) as Llama's does. `context_tokens` replaces the trained
    window: rotary positions have no weights, so a longer one costs quality only.

    Raises:
        ModelError: a file is missing, truncated, of another version, or the two do not belong together.
    """
    header, blocks = _read_checkpoint(weights)
    pieces = _read_vocabulary(vocabulary)
    if len(pieces) != header.vocabulary:
        raise ModelError(
            f"{weights} has a vocabulary of {header.vocabulary} pieces, {vocabulary} has {len(pieces)}.",
            "Pass the vocabulary file the model was trained with.",
        )
    window = context_tokens or header.context
    model = untrained_llama(replace(header, context=window), _BOS, _EOS)
    model.load_state_dict(dict(_transformers_tensors(header, blocks)), strict=True)
    model.save_pretrained(folder)
    _save_sentencepiece_like(pieces, window, folder)
    return folder


def _read_checkpoint(path: Path) -> tuple[LlamaShape, "dict[str, Tensor]"]:
    """The header and every block as a float32 tensor of its shape."""
    import torch

    content = _bytes_of(path)
    if len(content) < _HEADER.size:
        raise ModelError(f"{path} has {len(content)} bytes, too few for a llama2.c header.", _EXPORT_HINT)
    dim, ffn, layers, heads, kv_heads, signed_vocabulary, context = _HEADER.unpack_from(content)
    numbers = (dim, ffn, layers, heads, kv_heads, abs(signed_vocabulary), context)
    if min(numbers) < 1 or dim % heads or heads % kv_heads or (dim // heads) % 2:
        raise ModelError(f"{path} does not start with a llama2.c header: {numbers}.", _EXPORT_HINT)
    header = LlamaShape(*numbers, tied=signed_vocabulary > 0)
    sizes = [prod(shape) for _, shape in _blocks(header)]
    expected_bytes = _HEADER.size + 4 * sum(sizes)
    if len(content) != expected_bytes:
        raise ModelError(f"{path} has {len(content)} bytes; its header asks for {expected_bytes}.", _EXPORT_HINT)
    floats = torch.frombuffer(bytearray(content), dtype=torch.float32, offset=_HEADER.size)
    parts = zip(_blocks(header), torch.split(floats, sizes), strict=True)
    return header, {name: part.reshape(shape) for (name, shape), part in parts}


def _blocks(shape: LlamaShape) -> list[tuple[str, tuple[int, ...]]]:
    """(name, shape) of every block of floats after the header, in file order."""
    kv_dim = shape.kv_heads * shape.head_dim
    rotary = ("rotary", (2, shape.context, shape.head_dim // 2))  # cos and sin tables nobody reads any more
    return [
        ("embedding", (shape.vocabulary, shape.dim)),
        ("attention_norm", (shape.layers, shape.dim)),
        ("q", (shape.layers, shape.dim, shape.dim)),
        ("k", (shape.layers, kv_dim, shape.dim)),
        ("v", (shape.layers, kv_dim, shape.dim)),
        ("o", (shape.layers, shape.dim, shape.dim)),
        ("ffn_norm", (shape.layers, shape.dim)),
        ("gate", (shape.layers, shape.ffn, shape.dim)),
        ("down", (shape.layers, shape.dim, shape.ffn)),
        ("up", (shape.layers, shape.ffn, shape.dim)),
        ("final_norm", (shape.dim,)),
        rotary,
        *([] if shape.tied else [("head", (shape.vocabulary, shape.dim))]),
    ]


def _transformers_tensors(header: LlamaShape, blocks: "dict[str, Tensor]") -> "Iterator[tuple[str, Tensor]]":
    """The checkpoint under the names, and in the rotary order, that LlamaForCausalLM uses."""
    per_layer = {
        "input_layernorm": blocks["attention_norm"],
        "self_attn.q_proj": _half_split(blocks["q"], header.heads),
        "self_attn.k_proj": _half_split(blocks["k"], header.kv_heads),
        "self_attn.v_proj": blocks["v"],
        "self_attn.o_proj": blocks["o"],
        "post_attention_layernorm": blocks["ffn_norm"],
        "mlp.gate_proj": blocks["gate"],
        "mlp.up_proj": blocks["up"],
        "mlp.down_proj": blocks["down"],
    }
    for name, stacked in per_layer.items():
        for layer in range(header.layers):
            yield f"model.layers.{layer}.{name}.weight", stacked[layer]
    yield "model.embed_tokens.weight", blocks["embedding"]
    yield "model.norm.weight", blocks["final_norm"]
    yield "lm_head.weight", blocks["embedding"] if header.tied else blocks["head"]


def _half_split(rows: "Tensor", heads: int) -> "Tensor":
    """Reorder query or key rows [layers x heads*d x dim] from rotary pairs (2i, 2i+1) to pairs (i, i + d/2).

    llama2.c rotates neighbours; transformers rotates the first half of a head against the second.
    """
    layers, size, dim = rows.shape
    return rows.view(layers, heads, size // heads // 2, 2, dim).transpose(2, 3).reshape(layers, size, dim)


def _read_vocabulary(path: Path) -> list[tuple[str, float]]:
    """(piece, score) by id. The file: int32 longest piece, then float32 score, int32 length and bytes of each."""
    content, offset, pieces = _bytes_of(path), 4, list[tuple[str, float]]()
    try:
        while offset < len(content):
            score, length = struct.unpack_from("<fi", content, offset)
            piece = content[offset + 8 : offset + 8 + length]
            if not 0 <= length == len(piece):
                raise ValueError(f"piece {len(pieces)} ends after the file does")
            pieces.append((piece.decode(), score))
            offset += 8 + length
        bytes_pieces = [piece for piece, _ in pieces[_FIRST_BYTE:_FIRST_LEARNED]]
        if bytes_pieces != [f"<0x{byte:02X}>" for byte in range(256)]:
            raise ValueError("ids 3 to 258 are not the 256 byte pieces")
        if len({piece for piece, _ in pieces}) != len(pieces):
            raise ValueError("two ids share one piece")
    except (struct.error, ValueError) as error:
        raise ModelError(
            f"{path} is no llama2.c vocabulary: {error}.", "Export it with llama2.c's tokenizer.py."
        ) from error
    return pieces


def _save_sentencepiece_like(pieces: list[tuple[str, float]], context_tokens: int, folder: Path) -> None:
    """Write the tokenizer as a generic fast one: transformers' Llama class adds no prefix space before a space."""
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    backend = _byte_pair_tokenizer(pieces)
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", _BOS)]
    )
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        add_bos_token=True,
        model_max_length=context_tokens,
        clean_up_tokenization_spaces=False,
    ).save_pretrained(folder)


def _byte_pair_tokenizer(pieces: list[tuple[str, float]]) -> "Tokenizer":
    """Byte-pair encoding whose merge order is the pieces' scores, as llama2.c's `encode` merges.

    Two cases differ: where different overlapping pairs would make the same piece, llama2.c takes the leftmost
    and ranks cannot; and a literal U+2581 in a text counts as a space, as in SentencePiece.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, normalizers
    from tokenizers.models import BPE

    named = ["<unk>", "<s>", "</s>", *(piece.replace(" ", _SPACE) for piece, _ in pieces[_FIRST_BYTE:])]
    learned = set(named[_FIRST_LEARNED:])
    by_score = sorted(zip(named, (score for _, score in pieces), strict=True), key=lambda entry: -entry[1])
    merges = [
        (piece[:cut], piece[cut:])
        for piece, _ in by_score
        if piece in learned
        for cut in range(1, len(piece))
        if piece[:cut] in learned and piece[cut:] in learned
    ]
    vocabulary = {piece: token_id for token_id, piece in enumerate(named)}
    tokenizer = Tokenizer(BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    spaces = [normalizers.Prepend(_SPACE), normalizers.Replace(" ", _SPACE)]
    tokenizer.normalizer = normalizers.Sequence(spaces)
    back = [
        decoders.Replace(_SPACE, " "),
        decoders.ByteFallback(),
        decoders.Fuse(),
        decoders.Strip(" ", 1, 0),
    ]
    tokenizer.decoder = decoders.Sequence(back)
    tokenizer.add_special_tokens([AddedToken(named[i], normalized=False) for i in (_UNK, _BOS, _EOS)])
    return tokenizer


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from error
