"""How many tokens the whole of MMLU, 5-shot, is: asked for, distinct, and computed by our walk. No model is run.

Distinct beginnings are counted one by one (`choices.beginnings`); what is computed is what the passes of the walk
cover. Ends with one JSON line. `--quick` takes ten subjects.
"""

import argparse
import json
import sys
from pathlib import Path

from choices import CONTEXT_TOKENS, DEFAULT_DATA, beginnings, mmlu_pairs, request_of, tokenizer_of

from parity.benchmarks.mmlu import subjects
from parity.engines.tokens.encoding import Encoded, Encoder
from parity.engines.tokens.walk import Cut, passes, walk

PASS_TOKENS = 2048


def main() -> int:
    parser = argparse.ArgumentParser(description="Count the tokens of MMLU.")
    parser.add_argument("--quick", action="store_true", help="ten subjects of 57")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="shared data; default: %(default)s")
    parser.add_argument("--vocabulary", choices=("qwen2.5", "pythia"), default="qwen2.5", help="default: %(default)s")
    arguments = parser.parse_args()
    chosen = tuple(subjects())[: 10 if arguments.quick else None]
    encoder = Encoder(tokenizer_of(arguments.vocabulary, arguments.data), None, CONTEXT_TOKENS)
    found = [encoder.likelihood(request_of(pair)) for pair in mmlu_pairs(arguments.data, chosen)]
    encoded = [entry for entry in found if isinstance(entry, Encoded)]
    rows = walk([entry.context for entry in encoded], [entry.continuations for entry in encoded])
    computed = sum(piece.end - piece.begin for pieces in passes(rows, Cut(PASS_TOKENS)) for piece in pieces)
    floor = len(beginnings({entry.context + rest[:-1] for entry in encoded for rest in entry.continuations}))
    figures = {
        "items": len(encoded),
        "without_ids": len(found) - len(encoded),
        "tokens_of_prompts": sum(len(entry.context) for entry in encoded),
        "tokens_requested": sum(len(entry.context + rest[:-1]) for entry in encoded for rest in entry.continuations),
        "tokens_distinct": floor,
        "tokens_computed": computed,
        "computed_over_floor": computed / floor,
    }
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
