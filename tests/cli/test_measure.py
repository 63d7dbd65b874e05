"""`parity measure` from the shell, on the real items where they are at hand."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from parity.cli import main
from shared import needs_shared


@pytest.fixture(scope="module")
def data():
    return str(needs_shared("mmlu"))


def run(data, workspace, *arguments):
    return main(["measure", *arguments, "-b", "mmlu", "--data", data, "--workspace", str(workspace), "--json"])


def test_constant_letters_on_all_items(data, tmp_path, capsys):
    assert (
        run(data, tmp_path, "dummy:letter=D", "--against", "dummy:letter=A", "--protocol", "letter", "--margin", "0.02")
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert [round(model["accuracy"], 6) for model in found["models"]] == [0.268908, 0.229454]
    assert found["gaps"][0]["verdict"] == "SUPERIOR"
    assert (found["gaps"][0]["only_candidate"], found["gaps"][0]["only_incumbent"]) == (3776, 3222)
    assert len(found["gaps"][0]["slices"]) == 57 + 8
    assert list((tmp_path / "reports").glob("*.md"))


def test_replayed_letters_of_a_real_model_equal_the_record(data, tmp_path, capsys):
    table = needs_shared("mmlu_per_item", "helm_10models_predictions.csv.gz")
    run(data, tmp_path, f"replay:{table}#openai_gpt-4-1106-preview", "--protocol", "letter")
    model = json.loads(capsys.readouterr().out)["models"][0]
    assert (model["scored"], model["unscored"]) == (14015, {"technical failure": 27})
    assert model["outside"] == 744
    assert model["averages"]["subject"] == pytest.approx(0.7954, abs=5e-5)


def test_written_answers_are_not_compared_with_log_likelihoods(data, tmp_path, capsys):
    table = needs_shared("mmlu_per_item", "helm_10models_predictions.csv.gz")
    code = run(data, tmp_path, "dummy:", "--against", f"replay:{table}#openai_gpt-4-0613", "--max-items", "10")
    assert code == 2
    message = capsys.readouterr().err
    assert "never compared" in message
    assert "--protocol letter" in message


def test_more_items_later_ask_only_the_new_ones(data, tmp_path, capsys):
    log = tmp_path / "asked"
    for count in (100, 300):
        run(data, tmp_path / "w", f"dummy:log={log}", "--max-items", str(count))
        assert len(log.read_text().split()) == count
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["dummy:", "-b", "mmul"], 2, "Did you mean 'mmlu'"),
        (["dummy:", "-b", "mmlu"], 1, "name a folder that holds the files with --data"),
        (["dummy:", "--margin", "0.02"], 2, "--against"),
        (["magnet:?xt=urn:btih:ab", "--data", "DATA", "--max-items", "3"], 1, "no engine for 'magnet'"),
        (["gguf:x.gguf", "--data", "DATA", "--max-items", "3"], 1, "There is no file at x.gguf"),
        (["dummy:", "--data", "/nowhere"], 1, "lacks MMLU files"),
        (["dummy:", "--data", "DATA", "--only", "subject=anatomi"], 2, "Did you mean 'anatomy'"),
        (["dummy:letters=A", "--data", "DATA"], 2, "Did you mean 'letter'"),
        (["dummy:", "--data", "DATA", "--max-tokens", "5000"], 1, "they are kept"),
    ],
)
def test_errors_say_what_to_do(data, tmp_path, arguments, code, message, capsys):
    filled = [data if argument == "DATA" else argument for argument in arguments]
    assert main(["measure", *filled, "--workspace", str(tmp_path)]) == code
    assert message.lower() in " ".join(capsys.readouterr().err.split()).lower()


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_in_the_identical_report(data, tmp_path, capsys):
    arguments = ["--against", "dummy:seed=1", "--only", "subject=anatomy", "--margin", "0.1"]
    run(data, tmp_path / "whole", "dummy:", *arguments)
    whole = capsys.readouterr().out
    log, workspace = tmp_path / "asked", tmp_path / "killed"
    command = [sys.executable, "-m", "parity", "measure", f"dummy:delay_ms=2,log={log}", "-b", "mmlu", "--data", data]
    command += [*arguments, "--workspace", str(workspace), "--json"]
    command[command.index("dummy:seed=1")] = f"dummy:seed=1,delay_ms=2,log={log}"
    chance, kills = random.Random(7), 0
    while kills < 30:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=chance.uniform(0.3, 0.9))
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        kills += 1
        time.sleep(0)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 10, 11), done.stderr
    ours, theirs = json.loads(done.stdout), json.loads(whole)
    for found in (ours, theirs):
        for entry in (*found["models"], *found["gaps"]):
            for key in ("model", "candidate", "incumbent"):
                entry.pop(key, None)
            (entry.get("look") or {}).pop("question", None)
    assert ours == theirs
    asked = Counter(log.read_text().split())
    assert max(asked.values()) <= 4
    assert sum(asked.values()) <= 2 * 135 + kills + 1


def test_ctrl_c_says_that_nothing_is_lost(data, tmp_path):
    command = [sys.executable, "-m", "parity", "measure", "dummy:delay_ms=20", "-b", "mmlu", "--data", data]
    process = subprocess.Popen([*command, "--workspace", str(tmp_path)], stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("parity.db")):
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, message = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command to go on" in message
