"""Score (context, continuations) pairs with lm-evaluation-harness's own model class. One JSON line at the end.

Run by `.venv-peers/bin/python`. The pairs come from a file, so that both sides score the very same text; ordering,
grouping and batching are the harness's. `seconds` is its `loglikelihood`, tokenizing included, without loading.
"""

import argparse
import json
import time
from pathlib import Path

from harness import add_model, load
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_model(parser)
    parser.add_argument("--pairs", type=Path, required=True, help="JSON lines: item, head, question, continuations")
    parser.add_argument("--limit", type=int, help="first lines only")
    parser.add_argument("--out", type=Path, required=True, help="JSON: seconds, and the choice of every item")
    arguments = parser.parse_args()
    model = load(arguments, HFLM)
    rows = [json.loads(line) for line in arguments.pairs.read_text().splitlines()][: arguments.limit]
    requests = [
        Instance(request_type="loglikelihood", doc={}, arguments=(row["head"] + row["question"], option), idx=at)
        for row in rows
        for at, option in enumerate(row["continuations"])
    ]
    started = time.perf_counter()
    found = model.loglikelihood(requests, disable_tqdm=True)
    seconds = time.perf_counter() - started
    values = iter(float(value) for value, _ in found)
    logliks = {row["item"]: [next(values) for _ in row["continuations"]] for row in rows}
    arguments.out.write_text(json.dumps({"seconds": seconds, "logliks": logliks}))


if __name__ == "__main__":
    main()
