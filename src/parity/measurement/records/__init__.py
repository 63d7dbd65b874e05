"""What others measured: tables of scores or letters, and lm-evaluation-harness sample logs, as marks by item."""

from pathlib import Path

from parity.core.runs import Marked
from parity.errors import DataError
from parity.measurement.records.lm_eval import is_sample_log, read_sample_logs
from parity.measurement.records.table import read_marks


def read_record(name: str) -> list[Marked]:
    """Marks from `path` or `path#column`: a table (CSV, JSON lines, gzipped or not) or sample logs (a file or folder).

    Raises:
        DataError: the file is missing, of another form, or says nothing about items.
    """
    text, _, part = name.partition("#")
    path = Path(text).expanduser()
    if not path.exists():
        raise DataError(f"There is no file {path}.", "Check the path; relative paths start at the current folder.")
    if path.is_dir():
        logs = sorted(path.rglob("samples_*.jsonl"))
        if not logs:
            raise DataError(f"{path} holds no sample logs (samples_*.jsonl).", "Run lm_eval with --log_samples.")
        return read_sample_logs(logs, part or None)
    if is_sample_log(path):
        return read_sample_logs([path], part or None)
    return read_marks(path, part or None)
