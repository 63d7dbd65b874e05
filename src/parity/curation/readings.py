"""Where in a rendered conversation the model's own words are: character spans, each proved or refused.

For every assistant turn the template is asked twice: for the text a model is given before it answers (the prompt) and
for the text with the answer. What follows the prompt, up to and with the token that ends the turn, is what the model
must emit; nothing else is trained, no header and no line break after the end. That the assistant's words are there,
whole and nowhere else, is proved by rendering the turn again with its letters exchanged: what changes is the
assistant's. Where a template rewrites earlier turns (drops their thoughts, say), a conversation becomes several
readings, each answer in the one where it stands as it must be emitted. Works on any template, with marks or without.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from parity.core.examples import Example, Turn, compact
from parity.curation.dialects import Dialect
from parity.curation.strings import exchange, exchangeable, mapped
from parity.models.templates import Refusal, Renderer

# What a prompt may hold beyond the header: "<think>\n" and its like.
_OPENING_CHARACTERS = 40


class Fault(StrEnum):
    """Why a row is refused or doubtful, in the order they are reported."""

    TEMPLATE = "template-mismatch"
    EMPTY_MASK = "empty-mask"
    NO_EOS = "eos-less"
    DOUBLE_BOS = "double-bos"
    UNALIGNED = "unaligned"
    TRUNCATED = "truncated"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a row cannot be labelled: its kind, and a sentence."""

    fault: Fault
    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Characters `start` up to `end` that the model must emit for one assistant turn; `faults` are doubts about it."""

    turn: int
    start: int
    end: int
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """A text a model learns from, and the answers in it that are trained."""

    text: str
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class _Rendered:
    """One answer at the end of its conversation: the whole text up to its end, and where it stands."""

    text: str
    answer: Answer


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads conversations by one template. `special` matches a special token, `run` neighbouring ones."""

    renderer: Renderer
    dialect: Dialect
    special: re.Pattern[str]
    run: re.Pattern[str]
    stops: frozenset[str] = frozenset()

    def readings(self, example: Example, first_turn: int = 0) -> list[Reading] | Refused:
        """One reading or more, in which every assistant turn from `first_turn` on is trained exactly once.

        Turns that the example says are untrained are read only, as are those before `first_turn`.
        """
        turns = example.messages
        own = (at for at, turn in enumerate(turns) if turn.role == "assistant" and at >= first_turn)
        asked = [at for at in own if at not in example.untrained]
        if not asked:
            return Refused(Fault.EMPTY_MASK, "no turn of the assistant's that is trained")
        jobs = []
        for at in asked:
            whole = turns[: at + 1]
            exchanged = (*turns[:at], mapped(turns[at], exchange))
            jobs += [self.dialect.job(turns[:at], example.tools, True)]
            jobs += [self.dialect.job(conversation, example.tools, False) for conversation in (whole, exchanged)]
        texts = self.renderer.render_all(jobs)
        lost = _lost(turns[: asked[-1]], example.tools, texts[-2])
        if lost:
            return Refused(Fault.TEMPLATE, f"the template drops {lost}")
        found: list[_Rendered] = []
        for number, at in enumerate(asked):
            rendered = self._answer(example, at, texts[3 * number : 3 * number + 3])
            if isinstance(rendered, Refused):
                return replace(rendered, reason=f"turn {at + 1}: {rendered.reason}")
            found.append(rendered)
        return _unrolled(found)

    def _answer(self, example: Example, at: int, texts: Sequence[str | Refusal]) -> _Rendered | Refused:
        turn = example.messages[at]
        refusal = next((text for text in texts if isinstance(text, Refusal)), None)
        if refusal:
            return Refused(Fault.TEMPLATE, f"the template refuses it ({refusal.reason})")
        prompt, whole, exchanged = (text for text in texts if isinstance(text, str))
        start = len(prompt)
        if not whole.startswith(prompt):
            before = self.renderer.render_all([self.dialect.job(example.messages[:at], example.tools, False)])[0]
            start = self._after_header(prompt, whole, before if isinstance(before, str) else "")
        elif self.dialect.header and whole.startswith(self.dialect.header, start):
            start += len(self.dialect.header)
        if not start:
            return Refused(Fault.TEMPLATE, "the text does not go on from the prompt the model will be given")
        changed = [place for place, (a, b) in enumerate(zip(whole, exchanged, strict=False)) if a != b]
        doubt = self._doubt(turn, len(exchanged) - len(whole), changed, start)
        if doubt:
            return Refused(Fault.TEMPLATE, f"the template {doubt}")
        faults = () if start == len(prompt) else (Fault.TEMPLATE,)
        return self._ended(turn, whole, Answer(at, start, len(whole), faults), changed[-1] + 1 if changed else start)

    def _doubt(self, turn: Turn, grown: int, changed: Sequence[int], start: int) -> str:
        """What the template does that leaves it unproved where the answer is; empty if nothing."""
        if turn.tool_calls and self.dialect.call_end is None:
            return "drops tool calls or their results"
        if grown:
            return "changes its form with the answer's letters"
        lost = exchangeable(turn) - len(changed)
        if lost > 0:
            return f"drops {lost} characters of the answer"
        if changed and changed[0] < start:
            return "writes part of the answer before the prompt's end"
        return ""

    def _after_header(self, prompt: str, whole: str, before: str) -> int:
        """Where an answer begins that does not go on from the prompt: after the header they share; 0 if there is none.

        Templates that open the model's thoughts in the prompt treat rows without any so. `before` is the text without
        a header: what is shared with it belongs to earlier turns, and no answer begins in there.
        """
        common = _shared(prompt, whole)
        tokens = [found.end() for found in self.special.finditer(prompt) if found.end() <= common]
        if not tokens or len(prompt) - tokens[-1] > _OPENING_CHARACTERS:
            return 0
        start = prompt.find("\n", tokens[-1], common) + 1 or tokens[-1]
        return start if start >= _shared(before, whole) else 0

    def _ended(self, turn: Turn, whole: str, answer: Answer, content_end: int) -> _Rendered | Refused:
        """The answer with its end: the token that ends this kind of turn, found last, with its neighbours."""
        end = (self.dialect.call_end if turn.tool_calls else self.dialect.answer_end) or ""
        following = self.dialect.call_next if turn.tool_calls else self.dialect.answer_next
        if not end:
            faults = answer.faults if following else (*answer.faults, Fault.NO_EOS)
            text = whole + following
            return _Rendered(text, replace(answer, end=len(text), faults=faults))
        at = whole.rfind(end, answer.start)
        if at < content_end:
            return Refused(Fault.NO_EOS, f"no {end} ends it")
        found = self.run.match(whole, at)
        assert found is not None
        last = self._first_stop(found)
        if self.special.sub("", whole[last:]).strip():
            return Refused(Fault.TEMPLATE, "the template writes text after the answer's end")
        stopped = not self.stops or any(whole[:last].endswith(stop) for stop in self.stops)
        faults = answer.faults if stopped else (*answer.faults, Fault.NO_EOS)
        return _Rendered(whole[:last], replace(answer, end=last, faults=faults))

    def _first_stop(self, found: re.Match[str]) -> int:
        """Where a run of special tokens ends: with the first that stops a generation, or with the last of all."""
        for token in self.special.finditer(found.string, found.start(), found.end()):
            if token.group() in self.stops:
                return token.end()
        return found.end()


def _shared(one: str, other: str) -> int:
    """How many characters two texts have in common from their beginning."""
    alike = [a == b for a, b in zip(one, other, strict=False)]
    return alike.index(False) if False in alike else len(alike)


def _unrolled(found: Sequence[_Rendered]) -> list[Reading]:
    """As few texts as hold every answer with exactly the text that goes before it at its turn; the last text first."""
    readings: list[Reading] = []
    left = list(found)
    while left:
        text = left[-1].text
        held = [one for one in left if text.startswith(one.text)]
        left = [one for one in left if not text.startswith(one.text)]
        readings.append(Reading(text, tuple(one.answer for one in held)))
    return readings[::-1]


def _lost(turns: Sequence[Turn], tools: Sequence[str], text: str | Refusal) -> str:
    """Which turn that the model should read, or tool it should know, is not in the text; empty when all are."""
    if isinstance(text, Refusal):
        return ""
    for at, turn in enumerate(turns):
        content = turn.content.strip()
        if turn.role != "assistant" and content not in text and compact(content)[1:-1] not in text:
            return f"turn {at + 1} ({turn.role})"
    names = (json.loads(tool).get("function", {}).get("name", "") for tool in tools)
    return next((f"the tool {name}" for name in names if name not in text), "")
