"""`parity tune`: train an adapter or a model from a plan."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from parity.errors import UsageError
from parity.tuning.recipe import Plan, Recipe, check_plan, read_plan

if TYPE_CHECKING:
    from parity.tuning.tune import Tuned
    from parity.tuning.watching import OnStep
    from parity.workflows.sweeps import Trial


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class TuneOptions:
    """What to train; a plan's file, or its fields as flags.

    Parameters
    ----------
    plan
        TOML file with base, data and out, and the recipe under [recipe]; instead of flags.
    base
        The model: a folder or hf:org/name@revision; for pretrain a folder with config.json and a tokenizer.
    data
        Training rows (JSONL), or a folder with train and dev files.
    out
        Folder for the result; the same command goes on there after a stop.
    dev
        Rows that stop the training early; without it some are held out of the data.
    keep
        adapter: what was trained. merged: the base with the adapter in it.
    patience
        Stop after so many looks at dev without a better loss; 0 never stops early.
    looks
        How often dev is looked at, and a checkpoint kept.
    precision
        Number type of the base's weights.
    checkpointing
        Compute activations again instead of keeping them; auto does so when memory is short.
    devices
        Processes that share every step.
    """

    plan: Annotated[Path | None, Parameter(show_default=False)] = None
    _: KW_ONLY
    base: str | None = None
    data: Path | None = None
    out: Path | None = None
    dev: Path | None = None
    keep: Literal["adapter", "merged"] = "adapter"
    patience: int = 3
    looks: int = 10
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    checkpointing: Literal["auto", "on", "off"] = "auto"
    devices: int = 1


def tune(
    spec: Annotated[TuneOptions | None, Parameter(name="*")] = None,
    *,
    recipe: Annotated[Recipe | None, Parameter(name="*")] = None,
    sweep: str | None = None,
    workspace: Path = Path(".parity"),
    explain: Annotated[bool, Parameter(negative="")] = False,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Train: pretraining, fine-tuning, preferences, rewards; adapters or all weights, on proved rows only.

    Ctrl-C saves; the same command goes on and ends with the same bytes.

    Parameters
    ----------
    sweep
        Choose the learning rate by the score on a benchmark (a name, or a TOML file of your own items: see
        docs/benchmarks.md), which must hold neither training rows nor the items of your proof.
    workspace
        Folder that keeps the answers of a sweep.
    explain
        Say what every default is and where it comes from, and train nothing.
    json_
        Print one JSON object and nothing else.
    """
    from parity.reporting.terminal import draw, screen
    from parity.reporting.tunings import defaults_page, tuned_json, tuned_page, write_curve

    if explain:
        from parity.tuning.defaults import EXPLAINED

        draw(defaults_page(EXPLAINED), screen())
        return 0
    plan = _plan(spec or TuneOptions(), recipe or Recipe())
    with _showing(not json_) as on_step:
        found, trials = _train(plan, sweep, workspace, on_step)
    written = write_curve(found)
    if json_:
        sys.stdout.write(json.dumps(tuned_json(found, trials), ensure_ascii=False) + "\n")
    else:
        console = screen()
        draw(tuned_page(found, trials), console)
        console.print(f"\nWritten: {found.out}, {written}")
    return _code(found)


def _train(plan: Plan, benchmark: str | None, workspace: Path, on_step: "OnStep") -> "tuple[Tuned, tuple[Trial, ...]]":
    from parity.tuning.tune import tune as train

    if benchmark is None:
        return train(plan, on_step), ()
    from parity.benchmarks.catalog import open_benchmark
    from parity.store import Workspace
    from parity.workflows.sweeps import sweep, task_score

    items = open_benchmark(benchmark)
    kept = Workspace(workspace)
    try:
        found = sweep(plan, task_score(items, kept), on_step=on_step)
    finally:
        kept.close()
    return found.tuned, found.trials


def _code(found: "Tuned") -> int:
    return 0 if found.stopped_at is None else 130


def _plan(spec: TuneOptions, recipe: Recipe) -> Plan:
    if spec.plan is not None:
        if replace(spec, plan=None) != TuneOptions() or recipe != Recipe():
            raise UsageError("A plan and flags were given.", "Write the flags into the plan, or leave the plan out.")
        return read_plan(spec.plan)
    if spec.base is None or spec.data is None or spec.out is None:
        missing = [f"--{name}" for name in ("base", "data", "out") if getattr(spec, name) is None]
        raise UsageError(f"{', '.join(missing)} is missing.", "Give it, or a plan: parity tune PLAN.toml.")
    plan = Plan(
        base=spec.base,
        data=spec.data,
        out=spec.out,
        recipe=recipe,
        dev=spec.dev,
        keep=spec.keep,
        patience=spec.patience,
        looks=spec.looks,
        precision=spec.precision,
        checkpointing=spec.checkpointing,
        devices=spec.devices,
    )
    check_plan(plan)
    return plan


@contextmanager
def _showing(enabled: bool) -> Iterator["OnStep"]:
    """A bar on stderr: step, loss, loss on dev, tokens a second, time left."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from parity.tuning.watching import Seen

    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), disable=not enabled, transient=True) as progress:
        task = progress.add_task("", total=None)

        def show(seen: Seen) -> None:
            progress.update(task, completed=seen.step, total=seen.steps, description=_words(seen))

        yield show


def _words(seen: object) -> str:
    from parity.tuning.watching import Seen

    assert isinstance(seen, Seen)
    parts = [f"loss {seen.loss:.4f}"]
    if seen.dev is not None:
        parts.append(f"dev {seen.dev:.4f}")
    if seen.tokens_per_s:
        parts.append(f"{seen.tokens_per_s:,.0f} tokens/s")
    if seen.seconds_left is not None:
        minutes, seconds = divmod(round(seen.seconds_left), 60)
        parts.append(f"{minutes}:{seconds:02} left")
    return "  ".join(parts)
