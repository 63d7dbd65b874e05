"""Do our benchmarks ask, choose and mark as lm-evaluation-harness and the authors do? Ends with a JSON line.

Six parts: prompts of every benchmark that the shared data hold, byte by byte; choices of a random-weight Llama with a
real tokenizer; IFEval's verifiers on 1,000 made-up answers; marks that others recorded; AlpacaEval's published win
rates; agreement with people's labels. Exit code 1 when a prompt differs, a choice is left unexplained, or a published
agreement does not come out. `--quick` takes fewer items.

Parts are kept in `--steps FOLDER` as they are measured; `--minutes` begins none later than that, and the same command
goes on (exit code 3 until all are there).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from harness_battery import Compared, compare_choices, compare_prompts, tasks
from human_labels import Compared as Labels
from human_labels import compare as compare_labels
from made_up_answers import made_up
from recorded_marks import Precisions, Record, WinRates, records, win_rates
from steps import OutOfTime, Steps

from parity.core.digests import digest
from parity.errors import DataError, EngineError, ParityError
from parity.files import digest_file
from parity.marking.instructions import Instruction
from parity.testing.folders import qwen_tokenizer, random_llama_folder
from peers import DEFAULT_FOLDER, python_of

ROOT = Path(__file__).resolve().parents[1]
PEER = ROOT / "benchmarks_perf" / "lm_eval_peer" / "instructions.py"
PROMPT_STEPS = 4
DEFAULT_DATA = Path(os.environ.get("PARITY_SHARED") or ROOT.parent / "shared" / "data")


@dataclass(frozen=True, slots=True)
class Verified:
    """IFEval's verdicts on made-up answers, strict and loose, an instruction each; `differences` one a line."""

    verdicts: int
    agree: int
    differences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """All parts."""

    prompts: tuple[Compared, ...]
    choices: tuple[Compared, ...]
    verified: Verified
    marks: tuple[Record, ...]
    rates: WinRates
    labels: tuple[Labels, ...]

    @property
    def broken(self) -> bool:
        asked = any(each.prompts_equal < each.items for each in (*self.prompts, *self.choices))
        return asked or any(each.apart for each in self.choices) or any(each.apart > 0 for each in self.labels)


def main() -> int:
    arguments = parse()
    try:
        check(arguments.data)
        with tempfile.TemporaryDirectory() as scratch:
            folder = arguments.steps or Path(scratch)
            found = measure(arguments.data, arguments.quick, Steps(folder, _stamp(arguments.quick), arguments.minutes))
    except OutOfTime:
        print("Out of time: run the same command to go on.", file=sys.stderr)
        return 3
    except ParityError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    show(found)
    return int(found.broken)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Hold benchmarks against lm-evaluation-harness and recorded marks.")
    parser.add_argument("--quick", action="store_true", help="fewer items: under five minutes on 2 cores")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="shared data; default: %(default)s")
    parser.add_argument("--steps", type=Path, help="folder that keeps parts; default: none are kept")
    parser.add_argument("--minutes", type=float, help="begin no part later than this; needs --steps")
    arguments = parser.parse_args()
    if arguments.minutes is not None and arguments.steps is None:
        parser.error("--minutes needs --steps, or what was measured would be lost")
    return arguments


def _stamp(quick: bool) -> str:
    """What is measured: the sources of benchmarks, marks and these scripts. Other parts that were kept do not count."""
    sources = [*(ROOT / "src" / "parity").rglob("*.py"), *(ROOT / "benchmarks_perf").rglob("*.py")]
    return digest([quick, *((str(path.relative_to(ROOT)), digest_file(path)) for path in sorted(sources))])


def measure(data: Path, quick: bool, steps: Steps) -> Found:
    """Every part, one after the other.

    Raises:
        OutOfTime: parts are left to be measured.
    """
    limit, few = (60, 12) if quick else (None, 40)
    prompts: list[Compared] = []
    for at in range(PROMPT_STEPS):
        prompts += _read(Compared, steps.result(f"prompts-{at}", lambda at=at: _prompts(data, limit, at)))
    return Found(
        tuple(prompts),
        tuple(_read(Compared, steps.result("choices", lambda: _choices(data, few)))),
        Verified(**_tuples(steps.result("verifiers", lambda: asdict(_verified())))),
        tuple(_read(Record, steps.result("marks", lambda: _plain(records(data))))),
        _rates(steps.result("win-rates", lambda: asdict(win_rates(data)))),
        tuple(_read(Labels, steps.result("labels", lambda: _plain(compare_labels(data))))),
    )


def _plain(found: Sequence[Any]) -> list[dict[str, Any]]:
    return [asdict(each) for each in found]


def _read(kind: Callable[..., Any], rows: list[dict[str, Any]]) -> list[Any]:
    return [kind(**_tuples(row)) for row in rows]


def _tuples(row: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}


def _rates(row: dict[str, Any]) -> WinRates:
    return WinRates(**{**row, "chosen": tuple(map(Precisions._make, row["chosen"]))})


