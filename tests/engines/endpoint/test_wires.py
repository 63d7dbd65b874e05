"""What is sent to each service, and what is read from its answers."""

import json

import pytest

from engines.endpoint.fake_server import Fault
from parity.core.outputs import Generation, Loglikelihoods, Usage, decode_output
from parity.core.prompts import ChatPrompt, Fit, Generate, Loglikelihood, Message, RequestId, Sampling, TextPrompt
from parity.core.refs import ModelRef
from parity.engines.endpoint import EndpointEngine
from parity.engines.endpoint.address import find_address
from parity.engines.endpoint.profiles import PROFILES, REASONING_TOKENS, find_profile
from parity.errors import EngineError, UsageError

SHORT, QUESTION, STRICT = Sampling(6), TextPrompt("Q?"), Fit()


def asked(sampling=SHORT, prompt=QUESTION, draw=0, fit=STRICT):
    return Generate(RequestId("a", draw), prompt, sampling, fit)


def body(fake, engine, request):
    ((_, output),) = engine.answer([request])
    assert isinstance(output, Generation), output
    return fake.requests[-1].body


def test_openai_chat_gets_the_documented_fields(fake, opened):
    sampling = Sampling(6, temperature=0.5, top_p=0.9, stop=("\n", "Q:"), seed=3)
    sent = body(fake, opened("openai:gpt-4o"), asked(sampling, draw=2))
    assert sent == {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "Q?"}],
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 3 * 1_000_003 + 2,
        "max_completion_tokens": 6,
        "stop": ["\n", "Q:"],
    }


def test_other_servers_are_told_top_p_always_for_they_may_have_a_default_of_their_own(fake, opened):
    sent = body(fake, opened(), asked())
    assert (sent["max_tokens"], sent["temperature"], sent["top_p"]) == (6, 0.0, 1.0)
    assert "max_completion_tokens" not in sent


def test_draws_have_different_seeds_and_equal_draws_equal_ones(fake, opened):
    engine, hot = opened(), Sampling(6, temperature=1.0, seed=9)
    seeds = [body(fake, engine, asked(hot, draw=draw))["seed"] for draw in (0, 1, 2, 1)]
    assert len(set(seeds)) == 3
    assert seeds[1] == seeds[3]
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_turns_and_roles_arrive_as_they_are(fake, opened):
    turns = (Message("system", "Be brief."), Message("user", "Hi"), Message("assistant", "Yes?"), Message("user", "A?"))
    sent = body(fake, opened(), asked(prompt=ChatPrompt(turns)))
    assert [(turn["role"], turn["content"]) for turn in sent["messages"]] == [(t.role, t.content) for t in turns]
    sent = body(fake, opened("anthropic:c"), asked(prompt=ChatPrompt(turns)))
    assert sent["system"] == "Be brief."
    assert [turn["role"] for turn in sent["messages"]] == ["user", "assistant", "user"]


def test_completions_get_the_text_and_refuse_turns(fake, opened):
    engine = opened("completions")
    assert body(fake, engine, asked())["prompt"] == "Q?"
    with pytest.raises(EngineError, match="no turns"):
        list(engine.answer([asked(prompt=ChatPrompt((Message("user", "Q?"),)))]))


def test_a_reasoning_model_is_not_told_how_to_sample_and_has_room_to_think(fake, opened):
    engine = opened("openai:o4-mini")
    sent = body(fake, engine, asked(Sampling(6, stop=("word",))))
    assert sent.keys() == {"model", "messages", "max_completion_tokens"}
    assert sent["max_completion_tokens"] == 6 + REASONING_TOKENS
    settings = dict(engine.identity.settings)
    assert settings["decoding"] == "sampled at the provider's default"
    assert settings["hidden_tokens"] == str(REASONING_TOKENS)
    ((_, output),) = engine.answer([asked(Sampling(6, stop=("word",)))])
    assert "word" not in output.text
    assert output.finish == "stop"
    with pytest.raises(EngineError, match=r"temperature 0\.7"):
        list(engine.answer([asked(Sampling(6, temperature=0.7))]))


@pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21"])
def test_both_versions_of_anthropics_api(fake, opened, version):
    engine = opened("anthropic:claude-x", ANTHROPIC_VERSION=version)
    sent = body(fake, engine, asked(Sampling(6, stop=("\n", "END"))))
    arrived = {name.lower(): value for name, value in fake.requests[-1].headers.items()}
    assert (arrived["anthropic-version"], arrived["x-api-key"]) == (version, "k")
    assert "authorization" not in arrived
    assert sent["stop_sequences"] == ["END"]  # one that is all white space is refused there, so it is cut here
    old = version == "2023-06-01"
    assert ("temperature" in sent) == old
    settings = dict(engine.identity.settings)
    assert settings["api_version"] == version
    assert ("decoding" in settings) != old
    hot = asked(Sampling(6, temperature=0.5))
    if old:
        assert body(fake, engine, hot)["temperature"] == 0.5
    else:
        with pytest.raises(EngineError, match=r"temperature 0\.5"):
            list(engine.answer([hot]))
        with pytest.raises(EngineError, match=r"temperature 0\.5"):
            list(engine.stream(hot))


def test_an_unknown_version_is_refused(opened):
    with pytest.raises(UsageError, match="Did you mean '2023-06-01'"):
        opened("anthropic:c", ANTHROPIC_VERSION="2023-06-02")


