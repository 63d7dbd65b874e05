"""What many looks at one question may spend together."""

import numpy as np
import pytest

from parity.stats.distributions import normal_quantile
from parity.stats.paired import tango_scores
from parity.stats.spending import share


def test_all_looks_there_can_be_spend_all_of_alpha_and_no_more():
    spent = np.cumsum([share(look) for look in range(1, 2001)])
    assert (spent < 1).all()
    assert spent[-1] == pytest.approx(1 - 1 / 2001)
    with pytest.raises(ValueError, match="the first is 1"):
        share(0)


@pytest.mark.parametrize("hang_together", [0.0, 0.9])
def test_twenty_weekly_looks_at_a_candidate_at_the_margin_say_yes_by_luck_at_most_once_in_twenty(hang_together):
    """Every week another checkpoint exactly `margin` behind is compared; with the same items its flips repeat."""
    chance, weeks, items, margin, flips, alpha, count = np.random.default_rng(7), 20, 800, 0.03, 0.12, 0.05, 4000
    lost, won = (flips + margin) / 2, (flips - margin) / 2
    yes_spent, yes_every_week = 0, 0
    first_RI = chance.choice([1, -1, 0], p=[won, lost, 1 - flips], size=(count, items)).astype(np.int8)
    for week in range(1, weeks + 1):
        new_RI = chance.choice([1, -1, 0], p=[won, lost, 1 - flips], size=(count, items)).astype(np.int8)
        week_RI = np.where(chance.random((count, items), np.float32) < hang_together, first_RI, new_RI)
        score_R = tango_scores((week_RI == 1).sum(1), (week_RI == -1).sum(1), items, -margin)
        yes_spent |= score_R > normal_quantile(1 - alpha * share(week))
        yes_every_week |= score_R > normal_quantile(1 - alpha)
    error = (alpha * (1 - alpha) / count) ** 0.5
    assert yes_spent.mean() <= alpha + 3.1 * error
    assert yes_every_week.mean() > 2 * alpha
