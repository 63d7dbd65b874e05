"""Records of the formats people have, made into canonical rows; which format a record is in shows in its keys.

Chat messages, OpenAI fine-tuning, preference and stored-completion files, ShareGPT, Alpaca, prompt and completion,
TRL's preference and KTO columns, plain text. One record in, one row or a reason out; knows nothing of files.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from parity.core.examples import Example, Origin, Passage, PreferencePair, RatedAnswer, Row, Turn
from parity.curation.turns import Rejected, text_of, text_turn, tools_of, turns_of

Record = Mapping[str, Any]
_USER_KEYS = ("user", "user_id", "end_user", "client_id")
_SESSION_KEYS = ("session", "session_id", "conversation_id", "thread_id", "chat_id")
_HH = re.compile(r"\n\n(Human|Assistant):")
_TRUE, _FALSE = ("true", "1", "yes", "good", "desirable"), ("false", "0", "no", "bad", "undesirable")


def row_of(record: object) -> tuple[str, Row]:
    """(format, row) of a record.

    Raises:
        Rejected: it is in no known format, or the format does not hold what it promises.
    """
    if isinstance(record, list) and len(record) == 2 and isinstance(record[1], dict):
        record = {"messages": record[0], **record[1]}  # pairs of a request's messages and the response
    if not isinstance(record, Mapping):
        raise Rejected("a row is no object")
    for name, keys, read in _FORMATS:
        if all(key in record for key in keys):
            return name, read(record)
    raise Rejected(f"no known format has the keys {', '.join(sorted(map(str, record))[:6])}")


def _origin(record: Record) -> Origin:
    metadata = record.get("metadata")
    places = [record, metadata] if isinstance(metadata, Mapping) else [record]

    def first(keys: tuple[str, ...]) -> str:
        return next((str(place[key]) for place in places for key in keys if place.get(key)), "")

    return Origin(first(_USER_KEYS), first(_SESSION_KEYS))


def _example(turns: tuple[Turn, ...], tools: tuple[str, ...], record: Record) -> Example:
    if turns[-1].role != "assistant":
        raise Rejected(f"ends with a turn of role {turns[-1].role}: nothing to learn")
    return Example(turns, tools, _origin(record))


def _messages(record: Record) -> Row:
    turns = turns_of(record["messages"])
    tools = tools_of(record.get("tools") or record.get("functions"))
    if "label" in record:
        return _rated(turns[:-1], turns[-1:], record["label"], tools, record)
    return _example(turns, tools, record)


def _stored(record: Record) -> Row:
    """A request and the answer it got."""
    request = record.get("request", record.get("body", record))
    response = record.get("response", record)
    response = response.get("body", response) if isinstance(response, Mapping) else response
    if not isinstance(request, Mapping) or not isinstance(response, Mapping):
        raise Rejected("request or response is no object")
    choices = response.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise Rejected("the response has no choices")
    reason = choices[0].get("finish_reason")
    if reason not in (None, "stop", "tool_calls", "function_call"):
        raise Rejected(f"the answer was cut (finish_reason {str(reason)[:40]})")
    asked = request.get("messages", request.get("input"))
    answered = choices[0].get("message")
    if isinstance(answered, Mapping) and answered.get("refusal"):
        raise Rejected("the answer is a refusal")
    turns = turns_of([*(asked if isinstance(asked, list) else []), answered])
    if len(turns) < 2:
        raise Rejected("the request's messages are not in the file")
    return _example(turns, tools_of(request.get("tools")), {**record, **request})


def _openai_preference(record: Record) -> Row:
    asked = record["input"]
    if not isinstance(asked, Mapping):
        raise Rejected("input is no object")
    chosen, rejected = (turns_of(record[key], key) for key in ("preferred_output", "non_preferred_output"))
    return _pair(turns_of(asked.get("messages")), chosen, rejected, tools_of(asked.get("tools")), record)


def _sharegpt(record: Record) -> Row:
    said = turns_of(record["conversations"])
    system = record.get("system")
    turns = ((text_turn("system", system, "system"),) if system else ()) + said
    tools = tools_of(record.get("tools"))
    if "chosen" in record:
        chosen, rejected = (_ending(record[key], key) for key in ("chosen", "rejected"))
        return _pair(turns, chosen, rejected, tools, record)
    if "kto_tag" in record:
        return _rated(turns[:-1], turns[-1:], record["kto_tag"], tools, record)
    return _example(turns, tools, record)


def _alpaca(record: Record) -> Row:
    asked = text_turn("user", record["instruction"], "instruction")
    more = text_of(record.get("input"), "input")
    if more.strip() and more.strip().lower() != "nan":
        asked = Turn("user", f"{asked.content}\n\n{more}")
    earlier: list[Turn] = [text_turn("system", record["system"], "system")] if record.get("system") else []
    for question, answer in record.get("history") or ():
        earlier += [text_turn("user", question, "history"), text_turn("assistant", answer, "history")]
    if "chosen" in record:
        chosen, rejected = (_ending(record[key], key) for key in ("chosen", "rejected"))
        return _pair((*earlier, asked), chosen, rejected, (), record)
    answered = text_turn("assistant", record.get("output", record.get("response")), "output")
    return _example((*earlier, asked, answered), (), record)


def _preference(record: Record) -> Row:
    tools = tools_of(record.get("tools"))
    if record.get("prompt"):
        chosen, rejected = (_ending(record[key], key) for key in ("chosen", "rejected"))
        return _pair(_beginning(record["prompt"]), chosen, rejected, tools, record)
    chosen, rejected = _dialogue(record["chosen"], "chosen"), _dialogue(record["rejected"], "rejected")
    same = next((at for at, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b), None)
    if same is None:
        raise Rejected("chosen and rejected are the same")
    return _pair(chosen[:same], chosen[same:], rejected[same:], tools, record)


def _completion(record: Record) -> Row:
    prompt, completion = _beginning(record["prompt"]), _ending(record["completion"], "completion")
    tools = tools_of(record.get("tools"))
    if "label" in record:
        return _rated(prompt, completion, record["label"], tools, record)
    return _example(prompt + completion, tools, record)


def _passage(record: Record) -> Row:
    return Passage(text_turn("assistant", record["text"], "text").content, _origin(record))


def _pair(
    prompt: tuple[Turn, ...], chosen: tuple[Turn, ...], rejected: tuple[Turn, ...], tools: tuple[str, ...], of: Record
) -> PreferencePair:
    if chosen == rejected:
        raise Rejected("chosen and rejected are the same")
    if not prompt or any(not ending or ending[-1].role != "assistant" for ending in (chosen, rejected)):
        raise Rejected("a pair needs a prompt and two endings by the assistant")
    return PreferencePair(prompt, chosen, rejected, tools, _origin(of))


def _rated(
    prompt: tuple[Turn, ...], completion: tuple[Turn, ...], label: object, tools: tuple[str, ...], of: Record
) -> RatedAnswer:
    word = str(label).strip().lower()
    if word not in _TRUE + _FALSE:
        raise Rejected("label is neither true nor false")
    if not prompt or not completion or completion[-1].role != "assistant":
        raise Rejected("a rated answer needs a prompt and an ending by the assistant")
    return RatedAnswer(prompt, completion, word in _TRUE, tools, _origin(of))


def _beginning(found: object) -> tuple[Turn, ...]:
    return turns_of(found, "prompt") if isinstance(found, list) else (text_turn("user", found, "prompt"),)


def _ending(found: object, what: str) -> tuple[Turn, ...]:
    if isinstance(found, Mapping):
        found = [found]
    return turns_of(found, what) if isinstance(found, list) else (text_turn("assistant", found, what),)


def _dialogue(found: object, what: str) -> tuple[Turn, ...]:
    """A whole conversation: messages, or a text with Human: and Assistant: in it (Anthropic's HH)."""
    if isinstance(found, list):
        return turns_of(found, what)
    pieces = _HH.split(text_of(found, what))
    if len(pieces) < 5 or pieces[0].strip():
        raise Rejected(f"{what} has no prompt, and is no dialogue of Human and Assistant")
    roles = pieces[1::2]
    said = zip(roles, pieces[2::2], strict=True)
    return tuple(text_turn("user" if role == "Human" else "assistant", text.strip(), what) for role, text in said)


_FORMATS: tuple[tuple[str, tuple[str, ...], Callable[[Record], Row]], ...] = (
    ("openai preference", ("input", "preferred_output", "non_preferred_output"), _openai_preference),
    ("stored completion", ("request", "response"), _stored),
    ("stored completion", ("choices",), _stored),
    ("sharegpt", ("conversations",), _sharegpt),
    ("messages", ("messages",), _messages),
    ("alpaca", ("instruction",), _alpaca),
    ("preference", ("chosen", "rejected"), _preference),
    ("prompt and completion", ("prompt", "completion"), _completion),
    ("text", ("text",), _passage),
)
