"""What must not be silently false: crashes, hostile files, the traps of llama.cpp's server, work counted wrongly."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import pytest

from parity.core.outputs import Failure, FailureKind, Generation, Loglikelihoods
from parity.core.prompts import (
    ChatPrompt,
    Constraint,
    Fit,
    Generate,
    Loglikelihood,
    Message,
    RequestId,
    Sampling,
    TextPrompt,
)
from parity.core.refs import ModelRef
from parity.engines.llamacpp import LlamaCppEngine
from parity.engines.open import EngineOptions
from parity.errors import EngineError, ModelError, UsageError
from parity.testing.hostile_files import hostile_files

OPTIONS = (" was", " there was a little girl", " dog.", " x")
SHARED = "Once upon a time there was a girl who had a dog and a cat. " * 4


@pytest.fixture(scope="module")
def engine(stories_gguf: Path) -> Iterator[LlamaCppEngine]:
    opened = LlamaCppEngine(ModelRef.parse(f"gguf:{stories_gguf}"), EngineOptions(batch_size=8))
    yield opened
    opened.close()


def generate(name: str, text: str, sampling: Sampling | None = None, constraint: Constraint | None = None) -> Generate:
    return Generate(RequestId(name), TextPrompt(text), sampling or Sampling(12), constraint=constraint)


def test_a_killed_process_is_replaced_and_what_it_had_is_asked_again(engine: LlamaCppEngine) -> None:
    requests = [generate(f"kill/{at}", f"{at} Once upon a time", Sampling(200)) for at in range(16)]
    answers = iter(engine.answer(requests))
    found = dict([next(answers)])
    os.kill(engine._process._process.pid, signal.SIGKILL)
    found |= dict(answers)
    assert found.keys() == {request.id for request in requests}
    assert all(isinstance(output, Generation) for output in found.values())
    alone = dict(engine.answer([requests[3]]))[requests[3].id]
    assert isinstance(alone, Generation)
    assert found[requests[3].id].text == alone.text


def test_only_what_kills_the_process_fails(engine: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    before = engine._loading
    start = type(engine._process).begin

    def begin(process, message):
        if any('"deadly/' in text for text in message.get("requests", ())):
            os.kill(process._process.pid, signal.SIGABRT)
        return start(process, message)

    monkeypatch.setattr(type(engine._process), "begin", begin)
    requests = [generate(f"{'deadly' if at == 5 else 'harmless'}/{at}", "Lily") for at in range(8)]
    found = dict(engine.answer(requests))
    failed = [request_id for request_id, output in found.items() if isinstance(output, Failure)]
    assert failed == [RequestId("deadly/5")]
    assert "SIGABRT" in found[failed[0]].message
    assert engine._loading == before


def test_a_stream_of_a_killed_process_says_so_and_the_next_is_answered(engine: LlamaCppEngine) -> None:
    stream = engine.stream(generate("stream/killed", "Once upon a time", Sampling(400)))
    next(stream)
    os.kill(engine._process._process.pid, signal.SIGKILL)
    with pytest.raises(EngineError, match="SIGKILL"):
        list(stream)
    assert list(engine.stream(generate("stream/next", "Once upon a time")))[-1].finish == "length"


def test_a_bad_grammar_fails_alone(engine: LlamaCppEngine) -> None:
    bad = [
        generate("bad/gbnf", "Lily", constraint=Constraint("gbnf", 'root ::= "a" |||| (')),
        generate("bad/root", "Lily", constraint=Constraint("gbnf", 'start ::= "a"')),
        generate("bad/empty", "Lily", constraint=Constraint("gbnf", "  ")),
        generate("bad/json", "Lily", constraint=Constraint("json_schema", "{")),
        generate("bad/schema", "Lily", constraint=Constraint("json_schema", '{"type": "nothing"}')),
    ]
    good = generate("good", "Lily")
    found = dict(engine.answer([*bad, good]))
    for request in bad:
        output = found[request.id]
        assert isinstance(output, Failure), request.id
        assert output.kind is FailureKind.ENGINE
    assert isinstance(found[good.id], Generation)


def test_json_of_a_schema_is_json_of_that_schema(engine: LlamaCppEngine) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"enum": ["Tim", "Lily"]}, "old": {"type": "boolean"}},
        "required": ["name", "old"],
        "additionalProperties": False,
    }
    held = Constraint("json_schema", json.dumps(schema))
    for seed in range(4):
        asked = generate(f"schema/{seed}", "Once", Sampling(100, 1.0, seed=seed), held)
        output = dict(engine.answer([asked]))[asked.id]
        assert isinstance(output, Generation)
        assert output.finish == "stop"
        found = json.loads(output.text)
        assert found["name"] in ("Tim", "Lily")
        assert isinstance(found["old"], bool)


def test_the_context_is_not_divided_by_slots(engine: LlamaCppEngine) -> None:
    requests = [generate(f"long/{at}", f"{at} " + "word " * 60, Sampling(200)) for at in range(8)]
    found = dict(engine.answer(requests))
    assert all(isinstance(output, Generation) for output in found.values())
    # Every one is what it is alone: no context was cut short behind its back.
    alone = dict(engine.answer([requests[7]]))[requests[7].id]
    assert found[requests[7].id].text == alone.text


def test_no_token_asked_is_no_token_written(engine: LlamaCppEngine) -> None:
    asked = generate("none", "Once", Sampling(0))
    output = dict(engine.answer([asked]))[asked.id]
    assert isinstance(output, Generation)
    assert (output.text, output.usage.completion_tokens, output.finish) == ("", 0, "length")


def test_an_error_in_the_reader_of_a_stream_is_raised_not_swallowed(engine: LlamaCppEngine) -> None:
    def read() -> None:
        for _ in engine.stream(generate("reader", "Once upon a time", Sampling(300))):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        read()
    assert list(engine.stream(generate("reader/after", "Once")))[-1].finish


def test_longer_than_the_trained_context_is_refused(engine: LlamaCppEngine) -> None:
    asked = generate("beyond", "word " * 20, Sampling(600))
    output = dict(engine.answer([asked]))[asked.id]
    assert isinstance(output, Failure)
    assert output.kind is FailureKind.CONTEXT_EXCEEDED


def test_every_shared_token_is_computed_once(stories_gguf: Path) -> None:
    ref = ModelRef.parse(f"gguf:{stories_gguf}")
    requests = [
        Loglikelihood(RequestId(f"shared/{at}"), TextPrompt(f"{SHARED}{name} had"), OPTIONS)
        for at, name in enumerate(["Tim", "Lily", "Ben", "A cat", "Mom", "Tim and Lily"] * 3)
    ]
    found = {}
    for sharing in (True, False):
        # Passes of 48 tokens cut rows in the middle, and more rows than one pass has.
        engine = LlamaCppEngine(ref, EngineOptions(pass_tokens=48), sharing=sharing)
        found[sharing] = dict(engine.answer(requests))
        work = engine.token_work
        engine.close()
        assert work is not None
        if sharing:
            assert work.computed == work.distinct < work.requested / 10
        else:
            assert work.computed > 5 * work.distinct
    for request in requests:
        one, other = found[True][request.id], found[False][request.id]
        assert isinstance(one, Loglikelihoods)
        assert isinstance(other, Loglikelihoods)
        assert one.values == pytest.approx(other.values, abs=2e-5)


def test_prompts_that_begin_alike_are_read_once(stories_gguf: Path) -> None:
    engine = LlamaCppEngine(ModelRef.parse(f"gguf:{stories_gguf}"), EngineOptions(batch_size=4))
    requests = [generate(f"alike/{name}", f"{SHARED}{name}", Sampling(4)) for name in ("Tim", "Lily", "Ben", "Mom")]
    found = dict(engine.answer(requests))
    work = engine.token_work
    assert work is not None
    prompts = sum(output.usage.prompt_tokens for output in found.values())
    written = sum(output.usage.completion_tokens for output in found.values())
    assert work.computed < prompts / 2 + written
    before = work.computed
    list(engine.answer([generate("alike/again", f"{SHARED}Tim", Sampling(1))]))
    assert engine.token_work.computed - before <= 2
    for request in requests:
        alone = dict(engine.answer([request]))[request.id]
        assert alone.text == found[request.id].text
    engine.close()


def test_chat_has_one_bos_and_a_users_special_token_stays_text(engine: LlamaCppEngine) -> None:
    def tokens(text: str) -> int:
        asked = Generate(RequestId(text), ChatPrompt((Message("user", text),)), Sampling(1))
        output = dict(engine.answer([asked]))[asked.id]
        assert isinstance(output, Generation)
        return output.usage.prompt_tokens

    def rendered(text: str) -> tuple[int, ...]:
        return engine.encode([f"<|user|>{text}\n<|assistant|>"], special=False)[0]

    # The template writes no BOS, so there is none.
    assert tokens("Say x or y.") == len(rendered("Say x or y."))
    # Read as special tokens these would be two ids.
    assert {1, 2} <= set(rendered("Say </s> or <s>."))
    assert tokens("Say </s> or <s>.") >= len(rendered("Say </s> or <s>.")) + 2


def test_threads_share_the_engine(engine: LlamaCppEngine) -> None:
    found: dict[int, object] = {}

    def work(at: int) -> None:
        request = Loglikelihood(RequestId(f"thread/{at}"), TextPrompt(f"{at} Once"), OPTIONS)
        found[at] = dict(engine.answer([request]))[request.id]

    threads = [threading.Thread(target=work, args=(at,)) for at in range(4)]
    for thread in threads:
        thread.start()
    streamed = list(engine.stream(generate("beside", "Once upon a time", Sampling(40))))
    for thread in threads:
        thread.join(60)
    assert streamed[-1].finish == "length"
    assert all(isinstance(output, Loglikelihoods) for output in found.values())
    assert len(found) == 4


def test_embeddings_are_unit_vectors_that_tell_texts_apart(engine: LlamaCppEngine) -> None:
    one, same, other = engine.embed(["a little dog", "a little dog", "the sun was hot"])
    assert one == same
    assert np.linalg.norm(one) == pytest.approx(1.0)
    assert np.dot(one, other) < 0.999
    with pytest.raises(EngineError, match="tokens"):
        engine.embed(["word " * 600])


def test_hostile_files_are_refused_by_our_reader_or_a_dead_child_at_most(tmp_path: Path) -> None:
    for file in hostile_files():
        if file.format != "gguf":
            continue
        path = tmp_path / f"{file.name}.gguf"
        path.write_bytes(file.content)
        with pytest.raises((ModelError, EngineError)):
            LlamaCppEngine(ModelRef.parse(f"gguf:{path}"))


def test_a_truncated_file_is_named_with_the_byte(stories_gguf: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(stories_gguf.read_bytes()[:-1000])
    with pytest.raises(ModelError, match=r"cut\.gguf is not a whole GGUF file"):
        LlamaCppEngine(ModelRef.parse(f"gguf:{path}"))


def test_well_formed_but_no_model_is_an_error_of_llama_cpps_own(tmp_path: Path) -> None:
    path = tmp_path / "odd.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tensor("token_embd.weight", np.zeros((4, 4), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ModelError, match=r"llama\.cpp cannot load"):
        LlamaCppEngine(ModelRef.parse(f"gguf:{path}"))


def test_wrong_numbers_types_are_refused(stories_gguf: Path) -> None:
    with pytest.raises(UsageError, match="quantized"):
        LlamaCppEngine(ModelRef.parse(f"gguf:{stories_gguf}"), EngineOptions(dtype="float16"))


def test_the_cache_type_is_part_of_the_identity(stories_gguf: Path) -> None:
    ref = ModelRef.parse(f"gguf:{stories_gguf}")
    half, exact = LlamaCppEngine(ref, EngineOptions(cache="float16")), LlamaCppEngine(ref)
    request = Loglikelihood(RequestId("cache"), TextPrompt("Once upon a time"), OPTIONS)
    values = [dict(engine.answer([request]))[request.id].values for engine in (half, exact)]
    assert half.identity.digest != exact.identity.digest
    assert values[0] == pytest.approx(values[1], abs=0.05)
    assert values[0] != values[1]
    half.close()
    exact.close()


def test_truncation_is_counted(engine: LlamaCppEngine) -> None:
    request = Generate(RequestId("cut"), TextPrompt("word " * 600), Sampling(4), Fit("truncate"))
    output = dict(engine.answer([request]))[request.id]
    assert isinstance(output, Generation)
    assert output.usage.truncated_tokens > 0
    assert output.usage.prompt_tokens + 4 == 512
