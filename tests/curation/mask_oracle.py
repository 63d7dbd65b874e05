"""An oracle for labels that shares no code with them: the marks of TRL's training templates, or marks by hand.

TRL ships many chat templates and, for most, a training twin with generation marks. The twin with its marks made
harmless is the template to label; transformers' assistant mask of the twin says what is trained. Two things in its
marks are nothing a model emits, and are taken off by rules that stand here alone: what `add_generation_prompt` writes,
and what follows the token that ends a turn (HAND_ENDS, written by hand). They are counted, not hidden.
Templates without a twin are marked by hand: the header after which the model writes, and the token that ends it.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from tokenizers import AddedToken
from transformers.utils.chat_template_utils import render_jinja_template

from parity.core.examples import Example, ToolCall, Turn, compact
from parity.curation.dialects import Dialect
from parity.curation.labels import Labelled, Labeller
from parity.curation.readings import Refused
from parity.models.templates import Renderer

SPECIAL = re.compile(
    r"<[|｜][^<>\s|｜]{1,40}[|｜]>|</?s>|<\|?turn\|?>|<(?:start|end)_of_turn>|<end_of_utterance>"
    r"|<\|?tool_(?:call|response)\|?>|<\|?channel\|?>|<\|\"\|>|\[/?[A-Z_]{3,20}\]"
)
# The token that ends an assistant's turn, by the beginning of a template's name, as the model's makers document it.
HAND_ENDS = {
    "cohere": ("<|END_OF_TURN_TOKEN|>",),
    "deepseek_r1": ("<｜end▁of▁sentence｜>", "<｜tool▁call▁end｜>"),
    "deepseek": ("<｜end▁of▁sentence｜>",),
    "diffusion_gemma": ("<turn|>", "<|tool_response>"),
    "gemma4": ("<turn|>", "<|tool_response>"),
    "gemma": ("<end_of_turn>",),
    "glm4": ("<|user|>", "<|observation|>"),
    "gptoss": ("<|return|>", "<|call|>"),
    "idefics3": ("<end_of_utterance>",),
    "lfm2": ("<|im_end|>",),
    "llama3": ("<|eot_id|>",),
    "llava": ("</s>",),
    "muse": ("<|eot|>",),
    "nemotron": ("<|im_end|>",),
    "phi3": ("<|end|>",),
    "qwen": ("<|im_end|>",),
    "smolvlm": ("<end_of_utterance>",),
}
# Headers after which the model writes, for templates without a twin.
HAND_HEADERS = {
    "lfm2": "<|im_start|>assistant\n",
    "llama3": "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "gemma4": "<|turn>model\n",
    "gemma2": "<start_of_turn>model\n",
    "phi-3": "<|assistant|>\n",
}


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of one conversation by one template, in tokens."""

    compared: int = 0
    mis_masked: int = 0
    beyond_end: int = 0
    refused: str = ""


def special_tokenizer(base: Any, template: str) -> Any:
    """The tokenizer with every special token that a template writes added to it."""
    found = sorted(set(SPECIAL.findall(template)))
    base.add_tokens([AddedToken(token, special=True, normalized=False) for token in found])
    base.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>"})
    return base


def unmarked(twin: str) -> str:
    """A training template whose marks are conditions that always hold: the same text, no marks."""
    return re.sub(r"(\{%-?\s*)generation(\s*-?%\})", r"\1if true\2", re.sub(r"endgeneration", "endif", twin))


def by_marks(labeller: Labeller, tokenizer: Any, name: str, twin: str, example: Example) -> Checked:
    """Labels of a conversation against the marks of the template's training twin."""
    found = labeller.label(example)
    if isinstance(found, Refused):
        return Checked(refused=found.reason)
    total = Checked()
    for labelled in found:
        try:
            one = _against_marks(labeller, tokenizer, name, twin, _until(example, labelled), labelled)
        except (TemplateError, TypeError) as error:
            return Checked(refused=f"the twin refuses what its template takes ({type(error).__name__})")
        total = Checked(*(getattr(total, k) + getattr(one, k) for k in ("compared", "mis_masked", "beyond_end")))
    return total


def by_hand(labeller: Labeller, tokenizer: Any, name: str, example: Example) -> Checked:
    """Labels of a conversation against spans between headers and ends written by hand."""
    found = labeller.label(example)
    if isinstance(found, Refused):
        return Checked(refused=found.reason)
    compared = wrong = 0
    for labelled in found:
        text = tokenizer.decode(labelled.ids)
        asked = [at for at, turn in enumerate(example.messages) if turn.role == "assistant"]
        marked = _hand_spans(name, text)
        expected = [marked[asked.index(turn)] for turn in labelled.turns]
        mine = [tokenizer.decode(labelled.ids[start:end]) for start, end in labelled.trained]
        compared += len(labelled.ids)
        if mine != [text[start:end] for start, end in expected]:
            wrong += labelled.trained_tokens
    return Checked(compared, wrong)


