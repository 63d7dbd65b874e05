"""What was measured before, as it was: one run of the workspace with its marks, tokens and times."""

from dataclasses import dataclass, replace

from parity.core.refs import ModelRef
from parity.errors import DataError
from parity.measurement.notes import notes_of
from parity.measurement.results import Measured, summary
from parity.store import Workspace
from parity.store.workspace import RunRecord


@dataclass(frozen=True, slots=True)
class Recalled:
    """A run's row in the history, and what it found."""

    record: RunRecord
    measured: Measured


def recall(workspace: Workspace, prefix: str) -> Recalled:
    """The finished run whose id begins with `prefix`.

    Raises:
        DataError: no such run, several, or one that is not finished.
    """
    record = finished(workspace, prefix)
    outputs = [output for _, _, output in workspace.outputs(record.run_id)]
    marks = workspace.marks(record.run_id)
    found = summary(record.run_id, ModelRef.parse(record.model), marks, outputs)
    account, notes = workspace.account(record.run_id), notes_of(record.key["identity"]["settings"])
    return Recalled(record, replace(found, account=account, ran=record.ran, notes=notes))


def finished(workspace: Workspace, prefix: str) -> RunRecord:
    """The row of the finished run whose id begins with `prefix`.

    Raises:
        DataError: no such run, several, or one that is not finished.
    """
    record = workspace.run(prefix)
    if record.status != "done":
        raise DataError(
            f"Run {record.run_id} of {record.model} is not finished.", "Run its command again: it goes on where it was."
        )
    return record


def check_comparable(workspace: Workspace, one: RunRecord, other: RunRecord) -> None:
    """Two runs may be compared when both asked the same items in the same way.

    Raises:
        DataError: another benchmark, kind of answer or protocol, or other questions under the same ids.
    """
    if one.kind != other.kind:
        raise DataError(
            f"{one.run_id} holds {one.kind} marks, {other.run_id} {other.kind} marks: these are never compared.",
            "Measure both models by one protocol: parity measure A --against B --protocol NAME.",
        )
    for what in ("benchmark", "protocol"):
        if getattr(one, what) != getattr(other, what):
            raise DataError(
                f"{one.run_id} and {other.run_id} differ in {what}: {getattr(one, what)} and {getattr(other, what)}.",
                "Measure both models by the same: parity measure A --against B.",
            )
    if one.key["template"] != other.key["template"]:
        return  # the same questions in another wrapping; each model as it was meant to be asked
    asked, also = workspace.requests(one.run_id), workspace.requests(other.run_id)
    changed = sorted({key.item for key in asked.keys() & also.keys() if asked[key] != also[key]})
    if changed:
        raise DataError(
            f"{len(changed)} items were asked differently in {one.run_id} and {other.run_id}, among them {changed[0]}.",
            "The items or the window changed between the runs: measure both again.",
        )
