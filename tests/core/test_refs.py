"""Every form of ModelRef that DESIGN names parses to what it means and prints back as it was written."""

import pytest

from parity.core.refs import ModelRef, Scheme
from parity.errors import UsageError

FORMS = {
    "hf:Qwen/Qwen2.5-7B@9f8e7d": (Scheme.HUB, "Qwen/Qwen2.5-7B", "9f8e7d", None),
    "hf:meta-llama/Llama-2-7b": (Scheme.HUB, "meta-llama/Llama-2-7b", None, None),
    "./models/mine": (Scheme.FOLDER, "./models/mine", None, None),
    "/srv/a:b": (Scheme.FOLDER, "/srv/a:b", None, None),
    "mine": (Scheme.FOLDER, "mine", None, None),
    "gguf:a/b.gguf": (Scheme.GGUF, "a/b.gguf", None, None),
    "openai:gpt-4o": (Scheme.OPENAI, "gpt-4o", None, None),
    "anthropic:claude-x": (Scheme.ANTHROPIC, "claude-x", None, None),
    "http://127.0.0.1:8000/v1#llama": (Scheme.HTTP, "http://127.0.0.1:8000/v1", None, "llama"),
    "https://host/v1#m": (Scheme.HTTP, "https://host/v1", None, "m"),
    "magnet:?xt=urn:btih:abc": (Scheme.MAGNET, "?xt=urn:btih:abc", None, None),
    "replay:answers.csv#gpt-4": (Scheme.REPLAY, "answers.csv", None, "gpt-4"),
    "dummy:": (Scheme.DUMMY, "", None, None),
    "dummy:letter=A": (Scheme.DUMMY, "letter=A", None, None),
}


@pytest.mark.parametrize("text", FORMS)
def test_every_form_parses_and_prints_back(text):
    ref = ModelRef.parse(text)
    assert (ref.scheme, ref.name, ref.revision, ref.part) == FORMS[text]
    assert str(ref) == text
    assert ModelRef.parse(str(ref)) == ref


@pytest.mark.parametrize(
    "text", ["", "  ", "hf:only-a-name", "hf:a/b/c", "gguf:", "openai:", "magnet:x", "http://", "opnai:x"]
)
def test_what_cannot_be_meant_is_a_usage_error(text):
    with pytest.raises(UsageError):
        ModelRef.parse(text)


def test_a_misspelt_scheme_names_the_nearest():
    with pytest.raises(UsageError, match="Did you mean 'openai'"):
        ModelRef.parse("opnai:gpt-4")
