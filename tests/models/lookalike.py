"""A hub on 127.0.0.1 with made-up repositories: listings, files by range, and everything that can go wrong."""

import json
import threading
import time
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import numpy
from safetensors.numpy import save

COMMIT = "ab" * 20
CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "max_position_embeddings": 64}


def weights(count=1000, seed=0):
    return save({"w": numpy.random.default_rng(seed).random(count, dtype=numpy.float32)})


def model_files(**more):
    files = {
        "config.json": json.dumps(CONFIG).encode(),
        "tokenizer.json": b"{}",
        "README.md": b"---\nlicense: mit\n---\n",
        "model.safetensors": weights(),
        "pytorch_model.bin": b"pickled",
        "training_args.bin": b"pickled",
        "original/consolidated.safetensors": b"another copy",
        "modeling_x.py": b"raise SystemExit",
    }
    return {name: content for name, content in {**files, **more}.items() if content is not None}


@dataclass
class Repository:
    """`refs` by branch; `access`: open, gated, private, refused (403) or badkey (401)."""

    files: dict
    commit: str = COMMIT
    refs: tuple = ("main", "v1")
    access: str = "open"
    lies: dict = field(default_factory=dict)  # file -> digest listed in place of the true one


class Hub(ThreadingHTTPServer):
    """`faults[file]` is a list, one for each coming GET of the file: (kind, after how many bytes).

    `elsewhere`: an address that safetensors are redirected to, as to a CDN. `keys` are the tokens that arrived.
    `xet`: None has no Xet; "stalls" takes its questions and never answers; "fails" answers 500.
    """

    daemon_threads = True

    def __init__(self, repositories):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories, self.faults, self.asked, self.list_faults = repositories, {}, [], []
        self.pace_s, self.xet, self.elsewhere, self.keys = 0.0, None, "", []

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"

    def got(self, file):
        return [range_ for name, range_ in self.asked if name == file]


def started(repositories):
    """A hub that answers until it is shut down."""
    server = Hub(repositories)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class _Handler(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self._route(head=True)

    def do_GET(self):
        self._route(head=False)

    def _route(self, head):
        path = unquote(urlsplit(self.path).path).strip("/")
        self.server.keys.append(self.headers.get("Authorization"))
        if path == "xet-token":
            return self._xet_token()
        if "reconstructions" in path:
            self.server.asked.append(("xet", None))
            return time.sleep(60) if self.server.xet == "stalls" else self._error(500, "")
        if path.startswith("api/models/"):
            return self._list(path.removeprefix("api/models/"))
        name, _, rest = path.partition("/resolve/")
        commit, _, file = rest.partition("/")
        repository = self.server.repositories.get(name)
        if repository is None or commit != repository.commit or file not in repository.files:
            return self._error(404, "EntryNotFound")
        if repository.access == "gated":
            return self._error(403, "GatedRepo")
        if repository.access == "refused":
            return self._error(403, "")
        self._file(file, repository.files[file], head)

    def _xet_token(self):
        self.send_response(200)
        self.send_header("X-Xet-Cas-Url", self.server.address)
        self.send_header("X-Xet-Access-Token", "made-up")
        self.send_header("X-Xet-Token-Expiration", str(int(time.time()) + 3600))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _list(self, rest):
        self.server.asked.append(("list", None))
        name, _, revision = rest.partition("/revision/")
        repository = self.server.repositories.get(name)
        if self.server.list_faults:
            return self._error(self.server.list_faults.pop(0), "")
        if repository is None or repository.access == "private":
            return self._error(401, "RepoNotFound")
        if repository.access == "badkey":
            return self._error(401, "", "Invalid credentials in Authorization header")
        if revision and revision not in (*repository.refs, repository.commit):
            return self._error(404, "RevisionNotFound")
        siblings = [_sibling(name, content, repository.lies) for name, content in repository.files.items()]
        listing = {"id": name, "sha": repository.commit, "siblings": siblings, "private": False, "tags": []}
        listing |= {"gated": "manual" if repository.access == "gated" else False}
        body = json.dumps(listing).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _file(self, name, content, head):
        range_ = self.headers.get("Range")
        if not head:
            self.server.asked.append((name, range_))
        if self.server.elsewhere and name.endswith(".safetensors"):
            self.send_response(302)
            self.send_header("Location", f"{self.server.elsewhere}{self.path}?X-Amz-Signature=cdnsecret")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        faults = self.server.faults.get(name) or []
        kind, after = faults.pop(0) if faults and not head else (None, 0)
        if isinstance(kind, int):
            return self._error(kind, "")
        begin = int(range_.removeprefix("bytes=").rstrip("-")) if range_ and kind != "ignores range" else 0
        if kind == "wrong":
            content = bytes(len(content))
        if kind == "long":
            content += b"more"
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(content) - begin))
        self.send_header("ETag", f'"{sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if self.server.xet and name.endswith(".safetensors"):
            self.send_header("X-Xet-Hash", "12" * 32)
            self.send_header("X-Xet-Refresh-Route", f"{self.server.address}/xet-token")
        self.end_headers()
        if not head:
            self._send(kind, after, content[begin:])

    def _send(self, kind, after, rest):
        if kind in ("cut", "stall"):
            self.wfile.write(rest[:after])
            self.wfile.flush()
            if kind == "stall":
                time.sleep(60)
            self.connection.close()
            return
        for at in range(0, len(rest), 1000):
            self.wfile.write(rest[at : at + 1000])
            if self.server.pace_s:
                self.wfile.flush()
                time.sleep(self.server.pace_s)

    def _error(self, status, code, message=""):
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        if message:
            self.send_header("X-Error-Message", message)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        return


def _sibling(name, content, lies):
    blob = sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    entry = {"rfilename": name, "size": len(content), "blobId": lies.get(name, blob)}
    if name.endswith((".safetensors", ".bin")):
        digest = lies.get(name, sha256(content).hexdigest())
        entry["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 130}
    return entry
