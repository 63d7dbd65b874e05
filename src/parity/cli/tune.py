"""`parity tune`: train an adapter or a model from a plan."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from parity.cli.options import Json
from parity.errors import UsageError
from parity.tuning.recipe import Draft, Plan, Recipe, check_plan, read_plan

if TYPE_CHECKING:
    from parity.tuning.tune import Tuned
    from parity.tuning.watching import OnStep
    from parity.workflows.sweeps import Trial


def tune(
    plan: Annotated[Path | None, Parameter(show_default=False)] = None,
    *,
    draft: Annotated[Draft | None, Parameter(name="*")] = None,
    recipe: Annotated[Recipe | None, Parameter(name="*")] = None,
    sweep: str | None = None,
    workspace: Path = Path(".parity"),
    explain: bool = False,
    json_: Json = False,
) -> int:
    """Train: pretraining, fine-tuning, preferences, rewards; adapters or all weights, on proved rows only.

    Ctrl-C saves; the same command goes on and ends with the same bytes.

    Parameters
    ----------
    plan
        TOML file with base, data and out, and the recipe under [recipe]; instead of flags.
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
    whole = _plan(plan, draft or Draft(), recipe or Recipe())
    with _showing(not json_) as on_step:
        found, trials = _train(whole, sweep, workspace, on_step)
    written = write_curve(found)
    if json_:
        sys.stdout.write(json.dumps(tuned_json(found, trials), ensure_ascii=False) + "\n")
    else:
        console = screen()
        draw(tuned_page(found, trials), console)
        console.print(f"\nWritten: {', '.join(str(path) for path in (found.out, written) if path)}")
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


def _plan(path: Path | None, draft: Draft, recipe: Recipe) -> Plan:
    if path is not None:
        if draft != Draft() or recipe != Recipe():
            raise UsageError("A plan and flags were given.", "Write the flags into the plan, or leave the plan out.")
        return read_plan(path)
    if missing := [f"--{name}" for name in ("base", "data", "out") if getattr(draft, name) is None]:
        raise UsageError(f"{', '.join(missing)} is missing.", "Give it, or a plan: parity tune PLAN.toml.")
    plan = Plan(**{field.name: getattr(draft, field.name) for field in fields(Draft)}, recipe=recipe)
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
