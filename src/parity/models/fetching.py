"""The process that talks to the hub for `parity pull`: reads jobs as lines of JSON, answers with lines of JSON.

A process of its own, because a stalled Xet transfer runs in compiled threads that nothing but the end of their process
stops, and because switching Xet off takes effect only when the hub's library is loaded. It ends when its input does.
"""

import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from queue import Queue
from typing import Any

_EVERY_S = 0.1
_ANSWERS = sys.stdout
Job = dict[str, Any]


class WrongBytes(Exception):
    """A downloaded file is not the one that the hub lists."""


class XetFailed(Exception):
    """Xet did not bring a file, for whatever reason: plain HTTP may."""


def main() -> None:
    """Answer jobs until the input ends, which also happens when whoever asked is killed."""
    jobs: Queue[Job] = Queue()
    import huggingface_hub  # noqa: F401 - what takes long is loaded before the clock of a job runs

    _say({"ready": True})
    threading.Thread(target=_read, args=(jobs,), daemon=True).start()
    while True:
        job = jobs.get()
        try:
            answer = _list(job) if job["do"] == "list" else _get(job)
        except Exception as error:  # noqa: BLE001 - the boundary of the process: every error goes to the parent, named
            answer = {"error": _kind(error), "detail": _clean(error)}
        _say(answer)


def _read(jobs: "Queue[Job]") -> None:
    for line in sys.stdin:
        jobs.put(json.loads(line))
    os._exit(0)


def _say(answer: Job) -> None:
    _ANSWERS.write(json.dumps(answer) + "\n")
    _ANSWERS.flush()


def _list(job: Job) -> Job:
    """The commit of a revision, and its files with size and digest."""
    from huggingface_hub import HfApi

    info = HfApi().model_info(job["name"], revision=job["revision"], files_metadata=True, timeout=job["timeout_s"])
    files = []
    for entry in info.siblings or []:
        kind, digest = ("sha256", entry.lfs.sha256) if entry.lfs else ("git", entry.blob_id)
        files.append({"name": entry.rfilename, "size_bytes": entry.size, "kind": kind, "digest": digest})
    return {"commit": info.sha, "gated": bool(info.gated), "files": files}


def _get(job: Job) -> Job:
    """Bring one file into the cache, from where an earlier attempt left off, and check its bytes."""
    root = Path(job["root"])
    blob = root / "blobs" / job["digest"]
    link = root / "snapshots" / job["commit"] / job["file"]
    blob.parent.mkdir(parents=True, exist_ok=True)
    link.parent.mkdir(parents=True, exist_ok=True)
    fetched = False
    if not blob.exists() or _digest(blob, job["kind"]) != job["digest"]:
        blob.unlink(missing_ok=True)
        _download(job, blob)
        fetched = True
    if not (link.is_symlink() and link.exists()):
        link.unlink(missing_ok=True)
        _link(link, blob)
    return {"done": True, "fetched": fetched}


def _download(job: Job, blob: Path) -> None:
    part = blob.with_name(blob.name + ".parity.incomplete")
    if not (part.exists() and 0 < part.stat().st_size <= job["size_bytes"]):
        part.unlink(missing_ok=True)
        if job["xet"] and _by_xet(job, part):
            _accept(job, part, blob)
            return
    _by_http(job, part)
    _accept(job, part, blob)


def _accept(job: Job, part: Path, blob: Path) -> None:
    """Only bytes that the listing names become a blob; others are thrown away."""
    found = _digest(part, job["kind"])
    if found != job["digest"]:
        part.unlink(missing_ok=True)
        raise WrongBytes(
            f"{job['file']} came with {job['kind']} {found[:12]}..., the hub lists {job['digest'][:12]}..."
        )
    part.replace(blob)


