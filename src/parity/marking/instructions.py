"""Verifiable instructions: whether an answer does what it was told, by the 25 rules of IFEval (arXiv 2311.07911).

Rules are those of lm-evaluation-harness, oddities included: a keyword is a pattern, a bold part counts as two
highlights, two words of a language nobody can tell pass. Sentences are split by a rule of our own where the harness has
a trained model of English (NLTK's Punkt); `language_of` is seeded where the harness is not. Refuses instructions it
does not know: an unknown one is an error of the data, never a pass.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TypeAlias

from parity.errors import DataError, did_you_mean
from parity.marking.sentences import sentences

Value: TypeAlias = str | int | float | Sequence[str]
Arguments: TypeAlias = Mapping[str, Value]
Rule: TypeAlias = Callable[[str, Arguments], bool]


@dataclass(frozen=True, slots=True)
class Instruction:
    """What is told: the name of a rule, and its arguments."""

    name: str
    arguments: Arguments

    def __post_init__(self) -> None:
        if self.name not in RULES:
            raise ValueError(f"there is no instruction {self.name!r}. {did_you_mean(self.name, list(RULES))}")

    def followed(self, text: str) -> bool:
        """Whether an answer follows it; an empty one follows nothing."""
        return bool(text.strip()) and RULES[self.name](text, self.arguments)

    def followed_loosely(self, text: str) -> bool:
        """Whether it is followed once a first or a last line, or asterisks, are left out."""
        return any(self.followed(variant) for variant in loosened(text))


def check_available() -> None:
    """Raises DataError when langdetect is not installed: better said before a model is asked."""
    if find_spec("langdetect") is None:
        raise DataError(
            "Marking IFEval needs langdetect, which is not installed.",
            "Install it with: pip install 'parity-llm[marking]'",
        )


def loosened(text: str) -> Iterator[str]:
    """The answer, without its first line, its last, both; each with and without asterisks."""
    lines = text.split("\n")
    shortened = (text, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1])))
    for variant in shortened:
        yield variant
        yield variant.replace("*", "")


def language_of(text: str) -> str | None:
    """The language of a text by langdetect (ISO 639-1, or zh-cn, zh-tw); None when it cannot be told."""
    from langdetect import DetectorFactory, LangDetectException, detect

    DetectorFactory.seed = 0  # its guesses are drawn: without a seed short texts change language from call to call
    try:
        return str(detect(text))
    except LangDetectException:
        return None


def _count(arguments: Arguments, name: str) -> int:
    return int(str(arguments[name]))


def _text(arguments: Arguments, name: str) -> str:
    return str(arguments[name])


def _listed(arguments: Arguments, name: str) -> list[str]:
    found = arguments[name]
    return [found] if isinstance(found, str) else [str(entry) for entry in found]  # type: ignore[union-attr]


def _compared(found: int, arguments: Arguments, relation: str, threshold: str) -> bool:
    """`less than` or `at least` a number."""
    wanted = _count(arguments, threshold)
    return found < wanted if _text(arguments, relation) == "less than" else found >= wanted


def _in_english(cased: bool, text: str) -> bool:
    language = language_of(text) if cased else None
    return cased and language in ("en", None)


def _keywords(text: str, arguments: Arguments) -> bool:
    return all(re.search(word, text, re.I) for word in _listed(arguments, "keywords"))


def _keyword_frequency(text: str, arguments: Arguments) -> bool:
    found = re.findall(_text(arguments, "keyword").strip(), text, re.I)
    return _compared(len(found), arguments, "relation", "frequency")


def _forbidden_words(text: str, arguments: Arguments) -> bool:
    return not any(re.search(rf"\b{word}\b", text, re.I) for word in _listed(arguments, "forbidden_words"))


def _letter_frequency(text: str, arguments: Arguments) -> bool:
    found = text.lower().count(_text(arguments, "letter").strip().lower())
    return _compared(found, arguments, "let_relation", "let_frequency")


def _response_language(text: str, arguments: Arguments) -> bool:
    return language_of(text) in (_text(arguments, "language"), None)


def _number_sentences(text: str, arguments: Arguments) -> bool:
    return _compared(len(sentences(text)), arguments, "relation", "num_sentences")


def _number_words(text: str, arguments: Arguments) -> bool:
    return _compared(len(re.findall(r"\w+", text)), arguments, "relation", "num_words")


def _number_paragraphs(text: str, arguments: Arguments) -> bool:
    """Paragraphs between `***`; empty ones may stand at both ends only."""
    parts = re.split(r"\s?\*\*\*\s?", text)
    empty = [at for at, part in enumerate(parts) if not part.strip()]
    if any(0 < at < len(parts) - 1 for at in empty):
        return False
    return len(parts) - len(empty) == _count(arguments, "num_paragraphs")


def _nth_paragraph_first_word(text: str, arguments: Arguments) -> bool:
    """Paragraphs between empty lines; the first word is told without quotes, up to a punctuation mark."""
    parts = text.split("\n\n")
    whole = sum(bool(part.strip()) for part in parts)
    nth = _count(arguments, "nth_paragraph")
    if nth > whole or not parts[nth - 1].strip():
        return False
    word = parts[nth - 1].split()[0].lstrip("'").lstrip('"').lower()
    first = re.split("[.,?!'\"]", word, maxsplit=1)[0]
    return whole == _count(arguments, "num_paragraphs") and first == _text(arguments, "first_word").lower()


def _number_placeholders(text: str, arguments: Arguments) -> bool:
    return len(re.findall(r"\[.*?\]", text)) >= _count(arguments, "num_placeholders")


def _postscript(text: str, arguments: Arguments) -> bool:
    marker = _text(arguments, "postscript_marker").strip()
    known = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}
    return re.search(known.get(marker, marker.lower()), text.lower()) is not None


def _number_bullets(text: str, arguments: Arguments) -> bool:
    stars, dashes = re.findall(r"^\s*\*[^\*].*$", text, re.M), re.findall(r"^\s*-.*$", text, re.M)
    return len(stars) + len(dashes) == _count(arguments, "num_bullets")


def _constrained(text: str, _: Arguments) -> bool:
    return any(f"My answer is {word}." in text for word in ("yes", "no", "maybe"))


def _highlights(text: str, arguments: Arguments) -> bool:
    single = [found.strip("*") for found in re.findall(r"\*[^\n\*]*\*", text)]
    double = [found[2:-2] for found in re.findall(r"\*\*[^\n\*]*\*\*", text)]
    return sum(bool(found.strip()) for found in single + double) >= _count(arguments, "num_highlights")


def _sections(text: str, arguments: Arguments) -> bool:
    splitter = _text(arguments, "section_spliter").strip()  # the data's spelling
    return len(re.findall(rf"\s?{splitter}\s?\d+\s?", text)) >= _count(arguments, "num_sections")


def _json_format(text: str, _: Arguments) -> bool:
    inner = text.strip()
    for mark in ("```json", "```Json", "```JSON", "```"):
        inner = inner.removeprefix(mark)
    try:
        json.loads(inner.removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


def _title(text: str, _: Arguments) -> bool:
    return any(found.lstrip("<").rstrip(">").strip() for found in re.findall(r"<<[^\n]+>>", text))


def _two_responses(text: str, _: Arguments) -> bool:
    parts = text.split("******")
    if any(not part.strip() for part in parts[1:-1]):
        return False
    found = [part.strip() for part in parts if part.strip()]
    return len(found) == 2 and found[0] != found[1]


def _repeat_prompt(text: str, arguments: Arguments) -> bool:
    return text.strip().lower().startswith(_text(arguments, "prompt_to_repeat").strip().lower())


def _ends(text: str, arguments: Arguments) -> bool:
    return text.strip().strip('"').lower().endswith(_text(arguments, "end_phrase").strip().lower())


def _quotation(text: str, _: Arguments) -> bool:
    inner = text.strip()
    return len(inner) > 1 and inner[0] == inner[-1] == '"'


def _capital_words(text: str, arguments: Arguments) -> bool:
    """Words in capitals; a hyphenated one is one, contractions and marks are apart as in the Penn Treebank."""
    words = re.findall(r"[^\s()\[\]{}<>,;:?!\"`@#$%&]+", re.sub(r"--|\.\.\.", " ", text))
    return _compared(sum(word.isupper() for word in words), arguments, "capital_relation", "capital_frequency")


RULES: dict[str, Rule] = {
    "keywords:existence": _keywords,
    "keywords:frequency": _keyword_frequency,
    "keywords:forbidden_words": _forbidden_words,
    "keywords:letter_frequency": _letter_frequency,
    "language:response_language": _response_language,
    "length_constraints:number_sentences": _number_sentences,
    "length_constraints:number_paragraphs": _number_paragraphs,
    "length_constraints:number_words": _number_words,
    "length_constraints:nth_paragraph_first_word": _nth_paragraph_first_word,
    "detectable_content:number_placeholders": _number_placeholders,
    "detectable_content:postscript": _postscript,
    "detectable_format:number_bullet_lists": _number_bullets,
    "detectable_format:constrained_response": _constrained,
    "detectable_format:number_highlighted_sections": _highlights,
    "detectable_format:multiple_sections": _sections,
    "detectable_format:json_format": _json_format,
    "detectable_format:title": _title,
    "combination:two_responses": _two_responses,
    "combination:repeat_prompt": _repeat_prompt,
    "startend:end_checker": _ends,
    "startend:quotation": _quotation,
    "change_case:capital_word_frequency": _capital_words,
    "change_case:english_capital": lambda text, _: _in_english(text.isupper(), text),
    "change_case:english_lowercase": lambda text, _: _in_english(text.islower(), text),
    "punctuation:no_comma": lambda text, _: "," not in text,
}
