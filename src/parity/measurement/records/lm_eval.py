"""Sample logs of lm-evaluation-harness (`--log_samples`): one JSON object a line, one file a task.

Read: `doc_id`, `filter`, `metrics` and the metrics' own keys. A task with several filters has a line for each.
"""

import re
from pathlib import Path
from typing import Any

from parity.core.runs import Marked
from parity.core.scores import Mark, Score, Unscored, UnscoredReason
from parity.errors import DataError
from parity.files import json_lines, read_text

# In the order of preference when a log holds several.
METRICS = ("acc", "exact_match", "pass@1", "acc_norm", "em", "f1")
_FILE = re.compile(r"samples_(?P<task>.+?)(_\d{4}-\d{2}-\d{2}T[\d\-.:]+)?\.jsonl$")


def is_sample_log(path: Path) -> bool:
    return path.name.startswith("samples_") and path.suffix == ".jsonl"


def read_sample_logs(paths: list[Path], metric: str | None = None) -> list[Marked]:
    """Marks of every line; item ids are task/doc_id, and the task is a tag. `metric` overrides the choice.

    Raises:
        DataError: a line is not a sample, or an item has two values of the metric (choose a filter).
    """
    marks: dict[str, Marked] = {}
    for path in paths:
        named = _FILE.match(path.name)
        task = named["task"] if named else path.stem
        for number, sample in json_lines(path, read_text(path, "sample log", DataError)):
            if "doc_id" not in sample:
                raise DataError(
                    f"{path}, line {number}, is no lm-evaluation-harness sample (no doc_id).",
                    "Run lm_eval with --log_samples.",
                )
            item = f"{task}/{sample['doc_id']}"
            found = Marked(item, _mark(path, number, sample, metric), (("task", task),))
            if marks.setdefault(item, found) != found:
                raise DataError(
                    f"{path}, line {number}: item {item} has two different scores (filter {sample.get('filter')!r}).",
                    "Keep the lines of one filter, or one run's file, and read that.",
                )
    return list(marks.values())


def _mark(path: Path, number: int, sample: dict[str, Any], metric: str | None) -> Mark:
    name = metric or next((known for known in METRICS if known in sample), None)
    if name is None or name not in sample:
        names = ", ".join(sample.get("metrics") or [key for key in METRICS if key in sample]) or "none known"
        raise DataError(
            f"{path}, line {number}, has no metric {name!r}.", f"Name one with FILE#METRIC; it has {names}."
        )
    value = sample[name]
    if isinstance(value, bool | int | float) and 0 <= value <= 1:
        return Score(float(value))
    return Unscored(UnscoredReason.NOT_A_NUMBER, f"{name} = {value!r}")
