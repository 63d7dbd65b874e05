"""Several answers to each item: an item counts once, pass@k is unbiased, and nothing of it is lost on the way."""

import json
import os
import random
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from benchmarks.code_data import MBPP, write_lines
from leftovers import processes_about, wait_until_gone
from parity.benchmarks.catalog import open_benchmark
from parity.cli import main
from parity.core.gaps import Verdict
from parity.core.outputs import Failure, FailureKind, Generation
from parity.core.prompts import Drawing, Sampling, fingerprint
from parity.core.runs import Marked
from parity.core.scores import Score, Unscored, UnscoredReason
from parity.engines.replay import write_recording
from parity.measurement.comparison import gap_of
from parity.measurement.draws import item_scores, pass_at
from parity.stats.bounded import share_interval

GOOD, BAD = "def add(a, b):\n    return a + b\n[DONE]", "def add(a, b):\n    return a - b\n[DONE]"
LOST = Unscored(UnscoredReason.FAILED)


def marks(passed, draws=10, lost=()):
    """An item for each count of passed draws; draws of the items in `lost` beyond those have no score."""
    return [
        Marked(str(item), LOST if item in lost and draw >= count else Score(float(draw < count)), (), draw)
        for item, count in enumerate(passed)
        for draw in range(draws)
    ]


def test_an_item_counts_once_however_often_it_is_drawn():
    scores = item_scores(marks([3, 10], lost=[0]))
    assert (scores["0"].mean, scores["0"].least, scores["0"].most, scores["0"].scored) == (1.0, 0.3, 1.0, 3)
    assert scores["1"].mean == 1.0


def test_pass_at_k_is_unbiased_and_its_interval_is_over_items():
    found = {each.k: each for each in pass_at(marks([3, 0, 10, 5]))}
    assert list(found) == [1, 5, 10]
    assert found[1].value == pytest.approx(0.45)
    assert found[5].value == pytest.approx((0.9166666667 + 0 + 1 + 1 - 1 / 252) / 4)
    assert found[10].value == pytest.approx(0.75)
    # Ten copies of each answer say nothing new: 40 answers, but four problems.
    assert pass_at(marks([1, 0, 1, 1], draws=1))[0].low == pytest.approx(pass_at(marks([10, 0, 10, 10]))[0].low)


def test_draws_without_a_score_are_not_failures_and_bound_the_k():
    found = pass_at(marks([3, 10], lost=[0]))
    assert [(each.k, each.value) for each in found] == [(1, 1.0)]
    assert pass_at([Marked("a", Score(0.5))]) == ()


def test_items_that_are_all_alike_are_no_certainty():
    assert share_interval([1.0] * 20).low == pytest.approx(0.8316, abs=1e-3)  # Clopper-Pearson's 20 of 20
    assert 0 < share_interval([0.5] * 4).low < 0.2


def test_intervals_cover_as_promised():
    chance, hits, rounds = random.Random(5), 0, 600
    for _ in range(rounds):
        rates = [chance.betavariate(2, 2) for _ in range(40)]
        values = [sum(chance.random() < rate for _ in range(10)) / 10 for rate in rates]
        interval = share_interval(values)
        hits += interval.low <= 0.5 <= interval.high
    assert hits / rounds > 0.92


def test_the_gap_is_paired_by_problem():
    theirs = [chance % 11 for chance in range(164)]
    ours = [min(10, passed + 1) for passed in theirs]
    gap = gap_of(marks(ours), marks(theirs), margin=0.02)
    assert gap.gap == pytest.approx(sum(a - b for a, b in zip(ours, theirs, strict=True)) / 1640)
    assert gap.verdict is Verdict.SUPERIOR
    assert (gap.both, gap.mcnemar_p) == (None, None)
    assert gap.candidate_score - gap.incumbent_score == pytest.approx(gap.gap)
    # Pairing is what makes it narrow: unpaired, this would be some thirteen points wide.
    assert gap.high - gap.low < 0.05


def test_a_verdict_survives_missing_draws_going_the_worst_way():
    passed = [5] * 100
    certain = gap_of(marks([6, 4] * 50), marks(passed), margin=0.05)
    assert certain.verdict is Verdict.NON_INFERIOR
    # Only the wrong draws got lost: it looks better than it is, and no more may be claimed than without that.
    lost = gap_of(marks([6, 4] * 50, lost=range(60)), marks(passed), margin=0.05)
    assert (lost.missing.pairs, lost.gap > 0.2, lost.verdict) == (60, True, Verdict.NON_INFERIOR)
    assert lost.missing.worst_case is Verdict.NON_INFERIOR
    other = gap_of(marks(passed), marks([6, 4] * 50, lost=range(60)), margin=0.05)
    assert (other.gap < -0.2, other.verdict) == (True, Verdict.INCONCLUSIVE)


def test_how_answers_are_drawn():
    usual = Sampling(100, stop=("x",))
    assert Drawing().of(usual) == usual
    assert Drawing(20).of(usual) == Sampling(100, 0.2, 0.95, ("x",))
    assert Drawing(20, 0.8, 1.0).of(usual) == Sampling(100, 0.8, 1.0, ("x",))
    assert Drawing(1, 0.7).of(usual).top_p == 1.0


@pytest.fixture
def recordings(tmp_path):
    return record(tmp_path)


