"""Records of the formats people have, made into canonical rows; which format a record is in shows in its keys.

Chat messages, OpenAI fine-tuning, preference and stored-completion files, ShareGPT, Alpaca, prompt and completion,
TRL's preference and KTO columns, plain text. One record in, one row or a reason out; knows nothing of files.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from parity.core.examples import Example, Origin, Passage, PreferencePair, RatedAnswer, Row, Turn
from parity.curation.turns import Rejected, text_of, text_turn, tools_of, turns_of, unread_keys, untrained_of

Record = Mapping[str, Any]
_USER_KEYS = ("user", "user_id", "end_user", "client_id")
_SESSION_KEYS = ("session", "session_id", "conversation_id", "thread_id", "chat_id")
_HH = re.compile(r"\n\n(Human|Assistant):")
_TRUE = ("true", "1", "1.0", "yes", "good", "desirable")
_FALSE = ("false", "0", "0.0", "no", "bad", "undesirable")


def row_of(record: object) -> tuple[str, Row]:
    """(format, row) of a record.

    Raises:
        Rejected: it is in no known format, or the format does not hold what it promises.
    """
    if isinstance(record, list) and len(record) == 2 and isinstance(record[1], dict):
        record = {"messages": record[0], **record[1]}  # pairs of a request's messages and the response
    if not isinstance(record, Mapping):
        raise Rejected("a row is no object")
    for name, keys, _, read in _FORMATS:
        if all(key in record for key in keys):
            return name, read(record)
    raise Rejected(f"no known format has the keys {', '.join(sorted(str(key)[:40] for key in record)[:6])}")


def not_kept(form: str, record: object) -> set[str]:
    """Names of what a record says beyond its row: settings of the request, names of people, whatever else.

    No value of theirs is learned from; they are counted, so that nobody takes them for kept.
    """
    if not isinstance(record, Mapping):
        return set()
    keys, more = next(
        (keys, more) for name, keys, more, _ in _FORMATS if name == form and all(k in record for k in keys)
    )
    read = {*keys, *more, *_EVERYWHERE}
    unread = {str(key) for key in record.keys() - read if record[key] not in (None, [], {}, "")}
    request = next((record[key] for key in ("request", "body") if key in record), None)
    if isinstance(request, Mapping):
        unread |= {str(key) for key in request.keys() - {"messages", "input", *_EVERYWHERE}}
    turns = next((record[key] for key in ("messages", "conversations") if key in record), None)
    return unread | {f"messages[].{key}" for key in unread_keys(turns)}


def _origin(record: Record) -> Origin:
    metadata = record.get("metadata")
    places = [record, metadata] if isinstance(metadata, Mapping) else [record]

    def first(keys: tuple[str, ...]) -> str:
        return next((str(place[key]) for place in places for key in keys if place.get(key)), "")

    return Origin(first(_USER_KEYS), first(_SESSION_KEYS))


def _example(
    turns: tuple[Turn, ...], tools: tuple[str, ...], record: Record, untrained: tuple[int, ...] = ()
) -> Example:
    if turns[-1].role != "assistant":
        raise Rejected(f"ends with a turn of role {turns[-1].role}: nothing to learn")
    if record.get("parallel_tool_calls") is False and any(len(turn.tool_calls) > 1 for turn in turns):
        raise Rejected("several tool calls in a turn, though parallel_tool_calls is false")
    return Example(turns, tools, _origin(record), untrained)


def _own(turns: tuple[Turn, ...]) -> tuple[int, ...]:
    """Numbers of the assistant's turns."""
    return tuple(at for at, turn in enumerate(turns) if turn.role == "assistant")


def _tools(record: Record) -> tuple[str, ...]:
    return tools_of(record.get("tools") or record.get("functions"))


def _messages(record: Record) -> Row:
    turns = turns_of(record["messages"])
    untrained = untrained_of(record["messages"])
    if "label" in record:
        if len(turns) - 1 in untrained:
            raise Rejected("the answer that is rated has weight 0")
        return _rated(turns[:-1], turns[-1:], record["label"], _tools(record), record)
    return _example(turns, _tools(record), record, untrained)


def _stored(record: Record) -> Row:
    """A request and the answer it got, which alone is learned: earlier answers have requests of their own."""
    request = record.get("request", record.get("body", record))
    response = record.get("response", record)
    response = response.get("body", response) if isinstance(response, Mapping) else response
    if not isinstance(request, Mapping) or not isinstance(response, Mapping):
        raise Rejected("request or response is no object")
    choices = response.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise Rejected("the response has no choices")
    if len(choices) > 1:
        raise Rejected("the response has several choices: keep the one that is meant")
    reason = choices[0].get("finish_reason")
    if reason not in (None, "stop", "tool_calls", "function_call"):
        raise Rejected(f"the answer was cut (finish_reason {str(reason)[:40]})")
    asked = request.get("messages", request.get("input"))
    turns = turns_of([*(asked if isinstance(asked, list) else []), choices[0].get("message")])
    if len(turns) < 2:
        raise Rejected("the request's messages are not in the file")
    return _example(turns, _tools(request), {**record, **request}, _own(turns[:-1]))


