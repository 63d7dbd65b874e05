"""Tables: `item,score`; or wide, `item,gold,<one column per model>`, where `file.csv#column` picks the model.

In a column of scores an empty cell is a missing score. In a column of letters (there is a `gold`) an empty cell is an
answer that names nothing, which is wrong; `NA` and JSON null are missing. The options are the letters `gold` holds.
"""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from parity.core.runs import Marked
from parity.core.scores import Mark, Score, Unscored, UnscoredReason
from parity.errors import DataError
from parity.files.tables import Table, read_table

TAG_COLUMNS = ("subject", "category")
_ABSENT = Unscored(UnscoredReason.ABSENT)


def read_marks(path: Path, column: str | None = None) -> list[Marked]:
    """The marks of one model.

    Raises:
        DataError: no such column, no way to tell scores, or a cell that is not a score.
    """
    table = read_table(path)
    column = _column(table, column)
    letters = "gold" in table.columns and column != "score"
    options = {row["gold"] for row in table.rows} if letters else set()
    marks, problems = [], []
    for number, (item, row) in enumerate(zip(table.item_ids(), table.rows, strict=True), start=1):
        tags = tuple((kind, value) for kind in TAG_COLUMNS if (value := row.get(kind)))
        try:
            mark = _letter(row[column], row["gold"] or "", options) if letters else _score(row[column])
        except ValueError:
            problems.append(f"row {number} has {row[column]!r}")
            continue
        marks.append(Marked(item, mark, tags))
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise DataError(
            f"{path}, column {column!r}: {'; '.join(problems[:3])}{more}.", "A score is a number between 0 and 1."
        )
    return marks


def scores_csv(marks: Iterable[Marked]) -> str:
    """Marks as `item,score` rows and a column for each kind of tag; an unscored item has an empty score."""
    marks = list(marks)
    kinds = list(dict.fromkeys(kind for marked in marks for kind, _ in marked.tags))
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("item", "score", *kinds))
    for marked in marks:
        tags = dict(marked.tags)
        score = f"{marked.mark.value:g}" if isinstance(marked.mark, Score) else ""
        writer.writerow((marked.item, score, *(tags.get(kind, "") for kind in kinds)))
    return text.getvalue()


def _column(table: Table, column: str | None) -> str:
    if column is None and "score" not in table.columns:
        models = [name for name in table.columns if name not in ("item", "id", "gold", "row", *TAG_COLUMNS)]
        raise DataError(
            f"{table.path} has no column 'score'.",
            f"Name the column to read, for example {table.path}#{models[0] if models else 'model'}; "
            f"columns: {', '.join(table.columns)}.",
        )
    column = column or "score"
    table.require(column)
    return column


def _score(cell: str | None) -> Mark:
    if cell is None or cell.strip() in ("", "NA"):
        return _ABSENT
    words = {"true": "1", "false": "0"}
    return Score(float(words.get(cell.strip().lower(), cell)))


def _letter(cell: str | None, gold: str, options: set[str | None]) -> Mark:
    if cell is None or cell.strip() == "NA":
        return _ABSENT
    answer = cell.strip()
    return Score(float(answer == gold), answer[:80], outside=answer not in options)
