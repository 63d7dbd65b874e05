"""The demo shows facts, and ends with what it wrote."""

import gzip
from importlib.resources import files

import pytest

from parity.cli import main
from parity.core.gaps import Verdict
from parity.workflows.demo import HELM, ROUTELLM, live, recorded_gaps
from shared import needs_shared


def test_the_recorded_gaps_are_the_records():
    found = {(gap.candidate, gap.incumbent): gap for gap in recorded_gaps()}
    assert len(found) == 7
    llama = found["Llama-3-70B", "GPT-4 (0613)"].gap
    assert (llama.n, round(llama.gap, 4), llama.verdict) == (14015, -0.0534, Verdict.INFERIOR)
    turbo = found["Llama-3-70B", "GPT-4 Turbo (1106)"]
    assert (turbo.gap.verdict, turbo.gap.worse, turbo.incumbent_outside) == (Verdict.NON_INFERIOR, True, 744)
    small = found["Mixtral-8x7B-Instruct", "GPT-4 Turbo (1106)"].gap
    assert (round(small.candidate_score, 4), round(small.incumbent_score, 4)) == (0.6808, 0.8058)


@pytest.mark.parametrize(
    ("ours", "theirs"), [(HELM, "helm_10models_predictions.csv.gz"), (ROUTELLM, "routellm_2models_correct.csv.gz")]
)
def test_the_shipped_tables_are_the_published_ones(ours, theirs):
    shipped = (files("parity.workflows") / "recorded" / ours).read_bytes()
    assert gzip.decompress(shipped) == gzip.decompress(needs_shared("mmlu_per_item", theirs).read_bytes())


def test_the_live_part_guesses_and_says_so(tmp_path):
    found = live(tmp_path)
    gap = found.comparisons[0].gap
    assert gap.n == 300
    assert gap.verdict is Verdict.INCONCLUSIVE
    assert 0.15 < gap.candidate_score < 0.35
    assert found.measured[0].outside == 0
    again = live(tmp_path)
    assert again.measured[0].run_id == found.measured[0].run_id


def test_the_demo_without_torch(tmp_path, capsys):
    assert main(["demo", "--recorded", "--folder", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "PARITY (NON_INFERIOR), worse" in printed
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["recorded.md", "subjects.svg"]
