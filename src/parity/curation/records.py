"""Records of files, one at a time: JSON lines, JSON arrays and CSV, plain or gzipped, never a whole file in memory.

What is broken is named by its line and passed on; reading goes on behind it.
"""

import codecs
import csv
import gzip
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

from parity.errors import DataError

MAX_ROW_BYTES = 1_000_000
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Found:
    """A record and the line it begins on (in an array: its number); `broken` says why there is none."""

    line: int
    record: Any = None
    broken: str = ""


def records(path: Path, read_bytes: Callable[[int], None] = lambda _: None) -> Iterator[Found]:
    """Every record of a file; `read_bytes` is told how far in the file (compressed or not) reading is.

    Raises:
        DataError: the file is missing, unreadable, or of no known kind.
    """
    names = path.suffixes[-2:] if path.suffix == ".gz" else path.suffixes[-1:]
    kind = names[0] if names else ""
    try:
        with path.open("rb") as raw:
            stream: IO[bytes] = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw  # type: ignore[assignment]
            reader = {".jsonl": _lines, ".ndjson": _lines, ".json": _array, ".csv": _table}.get(kind)
            if reader is None:
                raise DataError(f"{path} is of no known kind.", "Name it .jsonl, .json or .csv, gzipped or not.")
            for found in reader(stream):
                read_bytes(raw.tell())
                yield found
            read_bytes(raw.seek(0, io.SEEK_END))
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.", "Check the path.") from None
    except (OSError, EOFError) as error:
        raise DataError(f"{path} cannot be read: {error}.", "Download or copy it again.") from error


def _lines(stream: IO[bytes]) -> Iterator[Found]:
    number = 0
    while line := stream.readline(MAX_ROW_BYTES + 1):
        number += 1
        if len(line) > MAX_ROW_BYTES:
            size = len(line)
            while not line.endswith(b"\n") and (line := stream.readline(_CHUNK)):
                size += len(line)
            yield Found(number, broken=f"more than {MAX_ROW_BYTES:,} bytes in a row")
        elif line.strip():
            yield _parsed(number, line)


def _parsed(number: int, line: bytes) -> Found:
    try:
        return Found(number, json.loads(line.decode("utf-8-sig"), parse_constant=_no_nan))
    except UnicodeDecodeError:
        return Found(number, broken="not UTF-8 text")
    except _NaN:
        return Found(number, broken="NaN or Infinity, which JSON has no word for")
    except (ValueError, RecursionError):
        return Found(number, broken="not JSON")


class _NaN(Exception):
    pass


def _no_nan(_: str) -> NoReturn:
    raise _NaN


def _array(stream: IO[bytes]) -> Iterator[Found]:
    """Elements of one JSON array. Behind a broken one nothing can be told apart, so reading ends there."""
    text = codecs.getreader("utf-8-sig")(stream)
    decoder = json.JSONDecoder(parse_constant=_no_nan)
    buffer = _more(text, "").lstrip()
    if not buffer.startswith("["):
        yield Found(1, broken="a .json file that holds no array (JSON lines are named .jsonl)")
        return
    at, number = 1, 1
    while True:
        at = _GAP.match(buffer, at).end()  # type: ignore[union-attr]  # an empty gap matches too
        if buffer.startswith("]", at):
            return
        try:
            record, end = decoder.raw_decode(buffer, at)
        except _NaN:
            yield Found(number, broken="NaN or Infinity, and no row behind it can be read: use .jsonl")
            return
        except (ValueError, RecursionError):
            end = len(buffer)
        if end < len(buffer):
            yield Found(number, record) if end - at <= MAX_ROW_BYTES else Found(number, broken=_LONG)
            at, number = end, number + 1
            continue
        left = buffer[at:]
        buffer, at = (_more(text, left) if len(left) <= 64 * MAX_ROW_BYTES else left), 0
        if len(buffer) == len(left):
            yield Found(number, broken="not JSON, and no row behind it can be read: use .jsonl")
            return


_GAP = re.compile(r"[\s,]*")
_LONG = f"more than {MAX_ROW_BYTES:,} characters in a row"


def _more(text: codecs.StreamReader, buffer: str) -> str:
    try:
        return buffer + text.read(_CHUNK)
    except UnicodeDecodeError:
        return buffer


def _table(stream: IO[bytes]) -> Iterator[Found]:
    text = codecs.getreader("utf-8-sig")(stream, "replace")
    csv.field_size_limit(MAX_ROW_BYTES)
    rows = csv.reader(_physical_lines(text))
    header: list[str] | None = None
    while True:
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield Found(rows.line_num, broken=f"not CSV ({error})")
            continue
        if header is None:
            header = cells
        elif any("�" in cell for cell in cells):
            yield Found(rows.line_num, broken="not UTF-8 text")
        elif len(cells) != len(header):
            yield Found(rows.line_num, broken=f"{len(cells)} cells for {len(header)} columns")
        else:
            yield Found(rows.line_num, dict(zip(header, cells, strict=True)))


def _physical_lines(text: codecs.StreamReader) -> Iterator[str]:
    """Lines that end with a line feed only, as CSV counts them, in pieces of bounded length."""
    rest = ""
    while piece := text.read(_CHUNK):
        *whole, rest = (rest + piece).split("\n")
        for line in whole:
            yield line + "\n"
    if rest:
        yield rest