def record(tmp_path, before=""):
    """Two models that answered two problems ten times: 7 and 2 right, and 4 and 2 right (one of them never came)."""
    write_lines(tmp_path / "mbpp.jsonl", MBPP)
    found = open_benchmark("mbpp", tmp_path)
    protocol = found.protocol("completion")
    for name, right, lost in (("ours", {"11": 7, "12": 2}, 0), ("theirs", {"11": 4, "12": 2}, 1)):
        answers = []
        for item in found.items:
            for draw in range(10):
                request = protocol.request(item, draw, drawing=Drawing(10))
                output = Generation(before + (GOOD if draw < right[item.id] else BAD), "stop")
                if draw >= 10 - lost and item.id == "12":
                    output = Failure(FailureKind.REFUSED, "filtered")
                answers.append((request.id, fingerprint(request), output))
        identity = {"model": name, "model_digest": name, "engine": "test"}
        write_recording(tmp_path / f"{name}.jsonl", identity, answers)
    return tmp_path


def measured(folder, capsys, *extra, code=0):
    arguments = ["measure", f"replay:{folder}/ours.jsonl", "--against", f"replay:{folder}/theirs.jsonl", "-b", "mbpp"]
    arguments += ["--data", str(folder), "--workspace", str(folder / "w"), *extra]
    arguments += [] if "--draws" in extra else ["--draws", "10"]
    assert main(arguments) == code
    return capsys.readouterr()


def test_draws_from_the_shell_to_the_store_and_back(recordings, capsys, tmp_path):
    found = json.loads(measured(recordings, capsys, "--json").out)
    ours, theirs = found["models"]
    assert (ours["items"], ours["draws"], ours["scored"]) == (2, 10, 2)
    assert ours["pass_at"]["1"]["value"] == pytest.approx(0.45)
    assert ours["pass_at"]["10"]["value"] == 1.0
    assert theirs["unscored"] == {"technical failure": 1}
    assert list(theirs["pass_at"]) == ["1", "5"]
    assert "Landlock" in ours["isolation"]
    gap = found["gaps"][0]
    assert (gap["n"], gap["both"]) == (2, None)
    assert gap["gap"] == pytest.approx((0.3 + 0.2 - 2 / 9) / 2)
    assert gap["missing"]["pairs"] == 1

    where = ["--workspace", str(recordings / "w")]
    scores = tmp_path / "scores.csv"
    main(["show", ours["run"], "--scores", str(scores), "--json", *where])
    shown = json.loads(capsys.readouterr().out)
    assert {key: shown[key] for key in ("pass_at", "isolation", "draws", "accuracy")} == {
        key: ours[key] for key in ("pass_at", "isolation", "draws", "accuracy")
    }
    assert "temperature 0.2 top-p 0.95" in shown["protocol"]
    assert scores.read_text().startswith("item,draw,score\n")
    for candidate in (ours["run"], str(scores)):
        main(["gap", candidate, theirs["run"], "--json", *where])
        again = json.loads(capsys.readouterr().out)
        assert {key: again[key] for key in ("n", "gap", "low", "high")} == {
            key: gap[key] for key in ("n", "gap", "low", "high")
        }
    recording = tmp_path / "again.jsonl"
    main(["show", ours["run"], "--record", str(recording), *where])
    assert "Answers were run isolated: Landlock" in " ".join(capsys.readouterr().out.split())
    assert sorted(recording.read_text().splitlines()[1:]) == sorted(
        (recordings / "ours.jsonl").read_text().splitlines()[1:]
    )


def test_the_page_says_what_was_drawn(recordings, capsys):
    page = measured(recordings, capsys, "--margin", "0.1", code=11).out
    assert "10 answers to each item" in page
    assert "pass@10" in page
    assert "mean score" in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--temperature", "0"], "all 10 draws are the same"),
        (["--top-p", "0"], "top-p"),
        (["--draws", "0"], "0 draws"),
        (["--until-verdict", "--margin", "0.1"], "until the verdict"),
    ],
)
def test_draws_that_cannot_be_are_a_usage_error(recordings, capsys, arguments, said):
    assert said in measured(recordings, capsys, *arguments, code=2).err


@pytest.mark.slow
def test_killed_at_random_while_programs_run_the_report_is_the_same_and_nothing_is_left(tmp_path, open_folder):
    recordings = record(tmp_path, before="import time\ntime.sleep(0.2)\n")
    chance, while_running = random.Random(11), 0

    def command(workspace):
        arguments = ["measure", f"replay:{recordings}/ours.jsonl", "--against", f"replay:{recordings}/theirs.jsonl"]
        arguments += ["-b", "mbpp", "--data", str(recordings), "--draws", "10", "--json", "--workspace", workspace]
        return [sys.executable, "-m", "parity", *map(str, arguments)]

    environment = {**os.environ, "TMPDIR": str(open_folder)}
    begun = time.monotonic()
    whole = subprocess.run(command(recordings / "whole"), env=environment, capture_output=True, check=True).stdout
    lasts_s = time.monotonic() - begun
    for _ in range(6):
        victim = subprocess.Popen(command(recordings / "killed"), env=environment, stdout=subprocess.DEVNULL)
        with suppress(subprocess.TimeoutExpired):
            victim.wait(chance.uniform(0.3, 0.9) * lasts_s)
        while_running += bool(processes_about(open_folder))
        victim.kill()
        victim.wait()
        wait_until_gone(open_folder)
    assert while_running
    again = subprocess.run(command(recordings / "killed"), env=environment, capture_output=True, check=True).stdout
    found, expected = json.loads(again), json.loads(whole)
    for report in (found, expected):
        for model in report["models"]:
            model.pop("latency_s", None)
    assert found == expected
    wait_until_gone(open_folder)
