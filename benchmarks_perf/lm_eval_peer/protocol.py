"""lm-evaluation-harness's own 5-shot MMLU tasks, reading the questions from local CSV files instead of its hub.

Knows where the harness keeps its task files and takes everything but the data from them, so that what is measured
is its stock protocol. Run by `.venv-peers/bin/python`; as a script it checks the prompts against known hashes.
"""

import argparse
import csv
import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import lm_eval
from datasets import Dataset, DatasetDict
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml

SHOTS = 5
STOCK = Path(lm_eval.__file__).parent / "tasks" / "mmlu" / "default"
FIRST_PROMPT = "ff9b00310e214beacf4b324da8c9e6c1de4e49cb422f1bcb1f7037b78f40a2a3"  # abstract_algebra, row 0
ALL_PROMPTS = "e615053d5ed037dcf108fb4fa85df27e5fa45928938a6c4b8f51e9fce3141fb9"  # 14,042, each followed by \0


def subjects_of(data: Path) -> list[str]:
    """Every subject of the data folder, by name."""
    return sorted(path.name.removesuffix("_test.csv") for path in (mmlu_folder(data) / "test").glob("*_test.csv"))


def mmlu_folder(data: Path) -> Path:
    """The folder with `dev/` and `test/`: `data` itself, or where the shared data keeps MMLU below it.

    Raises:
        FileNotFoundError: none of them has both.
    """
    for folder in (data, data / "data", data / "mmlu" / "data"):
        if (folder / "dev").is_dir() and (folder / "test").is_dir():
            return folder
    raise FileNotFoundError(f"{data} holds no MMLU: no dev/ and test/ in it, in data/ or in mmlu/data/ below it")


def mmlu_tasks(data: Path, subjects: Iterable[str]) -> list[dict[str, Any]]:
    """One task configuration per subject: the harness's file, with its dataset replaced and five shots set."""
    local = {"custom_dataset": local_dataset, "dataset_path": None, "dataset_name": None, "num_fewshot": SHOTS}
    folder = str(mmlu_folder(data))
    return [
        {
            **load_yaml(STOCK / f"mmlu_{subject}.yaml"),
            **local,
            "dataset_kwargs": {"folder": folder, "subject": subject},
        }
        for subject in subjects
    ]


def task_manager() -> TaskManager:
    """A manager that does not index the harness's thousands of other task files."""
    return TaskManager(include_defaults=False)


def local_dataset(folder: str, subject: str, **_task_metadata: object) -> DatasetDict:
    """Both splits of one subject with the columns of the hub's `cais/mmlu`. Called by the harness."""
    return DatasetDict(
        {
            split: Dataset.from_list(_rows(Path(folder) / split / f"{subject}_{split}.csv", subject))
            for split in ("dev", "test")
        }
    )


def _rows(path: Path, subject: str) -> list[dict[str, Any]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [
            {"question": question, "subject": subject, "choices": choices, "answer": "ABCD".index(letter)}
            for question, *choices, letter in csv.reader(file)
        ]


def prompts_of(data: Path, subjects: Iterable[str]) -> list[str]:
    """The contexts the harness would send, by subject and row, without running a model."""
    tasks = task_manager().load(mmlu_tasks(data, subjects))["tasks"]
    prompts = []
    for task in tasks.values():
        task.build_all_requests(limit=None, rank=0, world_size=1)
        prompts += [instance.args[0] for instance in task.instances if instance.idx == 0]
    return prompts


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare all 5-shot MMLU prompts with their known hashes.")
    parser.add_argument("--data", type=Path, required=True, help="folder with MMLU's dev/ and test/, or above it")
    data = parser.parse_args().data
    prompts = prompts_of(data, subjects_of(data))
    first = hashlib.sha256(prompts[0].encode()).hexdigest()
    every = hashlib.sha256("".join(prompt + "\0" for prompt in prompts).encode()).hexdigest()
    print(f"{len(prompts)} prompts; first {first}; all {every}")
    return 0 if (first, every) == (FIRST_PROMPT, ALL_PROMPTS) else 1


if __name__ == "__main__":
    sys.exit(main())
