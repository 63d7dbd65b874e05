"""A plan met with its base, its rows and this machine: everything a run is decided by, before any weight is loaded."""

from dataclasses import dataclass
from pathlib import Path

import torch

from parity.models.counts import count
from parity.models.model_files import LocalFolder, read_json
from parity.models.shapes import shape_of
from parity.tuning.loading import base_folder, load_tokenizer, number_type
from parity.tuning.memory import Preflight, Step, preflight
from parity.tuning.outputs import base_digest
from parity.tuning.prepared import MICRO_TOKENS, Prepared, Shape
from parity.tuning.preparing import prepare
from parity.tuning.reading import Source
from parity.tuning.recipe import TEXT_METHODS, Plan, check_plan
from parity.tuning.resuming import run_key


@dataclass(frozen=True, slots=True)
class Run:
    """One training, decided. `memory` None where the sizes of the architecture are unknown."""

    plan: Plan
    folder: Path
    prepared: Prepared
    dtype: torch.dtype
    memory: Preflight | None
    weights_digest: str

    @property
    def recompute(self) -> bool:
        """Whether activations are computed again instead of kept."""
        return self.memory.checkpointing if self.memory else self.plan.checkpointing == "on"

    @property
    def precision(self) -> str:
        return str(self.dtype).removeprefix("torch.")

    @property
    def key(self) -> str:
        """The digest of what decides the result."""
        used = self.prepared.used
        data = f"{used.train_digest} {used.dev_digest} {used.order_digest}"
        return run_key(self.plan, self.weights_digest, data, self.precision, self.recompute)


def decide(plan: Plan) -> Run:
    """Read and order the rows, and see whether a step fits in memory.

    Raises:
        ModelError: the base is missing or broken, or a step does not fit.
        DataError: rows that cannot be trained on.
    """
    folder, prepared = _prepared(plan)
    dtype = number_type(plan.precision, plan.recipe.weights, plan.recipe.method)
    memory = preflight(folder, _step(plan, prepared, dtype), plan.checkpointing)
    return Run(plan, folder, prepared, dtype, memory, base_digest(folder))


def resolved_rate(plan: Plan) -> float:
    """The learning rate a plan would train with.

    Raises:
        UsageError: the plan contradicts itself.
        ModelError, DataError: as `decide`.
    """
    check_plan(plan)
    return _prepared(plan)[1].resolved.learning_rate


def _prepared(plan: Plan) -> tuple[Path, Prepared]:
    folder = base_folder(plan.base)
    shape = shape_of(read_json(LocalFolder(folder), "config.json"))
    sizes = Shape(shape.hidden, count(shape).total, shape.architecture, shape.context_tokens)
    return folder, prepare(plan, Source(load_tokenizer(folder), folder), sizes)


def _step(plan: Plan, prepared: Prepared, dtype: torch.dtype) -> Step:
    length = prepared.resolved.length_tokens
    rows = prepared.rows_at_once
    at_once = max(MICRO_TOKENS, length) if plan.recipe.method in TEXT_METHODS else rows * length
    return Step(plan.recipe.weights, plan.recipe.rank, length, at_once, dtype.itemsize)
