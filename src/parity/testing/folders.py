"""Small transformers model folders for tests and benchmarks: random weights that answer, real or learned tokenizers.

Knows what a transformers folder holds; trained weights are `llama2c.py`'s. Downloads nothing; importing it loads no
torch or transformers.
"""

import gzip
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from parity.errors import ModelError

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

_CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True, slots=True)
class LlamaShape:
    """Sizes of a Llama in elements, `context` in tokens; in the order of a llama2.c header."""

    dim: int
    ffn: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    context: int
    tied: bool

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads


def random_llama_folder(  # noqa: PLR0913 - the sizes of a Llama are what they are
    folder: Path,
    tokenizer: "PreTrainedTokenizerBase",
    *,
    hidden: int,
    layers: int,
    heads: int,
    kv_heads: int,
    ffn: int,
    context_tokens: int,
    seed: int = 0,
    vocabulary: int | None = None,
) -> Path:
    """Write a Llama with random fp32 weights (tied embeddings) and `tokenizer`; returns `folder`.

    The usual init (std 0.02) leaves the answer to the last token's own embedding, so prompts that end alike get
    nearly the same one. Here each matrix has std gain/sqrt(fan_in): gain 1 keeps signals at unit size, gain 2
    for queries and keys (scores of std 4) makes attention pick few tokens, and embeddings of std 2/sqrt(hidden)
    leave the residual stream to what the layers read and give logits of std 2. On 5-shot MMLU prompts (hidden
    256, 4 layers) a letter's centred logit then varies by 1.7 (std) within a subject around a fixed bias of 0.7.
    `vocabulary` is the number of embedding rows (default: as many as `tokenizer` has ids).

    Raises:
        ModelError: fewer rows than the tokenizer has ids, or sizes that do not divide.
    """
    import torch

    rows = vocabulary or len(tokenizer)
    if rows < len(tokenizer):
        raise ModelError(f"{rows} embedding rows for {len(tokenizer)} token ids.", "Leave `vocabulary` out.")
    if hidden % heads or heads % kv_heads:
        raise ModelError(
            f"{hidden=} {heads=} {kv_heads=} do not divide.",
            "Choose hidden as a multiple of heads, and heads of kv_heads.",
        )
    shape = LlamaShape(hidden, ffn, layers, heads, kv_heads, rows, context_tokens, tied=True)
    model = untrained_llama(shape, tokenizer.bos_token_id, tokenizer.eos_token_id)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 2:
                gain = 2.0 if any(part in name for part in ("q_proj", "k_proj", "embed_tokens")) else 1.0
                weight.normal_(0.0, gain / weight.shape[1] ** 0.5, generator=random)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def qwen_tokenizer(source: Path) -> "PreTrainedTokenizerBase":
    """The fast Qwen2 tokenizer of a folder with `vocab.json.gz`, `merges.txt.gz` and `tokenizer_config.json`.

    It adds no BOS: Qwen has none. A `chat_template.jinja` beside them is carried along.

    Raises:
        ModelError: one of the files is missing or unreadable.
    """
    from tokenizers import AddedToken
    from transformers import Qwen2Tokenizer

    try:
        vocabulary = json.loads(gzip.decompress((source / "vocab.json.gz").read_bytes()))
        lines = gzip.decompress((source / "merges.txt.gz").read_bytes()).decode().splitlines()
        config = json.loads((source / "tokenizer_config.json").read_text())
    except (OSError, ValueError, EOFError) as error:
        raise ModelError(
            f"{source} holds no Qwen tokenizer: {error}.",
            "It needs vocab.json.gz, merges.txt.gz and tokenizer_config.json.",
        ) from error
    merges = [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]
    added = sorted(config["added_tokens_decoder"].items(), key=lambda entry: int(entry[0]))
    template = source / "chat_template.jinja"
    return Qwen2Tokenizer(
        vocab=vocabulary,
        merges=merges,  # type: ignore[arg-type]  # pairs, as its save_pretrained and BPE itself have them
        added_tokens_decoder={int(token_id): AddedToken(**fields) for token_id, fields in added},
        eos_token=config["eos_token"],
        pad_token=config["pad_token"],
        unk_token=None,  # type: ignore[arg-type]  # as in its configuration
        model_max_length=config["model_max_length"],
        clean_up_tokenization_spaces=False,
        chat_template=template.read_text() if template.exists() else None,
    )


def trained_tokenizer(texts: Iterable[str], vocabulary: int = 512) -> "PreTrainedTokenizerBase":
    """A byte-level BPE tokenizer learned from `texts`: any text encodes, and a ChatML template comes with it."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    special = ["<|end|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend,
        eos_token="<|end|>",
        pad_token="<|end|>",
        additional_special_tokens=special[1:],
        clean_up_tokenization_spaces=False,
        chat_template=_CHATML,
    )


def untrained_llama(shape: LlamaShape, bos: int | None, eos: int | None) -> "LlamaForCausalLM":
    """A Llama of this shape, its weights still to be set."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.dim,
        intermediate_size=shape.ffn,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=shape.context,
        rms_norm_eps=1e-5,
        tie_word_embeddings=shape.tied,
        bos_token_id=bos,
        eos_token_id=eos,
        dtype="float32",
    )
    return LlamaForCausalLM(config)
