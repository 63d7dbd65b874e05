"""Tables: `item,score`; or wide, `item,gold,<one column per model>`, where `file.csv#column` picks the model.

A column `draw` numbers several answers to one item, from 0. In a column of scores an empty cell is a missing score. In
a column of letters (there is a `gold`) an empty cell is an answer that names nothing, which is wrong; `NA` and JSON
null are missing. The options are the letters `gold` holds.
"""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from parity.core.runs import Marked
from parity.core.scores import Mark, Score, Unscored, UnscoredReason
from parity.errors import DataError
from parity.files.tables import Table, check_ids, read_table

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
    for number, ((item, draw), row) in enumerate(zip(_answers(table), table.rows, strict=True), start=1):
        tags = tuple((kind, value) for kind in TAG_COLUMNS if (value := row.get(kind)))
        try:
            mark = _letter(row[column], row["gold"] or "", options) if letters else _score(row[column])
        except ValueError:
            problems.append(f"row {number} has {row[column]!r}")
            continue
        marks.append(Marked(item, mark, tags, draw))
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise DataError(
            f"{path}, column {column!r}: {'; '.join(problems[:3])}{more}.", "A score is a number between 0 and 1."
        )
    return marks


def scores_csv(marks: Iterable[Marked]) -> str:
    """Marks as `item,score` rows and a column for each kind of tag; what is unscored has an empty score.

    Where items were answered several times, a column `draw` numbers the answers.
    """
    marks = list(marks)
    drawn = any(marked.draw for marked in marks)
    kinds = list(dict.fromkeys(kind for marked in marks for kind, _ in marked.tags))
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("item", *(["draw"] if drawn else []), "score", *kinds))
    for marked in marks:
        tags = dict(marked.tags)
        score = f"{marked.mark.value:g}" if isinstance(marked.mark, Score) else ""
        writer.writerow(
            (marked.item, *([marked.draw] if drawn else []), score, *(tags.get(kind, "") for kind in kinds))
        )
    return text.getvalue()


def _answers(table: Table) -> list[tuple[str, int]]:
    """Which item and which draw every row is.

    Raises:
        DataError: an item or draw is named twice, or a draw is no number.
    """
    if "draw" not in table.columns:
        return [(item, 0) for item in table.item_ids()]
    items, draws = table.named_items(), [row["draw"] or "" for row in table.rows]
    if wrong := [draw for draw in draws if not draw.isdecimal()]:
        raise DataError(f"{table.path}: a draw is {wrong[0]!r}.", "Draws are numbered from 0.")
    check_ids([f"{item} draw {int(draw)}" for item, draw in zip(items, draws, strict=True)], str(table.path))
    return [(item, int(draw)) for item, draw in zip(items, draws, strict=True)]


def _column(table: Table, column: str | None) -> str:
    if column is None and "score" not in table.columns:
        models = [name for name in table.columns if name not in ("item", "id", "gold", "row", "draw", *TAG_COLUMNS)]
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
