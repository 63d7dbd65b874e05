"""`parity data`: import, split and audit training data."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cyclopts import App

from parity.cli.options import Json, Repeated
from parity.core.digests import Plain
from parity.errors import UsageError

if TYPE_CHECKING:
    from parity.core.fingerprints import Fingerprints
    from parity.curation.audit import Audit, Kept
    from parity.curation.splitting import Shares, Split
    from parity.reporting.data import Seen

data = App(name="data", help="Training data: import it from any format, split it without leaks, audit it.")


@data.command(name="import")
def import_(
    sources: tuple[Path, ...],
    /,
    *,
    to: Path,
    keep_repeated: bool = False,
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
    against: Repeated = (),
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
        Benchmarks whose text may not be trained on, such as mmlu, or mmlu=FOLDER to say where its data lies;
        training rows that hold any are taken out.
    benchmark_data
        The folder of the data of benchmarks that are named without one.
    seed
        Another one gives other splits.
    json_
        Print one JSON object and nothing else.
    """
    from parity.cli.progress import showing
    from parity.curation.importing import read_rows
    from parity.curation.splitting import split_rows
    from parity.reporting.data import counts_page
    from parity.reporting.terminal import draw, screen

    fractions = _shares(shares)
    prints, skipped = _fingerprints(against, benchmark_data)
    with _all_or_nothing(to), showing(not json_, "share") as show:
        done = split_rows(read_rows(rows, show), to, fractions, prints, seed, show)
    if json_:
        leakage = {"sampled": done.leakage.sampled, "near": done.leakage.near, "half_alike": done.leakage.half_alike}
        _print({"folder": str(to), "rows": done.rows, "groups": done.groups, "grouped_rows": done.grouped_rows,
                "largest_group_rows": done.largest_group_rows, "near_duplicates": done.near_duplicates,
                "common_openings": done.common_openings,
                "contaminated": list(done.contaminated), "items_too_short": skipped, "leakage": leakage})  # fmt: skip
        return 0
    draw(counts_page(f"Split in {to}", _told(done, bool(against), skipped), {"split": done.rows}), screen())
    return 0


def _shares(text: str) -> "Shares":
    from parity.curation.splitting import Shares

    try:
        train, dev, calibration, test = map(float, text.split(","))
        return Shares(train, dev, calibration, test)
    except ValueError:
        raise UsageError(f"--shares {text} are not four fractions.", "Such as .8,.1,.05,.05.") from None


def _told(done: "Split", compared: bool, skipped: int) -> list[str]:
    from parity.reporting.data import leakage_sentence

    lines = [
        f"{done.groups:,} groups; {done.grouped_rows:,} rows share theirs (near-duplicates, one question, user or "
        f"session); the largest has {done.largest_group_rows:,} rows.",
        f"{done.near_duplicates:,} rows are near-duplicates of another; near_duplicates.txt names them.",
        f"Taken out of training for text of a benchmark: {len(done.contaminated):,} rows; see contaminated.txt."
        if compared
        else "Not compared with any benchmark: --against mmlu takes out training rows that hold its text.",
        leakage_sentence(done.leakage.sampled, done.leakage.near, done.leakage.half_alike),
    ]
    if done.common_openings:
        lines.append(f"{done.common_openings:,} openings are shared by too many rows to be a question, and tie none.")
    if skipped:
        lines.append(f"{skipped:,} items have too few words to be looked for.")
    return lines


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
    from parity.curation.labels import open_labeller
    from parity.reporting.data import counts_page, seen_text
    from parity.reporting.terminal import draw, screen

    labeller, found, shown, seen = open_labeller(model), Audit(), list["Seen"](), 0
    with closing(labeller), showing(not json_, "share") as tell:
        for _, kept in audited(read_rows(rows, tell), labeller, max_tokens, found, overflow):
            if seen < show:
                shown += _seen(kept, labeller.decode)
                seen += 1
    if json_:
        return _print_audit(found, budget, shown)
    console = screen()
    for one in shown:
        console.print(seen_text(one))
    lines = [
        f"{found.sequences:,} sequences of at most {found.longest_tokens:,} tokens; {found.trained_tokens:,} of "
        f"{found.tokens:,} tokens are trained."
    ]
    if found.passes(budget):
        lines += [f"Passed: {found.faulty_rows:,} faulty rows, the budget is {budget:,}.", *found.sentences()]
    draw(counts_page(f"Audit of {found.rows:,} rows", lines, {"fault": found.counts}), console)
    found.require(budget)
    return 0


def _print_audit(found: "Audit", budget: int, shown: "Sequence[Seen]") -> int:
    from parity.reporting.data import seen_json

    good = found.passes(budget)
    ids: dict[str, Plain] = {}
    for fault, named in found.faulty.items():
        ids[fault.value] = list(dict.fromkeys(row_id for row_id, _ in named))
    reasons: Plain = [{"fault": one.fault.value, "why": one.why, "rows": len(one.ids)} for one in found.reasons()]
    _print({"rows": found.rows, "sequences": found.sequences, "tokens": found.tokens,
            "trained_tokens": found.trained_tokens, "longest_tokens": found.longest_tokens, "faults": found.counts,
            "faulty_rows": found.faulty_rows, "budget": budget, "passed": good, "ids": ids, "reasons": reasons,
            "shown": [seen_json(one) for one in shown]})  # fmt: skip
    return 0 if good else 1


def _seen(kept: "Kept", decode: Callable[[Sequence[int]], str]) -> "list[Seen]":
    """The sequences of a row as pieces of text: the two endings of a pair, or one for every reading."""
    from parity.curation.labels import LabelledPair
    from parity.reporting.data import Seen

    if isinstance(kept, LabelledPair):
        parts = {"chosen": kept.chosen, "rejected": kept.rejected}
    else:
        parts = {f"{at} of {len(kept)}" if len(kept) > 1 else "": one for at, one in enumerate(kept, 1)}
    found = []
    for name, one in parts.items():
        pieces, at = [], 0
        for start, end in one.trained:
            pieces += [(decode(one.ids[at:start]), False), (decode(one.ids[start:end]), True)]
            at = end
        pieces.append((decode(one.ids[at:]), False))
        found.append(Seen(one.row_id, name, len(one), tuple((text, trained) for text, trained in pieces if text)))
    return found


def _fingerprints(names: Iterable[str], folder: Path | None) -> tuple["Fingerprints", int]:
    """Fingerprints of the benchmarks' questions, and how many are too short for any."""
    from parity.benchmarks.catalog import open_benchmark
    from parity.core.fingerprints import Fingerprints

    places = [name.partition("=") for name in names]
    found = (open_benchmark(name, Path(own).expanduser() if own else folder) for name, _, own in places)
    return Fingerprints.of(item.question for benchmark in found for item in benchmark.items)


@contextmanager
def _all_or_nothing(folder: Path) -> Iterator[None]:
    """What an interruption leaves of a result that is written whole or not at all."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"Nothing was written to {folder}; run the same command to begin again.") from None


def _print(found: dict[str, Plain]) -> None:
    sys.stdout.write(json.dumps(found, ensure_ascii=False) + "\n")
