"""`parity grade` on the command line: JSON in the order of the file, a page for people, errors that say what to do."""

import json
import subprocess
import sys
import time

import pytest

from benchmarks.code_data import MBPP, rows_of, write_lines
from parity.cli.app import main
from shared import needs_shared

GOOD, BAD = "def add(a, b):\n    return a + b\n", "def add(a, b):\n    return a - b\n"


@pytest.fixture
def data(tmp_path):
    return write_lines(tmp_path / "mbpp.jsonl", MBPP)


def graded(tmp_path, capsys, data, samples):
    rows = [{"task_id": str(task), "completion": completion} for task, completion in samples]
    path = write_lines(tmp_path / "samples.jsonl", rows)
    assert main(["grade", str(path), "-b", "mbpp", "--data", str(data), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_results_are_in_the_order_of_the_file(tmp_path, capsys, data):
    found = graded(tmp_path, capsys, data, [(11, BAD), (12, GOOD), (11, GOOD), (12, "import os\nos._exit(0)")])
    assert [entry["task_id"] for entry in found["results"]] == ["11", "12", "11", "12"]
    assert [entry["passed"] for entry in found["results"]] == [False, True, True, False]
    assert found["results"][0]["reason"].startswith("wrong answer")
    assert found["results"][3]["reason"] == "ended its process: status 0"
    assert (found["samples"], found["passed"], found["pass_at_1"]) == (4, 2, 0.5)
    assert "Landlock" in found["isolation"]


def test_problems_count_once_however_many_samples_they_have(tmp_path, capsys, data):
    found = graded(tmp_path, capsys, data, [(11, GOOD), (11, GOOD), (11, GOOD), (12, BAD)])
    assert found["pass_at_1"] == 0.5
    assert "pass_at_10" not in found
    many = graded(tmp_path, capsys, data, [(11, GOOD if draw < 3 else BAD) for draw in range(10)])
    assert many["pass_at_1"] == pytest.approx(0.3)
    assert many["pass_at_5"] == pytest.approx(0.9166666667)
    assert many["pass_at_10"] == 1.0


def test_the_page_says_why_and_what_kept_it_in(tmp_path, capsys, data):
    path = write_lines(tmp_path / "s.jsonl", [{"task_id": "11", "completion": BAD}])
    assert main(["grade", str(path), "-b", "mbpp", "--data", str(data)]) == 0
    out = capsys.readouterr().out
    assert "0 of 1 samples of mbpp passed" in out
    assert "wrong answer" in out
    assert "4 of 5 problems have no sample" in out
    assert "seccomp" in out


def test_what_does_not_fit_is_said_before_anything_runs(tmp_path, capsys, data):
    path = write_lines(tmp_path / "s.jsonl", [{"task_id": "HumanEval/1", "completion": ""}, {"task_id": "11"}])
    assert main(["grade", str(path), "-b", "mbpp", "--data", str(data)]) == 1
    assert "row 1: no task 'HumanEval/1'" in capsys.readouterr().err
    assert main(["grade", str(path), "-b", "mbp", "--data", str(data)]) == 2
    assert "Did you mean 'mbpp'?" in capsys.readouterr().err
    assert main(["grade", str(path), "-b", "humaneval"]) == 1
    assert "--data" in capsys.readouterr().err


@pytest.mark.slow
def test_a_file_of_human_evals_own_form(tmp_path, capsys):
    rows = rows_of("code_benchmarks", "HumanEval.jsonl.gz")
    samples = [{"task_id": row["task_id"], "completion": row["canonical_solution"]} for row in rows]
    path = write_lines(tmp_path / "samples.jsonl", samples)
    folder = needs_shared("code_benchmarks")
    assert main(["grade", str(path), "-b", "humaneval", "--data", str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["samples"], found["passed"], found["pass_at_1"]) == (164, 164, 1.0)


@pytest.mark.slow
def test_killed_while_grading_and_run_again_the_report_is_the_same(tmp_path, capsys, data):
    programs = [
        GOOD,
        BAD,
        "import random\ndef add(a, b): return random.choice([a + b, None])",
        "def add(a, b): raise a",
    ]
    samples = [{"task_id": "11", "completion": programs[number % 4]} for number in range(400)]
    path = write_lines(tmp_path / "samples.jsonl", samples)
    command = ["grade", str(path), "-b", "mbpp", "--data", str(data), "--json"]
    victim = subprocess.Popen([sys.executable, "-m", "parity", *command], stdout=subprocess.DEVNULL)
    time.sleep(1.2)
    victim.kill()
    victim.wait()
    reports = []
    for _ in range(2):
        assert main(command) == 0
        reports.append(capsys.readouterr().out)
    assert reports[0] == reports[1]
    assert json.loads(reports[0])["passed"] >= 100
