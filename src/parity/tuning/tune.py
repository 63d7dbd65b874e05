"""The verb: a plan in, an adapter or a model out, all on disk as it comes; the same call goes on after a stop."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from parity.core.digests import plain
from parity.core.refs import ModelRef, Scheme
from parity.errors import EngineError
from parity.models.counts import count
from parity.models.model_files import LocalFolder, read_json
from parity.models.shapes import shape_of
from parity.tuning.adapters import AdapterCount
from parity.tuning.loading import Loaded, base_folder, load, load_tokenizer, number_type
from parity.tuning.memory import Preflight, Step, preflight
from parity.tuning.outputs import (
    Manifest,
    base_digest,
    libraries,
    python_version,
    read_manifest,
    write_card,
    write_manifest,
)
from parity.tuning.preparing import MICRO_TOKENS, Prepared, Shape, prepare
from parity.tuning.quiet import quiet
from parity.tuning.reading import Source
from parity.tuning.recipe import RL_METHODS, TEXT_METHODS, Plan, check_plan
from parity.tuning.resuming import claim, last_checkpoint, run_key
from parity.tuning.rewards import Reward, find_reward
from parity.tuning.settings import arguments, checkpoints
from parity.tuning.watching import Curve, OnStep, Point, Watcher, interruptible


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

        launch(plan, on_step)  # what it leaves is read below, as of any finished run
    with quiet():
        return _tune(plan, on_step, reward)


def resolved_rate(plan: Plan) -> float:
    """The learning rate a plan would train with.

    Raises:
        UsageError, ModelError, DataError: as `tune`.
    """
    check_plan(plan)
    folder = base_folder(plan.base)
    return prepare(plan, Source(load_tokenizer(folder), folder), _shape(folder)).resolved.learning_rate


def _tune(plan: Plan, on_step: OnStep | None, reward: Reward | None) -> Tuned:
    folder = base_folder(plan.base)
    tokenizer = load_tokenizer(folder)
    prepared = prepare(plan, Source(tokenizer, folder), _shape(folder))
    dtype = number_type(plan.precision, plan.recipe.weights, plan.recipe.method)
    memory = preflight(folder, _step(plan, prepared, dtype), plan.checkpointing)
    recompute = memory.checkpointing if memory else plan.checkpointing == "on"
    weights_digest = base_digest(folder)
    precision = str(dtype).removeprefix("torch.")
    claim(plan.out, run_key(plan, weights_digest, _data_key(prepared), precision, recompute))
    curve = Curve(plan.out / "curve.jsonl")
    if (done := read_manifest(plan.out)) is not None:
        return _finished(plan, done, curve)
    recipe = plan.recipe
    loaded = load(folder, recipe.method, recipe.weights, recipe.rank, recipe.experts, dtype, recipe.seed)
    begun = last_checkpoint(plan.out)
    before = curve.cut(int(begun.name.rpartition("-")[2])) if begun else curve.cut(0)
    watcher = Watcher(curve, prepared.step_tokens, on_step, before)
    trainer = _trainer(plan, prepared, loaded, watcher, recompute, reward)
    with interruptible(watcher):
        trainer.train(resume_from_checkpoint=str(begun) if begun else None)
    resumed = int(begun.name.rpartition("-")[2]) if begun else None
    tuned = _tuned(plan, prepared, loaded, curve, memory, resumed)
    if watcher.interrupted and trainer.state.global_step < prepared.steps:
        return replace(tuned, stopped_at=trainer.state.global_step)
    if trainer.is_world_process_zero():
        _write(plan, prepared, loaded, trainer, folder, tuned, (weights_digest, precision))
    return replace(tuned, dev_loss=_best(trainer)[1])


def _shape(folder: Path) -> Shape:
    shape = shape_of(read_json(LocalFolder(folder), "config.json"))
    return Shape(shape.hidden, count(shape).total, shape.architecture, shape.context_tokens)


def _step(plan: Plan, prepared: Prepared, dtype: torch.dtype) -> Step:
    length = prepared.resolved.length_tokens
    rows = prepared.rows_at_once
    at_once = max(MICRO_TOKENS, length) if plan.recipe.method in TEXT_METHODS else rows * length
    return Step(plan.recipe.weights, plan.recipe.rank, length, at_once, dtype.itemsize)


def _data_key(prepared: Prepared) -> str:
    used = prepared.used
    return f"{used.train_digest} {used.dev_digest} {used.order_digest}"


def _trainer(
    plan: Plan, prepared: Prepared, loaded: Loaded, watcher: Watcher, recompute: bool, reward: Reward | None
) -> Any:
    from transformers import EarlyStoppingCallback
    from transformers.trainer_callback import PrinterCallback

    from parity.tuning import trainers

    method = plan.recipe.method
    settings = arguments(plan, prepared, recompute)
    callbacks: list[Any] = [watcher]
    if prepared.dev is not None and plan.patience:
        callbacks.append(EarlyStoppingCallback(early_stopping_patience=plan.patience))
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
        named = {"dpo": trainers.DpoTrainer, "kto": trainers.KtoTrainer, "reward": trainers.RewardModelTrainer}
        extra = {"ref_model": _reference(plan)} if method in ("dpo", "kto") and plan.recipe.weights == "full" else {}
        trainer = named[method](**common, **extra, eval_dataset=prepared.dev)
    trainer.remove_callback(PrinterCallback)
    return trainer


def _reference(plan: Plan) -> Any:
    """A second copy of the base, for a policy whose own weights move."""
    recipe = plan.recipe
    dtype = number_type(plan.precision, recipe.weights, recipe.method)
    return load(base_folder(plan.base), "sft", "full", recipe.rank, recipe.experts, dtype, recipe.seed).model


def _best(trainer: Any) -> tuple[int | None, float | None]:
    return trainer.state.best_global_step, trainer.state.best_metric


def _tuned(
    plan: Plan, prepared: Prepared, loaded: Loaded, curve: Curve, memory: Preflight | None, resumed: int | None
) -> Tuned:
    points = curve.points()
    trained = sum(weight.numel() for weight in loaded.model.parameters() if weight.requires_grad)
    return Tuned(
        plan.out,
        ModelRef(Scheme.FOLDER, str(plan.out)),
        prepared.steps,
        points,
        loaded.adapters,
        trained,
        prepared.used.left_out,
        None,
        points[-1].seconds if points else 0.0,
        memory,
        resumed_from=resumed,
    )


def _write(
    plan: Plan, prepared: Prepared, loaded: Loaded, trainer: Any, folder: Path, tuned: Tuned, facts: tuple[str, str]
) -> None:
    """Weights, tokenizer, manifest, card; then the checkpoints go."""
    from parity.tuning.merging import merge_folders

    if plan.keep == "merged" and loaded.adapters:
        adapter = plan.out / "adapter"
        loaded.model.save_pretrained(str(adapter))
        merge_folders(folder, adapter, plan.out / "merged")
        for path in (plan.out / "merged").iterdir():
            path.replace(plan.out / path.name)
        (plan.out / "merged").rmdir()
    else:
        loaded.model.save_pretrained(str(plan.out))
    loaded.tokenizer.save_pretrained(plan.out)
    best, dev = _best(trainer)
    points = tuned.points
    if not points:
        raise EngineError("No step was made.", "Give more rows, or more epochs.")
    manifest = Manifest(
        plan.base,
        facts[0],
        plan.recipe.method,
        dict(plain(prepared.resolved.recipe)),  # type: ignore[arg-type]
        prepared.resolved.reasons,
        prepared.used,
        loaded.adapters,
        tuned.trained_parameters,
        points[-1].step,
        best,
        points[0].loss,
        points[-1].loss,
        dev,
        tuned.seconds,
        tuned.memory.device if tuned.memory else "unknown",
        facts[1],
        torch.get_num_threads(),
        libraries(),
        python_version(),
    )
    write_card(plan, prepared.resolved, manifest, points, folder)
    write_manifest(manifest, plan.out)
    shutil.rmtree(checkpoints(plan.out), ignore_errors=True)


def _finished(plan: Plan, done: dict[str, Any], curve: Curve) -> Tuned:
    adapters = tuple(AdapterCount(**row) for row in done["adapters"])
    return Tuned(
        plan.out,
        ModelRef(Scheme.FOLDER, str(plan.out)),
        done["steps"],
        curve.points(),
        adapters,
        done["trained_parameters"],
        tuple(done["data"]["left_out"]),
        done["dev_loss"],
        done["seconds"],
        None,
        resumed_from=done["steps"],
    )
