"""Turns as the field's files write them, made into canonical ones: every spelling of a role, a call or a content.

What cannot be kept is refused with a reason; nothing is guessed, flattened or left out.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from parity.core.examples import Role, ToolCall, Turn, compact

_ROLES: dict[str, Role] = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user",
    "assistant": "assistant", "gpt": "assistant", "model": "assistant", "chatgpt": "assistant", "bot": "assistant",
    "tool": "tool", "function": "tool", "observation": "tool", "tool_response": "tool",
}  # fmt: skip
_RENDERED = re.compile(
    r"<\|im_start\|>|<\|start_header_id\|>|<start_of_turn>|\[/?INST\]|<\|(?:user|assistant|system)\|>|<<SYS>>"
)
_CALLS = ("function_call", "tool_call")  # ShareGPT's roles of a turn that is nothing but calls
_READ = {
    "role", "from", "content", "value", "weight", "tool_calls", "function_call", "name", "tool_call_id", "refusal",
    "audio", "reasoning_content", "thinking", "reasoning",
}  # fmt: skip
_THOUGHTS = ("reasoning_content", "thinking", "reasoning")


class Rejected(Exception):
    """A row that cannot be kept, and why: a sentence that does not quote the row."""


def turns_of(found: object, what: str = "messages") -> tuple[Turn, ...]:
    """Canonical turns of a list of messages, or of a text, which is one turn of a user's or the assistant's.

    Raises:
        Rejected: it is no conversation.
    """
    found = _list_in(found)
    if not isinstance(found, list) or not found:
        raise Rejected(f"{what} is empty" if found in (None, [], "") else f"{what} is no list of messages")
    turns = tuple(turn for message in found for turn in _turn(message))
    pending: set[str] = set()
    for at, turn in enumerate(turns, start=1):
        pending |= {call.id for call in turn.tool_calls}
        if turn.role == "tool" and what == "messages":
            if not pending:
                raise Rejected(f"message {at} is a tool's result, but no tool was called")
            if turn.tool_call_id and "" not in pending and turn.tool_call_id not in pending:
                raise Rejected(f"message {at} is the result of a call that nobody made (its tool_call_id)")
    return turns


def untrained_of(found: object) -> tuple[int, ...]:
    """Numbers (from 0) of the assistant's messages that carry OpenAI's `weight: 0`: read, not learned.

    Raises:
        Rejected: a weight is neither 0 nor 1, or none of the assistant's messages is left to learn.
    """
    messages: list[Mapping[str, Any]] = _list_in(found) or []
    own = [at for at, message in enumerate(messages) if _role_of(message)[1] == "assistant"]
    if any(messages[at].get("weight") not in (None, 0, 1) for at in own):
        raise Rejected("a message's weight is neither 0 nor 1")
    muted = tuple(at for at in own if messages[at].get("weight") == 0)
    if muted and len(muted) == len(own):
        raise Rejected("every answer has weight 0: nothing to learn")
    return muted


def unread_keys(found: object) -> set[str]:
    """Keys with a value in a list of messages that say something a canonical turn has no place for."""
    messages: list[Mapping[str, Any]] = _list_in(found) or []
    keys = {key for message in messages for key in message.keys() - _READ if message[key] not in (None, [], "")}
    return keys | {"name" for message in messages if message.get("name") and _role_of(message)[1] != "tool"}


def text_turn(role: Role, found: object, what: str) -> Turn:
    """A turn of a text.

    Raises:
        Rejected: it is missing, empty, or no text.
    """
    text = text_of(found, what)
    if not text.strip() or text.strip().lower() == "nan":
        raise Rejected(f"{what} is empty")
    return Turn(role, text)


def text_of(found: object, what: str) -> str:
    """A text, from a string or the text parts of a content.

    Raises:
        Rejected: it is neither, or holds images or sound.
    """
    if found is None:
        return ""
    if isinstance(found, float):
        raise Rejected(f"{what} is a number or NaN")
    if isinstance(found, list):
        for part in found:
            if not (isinstance(part, dict) and isinstance(part.get("text"), str)):
                kind = str(part.get("type"))[:20] if isinstance(part, dict) else type(part).__name__
                raise Rejected(f"{what} has a part that is no text ({kind})")
        found = "".join(part["text"] for part in found)
    if not isinstance(found, str):
        raise Rejected(f"{what} is no text")
    if "\x00" in found or any(0xD800 <= ord(character) <= 0xDFFF for character in found):
        raise Rejected(f"{what} holds binary data")
    if _RENDERED.search(found):
        raise Rejected(f"{what} was already rendered by a chat template")
    return found


def tools_of(found: object) -> tuple[str, ...]:
    """Schemas of tools in OpenAI's form, from a list or its JSON text.

    Raises:
        Rejected: they are no list of functions with names.
    """
    if found in (None, "", []):
        return ()
    tools = _parsed(found, "tools")
    if not isinstance(tools, list):
        raise Rejected("tools is no list")
    kept = []
    for tool in tools:
        if not isinstance(tool, dict):
            raise Rejected("a tool is no object")
        function = tool.get("function")
        whole = tool if isinstance(function, dict) else {"type": "function", "function": tool}
        if not isinstance((function if isinstance(function, dict) else tool).get("name"), str):
            raise Rejected("a tool has no name")
        kept.append(_text(whole))
    return tuple(kept)


def _turn(message: object) -> Sequence[Turn]:
    if not isinstance(message, Mapping):
        raise Rejected("a message is no object")
    named, role = _role_of(message)
    content = message.get("content", message.get("value"))
    if named in _CALLS:
        return [Turn("assistant", "", _calls_in(content))]
    if role is None:
        raise Rejected(f"unknown role {str(named)[:40]!r}")
    if message.get("refusal"):
        raise Rejected("an answer is a refusal (in `refusal`, not in its content)")
    if message.get("audio"):
        raise Rejected("a message is sound, and only text can be kept")
    calls = tuple(_call(call) for call in _listed(message))
    if calls and role != "assistant":
        raise Rejected(f"tool calls in a turn of role {role}")
    thought = next((text_of(message[key], key) for key in _THOUGHTS if message.get(key)), "")
    text = text_of(content, f"content of a turn of role {role}")
    if role in ("user", "assistant") and not text.strip() and not calls:
        raise Rejected(f"an empty turn of role {role}")
    name, call_id = (str(message.get(key) or "") for key in ("name", "tool_call_id"))
    return [Turn(role, text, calls, thought, name if role == "tool" else "", call_id)]


def _list_in(found: object) -> Any:
    """A list, also from its JSON text (the cell of a table)."""
    return _parsed(found, "messages") if isinstance(found, str) and found.lstrip().startswith("[") else found


def _role_of(message: object) -> tuple[object, Role | None]:
    """A role as it was written, and as we write it."""
    named = message.get("role", message.get("from")) if isinstance(message, Mapping) else None
    if named in _CALLS:
        return named, "assistant"
    return named, _ROLES.get(named.lower()) if isinstance(named, str) else None


def _listed(message: Mapping[str, Any]) -> list[Any]:
    calls = message.get("tool_calls") or []
    legacy = message.get("function_call")
    if not isinstance(calls, list):
        raise Rejected("tool_calls is no list")
    return [*calls, {"function": legacy}] if legacy else calls


def _calls_in(content: object) -> tuple[ToolCall, ...]:
    found = _parsed(content, "a tool call")
    return tuple(_call(call) for call in (found if isinstance(found, list) else [found]))


def _call(found: object) -> ToolCall:
    if not isinstance(found, dict):
        raise Rejected("a tool call is no object")
    function = found.get("function", found)
    if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
        raise Rejected("a tool call has no name")
    arguments = _parsed(function.get("arguments") or {}, "a tool call's arguments")
    if not isinstance(arguments, dict):
        raise Rejected("a tool call's arguments are no JSON object")
    return ToolCall(function["name"], _text(arguments), str(found.get("id") or ""))


def _parsed(found: object, what: str) -> Any:
    if not isinstance(found, str):
        return found
    try:
        return json.loads(found)
    except (ValueError, RecursionError):
        raise Rejected(f"{what}: not JSON") from None


def _text(value: object) -> str:
    try:
        return compact(value)
    except ValueError:
        raise Rejected("a tool's JSON holds NaN") from None
