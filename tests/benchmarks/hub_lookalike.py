"""A hub on this machine: serves files of data sets at their pinned commits, as the hub's `resolve` addresses do."""

import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow
from pyarrow import parquet


class Hub(ThreadingHTTPServer):
    """`files` by address (see `address_of`), `served` as they were fetched; `cut`: every download breaks off."""

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
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", self.path.split("/resolve/")[1].split("/")[0])
        self.end_headers()
        if not head:
            self.server.served.append(self.path)
            self.wfile.write(content[: len(content) // 2] if self.server.cut else content)

    def log_message(self, *_):
        return


def address_of(file):
    """Where the hub has a file of a data set."""
    return f"/datasets/{file.repository}/resolve/{file.revision}/{file.path}"


def parquet_of(rows):
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.Table.from_pylist(rows), sink)
    return sink.getvalue().to_pybytes()


@contextmanager
def serving(files):
    server = Hub(files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def run_against(hub, cache, script, *arguments, offline=False):
    """Run a script in a process of its own that takes this hub for the hub."""
    environment = {**os.environ, "HF_ENDPOINT": hub.address, "HF_HOME": str(cache)}
    environment |= {"HF_HUB_OFFLINE": str(int(offline)), "HF_HUB_DOWNLOAD_TIMEOUT": "5"}
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)
