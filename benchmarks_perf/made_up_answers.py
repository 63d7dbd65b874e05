"""Made-up answers for IFEval's instructions: prose with and without what each instruction asks for. Always the same.

Every answer is words drawn from a short list, in sentences, paragraphs, lists and marks, so that each instruction
type is followed by some and broken by others. Nothing is taken from a data set.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

WORDS = (
    "the", "river", "runs", "past", "an", "old", "mill", "where", "people", "meet", "to", "talk", "about", "weather",
    "work", "music", "and", "long", "summer", "days", "while", "children", "play", "near", "water", "dogs", "sleep",
    "under", "wide", "green", "trees", "before", "evening", "comes", "with", "cool", "wind",
)  # fmt: skip
Arguments = dict[str, object]
_RELATIONS = ("less than", "at least")


@dataclass(frozen=True, slots=True)
class MadeUp:
    """An answer with the instructions it is held against, as IFEval's rows have them."""

    names: tuple[str, ...]
    arguments: tuple[Arguments, ...]
    answer: str


def made_up(count: int = 1000, seed: int = 7) -> list[MadeUp]:
    """`count` answers, every instruction type in turn, each answer with a second instruction at random."""
    draw = random.Random(seed)
    kinds = list(ARGUMENTS)
    found = []
    for at in range(count):
        names = (kinds[at % len(kinds)], draw.choice(kinds))
        found.append(MadeUp(names, tuple(ARGUMENTS[name](draw) for name in names), fitting(names[0], draw)))
    return found


def fitting(name: str, draw: random.Random) -> str:
    """An answer; for the forms that prose never has, one of that form half the time."""
    forms = {
        "detectable_format:constrained_response": (
            "My answer is maybe.",
            "So: My answer is no. Sorry",
            "my answer is yes.",
        ),
        "detectable_format:json_format": ('{"a": [1, 2]}', '```json\n{"b": 3}\n```', "{broken: json", "[1, 2"),
    }.get(name)
    return draw.choice(forms) if forms and draw.random() < 0.5 else answer(draw)


def answer(draw: random.Random) -> str:
    """Paragraphs of prose, some decorated, some whole in one case, a few in another form altogether."""
    odd = draw.random()
    if odd < 0.1:
        return draw.choice(
            ('{"a": [1, 2]}', '```json\n{"b": 3}\n```', "{broken: json", "My answer is maybe.", "", "**")
        )
    paragraphs = [decorated(draw) for _ in range(draw.randint(1, 5))]
    text = draw.choice(("\n\n", "\n\n", "\n***\n", "\n\n******\n\n")).join(paragraphs)
    ends = ("\n\nP.S. Write soon.", "\n\nP.P.S Bring bread", " Any other questions?", "", "", "")
    text += draw.choice(ends)
    if draw.random() < 0.2:
        text = "<<" + draw.choice(("A Mill", " ")) + ">>\n\n" + text
    return draw.choice((str, str, str, str.upper, str.lower, lambda whole: f'"{whole}"'))(text)


def decorated(draw: random.Random) -> str:
    lines = [prose(draw)]
    for _ in range(draw.randint(0, 3)):
        word = draw.choice(WORDS)
        marks = ("* {}", "- {}", "*{}*", "**{}**", "[{}]", "Section 1 {}", "SECTION 2\n{}", "{}", "{} MILL")
        lines.append(draw.choice(marks).format(word))
    return "\n".join(lines)


def prose(draw: random.Random) -> str:
    return " ".join(sentence(draw) for _ in range(draw.randint(1, 6)))


def sentence(draw: random.Random) -> str:
    words = [draw.choice(WORDS[:4]), *(draw.choice(WORDS) for _ in range(draw.randint(3, 12)))]
    if draw.random() < 0.3:
        words[draw.randrange(len(words))] += ","
    if draw.random() < 0.15:
        words[draw.randrange(len(words))] = draw.choice(("NASA", "WATER", "well-known", "it's"))
    return words[0].capitalize() + " " + " ".join(words[1:]) + draw.choice((".", ".", ".", "!", "?"))


def _number(name: str, low: int, high: int, relation: str | None = None) -> Callable[[random.Random], Arguments]:
    def make(draw: random.Random) -> Arguments:
        found: Arguments = {name: draw.randint(low, high)}
        return found | ({relation: draw.choice(_RELATIONS)} if relation else {})

    return make


def _word(name: str, low: int, high: int, number: str, relation: str) -> Callable[[random.Random], Arguments]:
    def make(draw: random.Random) -> Arguments:
        word = draw.choice(WORDS)
        return {name: word[0] if name == "letter" else word, **_number(number, low, high, relation)(draw)}

    return make


def _nothing(_: random.Random) -> Arguments:
    return {}


ARGUMENTS: dict[str, Callable[[random.Random], Arguments]] = {
    "keywords:existence": lambda draw: {"keywords": draw.sample(WORDS, 2)},
    "keywords:frequency": _word("keyword", 1, 4, "frequency", "relation"),
    "keywords:forbidden_words": lambda draw: {"forbidden_words": draw.sample(WORDS, 2)},
    "keywords:letter_frequency": _word("letter", 1, 30, "let_frequency", "let_relation"),
    "language:response_language": lambda draw: {"language": draw.choice(("en", "de", "fr", "hi"))},
    "length_constraints:number_sentences": _number("num_sentences", 1, 20, "relation"),
    "length_constraints:number_paragraphs": _number("num_paragraphs", 1, 5),
    "length_constraints:number_words": _number("num_words", 10, 150, "relation"),
    "length_constraints:nth_paragraph_first_word": lambda draw: {
        "num_paragraphs": draw.randint(1, 4), "nth_paragraph": 1, "first_word": draw.choice(WORDS[:4]),
    },
    "detectable_content:number_placeholders": _number("num_placeholders", 1, 3),
    "detectable_content:postscript": lambda draw: {"postscript_marker": draw.choice(("P.S.", "P.P.S"))},
    "detectable_format:number_bullet_lists": _number("num_bullets", 1, 4),
    "detectable_format:constrained_response": _nothing,
    "detectable_format:number_highlighted_sections": _number("num_highlights", 1, 4),
    "detectable_format:multiple_sections": lambda draw: {
        "section_spliter": draw.choice(("Section", "SECTION")), "num_sections": draw.randint(1, 3),
    },
    "detectable_format:json_format": _nothing,
    "detectable_format:title": _nothing,
    "combination:two_responses": _nothing,
    "combination:repeat_prompt": lambda draw: {"prompt_to_repeat": draw.choice(WORDS[:4])},
    "startend:end_checker": lambda draw: {"end_phrase": "Any other questions?"},
    "startend:quotation": _nothing,
    "change_case:capital_word_frequency": _number("capital_frequency", 1, 6, "capital_relation"),
    "change_case:english_capital": _nothing,
    "change_case:english_lowercase": _nothing,
    "punctuation:no_comma": _nothing,
}  # fmt: skip
