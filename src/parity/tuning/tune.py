"""The verb: a plan in, an adapter or a model out, all on disk as it comes; the same call goes on after a stop."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from parity.core.digests import plain
from parity.core.refs import ModelRef, Scheme
from parity.errors import EngineError, UsageError
from parity.tuning.adapters import AdapterCount
from parity.tuning.loading import Loaded, load
from parity.tuning.memory import Preflight
from parity.tuning.outputs import Manifest, libraries, python_version, read_manifest, write_card, write_manifest
from parity.tuning.planned import Run, decide
from parity.tuning.preparing_rows import last_tokens
from parity.tuning.quiet import quiet
from parity.tuning.recipe import RL_METHODS, TEXT_METHODS, Plan, check_plan
from parity.tuning.resuming import claimed, last_checkpoint
from parity.tuning.rewards import Reward, find_reward
from parity.tuning.settings import arguments, checkpoints
from parity.tuning.watching import Curve, OnStep, Patience, Point, Watcher, interruptible


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a training gave. `stopped_at`: the step it was stopped at by Ctrl-C, or None when it is done."""

    out: Path
    ref: ModelRef
    steps: int
    points: tuple[Point, ...]
    adapters: tuple[AdapterCount, ...]
    trained_parameters: int
    rows_left_out: tuple[str, ...]
    dev_loss: float | None
    seconds: float
    memory: Preflight | None
    stopped_at: int | None = None
    resumed_from: int | None = None


def tune(plan: Plan, on_step: OnStep | None = None, reward: Reward | None = None) -> Tuned:
    """Train as planned, or go on where an earlier call stopped; a finished run is read, not run again.

    `reward` replaces the one the recipe names.

    Raises:
        UsageError: the plan contradicts itself.
        ModelError: the base is missing or broken, cannot be trained so, or does not fit in memory.
        DataError: rows that cannot be trained on.
        StoreError: `out` holds something else, or the disk is full.
        EngineError: the loss is not a number.
    """
    check_plan(plan)
    if plan.devices > 1 and not torch.distributed.is_initialized():
        from parity.tuning.launching import launch

        if reward is not None:
            raise UsageError("A reward that is a function cannot go to other processes.", "Name it in recipe.reward.")
        launch(plan, on_step)  # what it leaves is read below, as of any finished run
    with quiet():
        return _tune(plan, on_step, reward)


def _tune(plan: Plan, on_step: OnStep | None, reward: Reward | None) -> Tuned:
    run = decide(plan)
    with claimed(plan.out, run.key):
        if (done := read_manifest(plan.out)) is not None:
            return _finished(plan, done)
        return _trained(run, on_step, reward)


def _trained(run: Run, on_step: OnStep | None, reward: Reward | None) -> Tuned:
    plan, recipe = run.plan, run.plan.recipe
    loaded = load(run.folder, recipe.method, recipe.weights, recipe.rank, recipe.experts, run.dtype, recipe.seed)
    begun = last_checkpoint(plan.out)
    resumed = int(begun.name.rpartition("-")[2]) if begun else None
    curve = _curve(plan)
    watcher = Watcher(curve, run.prepared.step_tokens, on_step, curve.cut(resumed or 0))
    trainer = trainer_of(run, loaded, watcher, reward)
    with interruptible(watcher):
        trainer.train(resume_from_checkpoint=str(begun) if begun else None)
    tuned = _tuned(run, loaded, resumed)
    if watcher.interrupted and trainer.state.global_step < run.prepared.steps:
        return replace(tuned, stopped_at=trainer.state.global_step)
    tuned = replace(tuned, dev_loss=trainer.state.best_metric)
    if trainer.is_world_process_zero():
        _write(run, loaded, tuned, trainer.state.best_global_step)
    return tuned


def _curve(plan: Plan) -> Curve:
    return Curve(plan.out / "curve.jsonl")


