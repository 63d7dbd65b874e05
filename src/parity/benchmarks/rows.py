"""Rows of published data sets, their types kept, from a folder or else from the hub.

Reads JSON lines, a JSON list, JSON by key, CSV, TSV and parquet, gzipped or not, whichever of them a folder holds under
the names that a benchmark knows. What the rows mean is the benchmark's business.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, TypeVar

from parity.benchmarks.hub import HubFile, fetch, parquet_rows
from parity.errors import DataError, listed
from parity.files import json_lines, read_text
from parity.files.tables import read_table

Row: TypeAlias = Mapping[str, object]
Read = TypeVar("Read")
_SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".parquet", ".csv", ".csv.gz", ".tsv", ".tsv.gz")


@dataclass(frozen=True, slots=True)
class Source:
    """Where rows come from: files of these names in a folder (any known ending), or one file of the hub.

    `get_it` says where people find the data when there is no hub file.
    """

    names: tuple[str, ...]
    hub: HubFile | None = None
    get_it: str = ""
    suffixes: tuple[str, ...] = field(default=_SUFFIXES)

    def find(self, folder: Path) -> Path | None:
        """The first file of a folder that has one of the names."""
        if folder.is_file():
            return folder
        ways = (folder / f"{name}{suffix}" for name in self.names for suffix in ("", *self.suffixes))
        return next((path for path in ways if path.is_file()), None)


def rows_of(source: Source, folder: Path | None, what: str) -> list[Row]:
    """All rows of a source.

    Raises:
        DataError: it is not in the folder, cannot be fetched, or is malformed.
    """
    found = optional_rows(source, folder)
    if found is not None:
        return found
    if folder is None:
        raise DataError(f"{what} is read from a file.", f"Name its folder with --data. {source.get_it}".strip())
    names = " or ".join(f"{name}.*" if "." not in name else name for name in source.names)
    raise DataError(f"{folder} holds no {names}.", f"Name the folder that holds {what} with --data. {source.get_it}")


def optional_rows(source: Source, folder: Path | None) -> list[Row] | None:
    """All rows of a source; None when a folder does not hold it, or there is neither folder nor hub file."""
    if folder is None:
        return entries(fetch(source.hub)) if source.hub is not None else None
    path = source.find(folder)
    return entries(path) if path is not None else None


def entries(path: Path) -> list[Row]:
    """The rows of a file. A JSON object of objects gives its entries, each with its key as `key`.

    Raises:
        DataError: the file is missing, malformed or empty.
    """
    kind = Path(path.name.removesuffix(".gz")).suffix
    if kind == ".parquet":
        return list(parquet_rows(path))
    if kind in (".csv", ".tsv"):
        return list(read_table(path).rows)
    text = read_text(path, "file", DataError)
    rows: list[Row] = _json(path, text) if kind == ".json" else [row for _, row in json_lines(path, text)]
    if not rows:
        raise DataError(f"{path} has no rows.", "Check that it is the right file.")
    return rows


def read_all(rows: Iterable[Row], read: Callable[[int, Row], Read], what: str) -> list[Read]:
    """Every row read, by its position from 0.

    Raises:
        DataError: rows of another form, all of them said at once.
    """
    done, problems = [], []
    for at, row in enumerate(rows):
        try:
            done.append(read(at, row))
        except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
            said = f"there is no {error}" if isinstance(error, KeyError) else str(error)
            problems.append(f"row {at + 1}: {said}")
    if problems:
        more = [f"and {len(problems) - 5} more"] if len(problems) > 5 else []
        raise DataError(f"{what} has rows of another form:\n{listed(problems[:5] + more)}", "Use the published file.")
    return done


def texts(value: object) -> tuple[str, ...]:
    """A list of texts from a cell.

    Raises:
        TypeError: it holds something else.
    """
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise TypeError(f"{value!r} is no list")
    return tuple(str(entry) for entry in value)


def _json(path: Path, text: str) -> list[Row]:
    try:
        found = json.loads(text)
    except ValueError as error:
        first = text.lstrip().partition("\n")[0]
        if first.startswith("{") and first.rstrip().endswith("}"):
            return [row for _, row in json_lines(path, text)]
        raise DataError(f"{path} is not JSON: {error}.", "Download it again.") from error
    if isinstance(found, dict) and isinstance(found.get("examples"), list):
        found = found["examples"]
    if isinstance(found, dict):
        found = [{"key": key, **value} for key, value in found.items() if isinstance(value, dict)] or [found]
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise DataError(f"{path} holds no list of JSON objects.", "Use the published file.")
    return list(found)
