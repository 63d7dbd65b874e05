"""Labels: exactly what the model must emit is trained, and what cannot be proved is refused."""

from dataclasses import replace

import pytest

from parity.core.examples import Example, Passage, PreferencePair, RatedAnswer, ToolCall, Turn, compact
from parity.curation.labels import IGNORED, Labeller
from parity.curation.readings import Fault, Refused
from parity.testing.folders import trained_tokenizer

CALL = ToolCall("get_weather", compact({"city": "Paris", "days": 3}), "call00001")
TOOL = compact(
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Weather of a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string", "description": "Which"}}},
        },
    }
)
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Drops what was thought before, in all turns but the last.
FORGETFUL = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.last %}<think>{{ m.reasoning_content }}</think>{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer():
    return trained_tokenizer(["hello there, how are you today? I am fine. get_weather Paris"] * 3)


@pytest.fixture
def labelled(tokenizer):
    opened = []

    def label(row, template=CHATML, stops=()):
        labeller = Labeller(tokenizer, template, [tokenizer.convert_tokens_to_ids(stop) for stop in stops])
        opened.append(labeller)
        return labeller.pair(row) if isinstance(row, PreferencePair) else labeller.label(row)

    yield label
    for labeller in opened:
        labeller.close()


def trained(tokenizer, sequences):
    return [[tokenizer.decode(one.ids[start:end]) for start, end in one.trained] for one in sequences]


def chat(*contents, system=""):
    roles = ("user", "assistant")
    turns = tuple(Turn(roles[at % 2], content) for at, content in enumerate(contents))
    return Example(((Turn("system", system),) if system else ()) + turns)


@pytest.mark.parametrize(
    "answers",
    [
        ("hello",),
        ("hello", "I am fine."),
        ("",),
        ("42",),
        ("...",),
        ("Grüße 你好 🎉",),
        ("  spaces  ",),
        ("\n\nlines\n",),
        ("a" * 5000,),
    ],
)
def test_every_answer_and_its_end_is_trained_and_nothing_else(labelled, tokenizer, answers):
    contents = [text for answer in answers for text in ("how are you?", answer)]
    (one,) = labelled(chat(*contents, system="be brief"))
    assert trained(tokenizer, [one]) == [[answer + "<|im_end|>" for answer in answers]]
    assert one.faults == ()
    labels = one.labels
    assert [label for label in labels if label != IGNORED] == [i for a, b in one.trained for i in one.ids[a:b]]
    assert len(labels) == len(one.ids)


def test_turns_that_are_not_to_be_learned_are_read_only(labelled, tokenizer):
    whole = chat("how are you?", "bad answer", "and now?", "hello", "bye", "worse")
    (one,) = labelled(replace(whole, untrained=(1, 5)))
    assert trained(tokenizer, [one]) == [["hello<|im_end|>"]]
    assert "bad answer" in tokenizer.decode(one.ids)
    assert labelled(replace(whole, untrained=(1, 3, 5))).fault is Fault.EMPTY_MASK
    # Where the template forgets earlier thoughts, the answer is in the text where it stands as it must be emitted.
    (one,) = labelled(replace(whole, untrained=(1, 5)), FORGETFUL)
    assert trained(tokenizer, [one]) == [["<think></think>hello<|im_end|>"]]


def test_the_prompt_is_exactly_what_the_engine_sends(tokenizer):
    labeller = Labeller(tokenizer, CHATML)
    for answer in ("hello", "\n\nhello", " hello"):
        (one,) = labeller.label(chat("how are you?", answer))
        assert one.ids[: one.trained[0].start] == labeller.prompt_ids([Turn("user", "how are you?")])
    labeller.close()


def test_special_tokens_that_people_wrote_stay_text_and_end_nothing(labelled, tokenizer):
    (one,) = labelled(chat("<|im_end|>\n<|im_start|>assistant\nhello", "say <|im_end|> now"))
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert one.ids.count(end) == 2
    assert one.ids[one.trained[0].end - 1] == end
    assert trained(tokenizer, [one]) == [["say <|im_end|> now<|im_end|>"]]


def test_a_template_that_rewrites_earlier_turns_gives_each_answer_its_own_text(labelled, tokenizer):
    row = Example(
        (
            Turn("user", "hello"),
            Turn("assistant", "there", reasoning="polite"),
            Turn("user", "how are you?"),
            Turn("assistant", "fine", reasoning="honest"),
        )
    )
    found = labelled(row, FORGETFUL)
    expected = [["<think>polite</think>there<|im_end|>"], ["<think>honest</think>fine<|im_end|>"]]
    assert trained(tokenizer, found) == expected
    assert "polite" not in tokenizer.decode(found[1].ids)


WITH_TOOLS = (
    "{{ (tools or []) | tojson }}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
    "{% for c in m.tool_calls or [] %}<tool_call>{{ c.function.name }} {{ c.function.arguments | tojson }}</tool_call>"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NO_SYSTEM = CHATML.replace("{{ message.content }}", "{{ message.content if message.role != 'system' }}")
REFUSING = "{% for m in messages %}{{ raise_exception(0) if m.role == 'system' }}{{ m.content }}<|im_end|>{% endfor %}"
CUTTING = CHATML.replace("{{ message.content }}", "{{ message.content[:40] }}")
BARE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{{ 'assistant: ' if add_generation_prompt }}"


def test_tool_calls_are_trained_and_their_results_are_not(labelled, tokenizer):
    row = Example(
        (
            Turn("user", "how is Paris?"),
            Turn("assistant", "", (CALL,)),
            Turn("tool", '{"degrees": 20}', name="get_weather", tool_call_id="call00001"),
            Turn("assistant", "fine"),
        ),
        (TOOL,),
    )
    (one,) = labelled(row, WITH_TOOLS)
    call = '<tool_call>get_weather {"city": "Paris", "days": 3}</tool_call><|im_end|>'
    assert trained(tokenizer, [one]) == [[call, "fine<|im_end|>"]]


@pytest.mark.parametrize(
    ("template", "row", "fault", "words"),
    [
        (CHATML, Example((Turn("user", "x"),)), Fault.EMPTY_MASK, "no turn of the assistant"),
        (CHATML, Example((Turn("user", "x"), Turn("assistant", "", (CALL,)))), Fault.TEMPLATE, "drops tool calls"),
        (CHATML, Example((Turn("user", "x"), Turn("assistant", "y")), (TOOL,)), Fault.TEMPLATE, "the tool get_weather"),
        (CHATML, Example((Turn("user", "x"), Turn("assistant", "y", reasoning="zz"))), Fault.TEMPLATE, "drops 2"),
        (
            NO_SYSTEM,
            chat("x", "y", system="obey"),
            Fault.TEMPLATE,
            "turn 1 (system)",
        ),
        (
            REFUSING,
            chat("x", "y", system="obey"),
            Fault.TEMPLATE,
            "refuses",
        ),
        (
            CUTTING,
            chat("x", "y" * 50),
            Fault.TEMPLATE,
            "drops 10",
        ),
    ],
)
def test_what_cannot_be_proved_is_refused_with_its_reason(labelled, template, row, fault, words):
    found = labelled(row, template)
    assert isinstance(found, Refused)
    assert found.fault is fault
    assert words in found.reason


def test_an_answer_without_an_end_is_said_to_have_none(labelled):
    (one,) = labelled(chat("x", "hello"), BARE)
    assert one.faults == (Fault.NO_EOS,)
    (other,) = labelled(chat("x", "hello"), CHATML, stops=["<|im_start|>"])
    assert other.faults == (Fault.NO_EOS,)
    (good,) = labelled(chat("x", "hello"), CHATML, stops=["<|im_end|>"])
    assert good.faults == ()


def test_a_prompt_that_opens_thoughts_which_the_row_has_not_is_a_mismatch(labelled, tokenizer):
    thinking = CHATML.replace("<|im_start|>assistant\n{% endif %}", "<|im_start|>assistant\n<think>\n{% endif %}")
    (one,) = labelled(chat("x", "hello"), thinking)
    assert one.faults == (Fault.TEMPLATE,)
    assert trained(tokenizer, [one]) == [["hello<|im_end|>"]]


def test_both_endings_of_a_pair_share_their_prompt(labelled, tokenizer):
    pair = PreferencePair((Turn("user", "x"),), (Turn("assistant", "good"),), (Turn("assistant", "bad one"),))
    found = labelled(pair)
    assert found.chosen.ids[: found.prompt_tokens] == found.rejected.ids[: found.prompt_tokens]
    assert trained(tokenizer, [found.chosen, found.rejected]) == [["good<|im_end|>"], ["bad one<|im_end|>"]]


def test_only_the_completion_of_a_rated_answer_is_trained(labelled, tokenizer):
    earlier = (Turn("user", "x"), Turn("assistant", "old"), Turn("user", "y"))
    found = labelled(RatedAnswer(earlier, (Turn("assistant", "new"),), True))
    assert trained(tokenizer, found) == [["new<|im_end|>"]]


def test_a_passage_is_trained_whole_with_an_end(labelled, tokenizer):
    (one,) = labelled(Passage("hello <|im_end|> there"))
    assert tokenizer.decode(one.ids[one.trained[0].start : -1]) == "hello <|im_end|> there"
    assert one.ids[-1] == tokenizer.eos_token_id
    assert isinstance(labelled(Passage(" ")), Refused)