def _until(example: Example, labelled: Labelled) -> Example:
    """The conversation up to the last turn that a sequence holds."""
    return Example(example.messages[: labelled.turns[-1] + 1], example.tools)


def _against_marks(labeller: Labeller, tok: Any, name: str, twin: str, example: Example, mine: Labelled) -> Checked:
    dialect = labeller._reader.dialect  # only the form of the messages: which text is rendered, not what is trained
    job = dialect.job(example.messages, example.tools, False)
    messages, asked = list(job.messages), {"tools": list(job.tools) or None, "chat_template": twin}
    encoded = tok.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True, **asked)
    asked |= {key: str(value) for key, value in tok.special_tokens_map.items() if isinstance(value, str)}

    def rendered(count: int, prompt: bool) -> tuple[str, list[tuple[int, int]]]:
        (text,), (blocks,) = render_jinja_template(
            [messages[:count]], return_assistant_tokens_mask=True, add_generation_prompt=prompt, **asked
        )
        return text, blocks

    text, blocks = rendered(len(messages), False)
    turns = [at for at, turn in enumerate(example.messages) if turn.role == "assistant"]
    spans = _emitted(text, blocks, [rendered(at, True)[0] for at in turns], _ends(name))
    wanted = [part for turn, parts in zip(turns, spans, strict=True) if turn in mine.turns for part in parts]
    if list(encoded["input_ids"])[: len(mine.ids)] != list(mine.ids):
        # A token would reach from the prompt into the answer; ours are split there, so texts are compared.
        spoken = "".join(tok.decode(mine.ids[a:b]) for a, b in mine.trained)
        same = spoken == "".join(text[a:b] for a, b in wanted)
        return Checked(len(mine.ids), 0 if same else mine.trained_tokens)
    offsets = tok(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    labels = {at for a, b in mine.trained for at in range(a, b)}
    marked = {at for at, trained in enumerate(encoded["assistant_masks"]) if trained}
    unmarked_ends = {at for at, (a, b) in enumerate(offsets) if text[a:b] in _ends(name)} - marked
    expected = {at for at in marked | unmarked_ends if _inside(offsets[at], wanted)}
    beyond = sum(not _inside(offsets[at], [part for parts in spans for part in parts]) for at in marked)
    return Checked(len(mine.ids), len(labels ^ expected), beyond)


def _inside(offset: tuple[int, int], spans: list[tuple[int, int]]) -> bool:
    return any(first <= offset[0] and offset[1] <= last for first, last in spans)


def _emitted(text: str, blocks: Any, prompts: list[str], ends: tuple[str, ...]) -> list[list[tuple[int, int]]]:
    """For every turn the character spans the model emits: the twin's blocks, less prompt and what follows the end."""
    goes_on = [text.startswith(prompt) for prompt in prompts]
    firsts = [_shared(prompt, text) for prompt in prompts]
    found = []
    for first, continued, after in zip(firsts, goes_on, [*firsts[1:], len(text)], strict=True):
        mine = [block for block in blocks if block[0] < block[1] and first < block[1] <= after]
        start = first if continued else mine[0][0] + len(_HEADER) * text.startswith(_HEADER, mine[0][0])
        last = mine[-1][1]
        # One twin (DiffusionGemma's) leaves out the token at which a call ends.
        last += max((len(end) for end in ends if text.startswith(end, last)), default=0)
        mine[-1] = (mine[-1][0], last)
        stops = [text.rfind(end, start, last) + len(end) for end in ends if end in text[start:last]]
        clipped = [(max(a, start), min(b, max(stops, default=last))) for a, b in mine]
        found.append([(a, b) for a, b in clipped if a < b])
    return found


def _shared(prompt: str, text: str) -> int:
    """How many characters the two have in common from their beginning."""
    alike = (at for at, (a, b) in enumerate(zip(prompt, text, strict=False)) if a != b)
    return next(alike, min(len(prompt), len(text)))


def _ends(name: str) -> tuple[str, ...]:
    return next(value for key, value in HAND_ENDS.items() if name.replace("-", "").startswith(key))


def _hand_spans(name: str, text: str) -> list[tuple[int, int]]:
    header = next(value for key, value in HAND_HEADERS.items() if name.startswith(key))
    stop = "|".join(map(re.escape, _ends(name)))
    if name.startswith("gemma4"):
        return _gemma4_spans(text, header)
    return [found.span(1) for found in re.finditer(f"{re.escape(header)}((?:.*?)(?:{stop}))", text, re.S)]


def _gemma4_spans(text: str, header: str) -> list[tuple[int, int]]:
    """What the environment answers stands inside a turn of Gemma 4's model: the model opens the first answer only."""
    one = r"response:.*?<tool_response\|>"
    answers = rf"(?<=<\|tool_response>){one}(?:<\|tool_response>{one})*"
    spans = []
    for turn in re.finditer(rf"{re.escape(header)}(.*?)(?=<\|turn>|$)", text, re.S):
        at = turn.start(1)
        for answer in re.finditer(answers, turn[1], re.S):
            spans.append((at, turn.start(1) + answer.start()))
            at = turn.start(1) + answer.end()
        end = text.find("<turn|>", at, turn.end(1))
        spans.append((at, end + len("<turn|>") if end >= 0 else turn.end(1)))
    return [(a, b) for a, b in spans if a < b]


# The one header that a twin (DeepSeek's) marks as trained although the text does not go on from the prompt.
_HEADER = "<｜Assistant｜>"


# ----------------------------------------------------------------------------------------- conversations

TEXTS = (
    "Hello there, how can I help?",
    "",
    "42",
    "?!...",
    "Grüße aus München, 你好世界, здравствуйте, مرحبا",
    "🎉👩‍👩‍👧 done",
    "\n\nstarts with lines",
    "  spaces around  ",
    "ends with a line\n",
    "def f(x):\n    return {'a': x}  # code",
    '{"json": [1, 2.5, null, true], "text": "q\\"uote"}',
    "<b>bold</b> and <br/> & &amp; tags",
    "one\ttab\r\nand carriage return",
    "a" * 400,
    "long words follow " + "lorem ipsum dolor sit amet " * 120,
    "Ends with a mark: <",
    "assistant\nuser\nsystem",
    "é\u0301 combining, zero\u200bwidth",
)
TOOLS = tuple(
    compact(
        {
            "type": "function",
            "function": {
                "name": name,
                "description": f"About {name}",
                "parameters": {
                    "type": "object",
                    "properties": {key: {"type": kind, "description": f"The {key}"} for key, kind in keys.items()},
                    "required": [next(iter(keys))],
                },
            },
        }
    )
    for name, keys in (("get_weather", {"city": "string", "days": "integer"}), ("search", {"query": "string"}))
)
ARGUMENTS = (
    ("get_weather", {"city": "Paris", "days": 3}),
    ("get_weather", {"city": 'München "Süd"'}),
    ("search", {"query": "line one\nline two <tag>"}),
    ("search", {"query": "你好 🎉"}),
    ("get_weather", {"days": 7}),
)


def shapes(count: int = 200, seed: int = 0) -> Iterator[Example]:
    """Conversations of every shape: turns, systems, calls (one, several, with text), thoughts, all kinds of text."""
    draw = random.Random(seed)
    for number in range(count):
        turns: list[Turn] = []
        if number % 3 == 0:
            turns.append(Turn("system", draw.choice([text for text in TEXTS if text.strip()])))
        with_tools = number % 4 == 1
        for exchange in range(1 + number % 5):
            turns.append(Turn("user", draw.choice([text for text in TEXTS if text.strip()])))
            if with_tools and exchange % 2 == 0:
                turns += _called(draw, number * 10 + exchange)
            thought = draw.choice(["", "", "I think,\nso I am."]) if number % 7 == 2 else ""
            turns.append(Turn("assistant", TEXTS[(number + exchange * 5) % len(TEXTS)], reasoning=thought))
        yield Example(tuple(turns), TOOLS if with_tools else ())


def _called(draw: random.Random, seed: int) -> list[Turn]:
    chosen = draw.sample(ARGUMENTS, 2 if seed % 30 == 0 else 1)
    calls = tuple(ToolCall(name, compact(given), f"call{seed:04d}{at}") for at, (name, given) in enumerate(chosen))
    said = draw.choice(["", "", "Let me look."])
    results = [Turn("tool", f'{{"result": {seed}}}', name=call.name, tool_call_id=call.id) for call in calls]
    return [Turn("assistant", said, calls), *results]


def twins(folder: Path) -> dict[str, str]:
    """Training twins of a folder of templates, by the name of the template they belong to."""
    return {
        file.name.removesuffix("_training.jinja"): file.read_text() for file in sorted(folder.glob("*_training.jinja"))
    }


def alone(folder: Path) -> dict[str, str]:
    """Templates of a folder that have no training twin."""
    known = twins(folder)
    found = sorted(file for file in folder.glob("*.jinja") if not file.stem.endswith("_training"))
    return {file.stem: file.read_text() for file in found if file.stem not in known}


def same_texts(original: str, twin: str, count: int = 40) -> bool:
    """Whether a template and its twin render every conversation alike, so that the twin's marks hold for both."""
    renderers = [Renderer(template, {"bos_token": "<s>", "eos_token": "</s>"}) for template in (original, twin)]
    dialect = Dialect()
    try:
        jobs = [dialect.job(one.messages, one.tools, prompt) for one in shapes(count) for prompt in (False, True)]
        texts = [renderer.render_all(jobs) for renderer in renderers]
    finally:
        for renderer in renderers:
            renderer.close()
    return texts[0] == texts[1]


def hand_name(template: str) -> str:
    """Which of the hand-made marks fit a template, by the header it writes; empty if none is known to."""
    known = {
        "<|im_start|>": "lfm2",
        "<|start_header_id|>": "llama3",
        "<start_of_turn>": "gemma2",
        "<|assistant|>": "phi-3",
    }
    found = [name for header, name in known.items() if header in template]
    return found[0] if len(found) == 1 else ""
