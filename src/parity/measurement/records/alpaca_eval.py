"""Annotations of AlpacaEval (`annotations.json`): a judge's preference between two outputs, one row an instruction.

`preference` runs from 1 (the baseline, `output_1`) to 2 (the model, `output_2`), any number between; 1.5, and 0 in old
files, is a tie. A score is the preference less 1, so that their mean is the published win rate. Item ids are the
instructions' digests: rows come in any order, and files of two models share them.
"""

from pathlib import Path
from typing import Any

from parity.core.digests import digest
from parity.core.runs import Marked
from parity.core.scores import Mark, Score, Unscored, UnscoredReason
from parity.errors import DataError
from parity.measurement.records.json_files import read_objects


def is_annotations(path: Path) -> bool:
    return path.name in ("annotations.json", "annotations.json.gz")


def read_annotations(path: Path, generator: str | None = None) -> list[Marked]:
    """The marks of a file, of one model (`generator_2`) where it holds several.

    Raises:
        DataError: rows of another form, several models and none named, or an instruction twice.
    """
    rows = read_objects(path, "annotations of AlpacaEval")
    models = sorted({str(row.get("generator_2")) for row in rows})
    if generator is None and len(models) > 1:
        raise DataError(f"{path} holds {len(models)} models.", f"Name one: {path}#{models[0]}.")
    found: dict[str, Marked] = {}
    for number, row in enumerate(rows, start=1):
        if generator is not None and row.get("generator_2") != generator:
            continue
        if "instruction" not in row or "preference" not in row:
            raise DataError(f"{path}, row {number}, has no instruction or preference.", "Read annotations.json.")
        item = f"alpaca_eval/{digest(str(row['instruction']))[:12]}"
        if item in found:
            raise DataError(f"{path}, row {number}: an instruction is there twice.", "Keep one annotator's rows.")
        tags = (("dataset", str(row["dataset"])),) if row.get("dataset") else ()
        found[item] = Marked(item, _mark(row), tags)
    if not found:
        raise DataError(f"{path} has no rows of {generator!r}.", f"It holds {', '.join(models)}.")
    return list(found.values())


def _mark(row: dict[str, Any]) -> Mark:
    preference = row["preference"]
    if preference is None:
        return Unscored(UnscoredReason.ABSENT, "not annotated")
    value = 1.5 if preference == 0 else float(preference)
    if not 1 <= value <= 2:
        return Unscored(UnscoredReason.NOT_A_NUMBER, f"preference {preference!r}")
    return Score(value - 1)
