"""Score MMLU items with lm-evaluation-harness, for comparing answers and speed with ours. One JSON line at the end.

Run by `.venv-peers/bin/python`, where the harness is; knows nothing of Parity. Writes for every item the four
log-likelihoods the harness computed and the choice it takes (the first of the largest; a NaN counts as largest). In
the last line `seconds` is the evaluation without loading the model, `seconds_scoring` the part of it in tokenizing and
forward passes.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from harness import add_model, load
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from protocol import SHOTS, mmlu_tasks, subjects_of, task_manager


class WatchedHFLM(HFLM):
    """The harness's own model class, noting what it was asked and how long it took."""

    scoring_s = 0.0
    sequences = 0
    input_tokens = 0
    truncated = 0

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Tokenize and score, timed."""
        started = time.perf_counter()
        answers: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm=disable_tqdm)
        self.scoring_s += time.perf_counter() - started
        return answers

    def _loglikelihood_tokens(self, requests: list[Any], *args: Any, **kwargs: Any) -> list[tuple[float, bool]]:
        """Count what is computed: options that differ in their last token only share one sequence, others do not."""
        sequences = {tuple(ids + option[:-1]): context for (context, _), ids, option in requests}
        self.sequences += len(sequences)
        self.input_tokens += sum(min(len(sequence), self.max_length) for sequence in sequences)
        self.truncated += len({context for ids, context in sequences.items() if len(ids) > self.max_length})
        return super()._loglikelihood_tokens(requests, *args, **kwargs)


def main() -> None:
    arguments = parse()
    started = time.perf_counter()
    model = load(arguments, WatchedHFLM)
    subjects = subjects_of(arguments.data) if arguments.subjects == "all" else arguments.subjects.split(",")
    loaded = time.perf_counter()
    first, last = map(int, arguments.rows.split(":")) if arguments.rows else (0, 0)
    rows = {f"mmlu_{subject}": list(range(first, last)) for subject in subjects} if last else None
    results = simple_evaluate(
        model=model,
        tasks=mmlu_tasks(arguments.data, subjects),
        task_manager=task_manager(),
        num_fewshot=SHOTS,
        batch_size=arguments.batch_size,
        limit=arguments.limit,
        samples=rows,
        log_samples=True,
        bootstrap_iters=0,
    )
    evaluated = time.perf_counter()
    assert results is not None, "only ranks other than 0 return nothing, and this is one process"
    items = [item for subject in subjects for item in items_of(subject, results["samples"][f"mmlu_{subject}"])]
    arguments.out.write_text("".join(json.dumps(item) + "\n" for item in items))
    summary = {
        "items": len(items),
        "seconds": round(evaluated - loaded, 3),
        "seconds_scoring": round(model.scoring_s, 3),
        "seconds_total": round(time.perf_counter() - started, 3),
        "sequences": model.sequences,
        "input_tokens": model.input_tokens,
        "prompts_truncated": model.truncated,
    }
    print(json.dumps(summary), flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_model(parser)
    parser.add_argument("--data", type=Path, required=True, help="folder with MMLU's dev/ and test/, or above it")
    parser.add_argument("--subjects", required=True, help="a,b,c or all")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines: item, logliks, choice")
    parser.add_argument("--limit", type=int, help="first rows of each subject")
    parser.add_argument("--rows", help="these rows of each subject instead, FIRST:AFTER_LAST")
    return parser.parse_args()


def items_of(subject: str, samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The harness's samples of one subject in our three fields, by row."""
    items = []
    for sample in sorted(samples, key=lambda sample: sample["doc_id"]):
        logliks = [float(loglik) for loglik, _ in sample["filtered_resps"]]
        choice = int(np.argmax(logliks))  # as the harness does it: max() would pass over a NaN
        assert sample["acc"] == (choice == sample["target"]), f"{subject}/{sample['doc_id']}: not its own choice"
        items.append({"item": f"{subject}/{sample['doc_id']}", "logliks": logliks, "choice": choice})
    return items


if __name__ == "__main__":
    main()
