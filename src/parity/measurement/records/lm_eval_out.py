"""Our runs in lm-evaluation-harness's form: `results_*.json`, and `samples_<task>_*.jsonl` beside it.

Tasks are what stands before the last slash of an item's id; the metric is `acc` for log-likelihoods, `exact_match` for
written answers. Unscored items are in no mean: they are counted in `n-samples` under `unscored`.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from parity.core.digests import Plain
from parity.core.prompts import RequestKind
from parity.core.runs import Marked
from parity.core.scores import Score
from parity.files import write_atomic
from parity.store.workspace import RunRecord


@dataclass(frozen=True, slots=True)
class Exported:
    """What is told about a run beside its marks. `finished` is in seconds since 1970."""

    model: str
    benchmark: str
    protocol: str
    kind: RequestKind
    finished: float

    @property
    def metric(self) -> str:
        return "acc" if self.kind == "loglikelihood" else "exact_match"


def exported(record: RunRecord) -> Exported:
    """What a finished run of the workspace says about itself."""
    return Exported(record.model, record.benchmark, record.protocol, record.kind, record.finished or record.created)


def write_lm_eval(folder: Path, run: Exported, marks: Iterable[Marked]) -> list[Path]:
    """Write both kinds of files; returns their paths.

    Raises:
        StoreError: the folder cannot be written.
    """
    by_task: dict[str, list[Marked]] = {}
    for marked in marks:
        by_task.setdefault(marked.item.rpartition("/")[0] or run.benchmark, []).append(marked)
    stamp = datetime.fromtimestamp(run.finished, UTC).strftime("%Y-%m-%dT%H-%M-%S.%f")
    written = [write_atomic(folder / f"results_{stamp}.json", json.dumps(_results(run, by_task), indent=2) + "\n")]
    for task, found in by_task.items():
        lines = "".join(json.dumps(_sample(run.metric, marked), ensure_ascii=False) + "\n" for marked in found)
        written.append(write_atomic(folder / f"samples_{task.replace('/', '_')}_{stamp}.jsonl", lines))
    return written


def _results(run: Exported, by_task: dict[str, list[Marked]]) -> dict[str, Plain]:
    results: dict[str, Plain] = {}
    counts: dict[str, Plain] = {}
    for task, found in by_task.items():
        scores = [marked.mark.value for marked in found if isinstance(marked.mark, Score)]
        mean = sum(scores) / len(scores) if scores else None
        results[task] = {"alias": task, f"{run.metric},none": mean, f"{run.metric}_stderr,none": _stderr(scores)}
        counts[task] = {"original": len(found), "effective": len(scores), "unscored": len(found) - len(scores)}
    return {
        "results": results,
        "n-samples": counts,
        "higher_is_better": {task: {run.metric: True} for task in by_task},
        "configs": {task: {"task": task, "metadata": {"protocol": run.protocol}} for task in by_task},
        "config": {"model": "parity", "model_args": run.model},
        "model_name": run.model,
        "date": run.finished,
    }


def _stderr(scores: list[float]) -> float | None:
    """The standard error of a mean by the sample's standard deviation, as the harness gives it."""
    if len(scores) < 2:
        return None
    mean = sum(scores) / len(scores)
    return math.sqrt(sum((score - mean) ** 2 for score in scores) / (len(scores) - 1) / len(scores))


def _sample(metric: str, marked: Marked) -> dict[str, Plain]:
    name = marked.item.rpartition("/")[2]
    value = marked.mark.value if isinstance(marked.mark, Score) else None
    answer = marked.mark.answer if isinstance(marked.mark, Score) else marked.mark.detail
    doc_id: Plain = int(name) if name.isdigit() else name
    found: dict[str, Plain] = {"doc_id": doc_id, "filter": "none", "metrics": [metric], metric: value}
    return found | {"filtered_resps": [answer]}
