"""Written answers: their text, ends and counts, streamed or not, alone or beside others, along prefixes or plainly."""

import random
import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders
from tokenizers.models import BPE
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from parity.core.outputs import Failure, FailureKind, Generation
from parity.core.prompts import Generate, RequestId, Sampling, TextPrompt
from parity.core.refs import ModelRef
from parity.engines.open import EngineOptions, open_engine
from parity.engines.stops import cut
from parity.engines.torch import engine as torch_engine
from parity.engines.torch.drafts import Unrolling
from parity.errors import EngineError
from parity.testing.engine_checks import ENGINE_CHECKS
from parity.testing.folders import random_llama_folder, trained_tokenizer

TEXTS = ["Once upon a time, né à Zürich: 今日は, 👋🏽 and a b c d e f g one two three four five"] * 4
SHAPE = {"hidden": 64, "layers": 2, "heads": 4, "kv_heads": 2, "ffn": 96, "context_tokens": 256}
HEAD = "one two three four five a b c d e f g " * 4
PROMPTS = [HEAD + end for end in ("now", "then", "Zürich", "", "one two", "Once upon")] + ["now", "né à", "今日は"]


def folder_of(scratch, seed=0):
    return random_llama_folder(scratch / f"model{seed}", trained_tokenizer(TEXTS, 330), **SHAPE, seed=seed)


def opened(folder, **options):
    return open_engine(ModelRef.parse(str(folder)), EngineOptions(device="cpu", **options))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return folder_of(tmp_path_factory.mktemp("writing"))


@pytest.fixture(scope="module")
def engine(folder):
    found = opened(folder, batch_size=4)
    yield found
    found.close()


@pytest.fixture
def plain_engine(folder, monkeypatch):
    monkeypatch.setattr(torch_engine, "follows_a_walk", lambda *_: False)
    found = opened(folder, batch_size=4)
    assert found.work is None
    yield found
    found.close()


def asked(prompts=PROMPTS, draws=1, **sampling):
    told = Sampling(**{"max_tokens": 24, **sampling})
    return [Generate(RequestId(prompt, draw), TextPrompt(prompt), told) for prompt in prompts for draw in range(draws)]


def seen(outputs):
    return {key: (output.text, output.finish, output.usage) for key, output in dict(outputs).items()}


