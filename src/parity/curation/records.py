"""Records of files, one at a time: JSON lines, JSON arrays and CSV, plain or gzipped, never a whole file in memory.

What is broken is named by its line and passed on; reading goes on behind it.
"""

import codecs
import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
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
            reader = _READERS.get(kind)
            if reader is None:
                raise DataError(f"{path} is of no known kind.", f"Name it {', '.join(_READERS)}, gzipped or not.")
            for found in reader(stream):
                read_bytes(raw.tell())
                yield found
            read_bytes(raw.seek(0, io.SEEK_END))
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.", "Check the path.") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}.", "Download or copy it again.") from error
    except _EndsHere as error:
        raise DataError(f"{path}: {error}.", "Mend it there, or save it as JSON lines (.jsonl) or CSV.") from error


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
        return Found(number, broken=_NAN)
    except (ValueError, RecursionError):
        return Found(number, broken="not JSON")


class _NaN(Exception):
    pass


def _no_nan(_: str) -> NoReturn:
    raise _NaN


class _EndsHere(Exception):
    """Nothing behind a place can be told apart, so what follows would be lost."""


def _array(stream: IO[bytes]) -> Iterator[Found]:
    """Elements of one JSON array; also JSON lines, which some name .json."""
    if _begins_with_an_object(stream):
        yield from _lines(stream)
        return
    text = codecs.getreader("utf-8-sig")(stream, "surrogateescape")
    odd = list[str]()
    decoder = json.JSONDecoder(parse_constant=lambda word: odd.append(word))
    buffer = text.read(_CHUNK).lstrip()
    if not buffer.startswith("["):
        yield Found(1, broken="a .json file that holds neither an array nor JSON lines")
        return
    at, number = 1, 1
    while True:
        at = _GAP.match(buffer, at).end()  # type: ignore[union-attr]  # an empty gap matches too
        if buffer.startswith("]", at):
            return
        odd.clear()
        try:
            record, end = decoder.raw_decode(buffer, at)
        except (ValueError, RecursionError):
            end = len(buffer)
        if end < len(buffer):
            broken = _NAN if odd else _LONG if end - at > MAX_ROW_BYTES else ""
            broken = "not UTF-8 text" if not broken and _BYTES.search(buffer, at, end) else broken
            yield Found(number, None if broken else record, broken)
            at, number = end, number + 1
            continue
        left = buffer[at:]
        buffer, at = (left + text.read(_CHUNK) if len(left) <= 64 * MAX_ROW_BYTES else left), 0
        if len(buffer) == len(left):
            raise _EndsHere(f"row {number} is not JSON, and no row behind it can be told apart")


_GAP = re.compile(r"[\s,]*")
_BYTES = re.compile("[\udc80-\udcff]")  # what was no UTF-8
_NAN = "NaN or Infinity, which JSON has no word for"
_LONG = f"more than {MAX_ROW_BYTES:,} characters in a row"


def _begins_with_an_object(stream: IO[bytes]) -> bool:
    first = stream.readline(MAX_ROW_BYTES + 1)
    while first and not first.strip():
        first = stream.readline(MAX_ROW_BYTES + 1)
    stream.seek(0)
    return first.strip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and not _parsed(1, first).broken


def _table(stream: IO[bytes]) -> Iterator[Found]:
    """Rows of a table whose columns are parted by commas, semicolons or tabs, in UTF-8 or (marked as such) UTF-16."""
    marked = stream.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    stream.seek(0)
    text = codecs.getreader("utf-16" if marked else "utf-8-sig")(stream, "replace" if marked else "surrogateescape")
    csv.field_size_limit(MAX_ROW_BYTES)
    lines = _physical_lines(text)
    first = next(lines, "")
    delimiter = max(",;\t", key=lambda mark: len(next(csv.reader([first], delimiter=mark))))
    rows = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        line = rows.line_num + 1
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield Found(line, broken=f"not CSV ({error})")
            continue
        if header is None:
            header = cells
            if len(set(header)) < len(header):
                raise _EndsHere("its header names a column twice")
        elif cells:
            yield _row(header, cells, line, several=rows.line_num > line)


def _row(header: list[str], cells: list[str], line: int, several: bool) -> Found:
    if any(_BYTES.search(cell) for cell in cells):
        return Found(line, broken="not UTF-8 text")
    if len(cells) != len(header):
        why = " over several lines (a quote that is not closed?)" if several else ""
        return Found(line, broken=f"{len(cells)} cells for {len(header)} columns{why}")
    return Found(line, dict(zip(header, cells, strict=True)))


def _physical_lines(text: codecs.StreamReader) -> Iterator[str]:
    """Lines that end with a line feed only, as CSV counts them, in pieces of bounded length."""
    rest = ""
    while piece := text.read(_CHUNK):
        *whole, rest = (rest + piece).split("\n")
        for line in whole:
            yield line + "\n"
    if rest:
        yield rest


_READERS: dict[str, Callable[[IO[bytes]], Iterator[Found]]] = {
    ".jsonl": _lines, ".ndjson": _lines, ".json": _array, ".csv": _table, ".tsv": _table,
}  # fmt: skip