def check(data: Path) -> None:
    """Raises EngineError, DataError: the peers or the shared data are missing, said before minutes are spent."""
    if not python_of(DEFAULT_FOLDER).exists():
        raise EngineError(f"lm-evaluation-harness is not in {DEFAULT_FOLDER}.", "Build it with: make peers")
    if not (data / "mc_benchmarks").is_dir():
        raise DataError(f"{data} holds no mc_benchmarks.", "Pass --data FOLDER or set PARITY_SHARED.")


def _prompts(data: Path, limit: int | None, part: int) -> list[dict[str, Any]]:
    """Every `PROMPT_STEPS`-th task from the `part`-th on."""
    with tempfile.TemporaryDirectory() as scratch:
        chosen = tasks(data, limit, Path(scratch))[part::PROMPT_STEPS]
        return _plain(compare_prompts(chosen, Path(scratch)))


def _choices(data: Path, limit: int) -> list[dict[str, Any]]:
    """What a random-weight model chooses, on both sides."""
    with tempfile.TemporaryDirectory() as scratch:
        scored = [replace(task, items=task.items[:limit]) for task in tasks(data, limit, Path(scratch)) if task.scored]
        sizes = {"hidden": 64, "layers": 2, "heads": 4, "kv_heads": 2, "ffn": 256, "context_tokens": 4096}
        model = random_llama_folder(Path(scratch, "model"), qwen_tokenizer(data / "tokenizers" / "qwen2.5"), **sizes)
        return _plain(compare_choices(scored, model, Path(scratch)))


def _verified() -> Verified:
    """Ours and the harness's verifiers on the same answers."""
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


def show(found: Found) -> None:
    """The differences, the tables, and the line for machines."""
    for line in (*found.verified.differences, *(line for record in found.marks for line in record.differences)):
        print(line)
    print(f"\n{'prompts of':<48}{'items':>7}{'equal':>7}")
    for each in found.prompts:
        print(f"{each.task:<48}{each.items:>7}{each.prompts_equal:>7}")
    print(f"\n{'choices of':<24}{'items':>6}{'agree':>7}{'near-tie':>10}{'unexplained':>13}{'max |diff| nats':>17}")
    for each in found.choices:
        counts = f"{each.scored:>6}{each.agree:>7}{len(each.near_ties):>10}{len(each.apart):>13}"
        print(f"{each.task:<24}{counts}{each.largest_difference:>17.1e}")
    print(f"\nIFEval: {found.verified.agree:,} of {found.verified.verdicts:,} verdicts equal.\n")
    for record in found.marks:
        shown = ", ".join(f"{name} {100 * score:.2f} %" for name, score in record.scores.items())
        print(f"{record.name:<48}{record.agree:>7} of {record.items:>6} recorded marks; {shown}")
    _show_rates(found.rates)
    print(f"\n{'people':<48}{'items':>7}{'ours':>10}{'published':>11}")
    for label in found.labels:
        published = "" if label.published is None else f"{label.published:g}"
        print(f"{label.name:<48}{label.items:>7}{label.ours:>10.4f}{published:>11}")
    print(json.dumps(summary(found)))


def _show_rates(rates: WinRates) -> None:
    print(
        f"\nAlpacaEval 2, {rates.models} models: raw within {rates.raw_error_max:.1e} points; length-controlled, each "
        f"half of the models by precisions picked on the other, within {rates.error_max:.2f} (mean "
        f"{rates.error_mean:.2f}), rank correlation {rates.rank_correlation:.4f}. By the library's own precisions "
        f"{rates.default_error_max:.2f}; {rates.aligned_error_max:.2f} with difficulties by instruction, not by place."
    )
    for chosen in rates.chosen:
        print(f"  picked: difficulty {chosen.difficulty:g}, length {chosen.phi:g}, weight of difficulty {chosen.psi:g}")


def summary(found: Found) -> dict[str, float]:
    """The line for machines."""
    items, scored = sum(each.items for each in found.prompts), sum(each.scored for each in found.choices)
    marks, rates = found.marks, found.rates
    published = [label for label in found.labels if label.published is not None]
    by_name = {label.name: label.ours for label in found.labels}
    return {
        "benchmarks": len(found.prompts),
        "items": items,
        "prompts_equal": sum(each.prompts_equal for each in found.prompts) / items,
        "choices_agree": sum(each.agree for each in found.choices) / scored,
        "unexplained": sum(len(each.apart) for each in found.choices),
        "instructions_agree": found.verified.agree / found.verified.verdicts,
        "recorded_marks_agree": sum(record.agree for record in marks) / sum(record.items for record in marks),
        "recorded_marks_agree_min": min(record.agree / record.items for record in marks),
        "lc_winrate_error_max": round(rates.error_max, 3),
        "lc_rank_correlation": round(rates.rank_correlation, 4),
        "raw_winrate_error_max": rates.raw_error_max,
        "judge_figures_published": len(published),
        "judge_figures_reproduced": sum(label.apart == 0 for label in published),
        "judge_kappa_gpt35": round(by_name["PandaLM gpt-3.5-turbo, kappa with people"], 4),
        "numbers_agree_with_people": round(by_name["FinanceBench, our rule for numbers and people"], 4),
    }


if __name__ == "__main__":
    sys.exit(main())
