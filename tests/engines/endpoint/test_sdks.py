"""The official SDKs read the same answers from the fake endpoint as we do, so that it speaks as they expect."""

import pytest

from parity.core.prompts import ChatPrompt, Generate, Message, RequestId, Sampling

TURNS = (Message("system", "Be brief."), Message("user", "Which letter?"))


def ours(engine, sampling):
    request = Generate(RequestId("a"), ChatPrompt(TURNS), sampling)
    ((_, output),) = engine.answer([request])
    assert "".join(piece.text for piece in engine.stream(request)) == output.text
    return output


@pytest.mark.parametrize("sampling", [Sampling(6), Sampling(9, temperature=1.0, seed=4), Sampling(40)])
def test_the_openai_sdk(fake, opened, sampling):
    openai = pytest.importorskip("openai")
    engine = opened("openai:gpt-4o")
    mine = ours(engine, sampling)
    asked = dict(fake.requests[-2].body)
    with openai.OpenAI(api_key="k", base_url=fake.url) as client:
        theirs = client.chat.completions.create(**asked)
        chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert mine.text == theirs.choices[0].message.content
    assert mine.finish == theirs.choices[0].finish_reason
    assert (mine.usage.prompt_tokens, mine.usage.completion_tokens) == (
        theirs.usage.prompt_tokens,
        theirs.usage.completion_tokens,
    )
    assert mine.usage.cached_tokens == theirs.usage.prompt_tokens_details.cached_tokens
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == mine.text
    sent = {name.lower(): value for name, value in fake.requests[0].headers.items()}
    theirs_sent = {name.lower(): value for name, value in fake.requests[-1].headers.items()}
    assert sent["authorization"] == theirs_sent["authorization"]


def test_the_anthropic_sdk(fake, opened):
    anthropic = pytest.importorskip("anthropic")
    mine = ours(opened("anthropic:claude-x", ANTHROPIC_VERSION="2026-10-21"), Sampling(6))
    asked = {key: value for key, value in fake.requests[0].body.items() if key != "stream"}
    with anthropic.Anthropic(api_key="k", base_url=fake.root) as client:
        theirs = client.messages.create(**asked)
        with client.messages.stream(**asked) as stream:
            streamed = "".join(stream.text_stream)
    assert mine.text == theirs.content[0].text == streamed
    assert {"stop": "end_turn", "length": "max_tokens"}[mine.finish] == theirs.stop_reason
    assert mine.usage.prompt_tokens == theirs.usage.input_tokens
