"""Length control: made-up judges with a known bias, and the published leaderboard of AlpacaEval 2."""

import csv
import gzip
import io

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import spearmanr

from parity.stats.length_control import Anchor, instruction_difficulty, length_control, squashed
from shared import needs_shared

FREE = Anchor(phi_precision=0.0, psi_precision=0.0)


def test_a_known_length_bias_is_taken_out():
    draw = np.random.default_rng(3)
    difficulty = draw.normal(size=20_000)
    delta = draw.normal(-600, 400, size=20_000)  # the model writes longer
    chance = expit(-0.4 - 1.5 * squashed(delta) + 0.8 * difficulty)
    found = length_control((draw.random(20_000) < chance).astype(float), delta, difficulty, FREE)
    assert (found.theta, found.phi, found.psi) == pytest.approx((-0.4, -1.5, 0.8), abs=0.1)
    assert found.controlled == pytest.approx(expit(-0.4 + 0.8 * difficulty).mean(), abs=0.01)
    assert found.win_rate > found.controlled + 0.15


def test_equal_lengths_and_missing_rows():
    preferred = np.array([1.0, 0.0, np.nan, 1.0])
    found = length_control(preferred, np.zeros(4), np.zeros(4), FREE)
    assert (found.win_rate, found.controlled) == pytest.approx((2 / 3, 2 / 3), abs=1e-4)
    with pytest.raises(ValueError, match="no row"):
        length_control(np.full(2, np.nan), np.zeros(2), np.zeros(2))
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        length_control(np.array([2.0]), np.zeros(1), np.zeros(1))


def table(path):
    return list(csv.DictReader(io.StringIO(gzip.decompress(path.read_bytes()).decode())))


def columns(rows, names):
    return np.array([[float(row[name]) if row[name] else np.nan for row in rows] for name in names])


@pytest.mark.slow
def test_the_published_win_rates_come_out():
    folder = needs_shared("alpaca_eval")
    rows, lengths = table(folder / "v2_preferences_gpt4turbo.csv.gz"), table(folder / "output_chars.csv.gz")
    board = next(folder.glob("leaderboards/src__*data_AlpacaEval_2__weighted*"))
    published = {row[""]: row for row in csv.DictReader(io.StringIO(board.read_text()))}
    models = [name for name in rows[0] if name in published and name != "gpt4_1106_preview"]
    preferred = columns(rows, models) - 1
    delta = columns(lengths, ["gpt4_1106_preview"]) - columns(lengths, models)
    difficulty = instruction_difficulty(preferred, delta)
    ours, raw = [], []
    for won, apart in zip(preferred, delta, strict=True):
        known = np.isfinite(won)
        # The published numbers take an instruction's difficulty by its place among the rows that are there.
        found = length_control(won[known], apart[known], difficulty[: known.sum()])
        ours.append(100 * found.controlled)
        raw.append(100 * found.win_rate)
    theirs = [float(published[name]["length_controlled_winrate"]) for name in models]
    assert len(models) == 56
    assert raw == pytest.approx([float(published[name]["win_rate"]) for name in models], abs=1e-4)
    assert ours == pytest.approx(theirs, abs=2)
    assert spearmanr(ours, theirs).statistic >= 0.98
