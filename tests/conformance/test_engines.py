"""Every engine we ship passes the public conformance kit, and the kit fails engines that lie."""

from dataclasses import replace

import pytest

from parity.core.outputs import Delta, Generation, Loglikelihoods
from parity.core.prompts import Loglikelihood, RequestId, TextPrompt
from parity.core.refs import ModelRef
from parity.engines.dummy import DummyEngine
from parity.engines.open import EngineOptions, open_engine
from parity.engines.replay import RecordingEngine
from parity.testing.engine_checks import ENGINE_CHECKS, NotConforming, check_engine
from parity.testing.folders import random_llama_folder, trained_tokenizer

TEXTS = ["Once upon a time the answer is A or B, one two three four five six seven words and a continuation."] * 3


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("engines")
    shape = {"hidden": 64, "layers": 2, "heads": 4, "kv_heads": 2, "ffn": 128, "context_tokens": 128}
    folder = random_llama_folder(scratch / "llama", trained_tokenizer(TEXTS), **shape)
    recording = RecordingEngine(open_engine(ModelRef.parse("dummy:seed=2")), scratch / "recorded.jsonl")
    check_engine(recording)
    return {"dummy": "dummy:context=64", "replay": f"replay:{scratch / 'recorded.jsonl'}", "torch": str(folder)}


@pytest.fixture(scope="module", params=["dummy", "replay", "torch", "recording"])
def engine(request, names, tmp_path_factory):
    if request.param == "recording":
        path = tmp_path_factory.mktemp("again") / "r.jsonl"
        opened = RecordingEngine(open_engine(ModelRef.parse(names["torch"]), EngineOptions(batch_size=2)), path)
    else:
        opened = open_engine(ModelRef.parse(names[request.param]), EngineOptions(batch_size=3))
    yield opened
    opened.close()
    opened.close()


@pytest.mark.parametrize("check", ENGINE_CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_engine_conforms(check, engine):
    check(engine)


def test_the_kit_has_checks():
    assert len(ENGINE_CHECKS) >= 14


class Liar(DummyEngine):
    """An engine with one fault, by name."""

    def __init__(self, fault):
        super().__init__(ModelRef.parse("dummy:context=64"))
        self.fault, self.calls = fault, 0

    def answer(self, requests):
        answers = list(super().answer(requests))
        if self.fault == "omits":
            answers = answers[:-1]
        if self.fault == "repeats":
            answers *= 2
        for request_id, output in answers:
            yield request_id, self._spoiled(output)

    def _spoiled(self, output):
        self.calls += 1
        if isinstance(output, Generation):
            if self.fault == "keeps the stop string" and output.finish == "stop":
                return replace(output, text=output.text + " word")
            if self.fault == "drifts":
                return replace(output, text=f"{output.text}{self.calls}")
            if self.fault == "hides the cut":
                return replace(output, usage=replace(output.usage, truncated_tokens=0))
            if self.fault == "counts nothing":
                return replace(output, usage=replace(output.usage, prompt_tokens=0))
        if isinstance(output, Loglikelihoods) and self.fault == "drops an option":
            return replace(output, values=output.values[:-1])
        return output

    def stream(self, request):
        yield from super().stream(request)
        if self.fault == "streams too much":
            yield Delta("more")


FAULTS = ["omits", "repeats", "keeps the stop string", "drifts", "hides the cut", "counts nothing", "drops an option"]


@pytest.mark.parametrize("fault", [*FAULTS, "streams too much"])
def test_a_fault_is_found(fault):
    with pytest.raises((NotConforming, ValueError)):
        check_engine(Liar(fault))


def test_recorded_log_likelihoods_serve_where_options_are_compared_and_not_the_other_way(tmp_path):
    asked = Loglikelihood(RequestId("a"), TextPrompt("Q"), (" A", " B"))
    for first, then, served in ((False, True, True), (True, False, False)):
        recording = RecordingEngine(open_engine(ModelRef.parse("dummy:")), tmp_path / f"{first}.jsonl")
        list(recording.answer([replace(asked, compared=first)]))
        recording.close()
        replay = open_engine(ModelRef.parse(f"replay:{tmp_path / f'{first}.jsonl'}"))
        ((_, output),) = replay.answer([replace(asked, compared=then)])
        assert isinstance(output, Loglikelihoods) == served
