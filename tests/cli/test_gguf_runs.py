"""`parity measure gguf:...`: killed in the middle, it goes on, asks nothing twice and ends in the identical report."""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from parity.core.refs import ModelRef
from parity.quantization.quantize import QuantizeSpec, quantize
from parity.testing.families import family_folder
from parity.testing.folders import trained_tokenizer

ROWS = [{"question": f"Is {n} even?", "options": ["yes", "no"], "answer": "AB"[n % 2]} for n in range(300)]
# What a report says of this machine and this call of the command, not of the model.
OF_THE_CALL = ("latency_s", "tokens_requested", "tokens_computed", "tokens_floor", "matrix_share")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gguf")
    tokenizer = trained_tokenizer([row["question"] + " A. yes B. no Answer:" for row in ROWS[:40]], vocabulary=300)
    source = family_folder("llama-2", folder / "model", tokenizer)
    return quantize(QuantizeSpec(ModelRef.parse(str(source)), "F32", folder / "model.gguf", threads=1)).files[0]


def command(model, folder, mark, workspace):
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    path = folder / "even.toml"
    path.write_text(f'name = "even"\nitems = "items.jsonl"\nmark = "{mark}"\n')
    # A few tokens a pass and one answer at a time, so that there is a middle to be killed in.
    return [sys.executable, "-m", "parity", "measure", f"gguf:{model}", "-b", str(path), "--workspace", str(workspace),
            "--threads", "1", "--batch-size", "1", "--pass-tokens", "16", "--json"]  # fmt: skip


def stored(workspace: Path) -> dict[str, float]:
    """When each item was answered."""
    try:
        with closing(sqlite3.connect(f"file:{workspace / 'parity.db'}?mode=ro", uri=True)) as database:
            return dict(database.execute("select item, at from answers").fetchall())
    except sqlite3.OperationalError:
        return {}


def children_of(number: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == number and fields[0] != "Z":
            found.append(int(status.parent.name))
    return found


def report(text):
    found = json.loads(text)
    return {**found, "models": [{key: run[key] for key in run if key not in OF_THE_CALL} for run in found["models"]]}


@pytest.mark.parametrize("mark", ["choice", "letter"])
def test_killed_in_the_middle_it_ends_in_the_identical_report(mark, model, tmp_path):
    whole = subprocess.run(command(model, tmp_path, mark, tmp_path / "whole"), capture_output=True, check=True).stdout
    asked = command(model, tmp_path, mark, tmp_path / "killed")
    process = subprocess.Popen(asked, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(stored(tmp_path / "killed")) < 25:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    engines = children_of(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = stored(tmp_path / "killed")
    assert 25 <= len(before) < len(ROWS)
    assert engines
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{number}").exists() for number in engines):
        assert time.monotonic() < deadline, "the engine's process outlived its parent"
        time.sleep(0.05)
    again = subprocess.run(asked, capture_output=True, check=True).stdout
    assert report(again) == report(whole)
    after = stored(tmp_path / "killed")
    assert len(after) == len(ROWS)
    assert before.items() <= after.items()  # what was known was neither asked nor written again
