"""GSM8K: 1,319 word problems of primary school (Cobbe et al. 2021, arXiv 2110.14168; MIT).

- `5-shot` (the default): lm-evaluation-harness `gsm8k`, shots drawn from the training split by its rule; the answer
  stands after `####`. `5-shot-flexible`: the last number. Both compare text: "20.00" is not "20".
- `5-shot-numeric`: the last number, compared as a number.
- `8-shot-cot`, `-flexible`, `-numeric`: `gsm8k_cot`, with the eight examples of Wei et al. 2022 (arXiv 2201.11903),
  read from `cot_shots.jsonl` beside the data (see docs/benchmarks.md); "The answer is 5."
- `chat`: no shots, the model is told how to end; the last number, as a number.

Protocols of one prompt share their answers: a second one costs nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from parity.benchmarks.base import Benchmark, Protocol
from parity.benchmarks.choices import HARNESS, version_of
from parity.benchmarks.hub import HubFile
from parity.benchmarks.rows import Row, Source, optional_rows, read_all, rows_of
from parity.benchmarks.shots import drawn
from parity.core.digests import digest
from parity.core.items import Item
from parity.core.prompts import Sampling, TextPrompt
from parity.core.scores import Mark
from parity.errors import DataError
from parity.marking.extraction import GSM8K_IGNORED, Extraction

Prompt = Callable[[Item], TextPrompt]

_COMMIT = "740312add88f781978c0658806c59bc2815b9866"
TEST = Source(("gsm8k_test", "test"), HubFile("openai/gsm8k", _COMMIT, "main/test-00000-of-00001.parquet"))
TRAIN = Source(("gsm8k_train", "train"), HubFile("openai/gsm8k", _COMMIT, "main/train-00000-of-00001.parquet"))
COT_SHOTS = Source(("cot_shots", "gsm8k_cot_shots"))
COT_DIGEST = "9262d5929c80c2fa"
SHOTS, MAX_TOKENS = 5, 256

STRICT = Extraction(r"#### (\-?[0-9\.\,]+)", 0, GSM8K_IGNORED, fold=True)
LAST = Extraction(r"(-?[$0-9.,]{2,})|(-?[0-9]+)", -1, GSM8K_IGNORED, fold=True)
STRICT_COT = Extraction(r"The answer is (\-?[0-9\.\,]+).", 0, GSM8K_IGNORED, fold=True)
_CHAT = "Solve the problem step by step. End with a line of its own: #### and the number alone."


@dataclass(frozen=True, slots=True)
class Problem:
    """A question with its solution, which ends with `#### 42`."""

    question: str
    answer: str


def load(folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """GSM8K, test split.

    Raises:
        DataError: the data is missing or malformed, or the eight examples are others.
    """
    test = read_all(rows_of(TEST, folder, "GSM8K"), _problem, "gsm8k")
    train = optional_rows(TRAIN, folder)
    pool = read_all(train, _problem, "gsm8k, training split") if train is not None else []
    return assemble(test, pool, cot_shots(folder) if folder else ())


def assemble(test: Sequence[Problem], pool: Sequence[Problem], cot: Sequence[Problem] = ()) -> Benchmark:
    """The benchmark over some problems; protocols whose shots are missing are left out."""
    items = [Item(f"gsm8k/{at}", problem.question, (problem.answer,)) for at, problem in enumerate(test)]
    protocols: dict[str, Protocol] = {}
    if pool:
        shots = [tuple(map(_worked, chosen)) for chosen in drawn(pool, SHOTS, len(items))]
        of_item = {item.id: chosen for item, chosen in zip(items, shots, strict=True)}
        stops = ("Question:", "</s>", "<|im_end|>")
        protocols |= _three("5-shot", partial(_prompt, of_item), STRICT, stops)
    if cot:
        eight = tuple(f"Q: {shot.question}\nA: {shot.answer}\n\n" for shot in cot)
        protocols |= _three("8-shot-cot", partial(_cot_prompt, eight), STRICT_COT, ("Q:", "</s>", "<|im_end|>"))
    protocols["chat"] = Protocol(
        "chat", f"1/{digest(_CHAT)[:8]}", _chat_prompt, sampling=Sampling(1024), read=partial(_read_number, LAST)
    )
    default = "5-shot" if pool else "chat"
    return Benchmark("gsm8k", version_of(items), tuple(items), protocols, default)


def cot_shots(folder: Path) -> Sequence[Problem]:
    """The eight examples of Wei et al., where the folder holds them: rows of question and target.

    Raises:
        DataError: they are others than the harness's.
    """
    rows = optional_rows(COT_SHOTS, folder) if folder.is_dir() else None
    if rows is None:
        return ()
    found = read_all(rows, lambda _, row: Problem(str(row["question"]), str(row["target"])), "cot_shots")
    seen = digest([(shot.question, shot.answer) for shot in found])[:16]
    if seen != COT_DIGEST:
        raise DataError(
            f"The examples of cot_shots are not those of gsm8k_cot (digest {seen}, not {COT_DIGEST}).",
            "Take them from lm-evaluation-harness's gsm8k-cot.yaml, as docs/benchmarks.md says.",
        )
    return found


def _three(name: str, prompt: Prompt, strict: Extraction, stops: tuple[str, ...]) -> dict[str, Protocol]:
    """Three ways to read the same answers."""
    sampling = Sampling(MAX_TOKENS, stop=stops)
    reads = {name: partial(_read, strict), f"{name}-flexible": partial(_read, LAST),
             f"{name}-numeric": partial(_read_number, LAST)}  # fmt: skip
    return {
        key: Protocol(key, f"{HARNESS}/{name}", prompt, sampling=sampling, read=read) for key, read in reads.items()
    }


def _problem(_: int, row: Row) -> Problem:
    return Problem(str(row["question"]), str(row["answer"]))


def _worked(problem: Problem) -> str:
    return f"Question: {problem.question}\nAnswer: {problem.answer}\n\n"


def _prompt(shots: dict[str, tuple[str, ...]], item: Item) -> TextPrompt:
    return TextPrompt(f"Question: {item.question}\nAnswer:", shots=shots[item.id])


def _cot_prompt(shots: tuple[str, ...], item: Item) -> TextPrompt:
    return TextPrompt(f"Q: {item.question}\nA:", shots=shots)


def _chat_prompt(item: Item) -> TextPrompt:
    return TextPrompt(f"{_CHAT}\n\n{item.question}")


def _read(extraction: Extraction, text: str, item: Item) -> Mark:
    return extraction.mark(text, item.targets)


def _read_number(extraction: Extraction, text: str, item: Item) -> Mark:
    return extraction.mark_number(text, item.targets)
