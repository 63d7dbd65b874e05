"""A resolved recipe in TRL's words: the one place where its configurations are made.

Network, telemetry and trackers are off; data is never touched by TRL; order and schedule are ours.
"""

from pathlib import Path
from typing import Any

import torch
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.kto_config import KTOConfig
from trl.trainer.reward_config import RewardConfig
from trl.trainer.rloo_config import RLOOConfig
from trl.trainer.sft_config import SFTConfig

from parity.tuning.prepared import Prepared
from parity.tuning.preparing_rows import GENERATIONS, answer_tokens
from parity.tuning.recipe import Plan

_WARMUP_SHARE = 0.03


def arguments(plan: Plan, prepared: Prepared, checkpointing: bool) -> Any:
    """TRL's configuration for the plan's method."""
    recipe, resolved = plan.recipe, prepared.resolved
    common = _common(plan, prepared, checkpointing)
    # Micro-batches of a step are counted for all processes together.
    common["gradient_accumulation_steps"] = prepared.per_step // plan.devices
    if recipe.method in ("pretrain", "continue", "sft"):
        return SFTConfig(
            **common,
            per_device_train_batch_size=1,
            per_device_eval_batch_size=1,
            max_length=None,
            packing=False,
            dataset_kwargs={"skip_prepare_dataset": True},
            router_aux_loss_coef=None if recipe.weights == "full" else 0.0,
        )
    at_once = prepared.rows_at_once
    rows: dict[str, Any] = {"per_device_train_batch_size": at_once, "per_device_eval_batch_size": at_once}
    if recipe.method == "dpo":
        return DPOConfig(**common, **rows, beta=resolved.beta, max_length=None)
    if recipe.method == "kto":
        return KTOConfig(**common, **rows, beta=resolved.beta, max_length=None)
    if recipe.method == "reward":
        return RewardConfig(**common, **rows, max_length=None)
    kind: Any = GRPOConfig if recipe.method == "grpo" else RLOOConfig
    extra: dict[str, Any] = {"loss_type": "dapo"} if recipe.method == "grpo" else {}
    return kind(
        **common,
        **rows,
        **extra,
        beta=resolved.beta,
        num_generations=GENERATIONS[recipe.method],
        max_completion_length=answer_tokens(prepared),
        shuffle_dataset=False,
        temperature=1.0,
    )


def _common(plan: Plan, prepared: Prepared, checkpointing: bool) -> dict[str, Any]:
    recipe, resolved, steps = plan.recipe, prepared.resolved, prepared.steps
    dev = prepared.dev is not None
    every = max(1, -(-steps // plan.looks))
    scratch = recipe.method == "pretrain"
    return {
        "output_dir": str(checkpoints(plan.out)),
        "max_steps": steps,
        "learning_rate": resolved.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": round(_WARMUP_SHARE * steps),
        "optim": "adamw_torch",
        "adam_beta2": 0.95 if scratch else 0.999,
        "weight_decay": 0.1 if scratch else 0.0,
        "max_grad_norm": 1.0,
        "seed": recipe.seed,
        "data_seed": recipe.seed,
        "bf16": False,
        "fp16": False,
        "gradient_checkpointing": checkpointing,  # TRL reads the old name, transformers the new one
        "activation_checkpointing": checkpointing,
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": every,
        "save_total_limit": 2,
        "eval_strategy": "steps" if dev else "no",
        "eval_steps": every if dev else None,
        "load_best_model_at_end": dev,
        "metric_for_best_model": "eval_loss" if dev else None,
        "greater_is_better": False if dev else None,
        "train_sampling_strategy": "sequential",
        "dataloader_pin_memory": False,
        "disable_tqdm": True,
        "report_to": "none",
        "push_to_hub": False,
        "use_cpu": not torch.cuda.is_available(),
        "ddp_backend": "gloo" if plan.devices > 1 and not torch.cuda.is_available() else None,
        "log_level": "error",
    }


def checkpoints(out: Path) -> Path:
    """Where a run keeps what it needs to go on."""
    return out / "checkpoints"
