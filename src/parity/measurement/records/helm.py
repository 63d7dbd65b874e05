"""Per-instance statistics of HELM (`per_instance_stats.json` of a run): every instance with its statistics by name.

Only unperturbed instances count, and the main split is `test` (`valid` where there is no other). Instances asked in
several trials of other shots are draws of one item.
"""

from pathlib import Path
from typing import Any

from parity.core.runs import Marked
from parity.core.scores import Mark, Score, Unscored, UnscoredReason
from parity.errors import DataError
from parity.measurement.records.json_files import read_objects

NAME = "per_instance_stats.json"
# In the order of preference when an instance has several.
METRICS = (
    "exact_match",
    "quasi_exact_match",
    "quasi_prefix_exact_match",
    "prefix_exact_match",
    "math_equiv",
    "f1_score",
)


def is_helm(path: Path) -> bool:
    return path.name in (NAME, NAME + ".gz")


def read_helm(path: Path, metric: str | None = None) -> list[Marked]:
    """The marks of a run by one metric, the first known one if not named.

    Raises:
        DataError: rows of another form, or no instance has the metric.
    """
    rows = [row for row in read_objects(path, "per-instance statistics of HELM") if not row.get("perturbation")]
    statistics = [(row, _statistics(path, row)) for row in rows]
    names = {name for _, found in statistics for name, _ in found}
    chosen = metric or next((known for known in METRICS if known in names), None)
    if chosen is None or chosen not in names:
        raise DataError(
            f"{path} has no metric {chosen!r}.", f"Name one with FILE#METRIC; it has {', '.join(sorted(names))}."
        )
    splits = {split for _, found in statistics for name, split in found if name == chosen}
    split = "test" if "test" in splits else sorted(splits, key=str)[0]
    marks = []
    for row, found in statistics:
        if (chosen, split) in found:
            draw = int(row.get("train_trial_index") or 0)
            marks.append(Marked(str(row["instance_id"]), _mark(found[chosen, split]), (), draw))
    return marks


def _statistics(path: Path, row: dict[str, Any]) -> dict[tuple[str, str | None], float | None]:
    """(metric, split): mean."""
    try:
        return {
            (str(found["name"]["name"]), found["name"].get("split")): found.get("mean", found.get("sum"))
            for found in row["stats"] if not found["name"].get("perturbation")
        }  # fmt: skip
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: an instance has no stats as HELM writes them ({error!r}).", "Read HELM's own."
        ) from error


def _mark(value: float | None) -> Mark:
    if value is None or not 0 <= value <= 1:
        return Unscored(UnscoredReason.NOT_A_NUMBER, f"mean {value!r}")
    return Score(float(value))
