"""Marks as rows of a table and back."""

import json
from typing import Any

from parity.core.runs import Marked
from parity.core.scores import Mark, Score, Unscored, UnscoredReason


def mark_row(entry: Marked) -> dict[str, Any]:
    tags = json.dumps(entry.tags, ensure_ascii=False)
    if isinstance(entry.mark, Score):
        mark = entry.mark
        values: dict[str, Any] = {"score": mark.value, "answer": mark.answer, "outside": int(mark.outside)}
        return {"item": entry.item, "draw": entry.draw, "tags": tags, **values, "reason": "", "detail": ""}
    unscored = {"reason": entry.mark.reason.value, "detail": entry.mark.detail}
    return {"item": entry.item, "draw": entry.draw, "tags": tags, "score": None, "answer": "", "outside": 0, **unscored}


def marked_of_row(row: Any) -> Marked:
    return Marked(row.item, _mark(row), tuple(map(tuple, json.loads(row.tags))), row.draw)


def _mark(row: Any) -> Mark:
    if row.score is None:
        return Unscored(UnscoredReason(row.reason), row.detail)
    return Score(row.score, row.answer, bool(row.outside))
