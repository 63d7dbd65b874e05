"""Jobs for the hub that are tried again: after a pause when the connection fails, without Xet when it stalls.

Knows which failures pass and which do not, and what to tell people about the latter.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from parity.core.refs import ModelRef
from parity.errors import ModelError
from parity.models.cache import repository_folder
from parity.models.worker import Stalled, Worker

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Patience:
    """When a transfer counts as stalled, how often in a row it may fail without a new byte, and the first pause."""

    stall_s: float = 30.0
    failures: int = 6
    backoff_s: float = 1.0

    def wait_s(self, failures: int) -> float:
        return float(min(self.backoff_s * 2 ** (failures - 1), 30.0))


@dataclass(frozen=True, slots=True)
class HubEntry:
    """One file as the hub lists it: `kind` sha256 (large files) or git (a git blob's SHA-1)."""

    name: str
    size_bytes: int
    kind: str
    digest: str


class Transfer:
    """The jobs of one pull. `retries` counts attempts that failed, `fetched` names files that had to come."""

    def __init__(self, ref: ModelRef, patience: Patience, on_progress: Progress | None) -> None:
        self._ref, self._patience, self._on_progress = ref, patience, on_progress
        self._worker = Worker(xet=True)
        self.commit, self.retries, self.fetched = "", 0, set[str]()

    def close(self) -> None:
        self._worker.close()

    def fetch(self, entries: list[HubEntry]) -> None:
        """Bring files into the cache, one after the other, each checked."""
        total, done = sum(entry.size_bytes for entry in entries), 0
        for entry in entries:
            job = {
                "do": "get",
                "name": self._ref.name,
                "commit": self.commit,
                "root": str(repository_folder(self._ref.name)),
                "file": entry.name,
                "size_bytes": entry.size_bytes,
                "kind": entry.kind,
                "digest": entry.digest,
            }

            def came(count: int, before: int = done, name: str = entry.name) -> None:
                self._show(name, before + count, total)

            if self.answer(job, entry.name, came)["fetched"]:
                self.fetched.add(entry.name)
            done += entry.size_bytes
            self._show(entry.name, done, total)

    def answer(self, job: dict[str, Any], what: str, on_bytes: Callable[[int], None] | None = None) -> dict[str, Any]:
        failures, wrong, most = 0, 0, 0

        def came(count: int) -> None:
            nonlocal failures, most
            if count > most:
                failures, most = 0, count
            if on_bytes:
                on_bytes(count)

        while True:
            try:
                answer = self._worker.ask(job, self._patience.stall_s, came)
            except Stalled as stall:
                answer = {"error": "stall", "detail": str(stall)}
            if "error" not in answer:
                return answer
            kind, detail = answer["error"], answer["detail"]
            if kind not in ("network", "stall", "xet", "bytes"):
                raise self._refused(kind, detail)
            self.retries += 1
            failures += 1
            wrong += kind == "bytes"
            if wrong > 1 or failures > self._patience.failures:
                raise self._gave_up(what, detail, wrong > 1)
            if kind != "network" and self._worker.xet:
                self._worker.close()
                self._worker = Worker(xet=False)
            time.sleep(self._patience.wait_s(failures))

    def _show(self, name: str, done: int, total: int) -> None:
        if self._on_progress:
            self._on_progress(self._ref.short, done, total)

    def _gave_up(self, what: str, detail: str, wrong: bool) -> ModelError:
        if wrong:
            return ModelError(
                f"{what} of {self._ref} cannot be trusted: {detail}.",
                "It was thrown away twice. Try another HF_ENDPOINT, or tell the owner of the repository.",
            )
        return ModelError(
            f"{what} of {self._ref} could not be fetched from {_host()}: {detail}.",
            "Check the connection and run the same command again: it goes on where it stopped.",
        )

    def _refused(self, kind: str, detail: str) -> ModelError:
        name, host = self._ref.name, _host()
        login = "run `hf auth login`, or set HF_TOKEN"
        said = {
            "repository": (
                f"There is no model {name} at {host}, or it is private.",
                f"Check the spelling; for a private one, {login}.",
            ),
            "revision": (f"{name} has no revision {self._ref.revision!r}.", "Name a branch, a tag or a commit of it."),
            "gated": (
                f"{name} is gated: its owner decides who may fetch it.",
                f"Accept its terms on its page at {host}, then {login}.",
            ),
            "key": (f"{host} refused the token ({detail}).", f"Log in anew: {login}."),
            "forbidden": (
                f"{host} does not let you fetch {name} ({detail}).",
                f"Ask its owner for access, then {login}.",
            ),
            "name": (f"{name} cannot be the name of a hub model: {detail}", "Write hf:org/name."),
            "disk": (f"{name} cannot be written: {detail}", "Free some space, or point HF_HOME to another disk."),
            "file": (f"A file of {name} that the hub lists is not there: {detail}", "Try again later."),
        }
        if kind == "library":
            return library_missing()
        return ModelError(*said.get(kind, (f"{self._ref} cannot be fetched: {detail}", "Check HF_ENDPOINT.")))


def _host() -> str:
    """Where we ask, without anything secret that an address may carry."""
    return urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co").hostname or "the hub"


def library_missing() -> ModelError:
    """The error for a machine without the hub's library."""
    return ModelError(
        "Fetching from the hub needs huggingface_hub, which is not installed.",
        "Install it with: pip install 'parity-llm[hub]'",
    )
