"""MMLU from the hub: fetched from a look-alike on this machine, verified file by file and row by row."""

import csv
from hashlib import sha256

import pytest

from benchmarks.hub_lookalike import address_of, parquet_of, run_against, serving
from parity.benchmarks import mmlu
from shared import needs_shared

LOAD = """
import dataclasses, sys
from parity.benchmarks import mmlu
from parity.errors import ParityError
pin = sys.argv[1]
mmlu.HUB["test"] = dataclasses.replace(mmlu.HUB["test"], sha256=pin or mmlu.HUB["test"].sha256)
try:
    benchmark = mmlu.load(None, tuple(sys.argv[2:]))
    print(len(benchmark.items), benchmark.digest)
except ParityError as error:
    sys.exit(str(error))
"""


def subjects_of(folder, split, change=lambda row: row):
    rows = []
    for subject in mmlu.subjects():
        with (folder / split / f"{subject}_{split}.csv").open(newline="", encoding="utf-8") as file:
            for question, *choices, letter in csv.reader(file):
                row = {"question": question, "subject": subject, "choices": choices, "answer": "ABCD".index(letter)}
                rows.append(change(row))
    return parquet_of(rows)


@pytest.fixture(scope="module")
def folder():
    return needs_shared("mmlu") / "data"


@pytest.fixture
def hub(folder):
    with serving({address_of(mmlu.HUB[split]): subjects_of(folder, split) for split in ("test", "dev")}) as server:
        yield server


def load(hub, cache, pin, *subjects):
    return run_against(hub, cache, LOAD, pin, *subjects)


def test_the_hub_gives_the_same_benchmark_as_the_folder(hub, folder, tmp_path):
    pin = sha256(hub.files[address_of(mmlu.HUB["test"])]).hexdigest()
    done = load(hub, tmp_path, pin)
    assert done.stdout.split() == ["14042", mmlu.load(folder).digest], done.stderr
    fetched = len(hub.served)
    again = load(hub, tmp_path, pin, "anatomy")
    assert again.stdout.split()[0] == "135", again.stderr
    assert len(hub.served) == fetched == 2


def test_other_bytes_are_refused(hub, tmp_path):
    done = load(hub, tmp_path, "")
    assert done.returncode == 1
    assert "the pinned file has 74a41822ce7d" in done.stderr


def test_a_changed_question_is_refused(hub, folder, tmp_path):
    changed = subjects_of(folder, "dev", lambda row: {**row, "question": row["question"].upper()})
    hub.files[address_of(mmlu.HUB["dev"])] = changed
    done = load(hub, tmp_path, sha256(hub.files[address_of(mmlu.HUB["test"])]).hexdigest(), "anatomy")
    assert done.returncode == 1
    assert "MMLU anatomy" in done.stderr


def test_a_download_that_breaks_off_is_an_error(hub, tmp_path):
    hub.cut = True
    done = load(hub, tmp_path, sha256(hub.files[address_of(mmlu.HUB["test"])]).hexdigest(), "anatomy")
    assert done.returncode == 1
    assert "cannot be fetched" in done.stderr
    assert "--data" in done.stderr
