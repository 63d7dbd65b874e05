"""The folders are the models they claim to be: same text, same token ids; broken files are refused."""

import struct
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from parity.errors import ModelError
from parity.testing.folders import qwen_tokenizer, random_llama_folder
from parity.testing.llama2c import llama2c_folder
from shared import needs_shared

STORIES = ("weights_small", "stories260K")


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = needs_shared(*STORIES)
    folder = tmp_path_factory.mktemp("models") / "stories260K"
    return llama2c_folder(source / "stories260K.bin", source / "tok512.bin", folder)


def test_converted_weights_continue_greedily_as_documented(stories: Path) -> None:
    """One wrong row order or norm epsilon and the text drifts within a sentence."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    document = needs_shared(*STORIES, "stories260K.md").read_text()
    documented = document.split("-t 0.0\n", 1)[1].split("\n```", 1)[0]
    tokenizer, model = AutoTokenizer.from_pretrained(stories), AutoModelForCausalLM.from_pretrained(stories)
    start = tokenizer("", return_tensors="pt")
    ids = model.generate(**start, max_new_tokens=len(documented), do_sample=False, pad_token_id=0)[0].tolist()
    story = ids[1 : ids.index(1, 1)] if 1 in ids[1:] else ids[1:]  # llama2.c stops at the next BOS
    assert tokenizer.decode(story).startswith(documented)
    assert len(documented) > 500


TEXTS = [
    "",
    " ",
    "a",
    "Once upon a time",
    " leading",
    "  two",
    "trailing ",
    "three   inside",
    "line\nbreak\t",
]
TEXTS += ["ZQXJ 0987", "naïve café", "日本語 text", "🦙 and \x00 and \x7f", "aaaaaaaa hahahahah"]
TEXTS += ["Answer: A\n\nQ? B.", "thethe the the"]


@pytest.mark.parametrize("text", TEXTS)
def test_ids_are_those_of_llama2c(stories: Path, text: str) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(stories)
    expected = _llama2c_ids(text, needs_shared(*STORIES, "tok512.bin").read_bytes())
    assert tokenizer(text)["input_ids"] == [1, *expected]
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == expected
    assert tokenizer.decode(expected) == text


def _llama2c_ids(text: str, vocabulary: bytes) -> list[int]:
    """llama2.c's `encode` from its description: characters, byte fallback, best-scoring merge, leftmost first."""
    ids_of: dict[bytes, int] = {}
    scores: list[float] = []
    offset = 4
    while offset < len(vocabulary):
        score, length = struct.unpack_from("<fi", vocabulary, offset)
        ids_of[vocabulary[offset + 8 : offset + 8 + length]] = len(scores)
        scores.append(score)
        offset += 8 + length
    piece_of = {token_id: piece for piece, token_id in ids_of.items()}
    ids: list[int] = []
    for character in " " + text if text else "":
        raw = character.encode()
        ids += [ids_of[raw]] if raw in ids_of else [byte + 3 for byte in raw]
    while True:
        merged = [ids_of.get(piece_of[a] + piece_of[b]) for a, b in pairwise(ids)]
        options = [(-scores[found], place, found) for place, found in enumerate(merged) if found is not None]
        if not options:
            return ids
        _, place, token_id = min(options)
        ids[place : place + 2] = [token_id]