def _openai_preference(record: Record) -> Row:
    asked = record["input"]
    if not isinstance(asked, Mapping):
        raise Rejected("input is no object")
    chosen, rejected = (turns_of(record[key], key) for key in ("preferred_output", "non_preferred_output"))
    return _pair(turns_of(asked.get("messages")), chosen, rejected, _tools(asked), record)


def _sharegpt(record: Record) -> Row:
    said = turns_of(record["conversations"])
    system = record.get("system")
    turns = ((text_turn("system", system, "system"),) if system else ()) + said
    tools = _tools(record)
    if "chosen" in record:
        chosen, rejected = (_ending(record[key], key) for key in ("chosen", "rejected"))
        return _pair(turns, chosen, rejected, tools, record)
    if "kto_tag" in record:
        return _rated(turns[:-1], turns[-1:], record["kto_tag"], tools, record)
    before = len(turns) - len(said)
    return _example(turns, tools, record, tuple(at + before for at in untrained_of(record["conversations"])))


def _alpaca(record: Record) -> Row:
    asked = text_turn("user", record["instruction"], "instruction")
    more = text_of(record.get("input"), "input")
    if more.strip() and more.strip().lower() != "nan":
        asked = Turn("user", f"{asked.content}\n\n{more}")
    earlier: list[Turn] = [text_turn("system", record["system"], "system")] if record.get("system") else []
    history = record.get("history") or []
    if not isinstance(history, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in history):
        raise Rejected("history is no list of questions with their answers")
    for question, answer in history:
        earlier += [text_turn("user", question, "history"), text_turn("assistant", answer, "history")]
    if "chosen" in record:
        chosen, rejected = (_ending(record[key], key) for key in ("chosen", "rejected"))
        return _pair((*earlier, asked), chosen, rejected, (), record)
    answered = text_turn("assistant", record.get("output", record.get("response")), "output")
    return _example((*earlier, asked, answered), (), record)


def _preference(record: Record) -> Row:
    tools = _tools(record)
    if record.get("prompt"):
        chosen, rejected = (_ending(record[key], key) for key in ("chosen", "rejected"))
        return _pair(_beginning(record["prompt"]), chosen, rejected, tools, record)
    chosen, rejected = _dialogue(record["chosen"], "chosen"), _dialogue(record["rejected"], "rejected")
    same = next((at for at, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b), None)
    if same is None:
        raise Rejected("chosen and rejected are the same")
    return _pair(chosen[:same], chosen[same:], rejected[same:], tools, record)


def _completion(record: Record) -> Row:
    """A prompt and its completion, which alone is learned, as in TRL."""
    key = "completion" if "completion" in record else "response"
    prompt, completion = _beginning(record["prompt"]), _ending(record[key], key)
    tools = _tools(record)
    if "label" in record:
        return _rated(prompt, completion, record["label"], tools, record)
    return _example(prompt + completion, tools, record, _own(prompt))


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
    if isinstance(found, list) and untrained_of(found):
        raise Rejected(f"a message of {what} has weight 0, which only whole conversations can keep")
    return turns_of(found, what) if isinstance(found, list) else (text_turn("assistant", found, what),)


def _dialogue(found: object, what: str) -> tuple[Turn, ...]:
    """A whole conversation: messages, or a text with Human: and Assistant: in it (Anthropic's HH)."""
    if isinstance(found, list):
        if len(found) - 1 in untrained_of(found):
            raise Rejected(f"the answer of {what} has weight 0")
        return turns_of(found, what)
    pieces = _HH.split(text_of(found, what))
    if len(pieces) < 5 or pieces[0].strip():
        raise Rejected(f"{what} has no prompt, and is no dialogue of Human and Assistant")
    roles = pieces[1::2]
    said = zip(roles, pieces[2::2], strict=True)
    return tuple(text_turn("user" if role == "Human" else "assistant", text.strip(), what) for role, text in said)


_EVERYWHERE = ("tools", "functions", "parallel_tool_calls", "metadata", "id", *_USER_KEYS, *_SESSION_KEYS)
# Name, the keys it is known by, the keys it may have besides, how it is read.
_FORMATS: tuple[tuple[str, tuple[str, ...], tuple[str, ...], Callable[[Record], Row]], ...] = (
    ("openai preference", ("input", "preferred_output", "non_preferred_output"), (), _openai_preference),
    ("stored completion", ("request", "response"), (), _stored),
    ("stored completion", ("body", "response"), (), _stored),
    ("stored completion", ("choices",), ("messages", "input"), _stored),
    ("sharegpt", ("conversations",), ("system", "chosen", "rejected", "kto_tag"), _sharegpt),
    ("messages", ("messages",), ("label",), _messages),
    ("alpaca", ("instruction",), ("input", "system", "history", "chosen", "rejected", "output", "response"), _alpaca),
    ("preference", ("chosen", "rejected"), ("prompt",), _preference),
    ("prompt and completion", ("prompt", "completion"), ("label",), _completion),
    ("prompt and completion", ("prompt", "response"), ("label",), _completion),
    ("stored completion", ("response",), (), _stored),
    ("text", ("text",), (), _passage),
)