@pytest.fixture(scope="module")
def whole(folder):
    """For every prompt the ids of its greedy answer, each from a pass over all before it."""
    tokenizer = trained_tokenizer(TEXTS, 330)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    found = {}
    for prompt in PROMPTS:
        ids = tokenizer.encode(prompt)
        start = len(ids)
        for _ in range(24):
            with torch.inference_mode():
                ids.append(int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
            if ids[-1] == tokenizer.eos_token_id:
                break
        found[prompt] = ids[start:]
    return tokenizer, found


@pytest.mark.parametrize("stop", [(), ("e",), (" ", "zz"), ("three f", "\N{REPLACEMENT CHARACTER}")])
def test_texts_ends_and_counts_are_those_of_plain_greedy_decoding(engine, whole, stop):
    tokenizer, expected = whole
    answers = dict(engine.answer(asked(stop=stop)))
    for prompt, ids in expected.items():
        ended = ids[-1] == tokenizer.eos_token_id
        ids = ids[:-1] if ended else ids
        needed = next((n for n in range(1, len(ids) + 1) if cut(tokenizer.decode(ids[:n]), stop)[1]), None)
        answer = answers[RequestId(prompt)]
        taken = ids[:needed] if needed else ids
        assert answer.text == cut(tokenizer.decode(taken, skip_special_tokens=True), stop)[0]
        assert answer.finish == ("stop" if needed or ended else "length")
        assert answer.usage.completion_tokens == len(taken)
        assert answer.usage.prompt_tokens == len(tokenizer.encode(prompt))


def test_the_plain_way_writes_the_same(engine, plain_engine):
    for sampling in ({}, {"stop": ("e",)}, {"max_tokens": 3}):
        assert seen(plain_engine.answer(asked(**sampling))) == seen(engine.answer(asked(**sampling)))


@pytest.mark.parametrize("check", ENGINE_CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_the_plain_way_conforms(plain_engine, check):
    check(plain_engine)


@pytest.mark.parametrize("sampling", [{}, {"stop": ("e", " f")}, {"temperature": 1.3, "seed": 5}])
def test_streams_equal_answers(engine, sampling):
    requests = asked(**sampling)
    answers = dict(engine.answer(requests))
    pieces = 0
    for request in requests:
        deltas = list(engine.stream(request))
        pieces += len(deltas)
        assert "".join(delta.text for delta in deltas) == answers[request.id].text
        assert (deltas[-1].finish, deltas[-1].usage) == (answers[request.id].finish, answers[request.id].usage)
    assert pieces > 3 * len(requests)


def test_draws_are_those_asked_alone_and_their_prompt_is_read_once(engine):
    requests = asked(PROMPTS[:3], 6, temperature=1.0, top_p=0.9, seed=3)
    before = engine.work.computed
    together = seen(engine.answer(requests))
    distinct = len(engine._tokenizer.encode(PROMPTS[0])) + 12
    written = sum(usage.completion_tokens for _, _, usage in together.values())
    assert engine.work.computed - before < distinct + written
    for request in random.Random(0).sample(requests, len(requests)):
        assert seen(engine.answer([request])) == {request.id: together[request.id]}
    assert len({text for text, _, _ in together.values()}) > 12


def test_greedy_and_drawn_answers_go_together(engine):
    mixed = asked(PROMPTS[:4]) + asked(PROMPTS[4:], temperature=1.0, max_tokens=9) + asked(["x"], stop=("e",))
    assert seen(engine.answer(mixed)) == {key: found for request in mixed for key, found in
                                          seen(engine.answer([request])).items()}  # fmt: skip


def test_a_stop_string_that_is_a_special_token_ends_by_its_id(folder, monkeypatch):
    engine = opened(folder)
    (request,) = asked(PROMPTS[:1], stop=("<|im_end|>",))
    special = engine._tokenizer.convert_tokens_to_ids("<|im_end|>")
    monkeypatch.setattr("parity.engines.torch.writing.pick", lambda head, hidden, *_: [special] * len(hidden))
    ((_, answer),) = engine.answer([request])
    assert (answer.text, answer.finish, answer.usage.completion_tokens) == ("", "stop", 0)
    engine.close()


def test_logits_that_are_no_numbers_are_a_failure(tmp_path):
    engine = opened(folder_of(tmp_path, seed=1))
    with torch.no_grad():
        engine._model.model.norm.weight.fill_(float("nan"))
    for _, output in engine.answer(asked()):
        assert isinstance(output, Failure)
        assert output.kind is FailureKind.ENGINE
    with pytest.raises(EngineError, match="not numbers"):
        list(engine.stream(asked()[0]))


def test_a_prompt_without_tokens_fails_alone(engine):
    found = dict(engine.answer([*asked(["", "now"]), *asked(["three"], max_tokens=0)]))
    assert found[RequestId("")].kind is FailureKind.ENGINE
    assert isinstance(found[RequestId("now")], Generation)
    assert (found[RequestId("three")].text, found[RequestId("three")].finish) == ("", "length")


def test_engines_of_other_threads_are_not_mixed_up(tmp_path):
    engines = [opened(folder_of(tmp_path, seed), batch_size=2) for seed in (2, 3)]
    expected = [seen(engine.answer(asked())) for engine in engines]
    assert expected[0] != expected[1]
    found = {}

    def work(at, kind):
        if kind == "answers":
            found[at, kind] = seen(engines[at].answer(asked()))
        else:
            found[at, kind] = {r.id: "".join(d.text for d in engines[at].stream(r)) for r in asked()}

    threads = [threading.Thread(target=work, args=(at, kind)) for at in (0, 1) for kind in ("answers", "streams")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    for at in (0, 1):
        assert found[at, "answers"] == expected[at]
        assert found[at, "streams"] == {key: text for key, (text, _, _) in expected[at].items()}


def test_closing_ends_what_is_being_written(folder):
    engine = opened(folder, batch_size=2)
    stream, answers = engine.stream(asked(max_tokens=200)[0]), engine.answer(asked(max_tokens=200))
    next(stream)
    first = next(answers)
    engine.close()
    rest = [first, *answers]
    assert all(delta.finish is None for delta in stream)
    assert {key for key, _ in rest} == {request.id for request in asked()}
    failed = [output.kind for _, output in rest if isinstance(output, Failure)]
    assert failed == [FailureKind.CANCELLED] * len(failed)
    assert len(failed) >= len(rest) - 2  # no more than the two that were running
    with pytest.raises(EngineError, match="closed"):
        list(engine.answer(asked()))


def byte_fallback_tokenizer():
    """Pieces as in SentencePiece: a block for a space, bytes where no piece fits."""
    pieces = [
        "<unk>",
        "<s>",
        "</s>",
        *(f"<0x{byte:02X}>" for byte in range(256)),
        "▁",
        "a",
        "▁a",
        "é",
        "▁now",
        "今",
        ",",
    ]
    backend = Tokenizer(BPE({piece: at for at, piece in enumerate(pieces)}, [("▁", "a")], byte_fallback=True))
    backend.add_special_tokens([AddedToken("<s>", special=True), AddedToken("</s>", special=True)])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    backend.decoder = decoders.Sequence(steps)
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


@pytest.mark.parametrize("make", [lambda: trained_tokenizer(TEXTS, 330), byte_fallback_tokenizer])
def test_unrolled_text_is_the_whole_text_and_never_half_a_character(make):
    tokenizer = make()
    good = tokenizer.encode("é今 a, now 👋🏽", add_special_tokens=False)

    @settings(max_examples=300, deadline=None)
    @given(st.lists(st.one_of(st.integers(0, len(tokenizer) - 1), st.sampled_from(good)), max_size=60))
    def check(ids):
        unrolling, told = Unrolling(tokenizer), ""
        for at, token in enumerate(ids):
            told += unrolling.feed(token)
            assert told + unrolling.pending == tokenizer.decode(ids[: at + 1], skip_special_tokens=True)
            assert tokenizer.decode(ids, skip_special_tokens=True).startswith(told)

    check()
    unrolling, told = Unrolling(tokenizer), []
    for token in good * 5:
        told.append(unrolling.feed(token))
    assert "\N{REPLACEMENT CHARACTER}" not in "".join(told)
    assert sum(map(bool, told)) >= 20
