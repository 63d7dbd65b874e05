"""Files of a hub repository read by range requests: headers and small texts come, weights stay where they are.

Uses huggingface_hub's session and token (HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE are honoured); writes nothing.
"""

import re
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from parity.core.refs import ModelRef
from parity.errors import ModelError
from parity.models.byte_sources import ByteSource
from parity.models.model_files import FileEntry

_WINDOW_BYTES = 64 * 1024
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class HubFiles:
    """One repository at one commit."""

    where: str
    revision: str
    entries: tuple[FileEntry, ...]
    addresses: dict[str, str] = field(repr=False)

    def listing(self) -> tuple[FileEntry, ...]:
        return self.entries

    def open(self, name: str) -> ByteSource:
        size = next((entry.size_bytes for entry in self.entries if entry.name == name), None)
        if size is None:
            raise ModelError(
                f"{self.where} has no file {name[:80]!r}.", "The repository is incomplete: tell its owner."
            )
        return RangedBytes(f"{self.where}/{name}", size, self.addresses[name])


@dataclass(slots=True)
class RangedBytes:
    """A remote file; the window read last is kept, so that walking through a header takes few requests."""

    name: str
    size: int
    address: str = field(repr=False)
    _start: int = 0
    _window: bytes = b""

    def read(self, offset: int, length: int) -> bytes:
        length = max(min(length, self.size - offset), 0)
        at = offset - self._start
        if at < 0 or at + length > len(self._window):
            wanted = min(max(length, _WINDOW_BYTES), self.size - offset)
            self._window, self._start, at = _fetch(self, offset, wanted), offset, 0
        return self._window[at : at + length]


def open_hub(ref: ModelRef) -> HubFiles:
    """List a repository of the hub.

    Raises:
        ModelError: no hub library, no connection, no such repository or revision, or it may not be read.
    """
    if find_spec("huggingface_hub") is None:
        raise ModelError(
            f"{ref} lies on the hub; reading it needs huggingface_hub, which is not installed.",
            "Install it with: pip install 'parity-llm[hub]'",
        )
    import httpx2
    from huggingface_hub import HfApi, constants, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        found = HfApi().model_info(
            ref.name, revision=ref.revision, files_metadata=True, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT
        )
    except (HfHubHTTPError, HFValidationError, httpx2.HTTPError, OSError, ValueError) as error:
        raise _unreachable(str(ref), error) from error
    commit = str(found.sha)
    if not _COMMIT.fullmatch(commit):
        raise ModelError(f"The hub names no commit for {ref}.", "Check HF_ENDPOINT.")
    entries = tuple(
        FileEntry(sibling.rfilename, sibling.size)
        for sibling in sorted(found.siblings or [], key=lambda sibling: sibling.rfilename)
        if "/" not in sibling.rfilename and not sibling.rfilename.startswith(".") and isinstance(sibling.size, int)
    )
    addresses = {entry.name: hf_hub_url(ref.name, entry.name, revision=commit) for entry in entries}
    return HubFiles(f"hf:{ref.name}@{commit[:12]}", commit, entries, addresses)


def _fetch(source: RangedBytes, offset: int, length: int) -> bytes:
    import httpx2
    from huggingface_hub import constants, get_session
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    if length <= 0:
        return b""
    # Compressed answers could not be cut where the bytes were asked for.
    headers = build_hf_headers() | {"Range": f"bytes={offset}-{offset + length - 1}", "Accept-Encoding": "identity"}
    limit_s = constants.HF_HUB_DOWNLOAD_TIMEOUT  # the session's own timeout is none at all
    session = get_session()
    try:
        with session.stream("GET", source.address, headers=headers, follow_redirects=True, timeout=limit_s) as answer:
            skipped = _skipped(source, answer, offset)
            content = b""
            for piece in answer.iter_raw():
                content += piece
                if len(content) >= skipped + length:
                    break
    except (HfHubHTTPError, httpx2.HTTPError, OSError, ValueError) as error:
        raise _unreachable(source.name, error) from error
    if len(content) < skipped + length:
        raise ModelError(f"{source.name}: the connection ended early, at byte {offset + len(content)}.", "Try again.")
    return content[skipped : skipped + length]


def _skipped(source: RangedBytes, answer: Any, offset: int) -> int:
    """How many bytes of the answer come before those asked for: none, unless the server ignores ranges."""
    if answer.status_code == 200:
        if offset > 16 * _WINDOW_BYTES:
            raise ModelError(f"{source.name}: the server does not serve ranges.", "Use parity pull, then the folder.")
        return offset
    if answer.status_code != 206:
        raise ModelError(
            f"{source.name} cannot be read: the hub answered {answer.status_code}.",
            "Check HF_TOKEN and whether you accepted the model's terms on its page."
            if answer.status_code in (401, 403)
            else "Try again later.",
        )
    said = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if not said or int(said[1]) != offset or int(said[3]) != source.size:
        raise ModelError(f"{source.name}: the server sent other bytes than those asked for.", "Check HF_ENDPOINT.")
    return 0


def _unreachable(what: str, error: Exception) -> ModelError:
    first = str(error).strip().split("\n")[0] or type(error).__name__
    return ModelError(
        f"{what} cannot be read: {first}",
        "Check the name, the connection and HF_TOKEN; HF_HUB_OFFLINE forbids it, and parity pull keeps a copy.",
    )
