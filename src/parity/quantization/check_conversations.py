"""Hard conversations, three ways: the folder's template and tokenizer, our engine with the file's, llama.cpp's server.

The first two must agree: a difference is a fault. Where llama.cpp's server writes something else, whoever serves the
file with it gets other answers than were measured here; that is shown, and a fault only where it doubles the BOS.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from parity.core.checked import Conversations, Difference
from parity.core.digests import Plain
from parity.core.outputs import Generation, Output
from parity.core.prompts import ChatPrompt, Generate, Message, RequestId, Sampling
from parity.engines.llamacpp import LlamaCppEngine
from parity.engines.llamacpp.own_rendering import Rendered, own_renderings
from parity.engines.tokens.rendered import RenderedChat
from parity.models.templates import Job, Refusal, Renderer

ANSWER_TOKENS = 24
_SHOWN = 60
_NEAR_IN_BATCH = 0.05
_WEATHER: Mapping[str, Plain] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def _turns(*contents: str, system: str | None = None) -> list[dict[str, Plain]]:
    roles = ("user", "assistant")
    first: list[dict[str, Plain]] = [] if system is None else [{"role": "system", "content": system}]
    return first + [{"role": roles[at % 2], "content": content} for at, content in enumerate(contents)]


CONVERSATIONS: Mapping[str, Job] = {
    "one turn": Job(_turns("Is a whale a fish?")),
    "system": Job(_turns("Is a whale a fish?", system="Answer in one word.")),
    "several turns": Job(_turns("Hi", "Hello! And now?", "Count to three.", "1, 2, 3", "And on?", system="Be brief.")),
    "unicode": Job(_turns("数学と日本語 😀👩‍👧 naïve — مرحبا", "…", "Привет?")),
    "empty": Job(_turns("")),
    "empty system": Job(_turns("Hi", system="")),
    "spaces": Job(_turns("  two before, two after  \n\n", " ok ", "\ttab\r\nend ")),
    "braces": Job(_turns("{{ bos_token }} {% if x %}\"quoted\" 'single' \\n <b>&amp;</b>")),
    "tools": Job(_turns("What is the weather in Rome?", system="Use tools."), (_WEATHER,)),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Way:
    """A conversation as one of the three writes it."""

    text: str
    ids: tuple[int, ...]


def conversations(
    template: str, tokenizer: Any, ends: frozenset[int], engine: LlamaCppEngine, file: Path
) -> tuple[Conversations, list[tuple[str, str]]]:
    """What the three make of every conversation, and what is wrong, as (cause, what was seen).

    `template`, `tokenizer` and `ends` (ids that end an answer) are the folder's.

    Raises:
        EngineError: llama.cpp broke off.
    """
    expected, ours = _of_folder(template, tokenizer), _of_engine(engine)
    server = dict(zip(CONVERSATIONS, own_renderings(file, list(CONVERSATIONS.values())), strict=True))
    problems = list(_problems(expected, ours))
    differences = [_difference(name, ours[name], server[name]) for name in CONVERSATIONS]
    if doubled := [name for name in CONVERSATIONS if _doubled(ours[name], server[name])]:
        problems.append(("doubled BOS", f"llama.cpp's server puts one before the template's own ({doubled[0]})"))
    answers = _answers(expected, engine, tokenizer, ends)
    problems += [("other answers", seen) for seen in answers.values() if seen]
    parted = tuple(filter(None, differences))
    apart = {difference.conversation for difference in parted}
    equal = sum(_cause(expected[name], ours[name]) is None and name not in apart for name in CONVERSATIONS)
    answered = sum(not seen for seen in answers.values())
    return Conversations(len(CONVERSATIONS), equal, parted, len(answers), answered), problems


def _of_folder(template: str, tokenizer: Any) -> dict[str, _Way | Refusal]:
    special = {name: str(value) for name, value in tokenizer.special_tokens_map.items()}
    renderer = Renderer(template, special)
    chat = RenderedChat(tokenizer, renderer)
    texts = renderer.render_all(list(CONVERSATIONS.values()))

    def ids(job: Job, text: str) -> tuple[int, ...]:
        return tuple(tokenizer.encode(text, add_special_tokens=False)) if job.tools else chat.ids(_messages(job))

    try:
        return _ways(texts, ids)
    finally:
        chat.close()


def _of_engine(engine: LlamaCppEngine) -> dict[str, _Way | Refusal]:
    def ids(job: Job, text: str) -> tuple[int, ...]:
        return engine.encode([text], special=False)[0] if job.tools else engine.chat_ids(_messages(job))

    return _ways(engine.rendered(list(CONVERSATIONS.values())), ids)


def _ways(texts: Sequence[str | Refusal], ids: Any) -> dict[str, _Way | Refusal]:
    pairs = zip(CONVERSATIONS.items(), texts, strict=True)
    return {name: text if isinstance(text, Refusal) else _Way(text, ids(job, text)) for (name, job), text in pairs}


def _problems(expected: Mapping[str, _Way | Refusal], ours: Mapping[str, _Way | Refusal]) -> Iterator[tuple[str, str]]:
    causes: dict[str, list[str]] = {}
    for name, right in expected.items():
        cause = _cause(right, ours[name])
        if cause:
            causes.setdefault(cause, []).append(name)
    for cause, names in causes.items():
        yield cause, f"{len(names)} of {len(expected)} conversations: {', '.join(names)}"


def _cause(right: _Way | Refusal, found: _Way | Refusal) -> str | None:
    if isinstance(right, Refusal) or isinstance(found, Refusal):
        return None if isinstance(right, Refusal) and isinstance(found, Refusal) else "other rendering"
    if right.ids == found.ids:
        return None
    if found.ids[1:] == right.ids and found.ids[0] == right.ids[0]:
        return "doubled BOS"
    return "other rendering" if right.text != found.text else "other token ids"


def _doubled(ours: _Way | Refusal, server: Rendered | Refusal) -> bool:
    if isinstance(ours, Refusal) or isinstance(server, Refusal) or not ours.ids:
        return False
    return server.ids == (ours.ids[0], *ours.ids)


def _difference(name: str, ours: _Way | Refusal, server: Rendered | Refusal) -> Difference | None:
    if isinstance(ours, Refusal) or isinstance(server, Refusal):
        both = isinstance(ours, Refusal) and isinstance(server, Refusal)
        return None if both else Difference(name, *(_said(way) for way in (ours, server)))
    if ours.ids == server.ids:
        return None
    # Where its tokenizer adds the BOS, llama.cpp takes it out of the text.
    mine = ours.text if server.text[:1] == ours.text[:1] or server.text not in ours.text else server.text
    if mine == server.text:
        return Difference(name, f"ids {_head(ours.ids)}", f"ids {_head(server.ids)}")
    at = max(0, _common(mine, server.text) - 10)
    return Difference(name, repr(mine[at : at + _SHOWN]), repr(server.text[at : at + _SHOWN]))


def _said(way: _Way | Rendered | Refusal) -> str:
    return f"refused: {way.reason}" if isinstance(way, Refusal) else repr(way.text[:_SHOWN])


def _head(ids: Sequence[int]) -> str:
    return " ".join(map(str, ids[:8])) + (" …" if len(ids) > 8 else "")


def _messages(job: Job) -> tuple[Message, ...]:
    Role = Literal["system", "user", "assistant"]
    return tuple(Message(cast(Role, turn["role"]), cast(str, turn["content"])) for turn in job.messages)


def _answers(
    expected: Mapping[str, _Way | Refusal], engine: LlamaCppEngine, tokenizer: Any, ends: frozenset[int]
) -> dict[str, str]:
    """What is wrong with the greedy answer to every conversation that fits the context; empty where nothing is."""
    room = (engine.capabilities.context_tokens or 1 << 30) - ANSWER_TOKENS
    ways = {
        name: way.ids
        for name, way in expected.items()
        if isinstance(way, _Way) and not CONVERSATIONS[name].tools and len(way.ids) <= room
    }
    asked = [
        Generate(RequestId(name), ChatPrompt(_messages(CONVERSATIONS[name])), Sampling(ANSWER_TOKENS)) for name in ways
    ]
    return {
        name: _wrong(name, output, engine, ways[name], tokenizer, ends)
        for (name, _), output in dict(engine.answer(asked)).items()
    }


def _wrong(
    name: str, answer: Output, engine: LlamaCppEngine, ids: tuple[int, ...], tokenizer: Any, ends: frozenset[int]
) -> str:
    """An answer against what the file computes from the folder's ids."""
    if not isinstance(answer, Generation):
        return f"{name}: no answer ({answer})"
    written = answer.usage.completion_tokens
    path = engine.continued(ids, min(ANSWER_TOKENS, written + 1))[0]
    passed = next((token for token in path[:written] if token in ends), None)
    if passed is not None:
        return f"{name}: end token {passed} did not end the answer"
    text = engine.continued(ids, written)[1]
    if text == answer.text or _near_tie(ids, path[:written], _common(text, answer.text), engine, tokenizer):
        return ""
    return f"{name}: {answer.text[:_SHOWN]!r} where {text[:_SHOWN]!r} is computed"


def _near_tie(ids: tuple[int, ...], path: tuple[int, ...], common: int, engine: LlamaCppEngine, tokenizer: Any) -> bool:
    """Whether two texts part, after `common` characters, where two ids are nearly as likely: several answers at once
    are rounded otherwise than one alone, since quantized types round what goes into a matrix too."""
    lengths = [len(tokenizer.decode(path[:count], skip_special_tokens=True)) for count in range(1, len(path) + 1)]
    at = next((at for at, length in enumerate(lengths) if length > common), len(path) - 1)
    logits_TV = engine.logits([*ids, *path])[len(ids) - 1 :]
    # A character may be parted between ids: the choice can lie a little before what the text shows.
    top_T2 = np.sort(logits_TV[max(0, at - 3) : at + 1], axis=-1)[:, -2:]
    return bool((top_T2[:, 1] - top_T2[:, 0] <= _NEAR_IN_BATCH).any())


def _common(one: str, other: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
