"""`parity show`: one run, whole; and its answers as a recording that can be replayed."""

import json
import sys
from pathlib import Path

from parity.cli.options import Json


def show(
    run: str,
    /,
    *,
    workspace: Path = Path(".parity"),
    record: Path | None = None,
    scores: Path | None = None,
    lm_eval: Path | None = None,
    json_: Json = False,
) -> int:
    """Show one finished run: accuracy, slices, what has no score and why, tokens, time, and who answered.

    Parameters
    ----------
    run
        Its id, the beginning of it, or @1 for the newest, @2 for the one before (parity runs lists them).
    workspace
        The folder it is in.
    record
        Also write every answer to this file (JSON lines), which replay:FILE plays back.
    scores
        Also write item,score rows to this file (CSV), which parity gap reads.
    lm_eval
        Also write results and samples into this folder, in the form of lm-evaluation-harness.
    json_
        Print one JSON object and nothing else; shares are fractions.
    """
    from parity.engines.replay import write_recording
    from parity.files import write_atomic
    from parity.measurement.history import recall
    from parity.measurement.records.lm_eval_out import exported, write_lm_eval
    from parity.measurement.records.table import scores_csv
    from parity.reporting.runs import recalled_json, recalled_page
    from parity.reporting.terminal import draw, screen
    from parity.store.workspace import existing

    written = []
    with existing(workspace) as opened:
        found = recall(opened, run)
        if record:
            written.append(write_recording(record, found.record.key["identity"], opened.outputs(found.record.run_id)))
    if scores:
        written.append(write_atomic(scores, scores_csv(found.measured.marks)))
    if lm_eval:
        written += write_lm_eval(lm_eval, exported(found.record), found.measured.marks)
    if json_:
        sys.stdout.write(json.dumps(recalled_json(found), ensure_ascii=False) + "\n")
        return 0
    console = screen()
    draw(recalled_page(found), console)
    if written:
        console.print("\nWritten: " + ", ".join(map(str, written)))
    return 0
