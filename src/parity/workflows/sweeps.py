"""The learning rate chosen on the task itself: short runs at three rates, the better half goes on with more data.

The score is that of the benchmark the user names, on items that are neither trained on nor kept for the proof. Tuning
never sees it: it is handed a function from a model to a number.
"""

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from parity.benchmarks.base import Benchmark
from parity.core.refs import ModelRef, Scheme
from parity.core.scores import Score
from parity.engines.open import EngineOptions
from parity.errors import UsageError
from parity.measurement.measure import MeasureSpec, measure
from parity.store import Workspace
from parity.tuning.loading import base_folder
from parity.tuning.merging import merge_folders
from parity.tuning.planned import resolved_rate
from parity.tuning.recipe import RL_METHODS, Plan
from parity.tuning.tune import Tuned, tune
from parity.tuning.watching import OnStep

Evaluate = Callable[[ModelRef], float]
# Half and twice the rule's rate: the cheapest sweep with most of its value.
FACTORS = (0.5, 1.0, 2.0)
# What part of the epochs each round of successive halving (Jamieson and Talwalkar 2016) trains.
SHARES = (0.25, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of a sweep: the share of the epochs it had, and its score on the task."""

    learning_rate: float
    share: float
    score: float
    dev_loss: float | None


@dataclass(frozen=True, slots=True)
class Sweep:
    """Every trial in order, the rate that won, and its run at full length."""

    trials: tuple[Trial, ...]
    learning_rate: float
    tuned: Tuned


def sweep(
    plan: Plan,
    evaluate: Evaluate,
    factors: tuple[float, ...] = FACTORS,
    on_step: OnStep | None = None,
    on_trial: Callable[[Trial], None] | None = None,
) -> Sweep:
    """Find the rate with the highest score; equal scores go to the smaller rate. The winner's run is `plan.out`.

    Each round trains its rates for a share of the epochs and keeps the better half (rounded up).
    What was trained is kept under `plan.out`/../`plan.out`.sweep, so a sweep that was stopped goes on.

    Raises:
        UsageError: no factors, or a method whose result is no model that writes.
        ParityError: as `tune`, and whatever `evaluate` raises.
    """
    if not factors or plan.recipe.method in ("reward", *RL_METHODS):
        raise UsageError(f"A sweep of {plan.recipe.method} is not offered.", "Sweep sft, dpo, kto, continue, pretrain.")
    middle = resolved_rate(plan)
    rates = sorted(middle * factor for factor in factors)
    folder = plan.out.with_name(plan.out.name + ".sweep")
    trials: list[Trial] = []
    for share in SHARES[:-1]:
        if len(rates) == 1:
            break
        found = [_trial(plan, rate, share, folder, evaluate, on_step) for rate in rates]
        trials += found
        if on_trial:
            for trial in found:
                on_trial(trial)
        rates = _better_half(found)
    tuned = tune(_with(plan, rates[0], 1.0, plan.out), on_step)
    final = Trial(rates[0], 1.0, _scored(plan, tuned, folder, evaluate), tuned.dev_loss)
    if on_trial:
        on_trial(final)
    return Sweep((*trials, final), rates[0], tuned)


def task_score(benchmark: Benchmark, workspace: Workspace, options: EngineOptions | None = None) -> Evaluate:
    """A function from a model to its mean score on a benchmark; what could not be scored counts as wrong."""

    def evaluate(ref: ModelRef) -> float:
        found = measure(MeasureSpec((ref,), options=options or EngineOptions()), benchmark, workspace)
        marks = [marked.mark for marked in found.measured[0].marks]
        return sum(mark.value for mark in marks if isinstance(mark, Score)) / len(marks)

    return evaluate


def _trial(plan: Plan, rate: float, share: float, folder: Path, evaluate: Evaluate, on_step: OnStep | None) -> Trial:
    tuned = tune(_with(plan, rate, share, folder / f"rate-{rate:.3g}-share-{share:g}"), on_step)
    return Trial(rate, share, _scored(plan, tuned, folder, evaluate), tuned.dev_loss)


def _with(plan: Plan, rate: float, share: float, out: Path) -> Plan:
    recipe = replace(plan.recipe, learning_rate=rate, epochs=plan.recipe.epochs * share)
    return replace(plan, out=out, recipe=recipe)


def _scored(plan: Plan, tuned: Tuned, folder: Path, evaluate: Evaluate) -> float:
    """The score of what would be served: an adapter is merged for it, and the merge removed."""
    if not (tuned.out / "adapter_config.json").is_file():
        return evaluate(tuned.ref)
    scratch = folder / f"{tuned.out.name}-merged"
    shutil.rmtree(scratch, ignore_errors=True)
    merge_folders(base_folder(plan.base), tuned.out, scratch)
    try:
        return evaluate(ModelRef(Scheme.FOLDER, str(scratch)))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _better_half(trials: list[Trial]) -> list[float]:
    """Rates of the better half, best first; equal scores: the smaller rate first."""
    ordered = sorted(trials, key=lambda trial: (-trial.score, trial.learning_rate))
    return [trial.learning_rate for trial in ordered[: math.ceil(len(ordered) / 2)]]