@pytest.mark.parametrize(
    ("name", "profile"),
    [
        ("openai:gpt-4o-mini", "OpenAI"),
        ("openai:gpt-5", "OpenAI reasoning models"),
        ("openai:gpt-5-chat-latest", "OpenAI"),
        ("openai:o3", "OpenAI reasoning models"),
        ("https://api.openai.com/v1#gpt-5.2-mini", "OpenAI reasoning models"),
        ("https://generativelanguage.googleapis.com/v1beta/openai#gemini-3-pro", "Gemini, thinking"),
        ("https://generativelanguage.googleapis.com/v1beta/openai#gemini-2.0-flash", "Gemini"),
        ("https://gpu.example/v1#o3", "OpenAI-compatible server"),
        ("anthropic:claude-x", "Anthropic 2023-06-01"),
    ],
)
def test_the_row_of_the_table_that_fits(name, profile):
    keys = dict.fromkeys(("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "PARITY_API_KEY"), "k")
    assert find_profile(find_address(ModelRef.parse(name), keys), "2023-06-01").name == profile


def test_every_row_of_the_table_is_named_once():
    assert len({row.name for row in PROFILES}) == len(PROFILES)


def test_usage_counts_what_was_cached_and_what_was_reasoning(fake, opened):
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    choice = {"message": {"role": "assistant", "content": "B"}, "finish_reason": "stop"}
    fake.script = [Fault(200, {"choices": [choice], "usage": usage})]
    ((_, output),) = opened().answer([asked()])
    assert output.usage == Usage(9, 5, cached_tokens=4, reasoning_tokens=3)
    counts = {"input_tokens": 2, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 3, "output_tokens": 5}
    block = {"type": "text", "text": "B"}
    fake.script = [Fault(200, {"type": "message", "content": [block], "stop_reason": "end_turn", "usage": counts})]
    ((_, output),) = opened("anthropic:c").answer([asked()])
    assert output.usage == Usage(9, 5, cached_tokens=4)


def test_answers_stored_before_there_were_cached_tokens_are_read():
    usage = {"prompt_tokens": 3, "completion_tokens": 1, "truncated_tokens": 0, "dropped_shots": 0}
    stored = {"type": "Generation", "text": "B", "finish": "stop", "usage": usage, "latency_s": 0.1}
    assert decode_output(json.dumps(stored)) == Generation("B", "stop", Usage(3, 1), 0.1)


def test_a_window_smaller_than_the_models_is_kept(fake, opened):
    long = TextPrompt("Q?", shots=("one two three four ",) * 4)
    ((_, output),) = opened().answer([asked(prompt=long, fit=Fit("drop_shots", window_tokens=16))])
    assert output.usage.dropped_shots == 2
    assert output.usage.prompt_tokens + 6 <= 16
    ((_, output),) = opened().answer([asked(prompt=long, fit=Fit("error", window_tokens=16))])
    assert "exceed 16" in output.message
    ((_, output),) = opened().answer([asked(prompt=long, fit=Fit("truncate", window_tokens=16))])
    assert "exceed 16" in output.message


def test_log_likelihoods_are_those_of_the_continuation_alone(fake, opened):
    request = Loglikelihood(RequestId("a"), TextPrompt("The answer is "), ("A", "B or C"))
    ((_, output),) = opened("completions").answer([request])
    assert isinstance(output, Loglikelihoods)
    from engines.endpoint.fake_server import _logprob

    first = _logprob("The answer is", " A")
    second = sum(
        _logprob("The answer is" + before, token) for before, token in (("", " B"), (" B", " or"), (" B or", " C"))
    )
    assert output.values == pytest.approx((first, second))
    assert output.tokens == (1, 3)
    contexts = Loglikelihood(RequestId("c"), TextPrompt("The answer"), (" A", " A"), contexts=(" is", " was"))
    ((_, output),) = opened("completions").answer([contexts])
    assert output.values == pytest.approx((first, _logprob("The answer was", " A")))


@pytest.mark.parametrize("values", [[None, 0.0, 0.0, 0.0], [None, -1.0, None, -2.0], [-1.0], []])
def test_a_server_that_only_pretends_to_have_log_probabilities_is_found_out(fake, opened, values):
    from parity.engines.endpoint.likelihood import PROBE

    choice = {"text": PROBE + " A", "logprobs": {"token_logprobs": [*values, -0.5]}, "finish_reason": "length"}
    fake.script = [Fault(200, {"choices": [choice], "usage": {"prompt_tokens": len(values), "completion_tokens": 1}})]
    assert opened("completions").capabilities.kinds == {"generation"}


def test_two_addresses_of_one_model_are_two_identities(fake, opened):
    one, same, other = opened(), opened(), opened(f"{fake.url}#other")
    assert one.identity.digest == same.identity.digest != other.identity.digest
    assert opened("completions").identity.digest != one.identity.digest


def test_an_engine_is_found_by_the_names_of_endpoints(fake, monkeypatch):
    from parity.engines.open import open_engine

    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("OPENAI_BASE_URL", fake.url)
    engine = open_engine(ModelRef.parse("openai:gpt-4o"))
    assert isinstance(engine, EndpointEngine)
    engine.close()
