"""Benchmark files from the Hugging Face hub: one pinned commit, every file checked against its SHA-256.

Knows how to fetch and read parquet; what the rows mean is the benchmark's own business.
"""

import socket
from dataclasses import dataclass
from importlib.util import find_spec
from logging import ERROR, getLogger
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from parity.errors import DataError
from parity.files import digest_file


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a data set at one commit; `sha256` is None where only the rows are pinned."""

    repository: str
    revision: str
    path: str
    sha256: str | None = None


def fetch(file: HubFile) -> Path:
    """The file on this machine, downloaded unless it is in the hub's cache (HF_HOME, HF_HUB_OFFLINE are honoured).

    Raises:
        DataError: no hub library, no connection, no such file, or other bytes than those pinned.
    """
    if find_spec("huggingface_hub") is None or find_spec("pyarrow") is None:
        raise DataError(
            f"Fetching {file.repository} from the hub needs huggingface_hub and pyarrow, which are not installed.",
            "Install them with: pip install 'parity-llm[hub]', or name a folder with --data.",
        )
    import httpx2
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    getLogger("huggingface_hub").setLevel(ERROR)  # it warns of every attempt; the one error below says all of it
    try:
        _must_answer(file)
        found = Path(hf_hub_download(file.repository, file.path, repo_type="dataset", revision=file.revision))
    except (HfHubHTTPError, httpx2.HTTPError, OSError, ValueError) as error:
        raise DataError(
            f"{file.repository}/{file.path} at {file.revision[:7]} cannot be fetched: {_first_line(error)}",
            "Check the connection (HF_ENDPOINT, HF_HUB_OFFLINE), or name a folder that holds the files with --data.",
        ) from error
    if file.sha256 is not None and (digest := digest_file(found)) != file.sha256:
        raise DataError(
            f"{found} has SHA-256 {digest[:12]}..., the pinned file has {file.sha256[:12]}...",
            "Delete it and run the command again; if that does not help, the hub's copy was changed.",
        )
    return found


def _must_answer(file: HubFile) -> None:
    """Find out in a moment that there is no connection, where the library would try for half a minute.

    Raises:
        OSError: a file that is not in the cache would have to come from a hub that cannot be reached.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    cached = try_to_load_from_cache(file.repository, file.path, revision=file.revision, repo_type="dataset")
    hub = urlsplit(constants.ENDPOINT)
    if isinstance(cached, str) or constants.is_offline_mode() or getproxies() or hub.hostname is None:
        return
    socket.create_connection((hub.hostname, hub.port or {"http": 80}.get(hub.scheme, 443)), timeout=10).close()


def parquet_rows(path: Path) -> list[dict[str, object]]:
    """The rows of a parquet file.

    Raises:
        DataError: it is no parquet file.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        rows: list[dict[str, object]] = parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise DataError(
            f"{path} is not a parquet file: {_first_line(error)}", "Delete it and fetch it again."
        ) from error
    return rows


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__
