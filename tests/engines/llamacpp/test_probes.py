"""What is asked of a file beside answers: bare continuations, renderings, and how llama.cpp's own server renders."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from parity.core.outputs import Generation
from parity.core.prompts import Generate, Message, RequestId, Sampling, TextPrompt
from parity.core.refs import ModelRef
from parity.engines.llamacpp import LlamaCppEngine
from parity.engines.llamacpp.own_rendering import Rendered, own_renderings
from parity.errors import EngineError
from parity.models.templates import Job, Refusal
from parity.testing.gguf_faults import edited_head

TURNS = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "naïve 😀"}]
REFUSES = (
    "{{ bos_token }}{% if not messages %}{{ raise_exception('nobody speaks') }}{% endif %}{{ messages[0].content }}"
)


@pytest.fixture(scope="module")
def engine(stories_gguf: Path) -> Iterator[LlamaCppEngine]:
    opened = LlamaCppEngine(ModelRef.parse(f"gguf:{stories_gguf}"))
    yield opened
    opened.close()


def test_a_bare_continuation_is_what_an_answer_says(engine: LlamaCppEngine) -> None:
    asked = Generate(RequestId("bare"), TextPrompt("Once upon a time"), Sampling(40))
    output = dict(engine.answer([asked]))[asked.id]
    ids, text = engine.continued(engine.encode(["Once upon a time"])[0], 40)
    assert isinstance(output, Generation)
    assert text == output.text
    assert len(ids) == 40
    assert engine.logits([*engine.encode(["Once upon a time"])[0], *ids[:-1]])[-1].argmax() == ids[-1]


def test_what_does_not_fit_the_context_is_refused_and_the_next_is_answered(engine: LlamaCppEngine) -> None:
    for ids, tokens in (((), 4), ((1,) * 510, 4)):
        with pytest.raises(EngineError, match="do not fit"):
            engine.continued(ids, tokens)
    assert len(engine.continued((1,), 3)[0]) == 3


def test_llama_cpps_server_writes_the_same_conversation(engine: LlamaCppEngine, stories_gguf: Path) -> None:
    (text,) = engine.rendered([Job(TURNS)])
    (theirs,) = own_renderings(stories_gguf, [Job(TURNS)])
    assert isinstance(theirs, Rendered)
    assert theirs.text == text
    # Its tokenizer adds a BOS, the template writes none: the server reads one more than the template says.
    ours = engine.chat_ids([Message("system", "Be brief."), Message("user", "naïve 😀")])
    assert theirs.ids == (1, *ours)


def test_a_refusal_is_told_with_its_reason(stories_gguf: Path, tmp_path: Path) -> None:
    file = edited_head(stories_gguf, tmp_path / "refuses.gguf", (), (("add_chat_template", REFUSES),))
    engine = LlamaCppEngine(ModelRef.parse(f"gguf:{file}"))
    refused, text = engine.rendered([Job([]), Job(TURNS)])
    assert isinstance(refused, Refusal)
    assert "nobody speaks" in refused.reason
    assert text == "<s>Be brief."
    # The server takes the BOS its tokenizer adds out of the text, and reads one all the same.
    (theirs,) = own_renderings(file, [Job(TURNS)])
    assert isinstance(theirs, Rendered)
    assert theirs.ids[:1] == (1,)
    assert theirs.ids[1:2] != (1,)
    engine.close()


def test_a_server_that_cannot_load_a_file_ends_alone(stories_gguf: Path, tmp_path: Path) -> None:
    file = edited_head(stories_gguf, tmp_path / "broken.gguf", (), (("add_block_count", 4000),))
    with pytest.raises(EngineError, match=r"broken\.gguf"):
        own_renderings(file, [Job(TURNS)])
