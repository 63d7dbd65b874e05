"""How answers that were drawn several times read (pass@k), and how answers that were run were kept in."""

from collections.abc import Sequence

from parity.measurement.draws import PassAt, pass_at
from parity.measurement.results import Measured
from parity.reporting.page import Block, Sentence, Table, percent


def draws_blocks(runs: Sequence[Measured]) -> list[Block]:
    """pass@k of every model; nothing where items were answered once."""
    if all(run.draws == 1 for run in runs):
        return []
    counts = {run.draws for run in runs}
    drawn = f"{counts.pop()} answers" if len(counts) == 1 else f"{min(counts)} to {max(counts)} answers"
    blocks: list[Block] = [Sentence(f"{drawn} to each item; an item counts once, with the mean of its answers.")]
    found = {run.run_id: {each.k: each for each in pass_at(run.marks)} for run in runs}
    ks = sorted({k for by_k in found.values() for k in by_k})
    if ks:
        rows = tuple((run.model.short, *(_cell(found[run.run_id].get(k)) for k in ks)) for run in runs)
        blocks.append(Table(("unbiased, 95 % over items", *(f"pass@{k}" for k in ks)), rows))
    return blocks


def ran_blocks(runs: Sequence[Measured]) -> list[Block]:
    """What kept programs in, and what their tests leaned on."""
    blocks: list[Block] = []
    for isolation in dict.fromkeys(run.ran.isolation for run in runs if run.ran):
        blocks.append(Sentence(f"Answers were run isolated: {isolation}."))
    for run in runs:
        if run.ran and run.ran.held_objects:
            blocks.append(
                Sentence(
                    f"{run.model.short}: {run.ran.held_objects:,} tests handled objects of the program (classes), "
                    "not plain values alone."
                )
            )
    return blocks


def _cell(found: PassAt | None) -> str:
    return "" if found is None else f"{percent(found.value)} ({100 * found.low:.1f} to {100 * found.high:.1f})"
