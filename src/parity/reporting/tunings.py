"""How a training, a merge and a difference read."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from parity.core.digests import Plain, plain
from parity.files import write_atomic
from parity.reporting.curves import DEV_COLOUR, Series, curve_svg, drawn
from parity.reporting.models import gigabytes
from parity.reporting.page import Block, Heading, Page, Sentence, Table, percent

if TYPE_CHECKING:  # what is drawn belongs to rooms beside this one: only its shape is needed here
    from parity.tuning.diff import Difference
    from parity.tuning.merging import MergeReport
    from parity.tuning.tune import Tuned

_ROWS = 12
_ANSWERS = 5


def defaults_page(rows: Iterable[tuple[str, str, str]]) -> Page:
    """Every default of a recipe with its source."""
    return Page("What a recipe does unless told otherwise", (Table(("field", "default", "why"), tuple(rows)),))


class TrialLike(Protocol):
    """One run of a sweep, made in a room above this one."""

    @property
    def learning_rate(self) -> float: ...
    @property
    def share(self) -> float: ...
    @property
    def score(self) -> float: ...
    @property
    def dev_loss(self) -> float | None: ...


def tuned_page(found: "Tuned", trials: Sequence[TrialLike] = ()) -> Page:
    """What was trained, how far the loss fell, which weights carry adapters, the curve; trials of a sweep first."""
    first, last = found.points[0], found.points[-1]
    if found.stopped_at is not None:
        said = Sentence(f"Stopped and saved at step {found.stopped_at:,} of {found.steps:,}.", "yellow")
    else:
        said = Sentence(f"Done: {last.step:,} steps, {last.tokens:,} tokens in {found.seconds:,.0f} s.", "green")
    blocks: list[Block] = [*_trials(trials), said]
    if found.resumed_from:
        blocks.append(Sentence(f"Went on from step {found.resumed_from:,}."))
    loss = f"Loss {first.loss:.4f} at the first step, {last.loss:.4f} at the last"
    dev = [point.dev for point in found.points if point.dev is not None]
    if dev:
        loss += f"; on dev {dev[0]:.4f} at the first look, {min(dev):.4f} at the best"
    blocks.append(Sentence(loss + "."))
    blocks += [Sentence(line) for line in _metrics(found)]
    if found.rows_left_out:
        blocks.append(Sentence(f"{len(found.rows_left_out)} rows were left out as too long; the manifest names them."))
    if found.memory:
        blocks.append(
            Sentence(
                f"A step takes about {gigabytes(found.memory.needed_bytes)} of {gigabytes(found.memory.room_bytes)}"
                + (", activations computed again." if found.memory.checkpointing else ".")
            )
        )
    if found.adapters:
        rows = [(row.kind, f"{row.adapted} of {row.present}", f"{row.parameters:,}") for row in found.adapters]
        blocks.append(Table(("weight", "with adapter", "parameters"), tuple(rows)))
    blocks.append(Sentence(f"{found.trained_parameters:,} parameters were trained."))
    if len(found.points) > 1:
        blocks.append(drawn(_series(found), "step"))
    return Page(f"Tuned: {found.out}", tuple(blocks))


def _trials(trials: Sequence[TrialLike]) -> list[Block]:
    if not trials:
        return []
    losses = ["" if row.dev_loss is None else f"{row.dev_loss:.4f}" for row in trials]
    rows = [
        (f"{row.learning_rate:.3g}", percent(row.share), percent(row.score), loss)
        for row, loss in zip(trials, losses, strict=True)
    ]
    said = f"{trials[-1].learning_rate:.3g} was chosen by the score on the task."
    return [Table(("learning rate", "of the epochs", "score", "dev loss"), tuple(rows)), Sentence(said)]


def tuned_json(found: "Tuned", trials: Sequence[TrialLike] = ()) -> dict[str, Plain]:
    """The same in nats, tokens and seconds."""
    return {
        "trials": [plain(trial) for trial in trials],
        "out": str(found.out),
        "steps": found.steps,
        "stopped_at": found.stopped_at,
        "resumed_from": found.resumed_from,
        "loss": [point.loss for point in found.points],
        "dev_loss": [point.dev for point in found.points],
        "metrics": [plain(dict(point.metrics)) for point in found.points],
        "tokens": found.points[-1].tokens,
        "seconds": found.seconds,
        "trained_parameters": found.trained_parameters,
        "adapters": plain(found.adapters),
        "rows_left_out": list(found.rows_left_out),
        "memory": plain(found.memory),
    }


def write_curve(found: "Tuned") -> Path | None:
    """`curve.svg` beside the weights; None where there are too few points for a line."""
    if len(found.points) < 2:
        return None
    return write_atomic(found.out / "curve.svg", curve_svg(found.out.name, _series(found), "step"))


def _series(found: "Tuned") -> list[Series]:
    series = [Series("train", tuple((point.step, point.loss) for point in found.points))]
    dev = tuple((point.step, point.dev) for point in found.points if point.dev is not None)
    return [*series, Series("dev", dev, DEV_COLOUR, "o")] if dev else series


def _metrics(found: "Tuned") -> list[str]:
    """What preference and reward methods report, first and last."""
    first, last = dict(found.points[0].metrics), dict(found.points[-1].metrics)
    words = {"reward": "Mean reward", "kl": "KL to the base", "rewards/accuracies": "Pairs ranked rightly",
             "accuracy": "Pairs ranked rightly"}  # fmt: skip
    return [
        f"{what}: {first[key]:.3f} at the first step, {last[key]:.3f} at the last."
        for key, what in words.items()
        if key in first and key in last
    ]


def merge_page(found: "MergeReport") -> Page:
    """What was merged, and the proof."""
    lines = (
        f"{found.changed} of {found.tensors} tensors changed.",
        f"Merged against base with adapter: log-probabilities differ by {found.apart:.2g} nats at most, the likeliest "
        f"token is the same at {percent(found.agree)} of positions.",
        f"Merged against base: {found.moved:.2g} nats at most.",
    )
    return Page(f"Merged: {found.folder}", tuple(map(Sentence, lines)))


def diff_page(found: "Difference") -> Page:
    """Which tensors moved most, which answers changed, which refusals came or went."""
    blocks: list[Block] = [Sentence(f"{len(found.moved)} of {found.tensors} tensors moved.")]
    if found.moved:
        rows = [(row.name, f"{row.relative:.2e}", f"{row.largest:.2e}", f"{row.elements:,}") for row in found.moved]
        blocks.append(Table(("tensor", "relative", "largest", "elements"), tuple(rows[:_ROWS])))
        if len(rows) > _ROWS:
            blocks.append(Sentence(f"{len(rows) - _ROWS} more moved less.", "dim"))
    for side, names in (("base", found.only_base), ("tuned model", found.only_tuned)):
        if names:
            blocks.append(Sentence(f"Only the {side} has {', '.join(names[:_ANSWERS])}.", "yellow"))
    if found.asked or found.failed:
        blocks += _asked(found)
    return Page(f"{found.tuned} against {found.base}", tuple(blocks))


def _asked(found: "Difference") -> list[Block]:
    said = f"{len(found.changed)} of {found.asked} answers changed; "
    said += f"{found.refusals_base} refusals before, {found.refusals_tuned} after."
    blocks: list[Block] = [Heading("Answers"), Sentence(said)]
    if found.failed:
        blocks.append(Sentence(f"{found.failed} prompts could not be answered by both.", "red"))
    for what, names in (("Newly refused", found.new_refusals), ("No longer refused", found.lost_refusals)):
        if names:
            blocks.append(Sentence(f"{what}: {', '.join(names)}."))
    rows = [(row.id, _short(row.base), _short(row.tuned)) for row in found.changed[:_ANSWERS]]
    return [*blocks, Table(("prompt", "before", "after"), tuple(rows))] if rows else blocks


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 40 else line[:39] + "…"
