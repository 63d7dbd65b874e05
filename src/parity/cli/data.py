"""`parity data`: import, split and audit training data."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from parity.core.digests import Plain
from parity.errors import UsageError

if TYPE_CHECKING:
    from parity.core.fingerprints import Fingerprints
    from parity.curation.labels import Labelled
    from parity.reporting.data import Seen

data = App(name="data", help="Training data: import it from any format, split it without leaks, audit it.")
Json = Annotated[bool, Parameter(name="--json", negative="")]


@data.command(name="import")
def import_(
    sources: Annotated[tuple[Path, ...], Parameter(negative="")],
    /,
    *,
    to: Path,
    keep_repeated: Annotated[bool, Parameter(negative="")] = False,
    json_: Json = False,
) -> int:
    """Turn files of any common format into canonical rows; every rejected row is counted with its reason.

    Parameters
    ----------
    sources
        Files: .jsonl, .json or .csv, gzipped or not; docs/data.md lists the formats.
    to
        The folder for rows.jsonl, rejected.jsonl and manifest.json.
    keep_repeated
        Keep rows that say the same as one before them; they are left out and counted otherwise.
    json_
        Print one JSON object and nothing else.
    """
    from parity.cli.progress import showing
    from parity.curation.importing import import_files
    from parity.reporting.data import counts_page
    from parity.reporting.terminal import draw, screen

    with _all_or_nothing(to), showing(not json_, "bytes") as show:
        done = import_files(sources, to, show, keep_repeated)
    if json_:
        _print({"folder": str(to), "sha256": done.sha256, "read": done.read, "rows": done.rows, "formats": done.formats,
                "rejected": done.rejected, "repeated": done.repeated, "not_kept": done.not_kept,
                "already_there": done.already_there})  # fmt: skip
        return 0
    lines = [f"Rows lie in {to / 'rows.jsonl'}, every rejected one is named in {to / 'rejected.jsonl'}."]
    if done.repeated:
        lines.append(
            f"{done.repeated:,} say the same as a row before them and were left out (--keep-repeated keeps them)."
        )
    lines += ["It was imported before; nothing was done."] if done.already_there else []
    counted = {"format": done.formats, "rejected because": done.rejected, "not kept of a row": done.not_kept}
    rejected = sum(done.rejected.values())
    title = f"{done.read:,} rows read: {done.rows:,} kept, {rejected:,} rejected, {done.repeated:,} repeated"
    draw(counts_page(title, lines, counted), screen())
    return 0


@data.command
def split(
    rows: Path,
    /,
    *,
    to: Path,
    shares: str = ".8,.1,.05,.05",
    against: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    benchmark_data: Path | None = None,
    seed: int = 0,
    json_: Json = False,
) -> int:
    """Split rows into train, dev, calibration and test so that nothing alike is on two sides.

    Parameters
    ----------
    rows
        A folder made by `parity data import`, or its rows.jsonl.
    to
        The folder for the four files, contaminated.txt, near_duplicates.txt and manifest.json.
    shares
        Of train, dev, calibration and test.
    against
        Benchmarks whose text may not be trained on, such as mmlu; training rows that hold any are taken out.
    benchmark_data
        The folder of the benchmarks' data.
    seed
        Another one gives other splits.
    json_
        Print one JSON object and nothing else.
    """
    from parity.cli.progress import showing
    from parity.curation.importing import read_rows
    from parity.curation.splitting import Shares, split_rows
    from parity.reporting.data import counts_page, leakage_sentence
    from parity.reporting.terminal import draw, screen

    try:
        fractions = Shares(*(float(share) for share in shares.split(",")))
    except (ValueError, TypeError):
        raise UsageError(f"--shares {shares} are not four fractions.", "Such as .8,.1,.05,.05.") from None
    prints, skipped = _fingerprints(against, benchmark_data)
    with _all_or_nothing(to), showing(not json_, "share") as show:
        done = split_rows(read_rows(rows, show), to, fractions, prints, seed, show)
    leaks = done.leakage
    if json_:
        leakage: Plain = {"sampled": leaks.sampled, "near": leaks.near, "half_alike": leaks.half_alike}
        _print({"folder": str(to), "rows": done.rows, "groups": done.groups, "grouped_rows": done.grouped_rows,
                "largest_group_rows": done.largest_group_rows, "near_duplicates": done.near_duplicates,
                "contaminated": list(done.contaminated), "items_too_short": skipped, "leakage": leakage})  # fmt: skip
        return 0
    lines = [
        f"{done.groups:,} groups; {done.grouped_rows:,} rows share theirs (near-duplicates, one user or one session); "
        f"the largest has {done.largest_group_rows:,} rows.",
        f"{done.near_duplicates:,} rows are near-duplicates of another; near_duplicates.txt names them.",
        f"{len(done.contaminated)} training rows held text of a benchmark and were taken out; see contaminated.txt."
        if against
        else "Not compared with any benchmark: --against mmlu takes out training rows that hold its text.",
        leakage_sentence(leaks.sampled, leaks.near, leaks.half_alike),
    ]
    if skipped:
        lines.append(f"{skipped} items have fewer than five words and cannot be looked for.")
    draw(counts_page(f"Split in {to}", lines, {"split": done.rows}), screen())
    return 0


@data.command
def audit(
    rows: Path,
    model: Path,
    /,
    *,
    max_tokens: int | None = None,
    overflow: Literal["drop", "truncate"] = "drop",
    budget: int = 0,
    show: int = 2,
    json_: Json = False,
) -> int:
    """Show what a model will really see and learn, and fail when any row is faulty.

    Parameters
    ----------
    rows
        A folder made by `parity data import`, or a file of rows.
    model
        A model folder: its tokenizer, chat template and generation configuration are used, no weights.
    max_tokens
        The longest sequence that is trained.
    overflow
        What happens to longer rows; either way they are faulty.
    budget
        How many faulty rows are tolerated.
    show
        How many rows are shown with their mask: green is trained.
    json_
        Print one JSON object and nothing else.
    """
    from parity.cli.progress import showing
    from parity.curation.audit import Audit, audited
    from parity.curation.importing import read_rows
    from parity.curation.labels import LabelledPair, open_labeller
    from parity.reporting.data import counts_page, seen_json, seen_text
    from parity.reporting.terminal import draw, screen

    labeller, found, shown = open_labeller(model), Audit(), list["Seen"]()
    with closing(labeller), showing(not json_, "share") as tell:
        for _, kept in audited(read_rows(rows, tell), labeller, max_tokens, found, overflow):
            if len(shown) < show:
                parts = (kept.chosen, kept.rejected) if isinstance(kept, LabelledPair) else kept
                shown += [_seen(part, labeller.decode) for part in parts]
    good = bool(found.sequences) and found.faulty_rows <= budget
    faulty = {fault.value: [row_id for row_id, _ in named] for fault, named in found.faulty.items()}
    if json_:
        ids: Plain = {name: list(named) for name, named in faulty.items()}
        _print({"rows": found.rows, "sequences": found.sequences, "tokens": found.tokens,
                "trained_tokens": found.trained_tokens, "longest_tokens": found.longest_tokens, "faults": found.counts,
                "faulty_rows": found.faulty_rows, "budget": budget, "passed": good, "ids": ids,
                "shown": [seen_json(one) for one in shown]})  # fmt: skip
        return 0 if good else 1
    console = screen()
    for one in shown:
        console.print(seen_text(one))
    lines = [
        f"{found.sequences:,} sequences of at most {found.longest_tokens:,} tokens; {found.trained_tokens:,} of "
        f"{found.tokens:,} tokens are trained."
    ]
    draw(counts_page(f"Audit of {found.rows:,} rows", lines, {"fault": found.counts}), console)
    found.require(budget)
    return 0


def _seen(one: "Labelled", decode: Callable[[Sequence[int]], str]) -> "Seen":
    from parity.reporting.data import Seen

    pieces, at = [], 0
    for start, end in one.trained:
        pieces += [(decode(one.ids[at:start]), False), (decode(one.ids[start:end]), True)]
        at = end
    return Seen(one.row_id, len(one), tuple((text, trained) for text, trained in pieces if text))


def _fingerprints(names: Iterable[str], folder: Path | None) -> tuple["Fingerprints", int]:
    """Fingerprints of the benchmarks' questions, and how many are too short for any."""
    from parity.benchmarks.catalog import open_benchmark
    from parity.core.fingerprints import Fingerprints

    return Fingerprints.of(item.question for name in names for item in open_benchmark(name, folder).items)


@contextmanager
def _all_or_nothing(folder: Path) -> Iterator[None]:
    """What an interruption leaves of a result that is written whole or not at all."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"Nothing was written to {folder}; run the same command to begin again.") from None


def _print(found: dict[str, Plain]) -> None:
    sys.stdout.write(json.dumps(found, ensure_ascii=False) + "\n")
