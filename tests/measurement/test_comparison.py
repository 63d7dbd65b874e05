"""The verdict: what must not be said."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parity.core.gaps import Verdict
from parity.core.items import Tag
from parity.core.runs import Marked
from parity.core.scores import Score, Unscored, UnscoredReason
from parity.errors import DataError
from parity.measurement.comparison import compare, compared, scores_of, slice_gaps
from parity.measurement.pairing import Pairs, pair
from parity.stats.paired import PairedCounts


def gap_of(b, c, n=1000, margin=0.03, **missing):
    return compare(Pairs(PairedCounts(n, n // 2, b, c), **missing), margin)


def test_the_four_words():
    assert gap_of(100, 40).verdict is Verdict.SUPERIOR
    assert gap_of(40, 40).verdict is Verdict.NON_INFERIOR
    assert gap_of(40, 140).verdict is Verdict.INFERIOR
    assert gap_of(100, 130).verdict is Verdict.INCONCLUSIVE


def test_non_inferior_but_worse_is_said():
    gap = compare(Pairs(PairedCounts(14042, 9000, 100, 200)), 0.02)
    assert gap.verdict is Verdict.NON_INFERIOR
    assert gap.worse


def test_without_a_margin_there_is_no_verdict():
    assert gap_of(400, 40, margin=None).verdict is None


def test_inconclusive_says_how_many_more():
    gap = gap_of(100, 110, margin=0.02)
    assert gap.verdict is Verdict.INCONCLUSIVE
    assert gap.items_needed > 0


def test_missing_pairs_that_could_turn_the_verdict_make_it_inconclusive():
    assert gap_of(40, 40).verdict is Verdict.NON_INFERIOR
    gap = gap_of(40, 40, lost_right=60)
    assert gap.verdict is Verdict.INCONCLUSIVE
    assert gap.missing.worst_case is not Verdict.NON_INFERIOR
    assert gap_of(40, 40, lost_right=1).verdict is Verdict.NON_INFERIOR


def test_an_inferior_verdict_is_tested_the_other_way_round():
    assert gap_of(40, 140).verdict is Verdict.INFERIOR
    assert gap_of(40, 140, lost_wrong=100).verdict is Verdict.INCONCLUSIVE


def test_superior_weakened_to_non_inferior_is_still_parity():
    gap = gap_of(60, 40, lost_right=15)
    assert gap_of(60, 40).verdict is Verdict.SUPERIOR
    assert gap.verdict is Verdict.NON_INFERIOR
    assert gap.missing.worst_case is Verdict.NON_INFERIOR


SCORES = st.dictionaries(st.integers(0, 40).map(str), st.sampled_from([0.0, 1.0, None]), max_size=40)


@settings(deadline=None)
@given(SCORES, SCORES)
def test_every_item_is_counted_once_and_imputation_brackets_the_truth(candidate, incumbent):
    try:
        pairs = pair(candidate, incumbent)
    except DataError:
        return
    union = len(candidate.keys() | incumbent.keys())
    assert pairs.counts.n + pairs.missing == union
    low, high = pairs.against_candidate(), pairs.for_candidate()
    assert low.n == high.n == union
    items = candidate.keys() | incumbent.keys()

    def difference(item, lost, unmet):
        ours, theirs = candidate.get(item), incumbent.get(item)
        return (lost if ours is None else ours) - (unmet if theirs is None else theirs)

    filled_low = sum(difference(item, 0, 1) for item in items)
    filled_high = sum(difference(item, 1, 0) for item in items)
    assert low.gap * union == pytest.approx(filled_low)
    assert high.gap * union == pytest.approx(filled_high)


def test_an_error_is_never_a_zero():
    marks = [Marked("a", Unscored(UnscoredReason.FAILED)), Marked("b", Score(1.0))]
    assert scores_of(marks) == {"a": None, "b": 1.0}


def test_nothing_shared_and_scores_out_of_range_are_refused():
    with pytest.raises(DataError, match="No item has a score from both"):
        pair({"a": 1.0}, {"b": 1.0})
    with pytest.raises(DataError, match=r"score 1\.5"):
        pair({"a": 1.5}, {"a": 1.0})


def graded(count, shift=0.0, spread=0.2, seed=0):
    chance = np.random.default_rng(seed)
    theirs = chance.uniform(0.2, 0.8, count)
    ours = np.clip(theirs + shift + chance.normal(0, spread, count), 0, 1)
    return ({f"i{at}": float(score) for at, score in enumerate(side)} for side in (ours, theirs))


def test_graded_scores_get_a_verdict_by_a_named_method():
    ours, theirs = graded(2000)
    gap = compare(pair(ours, theirs), 0.03)
    assert (gap.verdict, gap.interval) == (Verdict.NON_INFERIOR, "Gaffke bound")
    assert (gap.both, gap.mcnemar_p, gap.clusters) == (None, None, None)
    assert gap.gap == pytest.approx(gap.candidate_score - gap.incumbent_score)
    assert gap.low < gap.bound_low < gap.gap < gap.bound_high < gap.high
    assert compare(pair(*graded(2000, -0.1)), 0.03).verdict is Verdict.INFERIOR
    assert compare(pair(*graded(2000, 0.1)), 0.03).verdict is Verdict.SUPERIOR
    unsure = compare(pair(*graded(200, -0.01)), 0.03)
    assert (unsure.verdict, unsure.items_needed > 100) == (Verdict.INCONCLUSIVE, True)


def test_few_graded_items_are_bets_and_prove_little():
    gap = compare(pair(*graded(12)), 0.03)
    assert (gap.verdict, gap.interval) == (Verdict.INCONCLUSIVE, "betting")
    assert gap.low <= gap.gap <= gap.high


def test_missing_graded_scores_go_the_worst_way():
    ours, theirs = graded(2000)
    whole = compare(pair(ours, theirs), 0.03)
    torn = compare(
        pair({item: None if at < 300 else score for at, (item, score) in enumerate(ours.items())}, theirs), 0.03
    )
    assert whole.verdict is Verdict.NON_INFERIOR
    assert (torn.verdict, torn.missing.pairs, torn.missing.candidate) == (Verdict.INCONCLUSIVE, 300, 300)
    assert torn.missing.worst_case is Verdict.INFERIOR


def test_items_that_hang_together_count_once():
    """Twenty copies of an answer are one answer: the interval must be as wide as that of the clusters alone."""
    chance = np.random.default_rng(3)
    ours = {f"{c}.{at}": float(right) for c, right in enumerate(chance.random(100) < 0.8) for at in range(20)}
    theirs = {f"{c}.{at}": float(right) for c, right in enumerate(chance.random(100) < 0.8) for at in range(20)}
    clusters = {item: item.split(".")[0] for item in ours}
    alone, together = compare(pair(ours, theirs), 0.03), compare(pair(ours, theirs, clusters), 0.03)
    once = compare(
        pair({c: ours[f"{c}.0"] for c in clusters.values()}, {c: theirs[f"{c}.0"] for c in clusters.values()})
    )
    assert (together.n, together.clusters, together.gap) == (2000, 100, pytest.approx(alone.gap))
    assert together.high - together.low > 3 * (alone.high - alone.low)
    assert together.high - together.low == pytest.approx(once.high - once.low, rel=0.2)


def test_a_tag_of_the_kind_cluster_says_what_hangs_together():
    def marks(seed):
        chance = np.random.default_rng(seed)
        return [
            Marked(f"{at}", Score(float(chance.random() < 0.8)), (("cluster", str(at // 10)), ("topic", "a")))
            for at in range(400)
        ]

    found = compared("one", marks(1), "two", marks(2), 0.05)
    assert found.gap.clusters == 40
    assert list(found.slices) == [Tag("topic", "a")]
    assert found.slices[Tag("topic", "a")].clusters == 40


def test_slices_pair_within_their_tag():
    tag = (("subject", "x"),)
    ours = [Marked("1", Score(1.0), tag), Marked("2", Score(0.0), (("subject", "y"),))]
    theirs = [Marked("1", Score(0.0), tag), Marked("2", Score(0.0), (("subject", "y"),))]
    gaps = slice_gaps(ours, theirs)
    assert gaps[Tag("subject", "x")].gap == 1.0
    assert gaps[Tag("subject", "y")].gap == 0.0
