"""Do our benchmarks ask, choose and mark as lm-evaluation-harness and the authors do? Ends with a JSON line.

Four parts: prompts of every benchmark that the shared data hold, byte by byte; choices of a random-weight Llama with a
real tokenizer; IFEval's verifiers on 1,000 made-up answers; marks that others recorded, and AlpacaEval's published win
rates. Exit code 1 when a prompt differs or a choice is left unexplained. `--quick` takes fewer items.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from harness_battery import Compared, compare_choices, compare_prompts, tasks
from made_up_answers import made_up
from recorded_marks import Record, WinRates, records, win_rates

from parity.errors import DataError, EngineError, ParityError
from parity.marking.instructions import Instruction
from parity.testing.folders import qwen_tokenizer, random_llama_folder
from peers import DEFAULT_FOLDER, python_of

ROOT = Path(__file__).resolve().parents[1]
PEER = ROOT / "benchmarks_perf" / "lm_eval_peer" / "instructions.py"
DEFAULT_DATA = Path(os.environ.get("PARITY_SHARED") or ROOT.parent / "shared" / "data")


@dataclass(frozen=True, slots=True)
class Verified:
    """IFEval's verdicts on made-up answers, strict and loose, an instruction each; `differences` one a line."""

    verdicts: int
    agree: int
    differences: tuple[str, ...]


def main() -> int:
    arguments = parse()
    try:
        check(arguments.data)
        prompts = _prompts(arguments.data, 60 if arguments.quick else None)
        choices = _choices(arguments.data, 12 if arguments.quick else 40)
        verified = _verified()
        marks = records(arguments.data)
        rates = win_rates(arguments.data)
    except ParityError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    show(prompts, choices, verified, marks, rates)
    broken = any(each.prompts_equal < each.items for each in (*prompts, *choices)) or any(
        each.apart for each in choices
    )
    return 1 if broken else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Hold benchmarks against lm-evaluation-harness and recorded marks.")
    parser.add_argument("--quick", action="store_true", help="fewer items: under five minutes on 2 cores")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="shared data; default: %(default)s")
    return parser.parse_args()


def check(data: Path) -> None:
    """Raises EngineError, DataError: the peers or the shared data are missing, said before minutes are spent."""
    if not python_of(DEFAULT_FOLDER).exists():
        raise EngineError(f"lm-evaluation-harness is not in {DEFAULT_FOLDER}.", "Build it with: make peers")
    if not (data / "mc_benchmarks").is_dir():
        raise DataError(f"{data} holds no mc_benchmarks.", "Pass --data FOLDER or set PARITY_SHARED.")


def _prompts(data: Path, limit: int | None) -> list[Compared]:
    print("Prompts ...", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        return compare_prompts(tasks(data, limit), Path(scratch))


def _choices(data: Path, limit: int) -> list[Compared]:
    print("Choices of a random-weight model ...", flush=True)
    scored = [replace(task, items=task.items[:limit]) for task in tasks(data, limit) if task.scored]
    with tempfile.TemporaryDirectory() as scratch:
        sizes = {"hidden": 64, "layers": 2, "heads": 4, "kv_heads": 2, "ffn": 256, "context_tokens": 4096}
        model = random_llama_folder(Path(scratch, "model"), qwen_tokenizer(data / "tokenizers" / "qwen2.5"), **sizes)
        return compare_choices(scored, model, Path(scratch))


def _verified() -> Verified:
    """Ours and the harness's verifiers on the same answers."""
    print("IFEval's verifiers ...", flush=True)
    answers = made_up()
    with tempfile.TemporaryDirectory() as scratch:
        given, taken = Path(scratch, "answers.jsonl"), Path(scratch, "verdicts.jsonl")
        given.write_text("".join(json.dumps(asdict(answer)) + "\n" for answer in answers), "utf-8")
        command = [str(python_of(DEFAULT_FOLDER)), str(PEER), "--answers", str(given), "--out", str(taken)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise EngineError(f"The harness's verifiers failed:\n{done.stderr[-2000:]}", "Try: make peers")
        theirs = [json.loads(line) for line in taken.read_text("utf-8").split("\n") if line]
    verdicts, apart = 0, []
    for at, (answer, other) in enumerate(zip(answers, theirs, strict=True)):
        for place, (name, told) in enumerate(zip(answer.names, answer.arguments, strict=True)):
            ours = Instruction(name, told)  # type: ignore[arg-type]
            for way, follows in (("strict", ours.followed), ("loose", ours.followed_loosely)):
                verdicts += 1
                if follows(answer.answer) != other[way][place]:
                    apart.append(f"IFEval answer {at}, {name} {told}, {way}: the harness says {other[way][place]}")
    return Verified(verdicts, verdicts - len(apart), tuple(apart))


def show(
    prompts: list[Compared], choices: list[Compared], verified: Verified, marks: list[Record], rates: WinRates
) -> None:
    """The differences, the tables, and the line for machines."""
    for line in (*verified.differences, *(line for record in marks for line in record.differences)):
        print(line)
    print(f"\n{'prompts of':<48}{'items':>7}{'equal':>7}")
    for each in prompts:
        print(f"{each.task:<48}{each.items:>7}{each.prompts_equal:>7}")
    print(f"\n{'choices of':<24}{'items':>6}{'agree':>7}{'near-tie':>10}{'unexplained':>13}{'max |diff| nats':>17}")
    for each in choices:
        counts = f"{each.scored:>6}{each.agree:>7}{len(each.near_ties):>10}{len(each.apart):>13}"
        print(f"{each.task:<24}{counts}{each.largest_difference:>17.1e}")
    print(f"\nIFEval: {verified.agree:,} of {verified.verdicts:,} verdicts equal.\n")
    for record in marks:
        shown = ", ".join(f"{name} {100 * score:.2f} %" for name, score in record.scores.items())
        print(f"{record.name:<48}{record.agree:>7} of {record.items:>6} recorded marks; {shown}")
    print(
        f"\nAlpacaEval 2, {rates.models} models: raw within {rates.raw_error_max:.1e} points, length-controlled within "
        f"{rates.error_max:.2f} (mean {rates.error_mean:.2f}), rank correlation {rates.rank_correlation:.4f}; "
        f"{rates.aligned_error_max:.2f} with difficulties by instruction instead of by place."
    )
    items, scored = sum(each.items for each in prompts), sum(each.scored for each in choices)
    summary = {
        "benchmarks": len(prompts),
        "items": items,
        "prompts_equal": sum(each.prompts_equal for each in prompts) / items,
        "choices_agree": sum(each.agree for each in choices) / scored,
        "unexplained": sum(len(each.apart) for each in choices),
        "instructions_agree": verified.agree / verified.verdicts,
        "recorded_marks_agree": sum(record.agree for record in marks) / sum(record.items for record in marks),
        "lc_winrate_error_max": round(rates.error_max, 3),
        "lc_rank_correlation": round(rates.rank_correlation, 4),
        "raw_winrate_error_max": rates.raw_error_max,
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    sys.exit(main())