def trainer_of(run: Run, loaded: Loaded, watcher: Watcher, reward: Reward | None = None) -> Any:
    """TRL's trainer for a run, before its first step."""
    from transformers.trainer_callback import PrinterCallback

    from parity.tuning import trainers

    plan, prepared, method = run.plan, run.prepared, run.plan.recipe.method
    settings = arguments(plan, prepared, run.recompute)
    callbacks: list[Any] = [watcher]
    if prepared.dev is not None and plan.patience:
        callbacks.append(Patience(early_stopping_patience=plan.patience))
    common = {"model": loaded.model, "args": settings, "processing_class": loaded.tokenizer, "callbacks": callbacks}
    common |= {"train_dataset": prepared.train}
    if method in TEXT_METHODS:
        trainer: Any = trainers.TextTrainer(**common, eval_dataset=prepared.dev, data_collator=prepared.collator)
        trainer.dev_share = prepared.dev_share
    elif method in RL_METHODS:
        prompts = prepared.prompt_ids or {}
        rewards = reward or find_reward(plan.recipe.reward or "", prompts)
        kind = trainers.GrpoTrainer if method == "grpo" else trainers.RlooTrainer
        trainer = kind(**common, reward_funcs=rewards)
        trainer.prompt_ids = prompts
    else:
        if method == "reward":
            trainers.part_padding(loaded.tokenizer, last_tokens(prepared))
        named = {"dpo": trainers.DpoTrainer, "kto": trainers.KtoTrainer, "reward": trainers.RewardModelTrainer}
        extra = {"ref_model": _reference(run)} if method in ("dpo", "kto") and plan.recipe.weights == "full" else {}
        trainer = named[method](**common, **extra, eval_dataset=prepared.dev)
    trainer.remove_callback(PrinterCallback)
    _train_in_fp32(loaded)
    return trainer


def _train_in_fp32(loaded: Loaded) -> None:
    """What is trained stays in fp32 with every kind of weights.

    TRL puts the adapters of a 4-bit base into bf16, where AdamW's small steps vanish; a resumed run would have fp32.
    """
    for weight in loaded.model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()


def _reference(run: Run) -> Any:
    """A second copy of the base, for a policy whose own weights move."""
    recipe = run.plan.recipe
    return load(run.folder, "sft", "full", recipe.rank, recipe.experts, run.dtype, recipe.seed).model


def _tuned(run: Run, loaded: Loaded, resumed: int | None) -> Tuned:
    points = _curve(run.plan).points()
    if not points:
        raise EngineError("No step was made.", "Give more rows, or more epochs.")
    trained = sum(weight.numel() for weight in loaded.model.parameters() if weight.requires_grad)
    return Tuned(
        run.plan.out,
        ModelRef(Scheme.FOLDER, str(run.plan.out)),
        run.prepared.steps,
        points,
        loaded.adapters,
        trained,
        run.prepared.used.left_out,
        None,
        points[-1].seconds,
        run.memory,
        resumed_from=resumed,
    )


def _write(run: Run, loaded: Loaded, tuned: Tuned, best_step: int | None) -> None:
    """Weights, tokenizer, manifest, card; then the checkpoints go."""
    _write_weights(run, loaded)
    plan, resolved, points = run.plan, run.prepared.resolved, tuned.points
    manifest = Manifest(
        plan.base,
        run.weights_digest,
        plan.recipe.method,
        dict(plain(resolved.recipe)),  # type: ignore[arg-type]
        resolved.reasons,
        run.prepared.used,
        loaded.adapters,
        tuned.trained_parameters,
        points[-1].step,
        best_step,
        points[0].loss,
        points[-1].loss,
        tuned.dev_loss,
        tuned.seconds,
        tuned.memory.device if tuned.memory else "unknown",
        run.precision,
        torch.get_num_threads(),
        libraries(),
        python_version(),
    )
    write_card(plan, resolved, manifest, points, run.folder)
    write_manifest(manifest, plan.out)
    shutil.rmtree(checkpoints(plan.out), ignore_errors=True)


def _write_weights(run: Run, loaded: Loaded) -> None:
    from parity.tuning.merging import merge_folders

    out = run.plan.out
    if run.plan.keep == "merged" and loaded.adapters:
        loaded.model.save_pretrained(str(out / "adapter"))
        shutil.rmtree(out / "merged", ignore_errors=True)  # what an earlier call left half written
        merge_folders(run.folder, out / "adapter", out / "merged")
        for path in (out / "merged").iterdir():
            path.replace(out / path.name)
        (out / "merged").rmdir()
    else:
        loaded.model.save_pretrained(str(out))
    loaded.tokenizer.save_pretrained(out)


def _finished(plan: Plan, done: dict[str, Any]) -> Tuned:
    return Tuned(
        plan.out,
        ModelRef(Scheme.FOLDER, str(plan.out)),
        done["steps"],
        _curve(plan).points(),
        tuple(AdapterCount(**row) for row in done["adapters"]),
        done["trained_parameters"],
        tuple(done["data"]["left_out"]),
        done["dev_loss"],
        done["seconds"],
        None,
        resumed_from=done["steps"],
    )