def test_context_is_raised_without_touching_the_weights(stories: Path, tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoTokenizer

    source = needs_shared(*STORIES)
    files = source / "stories260K.bin", source / "tok512.bin"
    longer = llama2c_folder(*files, tmp_path / "longer", context_tokens=8192)
    assert AutoConfig.from_pretrained(longer).max_position_embeddings == 8192
    assert AutoTokenizer.from_pretrained(longer).model_max_length == 8192
    assert AutoConfig.from_pretrained(stories).max_position_embeddings == 512
    assert (longer / "model.safetensors").read_bytes() == (stories / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda content: content[:-4], "its header asks for"),
        (lambda content: content + b"\0\0\0\0", "its header asks for"),
        (lambda content: content[:20], "too few"),
        (lambda content: b"24ka" + content[4:], "its header asks for|not start with"),
        (lambda content: struct.pack("<i", -1) + content[4:], "not start with"),
    ],
)
def test_a_damaged_checkpoint_is_refused(damage: Callable[[bytes], bytes], says: str, tmp_path: Path) -> None:
    source = needs_shared(*STORIES)
    broken = tmp_path / "broken.bin"
    broken.write_bytes(damage((source / "stories260K.bin").read_bytes()))
    with pytest.raises(ModelError, match=says):
        llama2c_folder(broken, source / "tok512.bin", tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_a_damaged_vocabulary_is_refused(tmp_path: Path) -> None:
    source = needs_shared(*STORIES)
    broken = tmp_path / "tok.bin"
    broken.write_bytes((source / "tok512.bin").read_bytes()[:-1])
    with pytest.raises(ModelError, match="piece 511 ends after"):
        llama2c_folder(source / "stories260K.bin", broken, tmp_path / "folder")
    with pytest.raises(ModelError, match="cannot be read"):
        llama2c_folder(source / "stories260K.bin", tmp_path / "absent.bin", tmp_path / "folder")


def test_a_vocabulary_of_another_model_is_refused(tmp_path: Path) -> None:
    source = needs_shared(*STORIES)
    llama2 = needs_shared("tokenizers", "llama2", "tokenizer.bin")
    with pytest.raises(ModelError, match=r"512 pieces.*32000"):
        llama2c_folder(source / "stories260K.bin", llama2, tmp_path / "folder")


def test_qwen_ids_are_the_published_ones(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = qwen_tokenizer(needs_shared("tokenizers", "qwen2.5"))
    cases = needs_shared("tokenizers", "llama_cpp_vocab", "ggml-vocab-qwen2.gguf.inp").read_text()
    answers = needs_shared("tokenizers", "llama_cpp_vocab", "ggml-vocab-qwen2.gguf.out").read_text()
    texts = cases.split("\n__ggml_vocab_test__\n")
    expected = [[int(token_id) for token_id in line.split()] for line in answers.splitlines()]
    assert len(texts) >= len(expected) > 40
    tokenizer.save_pretrained(tmp_path)
    for each in (tokenizer, AutoTokenizer.from_pretrained(tmp_path)):
        assert [each(text)["input_ids"] for text in texts[: len(expected)]] == expected
        assert each("<|im_start|>a<|im_end|>")["input_ids"] == [151644, 64, 151645]
        assert (each.bos_token, each.eos_token, len(each)) == (None, "<|im_end|>", 151665)


def test_qwen_source_without_its_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no Qwen tokenizer"):
        qwen_tokenizer(tmp_path)


def test_a_random_llama_answers_by_the_question_not_by_the_last_token(stories: Path, tmp_path: Path) -> None:
    """Prompts that end alike get different letters, and the same seed gives the same bytes."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(stories)
    size = {"hidden": 64, "layers": 2, "heads": 4, "kv_heads": 2, "ffn": 128, "context_tokens": 256}
    folder = random_llama_folder(tmp_path / "one", tokenizer, **size)
    again = random_llama_folder(tmp_path / "again", tokenizer, **size)
    other = random_llama_folder(tmp_path / "other", tokenizer, **size, seed=1, vocabulary=520)
    bytes_of = {path: (path / "model.safetensors").read_bytes() for path in (folder, again, other)}
    assert bytes_of[folder] == bytes_of[again] != bytes_of[other]
    model = AutoModelForCausalLM.from_pretrained(folder)
    letters = [tokenizer(letter)["input_ids"][-1] for letter in "ABCD"]
    with torch.no_grad():
        prompts = [tokenizer(f"What is {n} times {n * n}?\nAnswer:", return_tensors="pt") for n in range(40)]
        logits = torch.stack([model(**prompt).logits[0, -1, letters] for prompt in prompts])
    assert (logits - logits.mean(1, keepdim=True)).std(0).min() > 0.3
    assert len(set(logits.argmax(1).tolist())) >= 2
    with pytest.raises(ModelError, match="embedding rows"):
        random_llama_folder(tmp_path / "few", tokenizer, **size, vocabulary=100)
    with pytest.raises(ModelError, match="do not divide"):
        random_llama_folder(tmp_path / "odd", tokenizer, **{**size, "heads": 3})


def test_importing_the_builders_loads_no_torch() -> None:
    code = "import sys, parity.testing.folders; sys.exit(len({'torch', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
