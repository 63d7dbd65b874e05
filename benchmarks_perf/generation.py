"""GSM8K behind eight worked solutions: Parity against lm-evaluation-harness's `generate_until`, both writing greedily.

Same folder, same prompts and stop strings (the harness's own task makes them), each side in its own process, in turn;
medians. The model has random weights, so that most answers are as long as they may be. Both compute in fp32: a text
may differ from where two tokens are nearly equally likely, so agreement is counted, not demanded. Each side's batch is
the one it is fastest with. Ends with one JSON line.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from choices import CONTEXT_TOKENS, DEFAULT_DATA, Shape, tokenizer_of
from steps import Steps, measured

from parity.errors import EngineError, ParityError
from parity.testing.folders import random_llama_folder
from peers import DEFAULT_FOLDER, python_of

SHAPE = Shape(hidden=384, layers=6, heads=6, kv_heads=3, ffn=1024)
PEER = Path(__file__).parent / "lm_eval_peer" / "written.py"
ITEMS, QUICK_ITEMS = 100, 24
ROUNDS, QUICK_ROUNDS = 3, 1
# The harness's default; less where a look is enough, and to find the best batch.
MAX_TOKENS, QUICK_MAX_TOKENS, PROBE_TOKENS = 256, 64, 32
# Without a nearly empty last batch.
OUR_BATCHES, THEIR_BATCHES = (34, 100), (10, 20, 25, 34, 50)
QUICK_OURS, QUICK_THEIRS = 24, 12


def main() -> int:
    parser = argparse.ArgumentParser(description="Write GSM8K answers with Parity and lm-evaluation-harness.")
    parser.add_argument("--quick", action="store_true", help="24 items, one round: a minute or two on 2 cores")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="shared data; default: %(default)s")
    parser.add_argument("--ours", help=argparse.SUPPRESS)  # the process that is measured: folder|prompts|out|batch
    arguments = parser.parse_args()
    if arguments.ours:
        ours(*arguments.ours.split("|"))
        return 0
    try:
        summary = compared(arguments.data, arguments.quick)
    except ParityError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(summary))
    return 0


def compared_in_steps(data: Path, home: Path, minutes: float | None, limit: int | None) -> float:
    """Their seconds over ours, measured in steps that are kept in `home`.

    Raises:
        OutOfTime: not all is measured yet.
        EngineError: a side failed.
    """
    items = limit or ITEMS
    steps = Steps(home, f"{SHAPE} {items} {MAX_TOKENS}", minutes)
    folder, prompts = home / "model", home / "prompts.jsonl"
    write_model(folder, data)
    write_prompts(data, prompts, items, PROBE_TOKENS)
    our_s = {at: steps.result(f"ours-{at}", lambda at=at: run_ours(folder, prompts, at)) for at in OUR_BATCHES}
    their_s = {at: steps.result(f"theirs-{at}", lambda at=at: run_theirs(folder, prompts, at)) for at in THEIR_BATCHES}
    mine, other = (min(sides, key=lambda at: sides[at][0]["seconds"]) for sides in (our_s, their_s))
    write_prompts(data, prompts, items, MAX_TOKENS)
    rounds = []
    for at in range(ROUNDS):
        sides = (
            steps.result(f"ours-round{at}", lambda: run_ours(folder, prompts, mine)),
            steps.result(f"theirs-round{at}", lambda: run_theirs(folder, prompts, other)),
        )
        rounds.append(sides)
    shutil.rmtree(folder)
    return float(show(rounds, mine, other)["generation_speedup"])


def compared(data: Path, quick: bool) -> dict[str, Any]:
    """Both sides answer in turn; prints how it went.

    Raises:
        EngineError: the peers are not built, or a side failed.
    """
    if not python_of(DEFAULT_FOLDER).exists():
        raise EngineError(f"lm-evaluation-harness is not in {DEFAULT_FOLDER}.", "Build it with: make peers")
    items, tokens = (QUICK_ITEMS, QUICK_MAX_TOKENS) if quick else (ITEMS, MAX_TOKENS)
    with tempfile.TemporaryDirectory() as scratch:
        folder, prompts = Path(scratch, "model"), Path(scratch, "prompts.jsonl")
        write_model(folder, data)
        mine, other = (QUICK_OURS, QUICK_THEIRS) if quick else best_batches(folder, prompts, data)
        write_prompts(data, prompts, items, tokens)
        rounds = []
        for _ in range(QUICK_ROUNDS if quick else ROUNDS):
            rounds.append((run_ours(folder, prompts, mine), run_theirs(folder, prompts, other)))
    return show(rounds, mine, other)


def write_model(folder: Path, data: Path) -> None:
    sizes = {name: getattr(SHAPE, name) for name in SHAPE.__slots__}
    random_llama_folder(folder, tokenizer_of("qwen2.5", data), **sizes, context_tokens=CONTEXT_TOKENS)


def ours(folder: str, prompts: str, out: str, batch: str) -> None:
    """Write with the torch engine; says what it wrote, how long it took, and what was computed."""
    from parity.core.prompts import Generate, RequestId, Sampling, TextPrompt
    from parity.core.refs import ModelRef, Scheme
    from parity.engines.open import EngineOptions
    from parity.engines.torch import TorchEngine

    options = EngineOptions(device="cpu", dtype="float32", batch_size=int(batch))
    engine = TorchEngine(ModelRef(Scheme.FOLDER, folder), options)
    rows = [json.loads(line) for line in Path(prompts).read_text().splitlines()]
    requests = []
    for row in rows:
        question = row["prompt"].rindex("Q: ")
        prompt = TextPrompt(row["prompt"][question:], row["prompt"][:question])
        requests.append(Generate(RequestId(row["item"]), prompt, Sampling(row["max_tokens"], stop=tuple(row["until"]))))
    started = time.perf_counter()
    outputs: dict[Any, Any] = dict(engine.answer(requests))
    seconds = time.perf_counter() - started
    work = engine.work
    if work is None:
        raise EngineError("The model wrote the plain way.", "Report this: a Llama follows a walk.")
    found = {
        "seconds": seconds,
        "requested": work.requested,
        "computed": work.computed,
        "written": sum(output.usage.completion_tokens for output in outputs.values()),
        "texts": {request_id.item: output.text for request_id, output in outputs.items()},
    }
    Path(out).write_text(json.dumps(found))


def best_batches(folder: Path, prompts: Path, data: Path) -> tuple[int, int]:
    """The batch sizes with which each side takes least, on short answers to all items."""
    write_prompts(data, prompts, ITEMS, PROBE_TOKENS)
    our_s = {batch: run_ours(folder, prompts, batch)[0]["seconds"] for batch in OUR_BATCHES}
    their_s = {batch: run_theirs(folder, prompts, batch)[0]["seconds"] for batch in THEIR_BATCHES}
    print(f"seconds for {PROBE_TOKENS} tokens by batch: ours {our_s}, harness {their_s}", flush=True)
    return min(our_s, key=lambda batch: our_s[batch]), min(their_s, key=lambda batch: their_s[batch])


def write_prompts(data: Path, prompts: Path, items: int, max_tokens: int) -> None:
    peer("--data", data, "--prompts", prompts, "--limit", items, "--max-tokens", max_tokens, log=prompts)


def run_ours(folder: Path, prompts: Path, batch: int) -> tuple[dict[str, Any], int]:
    out = prompts.with_suffix(".ours")
    told = "|".join(map(str, (folder, prompts, out, batch)))
    peak = measured([sys.executable, str(Path(__file__)), "--ours", told], out)
    return json.loads(out.read_text()), peak


def run_theirs(folder: Path, prompts: Path, batch: int) -> tuple[dict[str, Any], int]:
    out = prompts.with_suffix(".theirs")
    flags = ("--model", folder, "--prompts", prompts, "--batch-size", batch, "--max-length", CONTEXT_TOKENS)
    peak = peer(*flags, "--out", out, log=out)
    return json.loads(out.read_text()), peak


def peer(*flags: object, log: Path) -> int:
    return measured([str(python_of(DEFAULT_FOLDER)), str(PEER), *map(str, flags)], log)


def show(rounds: list[tuple[Any, Any]], mine: int, other: int) -> dict[str, Any]:
    """Lines for people; returns the summary."""
    (first, _), (also, _) = rounds[0]
    our_s, their_s = ([side[0]["seconds"] for side in sides] for sides in zip(*rounds, strict=True))
    our_bytes, their_bytes = (statistics.median(side[1] for side in sides) for sides in zip(*rounds, strict=True))
    agreeing = sum(first["texts"][item] == text for item, text in also["texts"].items())
    print(f"{SHAPE}; {len(first['texts'])} items, {first['written']:,} tokens written; "
          f"read and fed {first['computed']:,} ids, not {first['requested']:,}")  # fmt: skip
    for name, batch, seconds in (("ours", mine, our_s), ("harness", other, their_s)):
        print(f"{name}: batches of {batch}, {', '.join(f'{each:.1f}' for each in seconds)} s")
    return {
        "items": len(first["texts"]),
        "generation_speedup": round(statistics.median(b / a for a, b in zip(our_s, their_s, strict=True)), 3),
        "texts_agree": agreeing / len(first["texts"]),
        "peak_memory_ratio": round(our_bytes / their_bytes, 3),
    }


if __name__ == "__main__":
    sys.exit(main())
