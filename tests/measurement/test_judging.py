"""`parity judge` from the shell: what is asked and what is not, what comes of it, and what a judge is worth."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from parity.cli import main
from parity.core.refs import ModelRef
from parity.errors import DataError
from parity.measurement.people import Seen, check, read_people
from parity.store import Workspace

QUESTIONS = 40


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Two runs of 40 open questions: every fifth answer is the other's in other white space."""
    monkeypatch.chdir(tmp_path)
    rows = [{"id": f"q{at}", "question": f"What is {at}?", "answer": f"It is {at}."} for at in range(QUESTIONS)]
    write("items.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    write("open.toml", 'name = "mine"\nitems = "items.jsonl"\nmark = "open"\n')
    table(
        "ours.csv", ("item", "answer"), [(f"q{at}", f"same  {at}" if at % 5 == 0 else f"ours {at}") for at in range(40)]
    )
    table(
        "theirs.csv",
        ("item", "answer"),
        [(f"q{at}", f"same {at}\n" if at % 5 == 0 else f"theirs {at}!") for at in range(40)],
    )
    assert main(["measure", "replay:ours.csv", "replay:theirs.csv", "-b", "open.toml", "--json"]) == 0
    return tmp_path


def write(name, text):
    with open(name, "w") as stream:
        stream.write(text)


def asked_lines():
    return Path("asked").read_text().splitlines()


def table(name, head, rows):
    with open(name, "w", newline="") as stream:
        csv.writer(stream).writerows([head, *rows])


def judged(capsys, *arguments, code=0):
    capsys.readouterr()
    assert main(["judge", "@2", "@1", "-b", "open.toml", "--json", *arguments]) == code
    return json.loads(capsys.readouterr().out)


def verdicts(prefer, name="verdicts.csv"):
    """A judge's recorded answers: `prefer(at, order)` is candidate, baseline, tie, or a text of its own."""
    rows = []
    for at in range(QUESTIONS):
        for order in ("candidate first", "baseline first"):
            said = prefer(at, order)
            letter = "C" if said == "tie" else "A" if order.startswith(said) else "B"
            rows.append((f"q{at}/{order}", f"So [[{letter}]]" if said in ("candidate", "baseline", "tie") else said))
    table(name, ("item", "answer"), rows)
    return f"replay:{name}"


def test_equal_answers_are_ties_that_nobody_is_asked_about(asked, capsys):
    found = judged(capsys, "--judge", "dummy:say=[[A]],log=asked")
    assert (found["pairs"], found["equal"]) == (32, 8)
    lines = asked_lines()
    assert sorted(lines) == sorted(
        f"q{at}/{order} first#0" for at in range(40) if at % 5 for order in ("candidate", "baseline")
    )
    # A judge that only prefers a place comes out level, and is found out.
    assert (found["win_rate"], found["consistent"], found["first_place_wins"]) == (0.5, 0.0, 1.0)
    assert found["position_p"] < 1e-8
    assert found["gap"]["gap"] == 0


def test_it_is_a_run_resumed_kept_and_replayed(asked, capsys):
    judged(capsys, "--judge", "dummy:say=[[B]],log=asked", "--max-pairs", "10")
    first = len(asked_lines())
    arguments = ["judge", "@3", "@2", "-b", "open.toml", "--json", "--judge", "dummy:say=[[B]],log=asked"]
    assert main(arguments) == 0
    assert len(asked_lines()) == 64, "what was judged before is not asked again"
    assert 0 < first <= 20
    found = Workspace(asked / ".parity").runs()
    assert [run.benchmark for run in found[2:]] == ["mine, judged"] * 2
    assert main(["show", "@1", "--record", "judge.jsonl"]) == 0
    capsys.readouterr()
    assert main(["judge", "@4", "@3", "-b", "open.toml", "--json", "--judge", "replay:judge.jsonl"]) == 0


def test_the_win_rate_averages_both_orders_and_ties(asked, capsys):
    def prefer(at, order):
        return "candidate" if at % 2 else "tie" if at % 4 == 0 else "baseline"

    found = judged(capsys, "--judge", verdicts(prefer), "--margin", "0.2", code=0)
    judges = [at for at in range(40) if at % 5]
    wins = sum(1.0 if at % 2 else 0.5 if at % 4 == 0 else 0.0 for at in judges) + 4
    assert found["win_rate"] == pytest.approx(wins / 40)
    assert found["low"] < found["win_rate"] < found["high"]
    assert found["consistent"] == 1
    assert found["gap"]["gap"] == pytest.approx(2 * wins / 40 - 1)
    assert found["gap"]["verdict"] in ("NON_INFERIOR", "SUPERIOR")
    assert found["gap"]["look"]["number"] == 1
    assert found["gap"]["look"]["question"].endswith("on mine, judged by replay:verdicts.csv")
    assert found["gap"]["alpha"] == 0.025


def test_no_verdict_in_one_order_is_a_missing_pair_and_no_loss(asked, capsys):
    found = judged(
        capsys, "--judge", verdicts(lambda at, order: "no idea" if (at, order[0]) == (1, "c") else "candidate")
    )
    assert found["gap"]["missing"]["pairs"] == 1
    assert found["win_rate"] == pytest.approx((31 + 4) / 39)


def test_grades_are_of_both_answers(asked, capsys):
    rows = [
        (f"q{at}/{side}", f"[[{10 if side == 'candidate' else 1}]]")
        for at in range(40)
        for side in ("candidate", "baseline")
    ]
    table("grades.csv", ("item", "answer"), rows)
    found = judged(capsys, "--judge", "replay:grades.csv", "--style", "rubric")
    assert found["win_rate"] is None
    assert (found["gap"]["candidate_score"], found["gap"]["incumbent_score"]) == ((32 + 4) / 40, 4 / 40)


def test_your_own_words_and_the_right_answer_reach_the_judge(asked, capsys):
    write("words.txt", "Prefer the answer in fewer words.")
    judged(capsys, "--judge", "dummy:say=[[C]]", "--prompts", "words.txt", "--reference")
    text = shown_prompt(asked)
    assert text.startswith("Prefer the answer in fewer words. Do not let their order")
    assert "<A right answer, for comparison>\nIt is " in text


def shown_prompt(folder):
    """The first prompt of the newest run, asked again from the pairs: the store keeps fingerprints only."""
    from parity.benchmarks.catalog import open_benchmark
    from parity.benchmarks.judge_styles import pairwise_style
    from parity.benchmarks.judging import pairwise_benchmark
    from parity.core.prompts import fingerprint
    from parity.measurement.answered import answered

    opened = Workspace(folder / ".parity")
    runs = [run.run_id for run in opened.runs()]
    found = answered(opened, runs[0], runs[1], open_benchmark("open.toml"), reference=True)
    style = pairwise_style((folder / "words.txt").read_text())
    benchmark = pairwise_benchmark("mine, judged", found.pairs, (), (style,))
    requests = {item.id: benchmark.protocol(None).request(item, chat=True) for item in benchmark.items}
    asked = opened.requests(runs[-1])
    assert {item.item: mark for item, mark in asked.items()} == {
        name: fingerprint(each) for name, each in requests.items()
    }
    return requests["q1/candidate first"].prompt.messages[-1].content


def test_what_cannot_be_judged_is_said(asked, capsys):
    def problem(*arguments):
        capsys.readouterr()
        assert main(["judge", *arguments]) in (1, 2)
        return " ".join(capsys.readouterr().err.split())

    judge = ("--judge", "dummy:")
    assert "a benchmark of your own. Name its TOML file with -b" in problem("@2", "@1", *judge)
    assert "they are not shipped" in problem("@2", "@1", *judge, "--style", "mt-bench").replace("which are", "they are")
    write("other.toml", 'name = "mine"\nitems = "other.jsonl"\nmark = "open"\n')
    write("other.jsonl", '{"id": "q0", "question": "Else?"}\n')
    assert "of other items than mine as it is opened here" in problem("@2", "@1", *judge, "-b", "other.toml")
    assert "None of 64 items has a score" in problem("@2", "@1", *judge, "-b", "open.toml").replace(
        "none of", "None of"
    )
    assert main(["measure", "dummy:", "-b", "open.toml", "--margin", "0.1", "--against", "dummy:seed=1"]) == 2
    assert "judge both runs: parity judge" in " ".join(capsys.readouterr().err.split())


def test_a_judge_is_held_against_people(asked, capsys):
    """Three people agree; the judge calls every sixth pair wrongly, for the longer answer."""
    truth = {at: "candidate" if at % 3 else "baseline" for at in range(40)}
    wrong = {at for at in range(40) if at % 6 == 1}
    table("labels.csv", ("item", "label", "person"), [(f"q{at}", truth[at], who) for at in truth for who in "abc"])
    judge = verdicts(lambda at, order: "baseline" if at in wrong else truth[at])
    found = judged(capsys, "--judge", judge, "--human", "labels.csv", "--margin", "0.2")
    people = found["people"]
    judges = [at for at in range(40) if at % 5]
    assert people["labels"] == 120
    assert people["agreement"]["items"] == 32
    assert people["agreement"]["share"] == pytest.approx(sum(at not in wrong for at in judges) / 32)
    assert people["among_people"]["kappa"] == 1
    assert people["length"]["judge"] > people["length"]["people"], "their answers are longer by a sign"
    right = (sum(truth[at] == "candidate" for at in judges) + 4) / 40
    assert found["win_rate"] < right
    assert people["ppi"]["estimate"] == pytest.approx(right)
    assert people["rogan_gladen"]["interval"]["low"] <= right <= people["rogan_gladen"]["interval"]["high"]
    assert people["verdict"] in ("NON_INFERIOR", "SUPERIOR")


def test_labels_that_nobody_can_read_are_listed(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("item,label\nq1,candidate\nq2,maybe\nq1,tie\nq1,tie\n")
    with pytest.raises(DataError, match="row 2 has 'maybe'"):
        read_people(path)
    path.write_text("item,label\nq1,candidate\nq2,0\nq1,tie\nq1,tie\nq3,candidate\nq3,baseline\n")
    found = read_people(path)
    assert found.preferred == {"q1": 0.5, "q2": 0.0, "q3": 0.5}
    assert found.labels == 6


def test_corrected_rates_cover_what_people_would_say_and_the_judge_alone_does_not(tmp_path):
    """A judge of two out of three that loves length; 120 of 600 pairs labelled: 200 worlds."""
    chance, held = np.random.default_rng(5), {"raw": 0, "ppi": 0, "rogan": 0}
    for _ in range(200):
        truth = chance.choice([0.0, 0.5, 1.0], 600, p=[0.3, 0.2, 0.5])
        judge = np.where(chance.random(600) < 0.7, truth, chance.choice([0.0, 0.5, 1.0], 600, p=[0.7, 0.2, 0.1]))
        people = read_people(labels(tmp_path, truth[:120]))
        found = check(people, {f"q{at}": Seen(float(value), 1, 2) for at, value in enumerate(judge)}, 0, None, 0.05)
        for name, rate, wanted in (("ppi", found.ppi, truth.mean()), ("rogan", found.rogan_gladen, 0.6)):
            held[name] += rate.corrected.interval.low <= wanted <= rate.corrected.interval.high
        half = 1.96 * judge.std() / 600**0.5
        held["raw"] += abs(judge.mean() - truth.mean()) <= half
    assert held["raw"] < 20
    assert min(held["ppi"], held["rogan"]) >= 190 - 3.1 * (0.05 * 190) ** 0.5


def labels(folder, truth):
    path = folder / "labels.csv"
    words = {0.0: "baseline", 0.5: "tie", 1.0: "candidate"}
    path.write_text("item,label\n" + "".join(f"q{at},{words[value]}\n" for at, value in enumerate(truth)))
    return path


def test_draws_of_one_item_hang_together(asked, capsys):
    for seed in (1, 2):
        drawn = [f"dummy:seed={seed}", "-b", "open.toml", "--draws", "3", "--temperature", "1", "--json"]
        assert main(["measure", *drawn]) == 0
    found = judged(capsys, "--judge", "dummy:say=[[C]]")
    assert (found["pairs"], found["gap"]["clusters"]) == (120, 40)


def test_models_that_judge_themselves_are_named(asked, capsys):
    main(["measure", "dummy:say=[[A]]", "dummy:say=[[B]]", "-b", "open.toml", "--json"])
    capsys.readouterr()
    assert main(["judge", "@2", "@1", "-b", "open.toml", "--judge", "dummy:say=[[A]]"]) == 0
    assert re.search(r"judge is one of the two models", capsys.readouterr().out)
    assert str(ModelRef.parse("dummy:say=[[A]]")) == "dummy:say=[[A]]"
