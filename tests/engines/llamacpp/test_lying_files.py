"""Files that are whole by their form and lie about what is in them: an error or an answer, and the parent lives."""

from pathlib import Path

import numpy as np
import pytest

from parity.core.outputs import Failure, Generation
from parity.core.prompts import ChatPrompt, Generate, Message, RequestId, Sampling, TextPrompt
from parity.core.refs import ModelRef
from parity.engines.llamacpp import LlamaCppEngine
from parity.errors import EngineError, ModelError
from parity.models.gguf import check_gguf
from parity.testing.gguf_faults import edited_head

REFUSED = {
    "layers it has not": ("add_block_count", 4000),
    "2^31 layers": ("add_block_count", 2**31),
    "no heads": ("add_head_count", 0),
    "more heads than columns": ("add_head_count", 2**20),
    "another width": ("add_embedding_length", 2**30),
    "another inner width": ("add_feed_forward_length", 2**31),
    "a vocabulary of one": ("add_token_list", ["a"]),
    "an unknown tokenizer": ("add_tokenizer_model", "no such tokenizer"),
    "positions wider than heads": ("add_rope_dimension_count", 2**16),
    "experts that are not there": ("add_expert_count", 2**20),
}
SURVIVED = {
    "a context of 2^32": ("add_context_length", 2**32 - 1),
    "a BOS outside the vocabulary": ("add_bos_token_id", 2**31),
    "an EOS outside the vocabulary": ("add_eos_token_id", 2**32 - 1),
    "an epsilon that is no number": ("add_layer_norm_rms_eps", float("nan")),
    "a template without end": ("add_chat_template", "{% for i in range(99999999) %}{{ messages }}{% endfor %}"),
    "a template that is none": ("add_chat_template", "{% for %}{{"),
}


def lying(stories: Path, folder: Path, method: str, value: object) -> LlamaCppEngine:
    return LlamaCppEngine(ModelRef.parse(f"gguf:{edited_head(stories, folder / 'lie.gguf', (), ((method, value),))}"))


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_loaded_is_an_error(name: str, stories_gguf: Path, tmp_path: Path) -> None:
    with pytest.raises((ModelError, EngineError), match=r"lie\.gguf"):
        lying(stories_gguf, tmp_path, *REFUSED[name])


@pytest.mark.parametrize("name", SURVIVED)
def test_what_can_be_loaded_answers_or_says_why_not(name: str, stories_gguf: Path, tmp_path: Path) -> None:
    engine = lying(stories_gguf, tmp_path, *SURVIVED[name])
    requests = [Generate(RequestId("text"), TextPrompt("Once"), Sampling(4))]
    if engine.capabilities.chat:
        requests.append(Generate(RequestId("chat"), ChatPrompt((Message("user", "Hi"),)), Sampling(4)))
    found = dict(engine.answer(requests))
    engine.close()
    assert found.keys() == {request.id for request in requests}
    assert all(isinstance(output, Generation | Failure) for output in found.values())
    if "template" in name:
        assert "template" in found[RequestId("chat")].message
        assert isinstance(found[RequestId("text")], Generation)
    if "no number" in name:
        assert isinstance(found[RequestId("text")], Failure)


def test_weights_that_are_no_numbers_are_a_failure_not_an_answer(stories_gguf: Path, tmp_path: Path) -> None:
    header, path = check_gguf(stories_gguf), tmp_path / "nan.gguf"
    norm = next(one for one in header.tensors if one.name == "output_norm.weight")
    raw, at = bytearray(stories_gguf.read_bytes()), header.data_start + norm.offset
    raw[at : at + norm.size_bytes] = np.full(norm.size_bytes // 4, np.nan, np.float32).tobytes()
    path.write_bytes(raw)
    engine = LlamaCppEngine(ModelRef.parse(f"gguf:{path}"))
    asked = Generate(RequestId("nan"), TextPrompt("Once"), Sampling(4))
    output = dict(engine.answer([asked]))[asked.id]
    engine.close()
    assert isinstance(output, Failure)
    assert "not numbers" in output.message


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_cut_anywhere_is_refused_before_llama_cpp_sees_it(
    share: float, stories_gguf: Path, tmp_path: Path
) -> None:
    raw, path = stories_gguf.read_bytes(), tmp_path / "cut.gguf"
    path.write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(ModelError, match=r"cut\.gguf"):
        LlamaCppEngine(ModelRef.parse(f"gguf:{path}"))
