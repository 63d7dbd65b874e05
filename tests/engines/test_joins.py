"""Joined ids are those of the whole text, on real tokenizers and real prompts; a tokenizer that looks back is found."""

import pytest

from parity.benchmarks import mmlu
from parity.engines.torch.joins import Joiner
from parity.testing.folders import qwen_tokenizer
from parity.testing.llama2c import llama2c_folder
from shared import needs_shared


@pytest.fixture(scope="module", params=["qwen2.5", "stories260K"])
def encode(request, tmp_path_factory):
    if request.param == "qwen2.5":
        tokenizer = qwen_tokenizer(needs_shared("tokenizers", "qwen2.5"))
    else:
        from transformers import AutoTokenizer

        source, folder = needs_shared("weights_small", "stories260K"), tmp_path_factory.mktemp("stories")
        llama2c_folder(source / "stories260K.bin", source / "tok512.bin", folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    return lambda text, special: tuple(tokenizer.encode(text, add_special_tokens=special, verbose=False))


@pytest.mark.slow
def test_real_prompts_join_exactly(encode):
    benchmark = mmlu.load(needs_shared("mmlu"))
    protocol, joiner = benchmark.protocol(None), Joiner(encode)
    for item in benchmark.items[::97]:
        request = protocol.request(item)
        context = joiner.ids(request.prompt.head, request.prompt.question, True)
        assert context == encode(request.prompt.text, True)
        for option in request.continuations:
            whole = joiner.ids(request.prompt.text, option, True, context)
            assert whole == encode(request.prompt.text + option, True)


def test_a_tokenizer_that_looks_back_is_not_joined():
    calls = []

    def encode(text, special):
        calls.append(text)
        count = len(text) if text.endswith("!") else 0
        return tuple(ord(character) + count for character in text)

    joiner = Joiner(encode)
    head = "a line of words\n" * 12
    for rest in ("one", "two!", "three", "four!"):
        assert joiner.ids(head, rest, False) == encode(head + rest, False)
    assert not joiner._trusted


def test_a_beginning_is_encoded_once():
    calls = []

    def encode(text, special):
        calls.append(len(text))
        return tuple(map(ord, text))

    joiner, head = Joiner(encode), "some words and more\n" * 50
    for at in range(200):
        assert joiner.ids(head, f"question {at}", True) == tuple(map(ord, head + f"question {at}"))
    assert sum(length >= len(head) for length in calls) <= 1 + 16 + 200 // 64
