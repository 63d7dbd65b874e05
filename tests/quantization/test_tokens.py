"""Token ids of real tokenizers, by llama.cpp from the converted file: the published ones, and the source's own."""

import json
import random
import shutil
import unicodedata

import gguf
import pytest
from tokenizers import Tokenizer

from parity.testing.families import family_folder
from parity.testing.folders import qwen_tokenizer
from parity.testing.gguf_logits import GgufLogits
from parity.testing.llama2c import sentencepiece_tokenizer
from quantization.making import to_gguf
from shared import needs_shared

pytestmark = pytest.mark.slow
SPLIT = "\n__ggml_vocab_test__\n"
PIECES = (
    "def f(x):\n\treturn x  # ok", "    ", "\n\n", " ", "é", "e\u0301", "漢字かな交じり文", "한국어", "🚀👋🏽",
    "👩\u200d👩\u200d👧", "1234567890", "3.14", "don't", "WE'LL", "naïve", "<tag attr='v'>", "\u200b", "\t", "…",
    "the cat", "Привет", "مرحبا", "नमस्ते", "a_b-c", "{}[]", "\r\n",
)  # fmt: skip


def mixed(size, seed=0):
    random_one = random.Random(seed)
    found = []
    while sum(map(len, found)) < size:
        found.append(random_one.choice(PIECES) + random_one.choice(("", " ", "  ", "\n")))
    return "".join(found)


def published(name):
    folder = needs_shared("tokenizers", "llama_cpp_vocab")
    texts = (folder / f"ggml-vocab-{name}.gguf.inp").read_text().split(SPLIT)
    ids = [
        [int(one) for one in line.split()] for line in (folder / f"ggml-vocab-{name}.gguf.out").read_text().split("\n")
    ]
    return list(zip(texts, ids, strict=False))


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("qwen")
    family_folder("qwen2", folder / "model", qwen_tokenizer(needs_shared("tokenizers", "qwen2.5")))
    return folder / "model", GgufLogits(to_gguf(folder / "model", folder / "qwen.gguf", "F16").files)


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    model = needs_shared("tokenizers", "llama2", "tokenizer.model")
    family_folder("llama-2", folder / "model", sentencepiece_tokenizer(model, folder / "tokenizer"))
    shutil.copy(model, folder / "model")
    return model, GgufLogits(to_gguf(folder / "model", folder / "llama.gguf", "F16").files)


def test_qwen_gives_the_published_ids(qwen):
    rows = published("qwen2")
    assert len(rows) > 40
    for text, ids in rows:
        assert qwen[1].tokens(text) == ids, repr(text)


def test_llama_gives_the_published_ids(llama):
    rows = published("llama-spm")
    assert len(rows) > 40
    for text, ids in rows:
        assert llama[1].tokens(text) == ids, repr(text)


def test_qwen_reads_mixed_text_as_its_source(qwen):
    source = Tokenizer.from_file(str(qwen[0] / "tokenizer.json"))
    for seed in range(20):
        text = unicodedata.normalize("NFC", mixed(10_000, seed))
        assert qwen[1].tokens(text) == source.encode(text, add_special_tokens=False).ids


def test_llama_reads_mixed_text_as_sentencepiece(llama):
    from sentencepiece import SentencePieceProcessor

    source = SentencePieceProcessor(model_file=str(llama[0]))
    for seed in range(20):
        text = mixed(10_000, seed)
        assert llama[1].tokens(text) == source.encode(text)


def test_special_tokens_and_beginnings(qwen, llama):
    assert qwen[1].tokens("<|im_start|>hi<|im_end|>", special=True)[0] == 151644
    assert llama[1].tokens("hi", special=True)[0] == 1
    assert llama[1].tokens("<s>", special=False) != [1]


def test_deepseek_coder_is_known_by_its_cut(tmp_path):
    """Its vocabulary from llama.cpp's own file, as the `tokenizer.json` it was published with."""
    fields = gguf.GGUFReader(needs_shared("tokenizers", "llama_cpp_vocab", "ggml-vocab-deepseek-coder.gguf")).fields
    tokens, types = (fields[f"tokenizer.ggml.{name}"].contents() for name in ("tokens", "token_type"))
    cuts = ("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+")
    steps = [{"type": "Split", "pattern": {"Regex": cut}, "behavior": "Isolated", "invert": False} for cut in cuts]
    steps += [{"type": "Digits", "individual_digits": True}]
    steps += [{"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]
    extra = [{"id": at, "content": token, "special": kind == 3, "normalized": False, "single_word": False,
              "lstrip": False, "rstrip": False} for at, (token, kind) in enumerate(zip(tokens, types, strict=True))
             if kind in (3, 4)]  # fmt: skip
    content = {
        "version": "1.0", "added_tokens": extra, "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps}, "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "vocab": {token: at for at, token in enumerate(tokens)},
                  "merges": fields["tokenizer.ggml.merges"].contents(), "byte_fallback": False},
    }  # fmt: skip
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content))
    from transformers import PreTrainedTokenizerFast

    folder = family_folder("deepseek-llm", tmp_path / "model", PreTrainedTokenizerFast(tokenizer_file=str(path)))
    shutil.copy(path, folder)
    running = GgufLogits(to_gguf(folder, tmp_path / "out.gguf", "F16").files)
    for text, ids in published("deepseek-coder"):
        assert running.tokens(text) == ids, repr(text)
    running.close()
