"""Where two runs' written answers differ. Equal answers get equal scores, so the gap cannot be larger than that share.

True whatever marks them, and before anything is marked: only answers that differ need a judge.
"""

from collections.abc import Callable

from parity.core.gaps import Differing
from parity.core.outputs import Generation
from parity.core.prompts import RequestId
from parity.marking.sameness import canonical
from parity.store import Workspace


def differing(workspace: Workspace, candidate: str, incumbent: str) -> Differing | None:
    """How many items two finished runs (by id) answered differently; None where one wrote nothing.

    An item differs when any of its draws does, or when one side has no answer. Programs differ by a space.
    """
    records = [workspace.run(run_id) for run_id in (candidate, incumbent)]
    if any(record.kind != "generation" for record in records):
        return None
    read: Callable[[str], str] = str if any(record.ran for record in records) else canonical
    ours, theirs = (_texts(workspace, record.run_id, read) for record in records)
    items = {asked.item for asked in ours.keys() | theirs.keys()}
    same = {asked for asked in ours.keys() & theirs.keys() if ours[asked] is not None and ours[asked] == theirs[asked]}
    apart = {asked.item for asked in (ours.keys() | theirs.keys()) - same}
    return Differing(len(apart), len(items))


def _texts(workspace: Workspace, run_id: str, read: Callable[[str], str]) -> dict[RequestId, str | None]:
    return {
        asked: read(output.text) if isinstance(output, Generation) else None
        for asked, _, output in workspace.outputs(run_id)
    }
