"""Training rows: what a model shall learn to answer, in the one form every importer writes and every trainer reads.

Names and column names are TRL's (`messages`, `prompt`, `chosen`, `rejected`, `completion`, `label`, `text`). Knows
nothing of files, tokens or templates. A row's id is the digest of what is learned from it, never of where it was found.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from parity.core.digests import Plain, digest

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call the assistant makes. `arguments` is the text of a JSON object, its keys in the order they were written."""

    name: str
    arguments: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a training conversation. `reasoning` is what was thought before it; only assistants have calls."""

    role: Role
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str = ""
    name: str = ""
    tool_call_id: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """Whom and which session a row comes from; rows of one user or session never end up in two splits."""

    user: str = ""
    session: str = ""


@dataclass(frozen=True, slots=True)
class Example:
    """A conversation whose assistant turns are learned, those numbered in `untrained` (from 0) aside.

    Each of `tools` is the JSON text of a function's schema.
    """

    messages: tuple[Turn, ...]
    tools: tuple[str, ...] = ()
    origin: Origin = field(default=Origin(), compare=False)
    untrained: tuple[int, ...] = ()

    @property
    def id(self) -> str:
        return digest(("example", self.messages, self.tools, *([self.untrained] if self.untrained else [])))


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Two endings of one conversation, the better and the worse."""

    prompt: tuple[Turn, ...]
    chosen: tuple[Turn, ...]
    rejected: tuple[Turn, ...]
    tools: tuple[str, ...] = ()
    origin: Origin = field(default=Origin(), compare=False)

    @property
    def id(self) -> str:
        return digest(("pair", self.prompt, self.chosen, self.rejected, self.tools))

    def endings(self) -> tuple[Example, Example]:
        """The chosen and the rejected conversation, each whole."""
        return (
            Example(self.prompt + self.chosen, self.tools, self.origin),
            Example(self.prompt + self.rejected, self.tools, self.origin),
        )


@dataclass(frozen=True, slots=True)
class RatedAnswer:
    """An ending of a conversation and whether it was liked (KTO)."""

    prompt: tuple[Turn, ...]
    completion: tuple[Turn, ...]
    label: bool
    tools: tuple[str, ...] = ()
    origin: Origin = field(default=Origin(), compare=False)

    @property
    def id(self) -> str:
        return digest(("rated", self.prompt, self.completion, self.label, self.tools))

    def whole(self) -> Example:
        return Example(self.prompt + self.completion, self.tools, self.origin)


@dataclass(frozen=True, slots=True)
class Passage:
    """Running text for pretraining; every token of it is learned, and an end after it."""

    text: str
    origin: Origin = field(default=Origin(), compare=False)

    @property
    def id(self) -> str:
        return digest(("passage", self.text))


Row: TypeAlias = Example | PreferencePair | RatedAnswer | Passage


def turns_of(row: Row) -> Iterator[Turn]:
    """Every turn of a row, in reading order; a passage counts as one turn of an assistant."""
    if isinstance(row, Example):
        yield from row.messages
    elif isinstance(row, PreferencePair):
        yield from row.prompt + row.chosen + row.rejected
    elif isinstance(row, RatedAnswer):
        yield from row.prompt + row.completion
    else:
        yield Turn("assistant", row.text)


def turn_object(turn: Turn) -> dict[str, Plain]:
    """A turn in Hugging Face's chat format, absent fields left out, call arguments as objects."""
    found: dict[str, Plain] = {"role": turn.role, "content": turn.content}
    if turn.reasoning:
        found["reasoning_content"] = turn.reasoning
    if turn.tool_calls:
        found["tool_calls"] = [_call_object(call) for call in turn.tool_calls]
    for key, value in (("name", turn.name), ("tool_call_id", turn.tool_call_id)):
        if value:
            found[key] = value
    return found


def row_object(row: Row) -> dict[str, Plain]:
    """A row as the JSON object of a canonical file, TRL's columns first; OpenAI's `weight: 0` marks untrained turns."""
    found: dict[str, Plain]
    if isinstance(row, Example):
        turns = enumerate(row.messages)
        found = {"messages": [turn_object(turn) | ({"weight": 0} if at in row.untrained else {}) for at, turn in turns]}
    elif isinstance(row, PreferencePair):
        found = {key: _objects(getattr(row, key)) for key in ("prompt", "chosen", "rejected")}
    elif isinstance(row, RatedAnswer):
        found = {"prompt": _objects(row.prompt), "completion": _objects(row.completion), "label": row.label}
    else:
        found = {"text": row.text}
    if not isinstance(row, Passage) and row.tools:
        found["tools"] = [json.loads(tool) for tool in row.tools]
    found |= {key: value for key, value in (("user", row.origin.user), ("session", row.origin.session)) if value}
    return found | {"id": row.id}


def row_from_object(found: dict[str, Any]) -> Row:
    """The row of a canonical object.

    Raises:
        KeyError, TypeError, ValueError: it is none; importers say why, this only refuses.
    """
    origin = Origin(found.get("user", ""), found.get("session", ""))
    tools = tuple(compact(tool) for tool in found.get("tools", ()))
    if "messages" in found:
        untrained = tuple(at for at, turn in enumerate(found["messages"]) if turn.get("weight") == 0)
        return Example(_turns(found["messages"]), tools, origin, untrained)
    if "chosen" in found:
        prompt, chosen, rejected = (_turns(found[key]) for key in ("prompt", "chosen", "rejected"))
        return PreferencePair(prompt, chosen, rejected, tools, origin)
    if "completion" in found:
        return RatedAnswer(_turns(found["prompt"]), _turns(found["completion"]), bool(found["label"]), tools, origin)
    return Passage(str(found["text"]), origin)


def compact(value: object) -> str:
    """JSON text without spaces, keys in their own order: what a model wrote is not sorted.

    Raises:
        ValueError: a number is NaN or infinite, which JSON has no word for.
    """
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _objects(turns: tuple[Turn, ...]) -> list[Plain]:
    return [turn_object(turn) for turn in turns]


def _call_object(call: ToolCall) -> dict[str, Plain]:
    function: Plain = {"name": call.name, "arguments": json.loads(call.arguments)}
    return {"type": "function", "function": function} | ({"id": call.id} if call.id else {})


def _turns(found: list[dict[str, Any]]) -> tuple[Turn, ...]:
    return tuple(_turn(turn) for turn in found)


def _turn(found: dict[str, Any]) -> Turn:
    if found["role"] not in ROLES:
        raise ValueError(f"no role {found['role']!r}")
    calls = tuple(
        ToolCall(call["function"]["name"], compact(call["function"]["arguments"]), call.get("id", ""))
        for call in found.get("tool_calls", ())
    )
    rest = (found.get(key, "") for key in ("reasoning_content", "name", "tool_call_id"))
    return Turn(found["role"], found["content"], calls, *rest)
