"""Two finished runs of one benchmark as pairs of written answers, item by item and draw by draw.

Knows which answers are one and the same (`marking.sameness`) and need no judge. Refuses to pair runs of other items.
"""

from dataclasses import dataclass

from parity.benchmarks.base import Benchmark
from parity.benchmarks.judge_styles import Pair
from parity.core.items import Item, Tag
from parity.core.outputs import Generation
from parity.core.prompts import RequestId
from parity.errors import DataError
from parity.marking.sameness import canonical
from parity.measurement.comparison import CLUSTER
from parity.measurement.history import finished
from parity.store import Workspace
from parity.store.workspace import RunRecord


@dataclass(frozen=True, slots=True)
class Answered:
    """`pairs` differ, `equal` do not; `unanswered` are those where one side has no answer. Disjoint, together all."""

    candidate: RunRecord
    baseline: RunRecord
    pairs: tuple[Pair, ...]
    equal: tuple[Pair, ...]
    unanswered: tuple[str, ...]


def answered(
    workspace: Workspace, candidate: str, baseline: str, benchmark: Benchmark, reference: bool = False
) -> Answered:
    """The answers of two runs on the benchmark they were asked; `reference`: with the item's target beside them.

    Raises:
        DataError: no such run, an unfinished one, one of log-likelihoods, or one of other items than the benchmark's.
    """
    records = [finished(workspace, prefix) for prefix in (candidate, baseline)]
    for record in records:
        _check(record, benchmark)
    ours, theirs = (_texts(workspace, record) for record in records)
    items = {item.id: item for item in benchmark.items}
    prompt = benchmark.protocol(records[0].protocol.split(" ")[0]).prompt
    drawn = any(asked.draw for asked in (*ours, *theirs))
    pairs: list[Pair] = []
    equal: list[Pair] = []
    unanswered: list[str] = []
    for asked in sorted(ours.keys() | theirs.keys()):
        name = f"{asked.item}#{asked.draw}" if drawn else asked.item
        one, other = ours.get(asked), theirs.get(asked)
        if one is None or other is None:
            unanswered.append(name)
            continue
        item = items[asked.item]
        shown = prompt(item)
        right = item.targets[0] if reference and item.targets else ""
        message = f"{shown.preamble}{shown.question}".strip()
        pair = Pair(name, message, one, other, right, _tags(item, drawn))
        (equal if canonical(one) == canonical(other) else pairs).append(pair)
    return Answered(records[0], records[1], tuple(pairs), tuple(equal), tuple(unanswered))


def _tags(item: Item, drawn: bool) -> tuple[Tag, ...]:
    """The item's; draws of one item hang together."""
    known = any(tag.kind == CLUSTER for tag in item.tags)
    return (*item.tags, *([Tag(CLUSTER, item.id)] if drawn and not known else []))


def _texts(workspace: Workspace, record: RunRecord) -> dict[RequestId, str | None]:
    """What was written, None where there was a failure."""
    found: dict[RequestId, str | None] = dict.fromkeys(workspace.requests(record.run_id))
    for asked, _, output in workspace.outputs(record.run_id):
        if isinstance(output, Generation):
            found[asked] = output.text
    return found


def _check(record: RunRecord, benchmark: Benchmark) -> None:
    if record.kind != "generation":
        raise DataError(
            f"Run {record.run_id} holds log-likelihoods: there is no answer to judge.",
            "Measure both models by a protocol that writes, such as --protocol letter or chat.",
        )
    if record.benchmark != benchmark.name or record.key["benchmark_digest"] != benchmark.digest:
        raise DataError(
            f"Run {record.run_id} is of {record.benchmark}, of other items than {benchmark.name} as it is opened here.",
            "Name the benchmark as it was measured: the same -b, --data and --only.",
        )
