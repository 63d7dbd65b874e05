"""Extraction by the harness's rules, on answers as models write them."""

import pytest

from parity.benchmarks.gsm8k import LAST, STRICT, STRICT_COT

TARGETS = ("He has 1,250.\n#### 1,250",)


@pytest.mark.parametrize(
    ("text", "strict", "last", "number"),
    [
        ("reasoning\n#### 1250", 1, 1, 1),
        ("reasoning\n#### 1,250", 1, 1, 1),
        ("#### $1,250", 0, 1, 1),
        ("#### 1250.00", 0, 0, 1),
        ("The answer is $1,250.", 0, 1, 1),
        ("1250 apples, of which 3 are red", 0, 0, 0),
        ("", 0, 0, 0),
        ("#### .", 0, 0, 0),
    ],
)
def test_three_readings_of_an_answer(text, strict, last, number):
    found = (STRICT.mark(text, TARGETS), LAST.mark(text, TARGETS), LAST.mark_number(text, TARGETS))
    assert tuple(score.value for score in found) == (strict, last, number)


def test_the_first_match_or_the_last():
    text = "The answer is 3. No. The answer is 4."
    assert STRICT_COT.find(text) == "3."  # as greedy as the reference; equality ignores the point
    assert LAST.find(text) == "4."
    assert STRICT_COT.find("nothing") is None
