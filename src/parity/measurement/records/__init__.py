"""What was measured, here or elsewhere, as marks by item: our runs, tables of scores or letters, sample logs."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from parity.core.refs import ModelRef
from parity.core.runs import Marked
from parity.errors import DataError
from parity.measurement.history import check_comparable, finished
from parity.measurement.records.alpaca_eval import is_annotations, read_annotations
from parity.measurement.records.helm import NAME as HELM_FILE
from parity.measurement.records.helm import is_helm, read_helm
from parity.measurement.records.inspect_logs import is_inspect_log, read_inspect_log
from parity.measurement.records.lm_eval import is_sample_log, read_sample_logs
from parity.measurement.records.table import read_marks
from parity.store import Workspace
from parity.store.workspace import RunRecord, existing

_RUN_ID = re.compile(r"[0-9a-f]{4,12}|@\d+")


@dataclass(frozen=True, slots=True)
class Record:
    """Marks by item under a name for people; `run` is set when they come from our own workspace."""

    name: str
    marks: tuple[Marked, ...]
    run: RunRecord | None = None


def read_pair(candidate: str, incumbent: str, workspace: Path) -> tuple[Record, Record]:
    """Two records that may be compared, each a run id of the workspace or a file (see `read_record`).

    Raises:
        DataError: one cannot be read, or both are runs that asked different things.
    """
    if not any(map(_is_run, (candidate, incumbent))) or not workspace.is_dir():
        return _recorded(candidate), _recorded(incumbent)
    with existing(workspace) as opened:
        names = (candidate, incumbent)
        records = [_recalled(opened, name) if _is_run(name) else _recorded(name) for name in names]
        runs = [record.run for record in records if record.run is not None]
        if len(runs) == 2:
            check_comparable(opened, *runs)
        return records[0], records[1]


def read_record(name: str) -> list[Marked]:
    """Marks from `path` or `path#column`: a table (CSV, JSON lines, gzipped or not), sample logs of lm-eval (a
    file or folder), a log of Inspect, HELM's per-instance statistics, or AlpacaEval's annotations.

    Raises:
        DataError: the file is missing, of another form, or says nothing about items.
    """
    text, _, column = name.partition("#")
    path = Path(text).expanduser()
    if not path.exists():
        hint = " A run id is looked up in --workspace; parity runs lists them." if _is_run(name) else ""
        raise DataError(
            f"There is no file {path}.", "Check the path; relative paths start at the current folder." + hint
        )
    part = column or None
    if path.is_dir() and (path / HELM_FILE).is_file():
        path /= HELM_FILE
    for fits, read in _READERS:
        if fits(path):
            return read(path, part)
    if path.is_dir():
        logs = sorted(path.rglob("samples_*.jsonl"))
        if not logs:
            raise DataError(f"{path} holds no sample logs (samples_*.jsonl).", "Run lm_eval with --log_samples.")
        return read_sample_logs(logs, part)
    if is_sample_log(path):
        return read_sample_logs([path], part)
    return read_marks(path, part)


_READERS: tuple[tuple[Callable[[Path], bool], Callable[[Path, str | None], list[Marked]]], ...] = (
    (is_annotations, read_annotations),
    (is_helm, read_helm),
    (is_inspect_log, read_inspect_log),
)


def _recorded(name: str) -> Record:
    path, _, part = name.partition("#")
    return Record(part or Path(path).name, tuple(read_record(name)))


def _is_run(name: str) -> bool:
    return _RUN_ID.fullmatch(name) is not None and not Path(name).exists()


def _recalled(workspace: Workspace, prefix: str) -> Record:
    return record_of(workspace, finished(workspace, prefix))


def record_of(workspace: Workspace, run: RunRecord) -> Record:
    """A finished run's marks under its model's name."""
    return Record(ModelRef.parse(run.model).short, tuple(workspace.marks(run.run_id)), run)
