"""lm-evaluation-harness's own tasks over rows from a folder: their prompts, and on request their choices.

A folder holds `<task>.jsonl` in the form of the hub's rows, and `<task>.train.jsonl` where a task draws its shots from
there. Everything but the rows is the harness's: its task file, its templates, its draws. Writes one JSON line an item:
task, doc_id, contexts, continuations; with `--model` log-likelihoods and the marks it gave as well. Run by
`.venv-peers/bin/python`; knows nothing of Parity.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lm_eval
from datasets import Dataset, DatasetDict
from harness import add_model, load
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml
from shots import without_markers

TASKS = Path(lm_eval.__file__).parent / "tasks"
SEED = 1234  # the harness's default for drawing shots
FOLDERS = {
    "arc_challenge": "arc", "arc_easy": "arc", "hellaswag": "hellaswag", "piqa": "piqa", "openbookqa": "openbookqa",
    "truthfulqa_mc1": "truthfulqa", "truthfulqa_mc2": "truthfulqa", "gsm8k": "gsm8k", "gsm8k_cot": "gsm8k",
    "winogrande": "winogrande", "boolq": "super_glue/boolq", "medqa_4options": "medqa", "medmcqa": "medmcqa",
    "pubmedqa": "pubmedqa", "ifeval": "ifeval", "minerva_math_algebra": "minerva_math",
}  # fmt: skip
NAMED = {"winogrande": "default", "boolq": "default", "gsm8k_cot": "gsm8k-cot", "medqa_4options": "medqa"}


def task_file(task: str) -> Path:
    """Where the harness keeps a task."""
    for prefix, folder in (("bbh_cot_fewshot_", "bbh/cot_fewshot"), ("bbh_fewshot_", "bbh/fewshot")):
        if task.startswith(prefix):
            return TASKS / folder / f"{task.removeprefix(prefix)}.yaml"
    if task.startswith("agieval_"):
        return TASKS / "agieval" / f"{task.removeprefix('agieval_').replace('_', '-')}.yaml"
    if task.startswith("mmlu_pro_"):
        return TASKS / "mmlu_pro" / f"{task}.yaml"
    return TASKS / FOLDERS[task] / f"{NAMED.get(task, task)}.yaml"


def configurations(rows: Path) -> list[dict[str, Any]]:
    """The harness's task files, each with its data set replaced."""
    found = []
    for path in sorted(rows.glob("*.jsonl")):
        if path.name.endswith(".train.jsonl"):
            continue
        task = path.name.removesuffix(".jsonl")
        stock = load_yaml(task_file(task))
        keys = ("training_split", "validation_split", "test_split", "fewshot_split")
        local = {"folder": str(rows), "data": task, "splits": sorted({stock[key] for key in keys if stock.get(key)})}
        found.append({**stock, "task": task, "custom_dataset": local_dataset, "dataset_path": None,
                      "dataset_name": None, "dataset_kwargs": local})  # fmt: skip
    return found


def local_dataset(folder: str, data: str, splits: list[str], **_task_metadata: object) -> DatasetDict:
    """The rows of a task as every split it names, and the rows to draw shots from as `train`. Called by the harness."""
    rows, pool = _rows(Path(folder) / f"{data}.jsonl"), Path(folder) / f"{data}.train.jsonl"
    found = {split: Dataset.from_list(rows) for split in splits}
    return DatasetDict(found | ({"train": Dataset.from_list(_rows(pool))} if pool.exists() else {}))


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


def asked(tasks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """What every task would ask, by item, without a model."""
    for name, task in TaskManager(include_defaults=False).load(tasks)["tasks"].items():
        task.set_fewshot_seed(SEED)
        task.build_all_requests(limit=None, rank=0, world_size=1)
        items: dict[int, list[Any]] = {}
        for instance in task.instances:
            items.setdefault(instance.doc_id, []).append(instance.args)
        for doc_id, arguments in items.items():
            rest = [args[1] if isinstance(args[1], str) else "" for args in arguments]
            yield {"task": name, "doc_id": doc_id, "contexts": [args[0] for args in arguments], "continuations": rest}


def scored(tasks: list[dict[str, Any]], model: HFLM, batch_size: int) -> Iterator[dict[str, Any]]:
    """What every task asked of a model, with log-likelihoods and marks."""
    results = simple_evaluate(
        model=model, tasks=tasks, task_manager=TaskManager(include_defaults=False), batch_size=batch_size,
        log_samples=True, bootstrap_iters=0,
    )  # fmt: skip
    assert results is not None
    for name, samples in results["samples"].items():
        for sample in samples:
            arguments = list(sample["arguments"])
            yield {
                "task": name,
                "doc_id": sample["doc_id"],
                "contexts": [args[0] for args in arguments],
                "continuations": [args[1] for args in arguments],
                "logliks": [float(found[0]) for found in sample["filtered_resps"]],
                "acc": float(sample["acc"]),
                "acc_norm": float(sample["acc_norm"]) if "acc_norm" in sample else None,
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_model(parser)
    parser.add_argument("--rows", type=Path, required=True, help="folder of <task>.jsonl")
    parser.add_argument("--score", action="store_true", help="ask the model too; else its arguments are not looked at")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines")
    arguments = parser.parse_args()
    without_markers()
    tasks = configurations(arguments.rows)
    found = scored(tasks, load(arguments, HFLM), arguments.batch_size) if arguments.score else asked(tasks)
    with arguments.out.open("w", encoding="utf-8") as out:
        for item in found:
            out.write(json.dumps(item, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
