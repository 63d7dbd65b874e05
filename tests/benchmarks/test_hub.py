"""MMLU from the hub: fetched from a look-alike on this machine, verified file by file and row by row."""

import csv
import os
import subprocess
import sys
import threading
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow
import pytest
from pyarrow import parquet

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


class Hub(ThreadingHTTPServer):
    """Serves files of one data set at one commit, as the hub's `resolve` addresses do."""

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.served, self.cut = files, [], False

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self._answer(head=True)

    def do_GET(self):
        self._answer(head=False)

    def _answer(self, head):
        prefix = f"/datasets/cais/mmlu/resolve/{mmlu.HUB['test'].revision}/"
        content = self.server.files.get(self.path.removeprefix(prefix))
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", mmlu.HUB["test"].revision)
        self.end_headers()
        if not head:
            self.server.served.append(self.path)
            self.wfile.write(content[: len(content) // 2] if self.server.cut else content)

    def log_message(self, *_):
        return


def parquet_of(folder, split, change=lambda row: row):
    rows = []
    for subject in mmlu.subjects():
        with (folder / split / f"{subject}_{split}.csv").open(newline="", encoding="utf-8") as file:
            for question, *choices, letter in csv.reader(file):
                row = {"question": question, "subject": subject, "choices": choices, "answer": "ABCD".index(letter)}
                rows.append(change(row))
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.Table.from_pylist(rows), sink)
    return sink.getvalue().to_pybytes()


@pytest.fixture(scope="module")
def folder():
    return needs_shared("mmlu") / "data"


@pytest.fixture
def hub(folder):
    files = {mmlu.HUB[split].path: parquet_of(folder, split) for split in ("test", "dev")}
    server = Hub(files)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def load(hub, cache, pin, *subjects):
    environment = {**os.environ, "HF_ENDPOINT": hub.address, "HF_HOME": str(cache), "HF_HUB_OFFLINE": "0"}
    environment["HF_HUB_DOWNLOAD_TIMEOUT"] = "5"
    command = [sys.executable, "-c", LOAD, pin, *subjects]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)


def test_the_hub_gives_the_same_benchmark_as_the_folder(hub, folder, tmp_path):
    pin = sha256(hub.files[mmlu.HUB["test"].path]).hexdigest()
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
    changed = parquet_of(folder, "dev", lambda row: {**row, "question": row["question"].upper()})
    hub.files[mmlu.HUB["dev"].path] = changed
    done = load(hub, tmp_path, sha256(hub.files[mmlu.HUB["test"].path]).hexdigest(), "anatomy")
    assert done.returncode == 1
    assert "MMLU anatomy" in done.stderr


def test_a_download_that_breaks_off_is_an_error(hub, tmp_path):
    hub.cut = True
    done = load(hub, tmp_path, sha256(hub.files[mmlu.HUB["test"].path]).hexdigest(), "anatomy")
    assert done.returncode == 1
    assert "cannot be fetched" in done.stderr
    assert "--data" in done.stderr
