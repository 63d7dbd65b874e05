"""GSM8K with eight worked solutions, written by lm-evaluation-harness: its stock task, its own model class.

Run by `.venv-peers/bin/python`. With `--data` it writes the prompts of the harness's `gsm8k_cot` (shots, stop strings
and all, from its own task file; questions from a local file). With `--model` it answers them; ordering, batching and
stopping are the harness's, and `seconds` is its `generate_until`, tokenizing included, without loading.
"""

import argparse
import gzip
import json
import time
from pathlib import Path
from typing import Any

import lm_eval
from datasets import Dataset, DatasetDict
from harness import load
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks._yaml_loader import load_yaml
from protocol import task_manager

STOCK = Path(lm_eval.__file__).parent / "tasks" / "gsm8k" / "gsm8k-cot.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="shared data: write --prompts from it")
    parser.add_argument("--model", help="transformers folder: answer --prompts with it")
    parser.add_argument("--prompts", type=Path, required=True, help="JSON lines: item, prompt, until, max_tokens")
    parser.add_argument("--max-tokens", type=int, default=256, help="of an answer; the harness's default is 256")
    parser.add_argument("--limit", type=int, help="first questions only")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--max-length", type=int, default=4096, help="tokens")
    parser.add_argument("--out", type=Path, help="JSON: seconds, and the text of every item")
    arguments = parser.parse_args()
    if arguments.data:
        rows = prompts(arguments.data, arguments.max_tokens, arguments.limit)
        arguments.prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    if arguments.model:
        answer(arguments)


def prompts(data: Path, max_tokens: int, limit: int | None) -> list[dict[str, Any]]:
    """What the harness would ask, in the order of the questions."""
    path = str(data / "reasoning_benchmarks" / "gsm8k" / "test.jsonl.gz")
    local = {"custom_dataset": questions, "dataset_path": None, "dataset_name": None}
    config = {**load_yaml(STOCK), **local, "dataset_kwargs": {"path": path}}
    (task,) = task_manager().load([config])["tasks"].values()
    task.build_all_requests(limit=limit, rank=0, world_size=1)
    rows = []
    for instance in task.instances:
        prompt, settings = instance.args
        row = {"item": str(instance.doc_id), "prompt": prompt, "until": settings["until"], "max_tokens": max_tokens}
        rows.append(row)
    return rows


def questions(path: str, **_task_metadata: object) -> DatasetDict:
    """The columns of the hub's `openai/gsm8k`. Called by the harness."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return DatasetDict({"test": Dataset.from_list([json.loads(line) for line in lines])})


def answer(arguments: argparse.Namespace) -> None:
    model = load(arguments, HFLM)
    rows = [json.loads(line) for line in arguments.prompts.read_text().splitlines()][: arguments.limit]
    requests = []
    for at, row in enumerate(rows):
        settings = {"until": row["until"], "do_sample": False, "max_gen_toks": row["max_tokens"]}
        requests.append(Instance("generate_until", {}, (row["prompt"], settings), at))
    started = time.perf_counter()
    texts = model.generate_until(requests, disable_tqdm=True)
    seconds = time.perf_counter() - started
    found = {row["item"]: text for row, text in zip(rows, texts, strict=True)}
    arguments.out.write_text(json.dumps({"seconds": seconds, "texts": found}))


if __name__ == "__main__":
    main()
