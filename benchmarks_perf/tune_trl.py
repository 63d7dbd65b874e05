"""The same training by Parity and by plain TRL, each in a process of its own: tokens a second, peak memory, adapters.

    python tune_trl.py ours|trl|trl_packed JOB.json

Knows how TRL is used by someone who takes its defaults: messages in, padding, its own chat template handling, bf16 and
checkpointing as they come. Writes one JSON object: tokens a second of what is read, and the growth of resident memory.
"""

import json
import os
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.update({"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"})


@dataclass(frozen=True, slots=True)
class Job:
    """One training of steps of about `batch_rows` rows; memory is measured where `memory` is set.

    `precision`: of the base's weights; auto is each side's own default (fp32 for TRL).
    """

    base: str
    data: str
    out: str
    batch_rows: int
    batch_tokens: int
    length_tokens: int
    rank: int = 16
    rate: float = 2e-3
    memory: bool = False
    precision: str = "auto"


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def ours(job: Job) -> dict[str, float]:
    import parity.tuning.trainers  # noqa: F401 - so that imports are no part of the growth
    from parity.tuning.recipe import Plan, Recipe
    from parity.tuning.tune import tune

    before = peak_bytes()
    recipe = Recipe(
        rank=job.rank, learning_rate=job.rate, length_tokens=job.length_tokens, batch_tokens=job.batch_tokens
    )
    # Rows are looked at once; the dev rows are the data's own, looked at by neither side while it is timed.
    plan = Plan(
        base=job.base, data=Path(job.data), dev=Path(job.data), out=Path(job.out), recipe=recipe, patience=0, looks=1,
        checkpointing="on" if job.memory else "auto",
        precision=job.precision,
    )  # fmt: skip
    done = tune(plan)
    points = done.points
    first = points[0]
    tokens, seconds = points[-1].tokens - first.tokens, points[-1].seconds - first.seconds
    if len(points) == 1:
        tokens, seconds = first.tokens, first.seconds
    return {"tokens": tokens, "seconds": seconds, "growth_bytes": peak_bytes() - before, "steps": len(points)}


def theirs(job: Job, packed: bool) -> dict[str, float]:
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    before = peak_bytes()
    rows = [json.loads(line) for line in Path(job.data).read_text().splitlines()]
    dataset = Dataset.from_list([{"messages": row["messages"]} for row in rows])
    extra: dict[str, Any] = {"packing": True, "per_device_train_batch_size": 1} if packed else {}
    extra.setdefault("per_device_train_batch_size", job.batch_rows)
    settings = SFTConfig(
        job.out, num_train_epochs=1, learning_rate=job.rate, max_length=job.length_tokens, report_to="none",
        save_strategy="no", disable_tqdm=True, use_cpu=True, **extra,
    )  # fmt: skip
    stamps: list[tuple[float, int]] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            stamps.append((time.perf_counter(), 0))

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            stamps[-1] = (time.perf_counter() - stamps[-1][0], int(trainer._total_train_tokens))

    tokenizer = AutoTokenizer.from_pretrained(job.base)
    model = AutoModelForCausalLM.from_pretrained(
        job.base, dtype=torch.bfloat16 if job.precision == "bfloat16" else torch.float32
    )
    trainer = SFTTrainer(
        model=model, args=settings, train_dataset=dataset, processing_class=tokenizer, callbacks=[Clock()],
        peft_config=LoraConfig(r=job.rank, lora_alpha=job.rank, target_modules="all-linear", task_type="CAUSAL_LM"),
    )  # fmt: skip
    trainer.train()
    trainer.model.save_pretrained(job.out)
    seconds = sum(spent for spent, _ in stamps[1:]) if len(stamps) > 1 else stamps[0][0]
    tokens = stamps[-1][1] - (stamps[0][1] if len(stamps) > 1 else 0)
    growth = peak_bytes() - before
    return {"tokens": tokens, "seconds": seconds, "growth_bytes": growth, "steps": len(stamps)}


def main() -> int:
    import logging
    import warnings

    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    job = Job(**json.loads(Path(sys.argv[2]).read_text()))
    found = ours(job) if sys.argv[1] == "ours" else theirs(job, sys.argv[1] == "trl_packed")
    Path(sys.argv[3]).write_text(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
