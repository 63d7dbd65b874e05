"""Judges against people: published numbers, simulation, and the human labels of PandaLM's test set."""

import gzip
import json

import numpy as np
import pytest
from statsmodels.stats.inter_rater import cohens_kappa, to_table

from parity.stats.agreement import agreement, corrected_rate
from parity.stats.judges import (
    JudgeErrors,
    corrected_share,
    length_bias,
    position_bias,
    rogan_gladen,
)
from parity.stats.predicted import ppi_interval
from shared import needs_shared


def test_rogan_gladen_is_the_printed_number():
    assert corrected_share(0.7, JudgeErrors(0.9, 0.85, 100, 100)) == pytest.approx(0.733333, abs=1e-6)
    with pytest.raises(ValueError, match="no better than chance"):
        corrected_share(0.5, JudgeErrors(0.4, 0.5, 100, 100))


def test_kappa_and_its_interval_are_statsmodels():
    chance = np.random.default_rng(0)
    one = chance.integers(0, 3, 300)
    other = np.where(chance.random(300) < 0.6, one, chance.integers(0, 3, 300))
    theirs = cohens_kappa(to_table(np.column_stack((one, other)))[0])
    found = agreement(one, other)
    assert found.kappa == pytest.approx(theirs.kappa)
    assert (found.interval.low, found.interval.high) == pytest.approx((theirs.kappa_low, theirs.kappa_upp))
    assert agreement([1, 1], [1, 1]).kappa == 1.0


def test_the_correction_for_two_classes_is_rogan_and_gladens():
    chance = np.random.default_rng(3)
    label = chance.random(300) < 0.6
    mark = np.where(label, chance.random(300) < 0.9, chance.random(300) < 0.2).astype(float)
    every = np.concatenate((mark, (chance.random(2000) < 0.55).astype(float)))
    wanted = rogan_gladen(every.mean(), len(every), JudgeErrors.of(mark, label))
    found = corrected_rate(every, mark, label)
    assert (found.interval.low, found.interval.high) == pytest.approx((wanted.low, wanted.high))
    with pytest.raises(ValueError, match="does not tell apart"):
        corrected_rate(every, 1 - mark, label)
    with pytest.raises(ValueError, match="one label only"):
        corrected_rate(every, mark, np.ones(300))


def test_a_judged_rate_is_covered_after_correction_and_not_before():
    """A judge with sensitivity .9 and specificity .75; 200 labels among 4,000 marks."""
    chance, truth, count = np.random.default_rng(1), 0.8, 400
    held = {"rogan": 0, "ppi": 0, "raw": 0}
    for _ in range(count):
        right = chance.random(4000) < truth
        judged = np.where(right, chance.random(4000) < 0.9, chance.random(4000) > 0.75).astype(float)
        seen = slice(0, 200)
        errors = JudgeErrors.of(judged[seen], right[seen])
        found = rogan_gladen(judged.mean(), 4000, errors)
        held["rogan"] += found.low <= truth <= found.high
        told = ppi_interval(right[seen], judged)
        held["ppi"] += told.low <= right.mean() <= told.high
        half = 1.96 * judged.std() / 4000**0.5
        held["raw"] += abs(judged.mean() - truth) <= half
    assert held["raw"] < 0.1 * count
    assert min(held["rogan"], held["ppi"]) >= 0.95 * count - 3.1 * (0.05 * 0.95 * count) ** 0.5


def test_position_bias():
    found = position_bias([1, 1, 1, 1, 1, 2, 0], [2, 1, 1, 1, 1, 1, 0])
    assert (found.first, found.second, found.consistent) == (4, 0, pytest.approx(3 / 7))
    assert found.p == pytest.approx(0.125)
    with pytest.raises(ValueError, match="winning places"):
        position_bias([3], [1])


def test_length_bias_is_measured_against_people():
    judge, people = [2, 2, 2, 1, 2, 0], [2, 1, 1, 1, 1, 1]
    found = length_bias(judge, people, [1] * 6, [9, 9, 9, 9, 9, 9])
    assert (found.pairs, found.judge, found.people, found.p) == (5, 0.8, 0.2, pytest.approx(0.25))


PLACES = {"1": 1, "2": 2, "Tie": 0}


def majority(votes):
    """The label most of three people gave; 0, a tie, where all differ."""
    counts = np.stack([(votes == label).sum(axis=1) for label in (0, 1, 2)], axis=1)
    return np.where(counts.max(axis=1) > 1, counts.argmax(axis=1), 0)


@pytest.fixture(scope="module")
def pandalm():
    folder = needs_shared("judge_and_preference", "pandalm")

    def rows(name):
        with gzip.open(folder / name, "rt") as stream:
            return {row["idx"]: row for row in json.load(stream)}

    people, judged = rows("testset-v1.json.gz"), rows("gpt-3.5-turbo-testset-v1.json.gz")
    votes = np.array([[int(people[at][f"annotator{who}"]) for who in (1, 2, 3)] for at in sorted(people)])
    verdicts = [str(judged[at]["gpt_result"]) for at in sorted(people)]
    lengths = [[len(str(people[at][f"response{place}"])) for at in sorted(people)] for place in (1, 2)]
    return votes, verdicts, lengths


@pytest.mark.slow
def test_people_agree_as_pandalm_prints_it(pandalm):
    votes, _, _ = pandalm
    between = [agreement(votes[:, a], votes[:, b]) for a, b in ((0, 1), (0, 2), (1, 2))]
    assert [round(found.kappa, 2) for found in between] == [0.85, 0.88, 0.86]
    assert np.bincount(majority(votes)).tolist() == [105, 422, 472]


@pytest.mark.slow
def test_gpt_35_agrees_with_people_as_pandalm_prints_it(pandalm):
    """The authors count a verdict that cannot be read as a tie."""
    votes, verdicts, lengths = pandalm
    said, judge = majority(votes), np.array([PLACES.get(verdict, 0) for verdict in verdicts])
    table = np.array([[np.sum((judge == a) & (said == b)) for b in (0, 1, 2)] for a in (0, 1, 2)])
    hits = np.diag(table)
    precision, recall = hits / table.sum(axis=1), hits / table.sum(axis=0)
    figures = [hits.sum() / table.sum(), precision.mean(), recall.mean()]
    figures.append((2 * precision * recall / (precision + recall)).mean())
    assert [round(100 * figure, 2) for figure in figures] == [71.07, 58.79, 57.36, 57.55]
    readable = np.array([verdict in PLACES for verdict in verdicts])
    assert (~readable).sum() == 25
    found = agreement(judge[readable], said[readable])
    assert 0.4 < found.interval.low < found.kappa < found.interval.high < 0.6
    biased = length_bias(judge, said, *lengths)
    assert biased.pairs > 800
    assert abs(biased.judge - biased.people) < 0.1
