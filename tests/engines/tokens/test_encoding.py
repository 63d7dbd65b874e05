"""Prompts without a token: something always stands before what is predicted, or it is a failure and no crash."""

import pytest

from parity.core.outputs import Failure
from parity.core.prompts import Loglikelihood, RequestId, TextPrompt
from parity.engines.tokens.encoding import Encoder
from parity.testing.folders import trained_tokenizer


@pytest.fixture
def tokenizer():
    return trained_tokenizer(["hello there, how are you today?\n\n"] * 3)


@pytest.mark.parametrize("text", ["", "\n", "  \n "])
@pytest.mark.parametrize("opening", ["bos_token", "eos_token", None])
def test_white_space_alone_is_read_after_the_opening_token(tokenizer, text, opening):
    tokenizer.bos_token = tokenizer.eos_token = None
    if opening is not None:
        setattr(tokenizer, opening, "<|im_end|>")
    found = Encoder(tokenizer, None, None).likelihood(Loglikelihood(RequestId("a"), TextPrompt(text), ("hello",)))
    if opening is None:
        assert isinstance(found, Failure)
        return
    assert found.context == (tokenizer.convert_tokens_to_ids("<|im_end|>"),)
    assert tokenizer.decode(found.continuations[0]) == text + "hello"
