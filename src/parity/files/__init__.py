"""What every room that touches the disk uses: atomic writes, locks, digests of files."""

import errno
import gzip
import hashlib
import json
import os
import shutil
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from parity.errors import DataError, ParityError, StoreError

_ONE_A_LINE = "Each line holds one JSON object."
_UNFINISHED, _LOCK = ".unfinished-", ".lock"


def write_atomic(path: Path, text: str) -> Path:
    """Write a whole file or leave the old one as it was.

    Raises:
        StoreError: the folder cannot be written or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not mkstemp: its files are for the owner's eyes only, and these are results to share.
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            with temporary.open("w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise disk_error(error, path) from error
    return path


def disk_error(error: OSError, path: Path) -> StoreError:
    """What the operating system refused, as a message that says what to do."""
    todo = {
        errno.ENOSPC: "The disk is full: free some space and run the same command again; what was answered is kept.",
        errno.EACCES: "Check who owns the folder, or choose another one.",
        errno.EROFS: "The file system is read-only: choose another folder.",
    }.get(error.errno or 0, "Check the path and run the same command again.")
    return StoreError(f"{path}: {error.strerror or error}.", todo)


@contextmanager
def unfinished(folder: Path) -> Iterator[Path]:
    """A folder inside `folder` for files that are moved out of it when they are whole; it is gone afterwards.

    What killed processes left behind is removed first; what others are writing now is not touched.

    Raises:
        StoreError: `folder` cannot be written or the disk is full, also from what is done inside.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"{_UNFINISHED}*"):
            with suppress(Timeout, OSError), FileLock(left / _LOCK, timeout=0):  # its owner holds it, or is dead
                shutil.rmtree(left, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=folder))
        try:
            with FileLock(scratch / _LOCK, timeout=0):
                yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise disk_error(error, folder) from error


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_files(folder: Path, names: list[str]) -> str:
    """One SHA-256 over named files of a folder: names and contents, in sorted order."""
    whole = hashlib.sha256()
    for name in sorted(names):
        whole.update(f"{name}\0{digest_file(folder / name)}\n".encode())
    return whole.hexdigest()


def read_text(path: Path, what: str, error: type[ParityError]) -> str:
    """The text of a UTF-8 file, gzipped or not, with its line ends as they are, or `error` naming what it should be."""
    try:
        raw = path.read_bytes()  # bytes: a carriage return can be part of the data
        return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig")
    except FileNotFoundError as missing:
        raise error(
            f"There is no {what} at {path}.", "Check the path; relative paths start at the current folder."
        ) from missing
    except UnicodeDecodeError as broken:
        raise error(f"{path} is not UTF-8 text (byte {broken.start}).", f"Save the {what} as UTF-8.") from broken
    except (gzip.BadGzipFile, EOFError, zlib.error) as broken:
        raise error(f"{path} is not a whole gzip file: {broken}.", "Download or copy it again.") from broken
    except OSError as refused:
        raise error(f"{path} cannot be read: {refused.strerror}.", "Check the path and its permissions.") from refused


def read_object(path: Path, what: str, error: type[ParityError], todo: str) -> dict[str, Any]:
    """The JSON object in a file, or `error` with `todo` when it holds none."""
    try:
        found = json.loads(read_text(path, what, error))
    except (json.JSONDecodeError, RecursionError) as broken:
        raise error(f"{path} is not JSON ({broken}).", todo) from broken
    if not isinstance(found, dict):
        raise error(f"{path} does not hold a JSON object.", todo)
    return found


def json_lines(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, object) of every line of a text that is not blank; `path` names it in errors.

    Raises:
        DataError: a line holds something else.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as broken:
            raise DataError(f"{path}, line {number}, is not JSON: {broken}.", _ONE_A_LINE) from broken
        if not isinstance(found, dict):
            raise DataError(f"{path}, line {number}, is not a JSON object.", _ONE_A_LINE)
        yield number, found


@contextmanager
def locked(path: Path, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold a lock between processes; it is freed when its holder dies. `on_wait` is called once if it is taken.

    Raises:
        StoreError: the lock file cannot be created.
    """
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if on_wait:
                on_wait()
            lock.acquire()
    except OSError as error:
        raise disk_error(error, path) from error
    try:
        yield
    finally:
        lock.release()