def _by_http(job: Job, part: Path) -> None:
    """Append to what is there. The pieces are small, so that a slow line is not taken for a stalled one."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status  # type: ignore[attr-defined]

    begun = part.stat().st_size if part.exists() else 0
    if begun == job["size_bytes"] and part.exists():
        return
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    if begun:
        headers["Range"] = f"bytes={begun}-"
    url = hf_hub_url(job["name"], job["file"], revision=job["commit"])
    session = get_session()
    with session.stream("GET", url, headers=headers, timeout=job["timeout_s"], follow_redirects=True) as response:
        hf_raise_for_status(response)
        resumed = response.status_code == 206
        with part.open("ab" if resumed else "wb") as stream:
            size = begun if resumed else 0
            said = 0.0
            for piece in response.iter_bytes():
                stream.write(piece)
                size += len(piece)
                if size > job["size_bytes"]:
                    break
                if time.monotonic() - said > _EVERY_S:
                    stream.flush()
                    _say({"bytes": size})
                    said = time.monotonic()
    if size > job["size_bytes"]:
        part.unlink()
        raise WrongBytes(f"{job['file']} is longer than the {job['size_bytes']:,} bytes that the hub lists")
    if size < job["size_bytes"]:
        raise ConnectionError(f"{job['file']} broke off after {size:,} of {job['size_bytes']:,} bytes")


def _by_xet(job: Job, part: Path) -> bool:
    """Try Xet; False where this file is not there. Xet does not write in order, so a rest of it is never resumed."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import xet_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    if constants.HF_HUB_DISABLE_XET or find_spec("hf_xet") is None:
        return False
    metadata = get_hf_file_metadata(hf_hub_url(job["name"], job["file"], revision=job["commit"]))
    if metadata.xet_file_data is None:
        return False
    rest = part.with_suffix(".xet")
    try:
        xet_get(
            incomplete_path=rest,
            xet_file_data=metadata.xet_file_data,
            headers=build_hf_headers(),
            expected_size=job["size_bytes"],
            displayed_filename=job["file"],
            tqdm_class=_reporter(),
        )
        rest.replace(part)
    except Exception as error:
        raise XetFailed(f"Xet: {_clean(error)}") from error
    finally:
        rest.unlink(missing_ok=True)
    return True


def _reporter() -> Any:
    """A progress bar that only says how many bytes came, in place of drawing."""
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

    class Reporter(tqdm):  # type: ignore[misc,no-any-unimported,unused-ignore]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **{**options, "disable": True})  # type: ignore[no-untyped-call]
            self.came = 0

        def update(self, n: float | None = 1) -> None:
            if n and n > 0:  # a report of nothing new is no sign of life
                self.came += int(n)
                _say({"bytes": self.came})

    return Reporter


def _digest(path: Path, kind: str) -> str:
    """As `cache.content_digest`, with a sign of life for whoever waits."""
    from parity.models.cache import content_digest

    return content_digest(path, kind, _alive())


def _alive() -> Callable[[], None]:
    last = [time.monotonic()]

    def alive() -> None:
        if time.monotonic() - last[0] > _EVERY_S:
            last[0] = time.monotonic()
            _say({"checking": True})

    return alive


def _link(link: Path, blob: Path) -> None:
    try:
        link.symlink_to(os.path.relpath(blob, link.parent))
    except OSError:  # a file system without links keeps a copy
        import shutil

        shutil.copyfile(blob, link)


def _kind(error: Exception) -> str:
    """One word a parent can decide by."""
    own = {WrongBytes: "bytes", XetFailed: "xet", ModuleNotFoundError: "library"}
    if type(error) in own:
        return own[type(error)]
    word = next((word for known, word in _known_errors() if isinstance(error, known)), "")
    if not word:
        return "other"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if word == "http":
        return {401: "key", 403: "forbidden", 404: "file"}.get(status or 0, "network" if _passing(status) else "other")
    if word == "os":
        import errno

        return "disk" if getattr(error, "errno", None) in (errno.ENOSPC, errno.EACCES, errno.EROFS) else "network"
    return word


def _known_errors() -> Iterator[tuple[type[Exception], str]]:
    """From the particular to the general."""
    import httpx2
    from huggingface_hub import errors

    yield errors.OfflineModeIsEnabled, "offline"
    yield errors.GatedRepoError, "gated"
    yield errors.RevisionNotFoundError, "revision"
    yield errors.RepositoryNotFoundError, "repository"
    yield errors.HFValidationError, "name"
    yield errors.EntryNotFoundError, "file"
    yield errors.HfHubHTTPError, "http"
    yield httpx2.HTTPError, "network"
    yield OSError, "os"


def _passing(status: int | None) -> bool:
    return status is None or status in (408, 425, 429) or status >= 500


def _clean(error: Exception) -> str:
    """The first line, without what stands behind '?' in addresses: signatures of storage are there."""
    first = str(error).strip().split("\n")[0] or type(error).__name__
    return re.sub(r"\?[^\s'\"]+", "?...", first)[:300]


if __name__ == "__main__":
    sys.stdout = sys.stderr  # what a library prints is no answer
    main()
