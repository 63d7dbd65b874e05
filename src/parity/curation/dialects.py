"""In which form a chat template takes its turns, found by asking it: every form is tried until none of a probe is lost.

Templates disagree: content as text or as parts, a call's arguments as an object or as its text, an empty content as ""
or none, thoughts under one of three names. A form is kept for the whole template, so that a row is rendered as the
served model will be asked. What no form brings through is known as lost.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

from parity.core.digests import Plain
from parity.core.examples import ToolCall, Turn
from parity.models.templates import Job, Refusal, Renderer

_REASONING_KEYS = ("reasoning_content", "thinking", "reasoning")
_NINE = re.compile(r"[A-Za-z0-9]{9}")
_ASKED, _SAID, _THOUGHT, _NAME, _VALUE, _RESULT = "qzasked", "qzsaid", "qzthought", "qzname", "qzvalue", "qzresult"
_PROBE_TOOL = json.dumps(
    {
        "type": "function",
        "function": {
            "name": _NAME,
            "description": "probe",
            "parameters": {
                "type": "object",
                "properties": {"key": {"type": "string", "description": "probe"}},
                "required": ["key"],
            },
        },
    }
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """The form of turns for one template, and how it ends them.

    `answer_end`, `call_end`: the special tokens after an answer, and after calls (None where it renders no calls).
    `answer_next`, `call_next`: the special token that the next turn begins with, where it ends the turn before.
    `header`: what is written after a question so that the model answers.
    """

    parts: bool = False
    arguments_text: bool = False
    empty_none: bool = False
    short_ids: bool = False
    reasoning_key: str = _REASONING_KEYS[0]
    answer_end: str = ""
    call_end: str | None = None
    answer_next: str = ""
    call_next: str = ""
    header: str = ""

    def job(self, turns: Sequence[Turn], tools: Sequence[str], prompt: bool) -> Job:
        return Job([self._turn(turn) for turn in turns], [json.loads(tool) for tool in tools], prompt)

    def _turn(self, turn: Turn) -> dict[str, Plain]:
        content: Plain = [{"type": "text", "text": turn.content}] if self.parts else turn.content
        if self.empty_none and turn.tool_calls and not turn.content:
            content = None
        found: dict[str, Plain] = {"role": turn.role, "content": content}
        if turn.reasoning:
            found[self.reasoning_key] = turn.reasoning
        if turn.tool_calls:
            found["tool_calls"] = [self._call(call) for call in turn.tool_calls]
        if turn.name:
            found["name"] = turn.name
        if turn.tool_call_id:
            found["tool_call_id"] = self._id(turn.tool_call_id)
        return found

    def _call(self, call: ToolCall) -> Plain:
        arguments: Plain = call.arguments if self.arguments_text else json.loads(call.arguments)
        function: Plain = {"name": call.name, "arguments": arguments}
        return {"type": "function", "function": function} | ({"id": self._id(call.id)} if call.id else {})

    def _id(self, call_id: str) -> str:
        """Ids mean nothing but that two are equal; some templates take only nine letters and digits."""
        if not self.short_ids or _NINE.fullmatch(call_id):
            return call_id
        return hashlib.sha256(call_id.encode()).hexdigest()[:9]


def find_dialect(renderer: Renderer, run: re.Pattern[str], stops: frozenset[str]) -> Dialect | Refusal:
    """The dialect of a template. `run` matches neighbouring special tokens; `stops` end a generation."""
    dialect = _answering(renderer)
    if isinstance(dialect, Refusal):
        return dialect
    dialect = _calling(renderer, dialect)
    jobs = [dialect.job(_plain_probe()[:1], (), prompt) for prompt in (False, True)]
    before, asked = (text if isinstance(text, str) else "" for text in renderer.render_all(jobs))
    dialect = replace(dialect, header=asked.removeprefix(before) if asked.startswith(before) else "")
    dialect = replace(dialect, answer_end=_end(renderer, dialect, _plain_probe(), _SAID, run))
    if dialect.call_end is not None:
        dialect = replace(dialect, call_end=_end(renderer, dialect, _call_probe()[:2], _VALUE, run, (_PROBE_TOOL,)))
    return _next_ends(renderer, dialect, run, stops)


def _plain_probe() -> list[Turn]:
    return [Turn("user", _ASKED), Turn("assistant", _SAID)]


def _call_probe() -> list[Turn]:
    call = ToolCall(_NAME, json.dumps({"key": _VALUE}), "call_0123456789")
    return [
        Turn("user", _ASKED),
        Turn("assistant", "", (call,)),
        Turn("tool", _RESULT, name=_NAME, tool_call_id="call_0123456789"),
        Turn("assistant", _SAID),
    ]


def _answering(renderer: Renderer) -> Dialect | Refusal:
    """How content goes in, and under which name thoughts do."""
    forms = [Dialect(parts=parts) for parts in (False, True)]
    texts = renderer.render_all([form.job(_plain_probe(), (), False) for form in forms])
    found = _first(forms, texts, (_ASKED, _SAID))
    if found is None:
        refusal = next((text for text in texts if isinstance(text, Refusal)), None)
        return refusal or Refusal("it renders no plain question and answer")
    thinking = [Turn("user", _ASKED), Turn("assistant", _SAID, reasoning=_THOUGHT)]
    named = [replace(found, reasoning_key=key) for key in _REASONING_KEYS]
    return _first(named, renderer.render_all([f.job(thinking, (), False) for f in named]), (_SAID, _THOUGHT)) or found


def _calling(renderer: Renderer, dialect: Dialect) -> Dialect:
    """How calls go in; `call_end` stays None where no form renders one and its result."""
    forms = [
        replace(dialect, arguments_text=text, empty_none=none, short_ids=short, call_end="")
        for short, none, text in product((False, True), repeat=3)
    ]
    texts = renderer.render_all([form.job(_call_probe(), (_PROBE_TOOL,), False) for form in forms])
    return _first(forms, texts, (_NAME, _VALUE, _RESULT, _SAID)) or dialect


def _first(forms: Sequence[Dialect], texts: Sequence[str | Refusal], words: Sequence[str]) -> Dialect | None:
    rendered = zip(forms, texts, strict=True)
    return next((f for f, text in rendered if isinstance(text, str) and all(word in text for word in words)), None)


def _end(
    renderer: Renderer,
    dialect: Dialect,
    turns: Sequence[Turn],
    last_word: str,
    run: re.Pattern[str],
    tools: Sequence[str] = (),
) -> str:
    """The first of the special tokens that a turn ends with, its neighbours included; empty when there are none."""
    (text,) = renderer.render_all([dialect.job(turns, tools, False)])
    if isinstance(text, Refusal):
        return ""
    after = text[text.rfind(last_word) + len(last_word) :]
    found = re.search(rf"({run.pattern})\s*(?:{run.pattern}\s*)*$", after)
    return found.group(1) if found else ""


def _next_ends(renderer: Renderer, dialect: Dialect, run: re.Pattern[str], stops: frozenset[str]) -> Dialect:
    """For turns without an end of their own: the token the next turn begins with, where a generation stops at it."""
    if not stops or (dialect.answer_end and dialect.call_end != ""):
        return dialect

    def following(turns: Sequence[Turn], more: Turn, tools: Sequence[str]) -> str:
        jobs = [dialect.job(turns, tools, False), dialect.job([*turns, more], tools, False)]
        before, after = renderer.render_all(jobs)
        if isinstance(before, Refusal) or isinstance(after, Refusal) or not after.startswith(before):
            return ""
        found = run.match(after, len(before))
        return next((stop for stop in stops if found and found.group().startswith(stop)), "")

    answer = "" if dialect.answer_end else following(_plain_probe(), Turn("user", _ASKED), ())
    call = _call_probe()
    return replace(
        dialect, answer_next=answer, call_next="" if dialect.call_end else following(call[:2], call[2], (_PROBE_TOOL,))
    )
