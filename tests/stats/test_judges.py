"""Judges against people: published numbers, simulation, and the human labels of PandaLM's test set."""

import gzip
import json

import numpy as np
import pytest
from statsmodels.stats.inter_rater import cohens_kappa, to_table

from parity.stats.judges import (
    JudgeErrors,
    corrected_share,
    kappa,
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


def test_kappa_is_statsmodels():
    chance = np.random.default_rng(0)
    one = chance.integers(0, 3, 300)
    other = np.where(chance.random(300) < 0.6, one, chance.integers(0, 3, 300))
    table = to_table(np.column_stack((one, other)))[0]
    assert kappa(one, other) == pytest.approx(cohens_kappa(table, return_results=False))
    assert kappa([1, 1], [1, 1]) == 1.0


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


@pytest.mark.slow
def test_gpt_35_against_the_people_of_pandalm():
    folder = needs_shared("judge_and_preference", "pandalm")

    def rows(name):
        with gzip.open(folder / name, "rt") as stream:
            return {row["idx"]: row for row in json.load(stream)}

    people, judged = rows("testset-v1.json.gz"), rows("gpt-3.5-turbo-testset-v1.json.gz")
    assert len(people.keys() & judged.keys()) == 999
    # A verdict that cannot be read is no verdict; it is left out, not counted against anybody.
    common = sorted(at for at in people.keys() & judged.keys() if judged[at]["gpt_result"] in PLACES)
    votes = np.array([[int(people[at][f"annotator{who}"]) for who in (1, 2, 3)] for at in common])
    said, judge = majority(votes), np.array([PLACES[judged[at]["gpt_result"]] for at in common])
    among_people = np.mean([kappa(votes[:, a], votes[:, b]) for a, b in ((0, 1), (0, 2), (1, 2))])
    assert 950 < len(common) < 999
    assert 0.3 < kappa(judge, said) < among_people < 1
    lengths = [[len(str(people[at][f"response{place}"])) for at in common] for place in (1, 2)]
    found = length_bias(judge, said, *lengths)
    assert found.pairs > 500
    assert 0 < found.judge < 1
