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
_THOUGHTS = ("reasoning_content", "thinking", "reasoning")


class Rejected(Exception):
    """A row that cannot be kept, and why: a sentence that does not quote the row."""


def turns_of(found: object, what: str = "messages") -> tuple[Turn, ...]:
    """Canonical turns of a list of messages, or of a text, which is one turn of a user's or the assistant's.

    Raises:
        Rejected: it is no conversation.
    """
    if not isinstance(found, list) or not found:
        raise Rejected(f"{what} is empty" if found in (None, [], "") else f"{what} is no list of messages")
    turns = tuple(turn for message in found for turn in _turn(message))
    pending: set[str] = set()
    for at, turn in enumerate(turns, start=1):
        if turn.tool_calls:
            pending = {call.id for call in turn.tool_calls} or {""}
        elif turn.role == "tool" and not pending and what == "messages":
            raise Rejected(f"message {at} is a tool's result, but no tool was called")
    return turns


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
        other = [part for part in found if not (isinstance(part, dict) and isinstance(part.get("text"), str))]
        if other:
            raise Rejected(f"{what} has parts that are no text")
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
    named = message.get("role", message.get("from"))
    content = message.get("content", message.get("value"))
    if named in ("function_call", "tool_call"):
        return [Turn("assistant", "", _calls_in(content))]
    role = _ROLES.get(named.lower()) if isinstance(named, str) else None
    if role is None:
        raise Rejected(f"unknown role {str(named)[:40]!r}")
    if message.get("weight") == 0:
        raise Rejected("a message has weight 0, which cannot be kept: split the conversation before it")
    calls = tuple(_call(call) for call in _listed(message))
    if calls and role != "assistant":
        raise Rejected(f"tool calls in a turn of role {role}")
    thought = next((text_of(message[key], key) for key in _THOUGHTS if message.get(key)), "")
    text = text_of(content, f"content of a turn of role {role}")
    if role in ("user", "assistant") and not text.strip() and not calls:
        raise Rejected(f"an empty turn of role {role}")
    name, call_id = (str(message.get(key) or "") for key in ("name", "tool_call_id"))
    return [Turn(role, text, calls, thought, name if role == "tool" else "", call_id)]


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
