"""From answers to scores: the cases where harnesses turn an error into a number."""

import math

import pytest

from parity.core.scores import Score, Unscored, UnscoredReason
from parity.marking import exact, most_likely, named_letter, numeric, pattern

LETTERS = ("A", "B", "C", "D")


def test_ties_and_nan_are_unscored_where_argmax_would_say_a():
    tie = most_likely((-1.0, -1.0, -2.0, -3.0), LETTERS, ("A",))
    assert isinstance(tie, Unscored)
    assert tie.reason is UnscoredReason.TIE
    nan = most_likely((math.nan,) * 4, LETTERS, ("A",))
    assert isinstance(nan, Unscored)
    assert nan.reason is UnscoredReason.NOT_A_NUMBER


def test_a_tie_below_the_top_is_no_tie():
    assert most_likely((-3.0, -3.0, -2.0, -1.0), LETTERS, ("D",)) == Score(1.0, "D")


@pytest.mark.parametrize("text", ["B", " B", "B.", "(B)", "B)", "[B]", "B because", "B\n", "B: it"])
def test_letters_people_write(text):
    assert named_letter(text, LETTERS, ("B",)) == Score(1.0, "B")


@pytest.mark.parametrize("text", ["To", "", "E", "Because", "The answer is B", "B2", "A's"])
def test_an_answer_outside_the_letters_is_wrong_and_counted(text):
    score = named_letter(text, LETTERS, ("B",))
    assert score.value == 0.0
    assert score.outside


@pytest.mark.parametrize(
    ("text", "target", "value"),
    [
        ("#### 18", "18", 1),
        ("1,000", "1000", 1),
        ("3.50", "3.5", 1),
        ("-4", "4", 0),
        ("x = 12%", "12", 1),
        ("6.", "6", 1),
    ],
)
def test_numbers_as_people_write_them(text, target, value):
    assert numeric(text, (target,)).value == value


def test_tolerance_is_absolute():
    assert numeric("3.14", ("3.1416",), tolerance=0.01).value == 1
    assert numeric("3.14", ("3.1416",), tolerance=0.001).value == 0


def test_exact_and_pattern():
    assert exact("paris", ("Paris",)).value == 0
    assert exact("paris", ("Paris",), ignore_case=True).value == 1
    assert pattern("ANSWER: A ... ANSWER: B", ("B",), r"ANSWER: ([A-D])").value == 1
    assert pattern("none", ("B",), r"ANSWER: ([A-D])").outside
