"""IFEval's rules, each followed and broken; oddities of the reference kept."""

import pytest

from parity.marking.instructions import RULES, Instruction, loosened
from parity.marking.sentences import sentences

CASES = [
    ("keywords:existence", {"keywords": ["mill", "river"]}, "A River and a mill", "A river"),
    ("keywords:frequency", {"keyword": "a", "frequency": 2, "relation": "less than"}, "a", "aa"),
    ("keywords:forbidden_words", {"forbidden_words": ["ill"]}, "the mill", "I am ill."),
    ("keywords:letter_frequency", {"letter": "E", "let_frequency": 2, "let_relation": "at least"}, "eEl", "el"),
    ("language:response_language", {"language": "de"}, "Das ist ein sehr schöner Tag im Wald.", "This is a day."),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "at least"}, "One. Two!", "Dr. No"),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "a\n***\nb\n***", "a\n***\n\n***\nb"),
    ("length_constraints:number_words", {"num_words": 3, "relation": "less than"}, "one two", "it's you"),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Well"},
        'a\n\n"well, b',
        "a\n\nb",
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[a] [b]", "[a]"),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "x\np. p. s. y", "P.S. y"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* a\n- b", "* a\n- b\n- c"),
    ("detectable_format:constrained_response", {}, "Sure. My answer is no.", "my answer is no."),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*a* *b*", "*a* **"),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "Section", "num_sections": 1},
        "Section 1 a",
        "SECTION 1",
    ),
    ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', "{a: 1}"),
    ("detectable_format:title", {}, "<<A>>", "<< >>"),
    ("combination:two_responses", {}, "a\n******\nb", "a ****** a"),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say it"}, "say IT. Yes", "Yes"),
    ("startend:end_checker", {"end_phrase": "Bye."}, 'So. bye."', "Bye. So"),
    ("startend:quotation", {}, ' "a" ', '"a'),
    ("change_case:capital_word_frequency", {"capital_frequency": 2, "capital_relation": "at least"}, "A-B (C)", "A b"),
    ("change_case:english_capital", {}, "THIS IS A LONG DAY IN THE FOREST", "This is a day"),
    ("change_case:english_lowercase", {}, "this is a long day in the forest", "DAS IST EIN TAG"),
    ("punctuation:no_comma", {}, "a b", "a, b"),
]


@pytest.mark.parametrize(("name", "arguments", "followed", "broken"), CASES, ids=[case[0] for case in CASES])
def test_a_rule_is_followed_and_broken(name, arguments, followed, broken):
    instruction = Instruction(name, arguments)
    assert instruction.followed(followed)
    assert not instruction.followed(broken)
    assert not instruction.followed(" \n")


def test_every_rule_has_its_case():
    assert {case[0] for case in CASES} == set(RULES)


def test_a_bold_part_counts_twice_as_the_reference_has_it():
    assert Instruction("detectable_format:number_highlighted_sections", {"num_highlights": 2}).followed("**a** *b*")


def test_loosely_means_without_first_and_last_line_and_asterisks():
    assert set(loosened("a*\nb\nc")) == {"a*\nb\nc", "a\nb\nc", "b\nc", "a*\nb", "a\nb", "b"}


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One. Two", 2),
        ("Mr. A. B. Smith came. He left", 2),
        ("Well... so it goes.", 1),
        ("Why?! Because.", 2),
        ("3.14 is pi.", 1),
    ],
)
def test_sentences(text, count):
    assert len(sentences(text)) == count
