"""How the history reads: the list of runs, and one run whole."""

from collections.abc import Mapping, Sequence

from parity.core.digests import Plain, plain
from parity.measurement.history import Recalled
from parity.reporting.accounts import account_json, cost_text
from parity.reporting.measurements import run_blocks, run_json
from parity.reporting.page import Block, Heading, Page, Sentence, Table, percent, when
from parity.reporting.shares import EXACT, accuracy_interval
from parity.store.accounts import RunAccount
from parity.store.workspace import RunRecord


def runs_page(runs: Sequence[RunRecord], accounts: Mapping[str, RunAccount], where: str) -> Page:
    """A line a run, oldest first."""
    rows = tuple(
        (
            run.run_id,
            when(run.created),
            run.model,
            run.benchmark,
            run.protocol,
            f"{run.items:,}",
            cost_text(accounts.get(run.run_id, RunAccount()).cost),
            run.status,
        )
        for run in runs
    )
    columns = ("run", "begun (UTC)", "model", "benchmark", "protocol", "items", "cost", "status")
    return Page(f"{len(rows)} runs in {where}", (Table(columns, rows),) if rows else (Sentence("None yet."),))


def runs_json(runs: Sequence[RunRecord], accounts: Mapping[str, RunAccount]) -> dict[str, Plain]:
    """The list for machines."""
    return {"runs": [{**_record_json(run), **account_json(accounts.get(run.run_id, RunAccount()))} for run in runs]}


def recalled_json(found: Recalled) -> dict[str, Plain]:
    """The run for machines: its record, what decided its answers, and what it found."""
    return {**_record_json(found.record), "key": plain(found.record.key), **run_json(found.measured)}


def recalled_page(found: Recalled) -> Page:
    """Everything about one run."""
    record, measured = found.record, found.measured
    kinds = tuple(dict.fromkeys(kind for marked in measured.marks for kind, _ in marked.tags))
    blocks: list[Block] = [
        Sentence(
            f"{record.items:,} items of {record.benchmark}, protocol {record.protocol}, template "
            f"{record.key['template']}, begun {when(record.created)} UTC."
        ),
        *run_blocks([measured], kinds),
        *(table for kind in kinds if (table := _slices(found, kind))),
        Heading("Who answered"),
        _identity(found),
    ]
    return Page(f"Run {record.run_id}: {record.model}", tuple(blocks))


def _slices(found: Recalled, kind: str) -> Table | None:
    """Accuracy by the values of one kind of tag, lowest first; None where there is one value only."""
    groups = found.measured.groups().get(kind, {})
    rows = []
    for value, marks in sorted(groups.items(), key=lambda entry: (sum(entry[1]) / len(entry[1]), entry[0])):
        interval = accuracy_interval(marks)
        shown = f"{100 * interval.low:.1f} to {100 * interval.high:.1f}"
        rows.append((value, f"{len(marks):,}", percent(sum(marks) / len(marks)), shown))
    exact = all(accuracy_interval(marks).method == EXACT for marks in groups.values())
    head = "95 % exact" if exact else "95 %"
    return Table((kind, "scored", "accuracy", head), tuple(rows)) if len(rows) > 1 else None


def _identity(found: Recalled) -> Table:
    identity = found.record.key["identity"]
    pairs = [*identity["versions"], *identity["settings"]]
    rows = (
        ("engine", identity["engine"]),
        ("digest of the weights or recording", identity["model_digest"][:16]),
        ("digest of the items", found.record.key["benchmark_digest"][:16]),
        *((name, value) for name, value in pairs if value),
    )
    return Table(("", "value"), rows)


def _record_json(run: RunRecord) -> dict[str, Plain]:
    keys = ("run_id", "model", "benchmark", "protocol", "kind", "status", "items", "created", "finished")
    return {("run" if key == "run_id" else key): getattr(run, key) for key in keys}
