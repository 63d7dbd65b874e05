"""Rows of text from CSV or JSON lines, plain or gzipped, with clear errors: what the field's tables come as."""

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path

from parity.errors import DataError, did_you_mean
from parity.files import json_lines, read_text

ID_COLUMNS = ("item", "item_id", "id", "question_id")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows as text by column; `None` marks a cell that is not there (absent key, JSON null)."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[dict[str, str | None], ...]

    def require(self, column: str) -> None:
        """Raises DataError naming the nearest column when `column` is missing."""
        if column not in self.columns:
            raise DataError(f"{self.path} has no column {column!r}.", did_you_mean(column, list(self.columns)))

    def item_ids(self) -> list[str]:
        """The id of every row: a column of ID_COLUMNS, or subject/row.

        Raises:
            DataError: no id column, an empty id, or an id that appears twice.
        """
        ids = self.named_items()
        check_ids(ids, str(self.path))
        return ids

    def named_items(self) -> list[str]:
        """The id that every row names; several rows may name the same.

        Raises:
            DataError: no id column.
        """
        name = next((column for column in ID_COLUMNS if column in self.columns), None)
        if name is not None:
            return [row[name] or "" for row in self.rows]
        if {"subject", "row"} <= set(self.columns):
            return [f"{row['subject']}/{row['row']}" for row in self.rows]
        raise DataError(
            f"{self.path} has no column that names the items (columns: {', '.join(self.columns)}).",
            f"Name one of its columns {' or '.join(repr(column) for column in ID_COLUMNS[:3])}.",
        )


def check_ids(ids: list[str], where: str) -> None:
    """Raises DataError listing empty and repeated ids, with their rows."""
    first: dict[str, int] = {}
    problems = []
    for row, item in enumerate(ids, start=1):
        if not item:
            problems.append(f"row {row} has an empty id")
        elif item in first:
            problems.append(f"id {item!r} is in rows {first[item]} and {row}")
        first.setdefault(item, row)
    if problems:
        shown = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
        raise DataError(f"{where}: {shown}.", "Every item needs an id of its own, once.")


def read_table(path: Path) -> Table:
    """Read .csv, .tsv, .jsonl (each also .gz).

    Raises:
        DataError: the file is missing, not text, not of its format, or has no rows.
    """
    text = read_text(path, "file", DataError)
    kind = "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
    table = _json_lines(path, text) if kind.startswith((".jsonl", ".ndjson")) else _csv(path, text, kind)
    if not table.rows:
        raise DataError(f"{path} has no rows.", "Check that it is the right file.")
    return table


def _csv(path: Path, text: str, kind: str) -> Table:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if kind.startswith(".tsv") else ",", strict=True)
    try:
        rows = [row for row in reader if row]
    except csv.Error as error:
        raise DataError(
            f"{path} is not CSV (line {reader.line_num}: {error}).", "Check quotes and separators."
        ) from error
    if not rows:
        raise DataError(f"{path} is empty.", "Check that it is the right file.")
    header, *body = rows
    uneven = [number for number, row in enumerate(body, start=1) if len(row) != len(header)]
    if uneven:
        raise DataError(
            f"{path}: row {uneven[0]} has {len(body[uneven[0] - 1])} cells, the header has {len(header)}"
            + (f" (and {len(uneven) - 1} more rows)." if uneven[1:] else "."),
            "Check quotes and separators.",
        )
    if len(set(header)) < len(header):
        raise DataError(f"{path} has a column name twice: {', '.join(header)}.", "Rename one of them.")
    return Table(path, tuple(header), tuple(dict(zip(header, row, strict=True)) for row in body))


def _json_lines(path: Path, text: str) -> Table:
    rows = [{key: _cell(value) for key, value in entry.items()} for _, entry in json_lines(path, text)]
    columns = tuple(dict.fromkeys(key for row in rows for key in row))
    return Table(path, columns, tuple({column: row.get(column) for column in columns} for row in rows))


def _cell(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(int(value))
    return json.dumps(value, ensure_ascii=False)
