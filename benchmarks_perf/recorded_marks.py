"""Marks that others recorded, given again by the rule they recorded them with. Every difference is kept.

Knows three records of real answers: GSM8K of two models (RouteLLM), Kojima's zero-shot logs, MMLU-Pro of 29 models; and
the published win rates of AlpacaEval 2.
"""

import csv
import gzip
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr

from parity.benchmarks.gsm8k import LAST, STRICT
from parity.core.scores import Score
from parity.marking.extraction import Extraction
from parity.measurement.records import read_record
from parity.stats.length_control import DIFFICULTY_PRECISION, Anchor, Array, instruction_difficulty, length_control

# Kojima et al. 2022: the first number, or the first yes or no, behind the answer trigger.
_FIRST_NUMBER = Extraction(r"-?\d+\.?\d*", 0)
_FIRST_WORD = Extraction(r"\b(yes|no)\b", 0)
_ENTRY = re.compile(r"^pred_before : (.*?)\npred_after : (.*?)\npred_list.*?^GT : (.*?)$", re.M | re.S)
GSM8K_MODELS = ("mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview")


@dataclass(frozen=True, slots=True)
class Record:
    """One recorded run: how many marks there are, how many ours equal, and the rest, one a line. `scores` are ours by
    other rules, as fractions."""

    name: str
    items: int
    agree: int
    differences: tuple[str, ...]
    scores: dict[str, float]


class Precisions(NamedTuple):
    """Of the priors: of difficulties around 0, of the weight of length, of the weight of difficulty."""

    difficulty: float
    phi: float
    psi: float


# The library's own in the middle; halves and doubles of each.
GRID = tuple(map(Precisions._make, product((0.15, 0.3, 0.6), (8.0, 16.0, 32.0), (20.0, 40.0, 80.0))))
OWN = Precisions(DIFFICULTY_PRECISION, Anchor().phi_precision, Anchor().psi_precision)


@dataclass(frozen=True, slots=True)
class WinRates:
    """AlpacaEval 2: models, largest errors in points, raw and length-controlled, and the rank correlation.

    `error_max`, `error_mean`, `rank_correlation` are out of sample: each half of the models by precisions that were
    picked on the other. `chosen` are those; `default_error_max` is of the precisions that the library has.
    """

    models: int
    raw_error_max: float
    error_max: float
    error_mean: float
    rank_correlation: float
    default_error_max: float
    aligned_error_max: float
    chosen: tuple[Precisions, ...]


def records(data: Path) -> list[Record]:
    """Every record of the shared data."""
    return [*_gsm8k(data), *_logs(data / "reasoning_benchmarks" / "zero_shot_cot_logs"), *_mmlu_pro(data)]


def _gsm8k(data: Path) -> Iterator[Record]:
    path = data / "routing_per_item" / "routellm" / "gsm8k_responses.csv.gz"
    rows = list(csv.DictReader(io.StringIO(_text(path), newline="")))
    solutions = (
        json.loads(line)
        for line in _text(data / "reasoning_benchmarks" / "gsm8k" / "test.jsonl.gz").split("\n")
        if line
    )
    targets = [(solution["answer"],) for solution in solutions]
    for model in GSM8K_MODELS:
        answers = [row[f"{model}_response"] for row in rows]
        recorded = [float(row[model] == "True") for row in rows]
        ours = [LAST.mark(text, target) for text, target in zip(answers, targets, strict=True)]
        numeric = [LAST.mark_number(text, target) for text, target in zip(answers, targets, strict=True)]
        strict = [STRICT.mark(text, target) for text, target in zip(answers, targets, strict=True)]
        scores = {"last number, as text": _mean(ours), "as a number": _mean(numeric), "strict (####)": _mean(strict)}
        yield _record(f"GSM8K {model}", ours, recorded, [target[0][-12:] for target in targets], scores)


def _logs(folder: Path) -> Iterator[Record]:
    for path in sorted(folder.glob("*.log.gz")):
        text = _text(path)
        yes_no = path.name.startswith("strategyqa")
        entries = _ENTRY.findall(text)
        rule: Callable[[str], str | None] = _yes_no if yes_no else _first_number
        ours = [Score(float(rule(before) == gold.strip()), rule(before) or "") for before, _, gold in entries]
        recorded = [float(after.strip() == gold.strip()) for _, after, gold in entries]
        published = re.search(r"^accuracy : ([\d.]+)", text, re.M)
        scores = {"ours": _mean(ours), **({"printed": float(published[1]) / 100} if published else {})}
        yield _record(path.name.removesuffix(".log.gz"), ours, recorded, [gold for _, _, gold in entries], scores)


def _first_number(text: str) -> str | None:
    found = _FIRST_NUMBER.find(text.replace(",", ""))
    return found.removesuffix(".") if found else None


def _yes_no(text: str) -> str | None:
    return _FIRST_WORD.find(text.lower())


def _mmlu_pro(data: Path) -> Iterator[Record]:
    """Recorded letters against recorded keys: our reader of tables must come to the accuracies of the data's notes."""
    folder = data / "mmlu_pro_per_item"
    noted = dict(re.findall(r"([\w.\-]+) (0\.\d{4}) \(n=\d+\)", (folder / "SOURCE.md").read_text("utf-8")))
    table = csv.DictReader(io.StringIO(_text(folder / "predictions.csv.gz"), newline=""))
    rows = list(table)
    for model in (table.fieldnames or [])[4:]:
        marks = [marked.mark for marked in read_record(f"{folder / 'predictions.csv.gz'}#{model}")]
        kept = [(mark, row) for mark, row in zip(marks, rows, strict=True) if row[model] != "NA"]
        ours = [mark if isinstance(mark, Score) else Score(0.0, "unscored") for mark, _ in kept]
        recorded = [float(row[model] == row["gold"]) for _, row in kept]
        scores = {"ours": _mean(ours), "noted": float(noted[model])}
        yield _record(f"MMLU-Pro {model}", ours, recorded, [row["gold"] for _, row in kept], scores)


def win_rates(data: Path) -> WinRates:
    """Win rates of AlpacaEval 2 against its leaderboard.

    The published numbers look up an instruction's difficulty by its place among the rows that a model has, so that
    those of models with missing rows are shifted; ours do the same where they are compared. `aligned_error_max` says
    how far the right look-up is from the published numbers.
    """
    folder = data / "alpaca_eval"
    rows, lengths = (_table(folder / name) for name in ("v2_preferences_gpt4turbo.csv.gz", "output_chars.csv.gz"))
    board = next(folder.glob("leaderboards/src__*data_AlpacaEval_2__weighted*"))
    published = {row[""]: row for row in csv.DictReader(io.StringIO(board.read_text("utf-8")))}
    models = [name for name in rows[0] if name in published and name != "gpt4_1106_preview"]
    preferred_MI = _columns(rows, models) - 1
    delta_MI = _columns(lengths, ["gpt4_1106_preview"]) - _columns(lengths, models)
    difficulties = {
        precision: instruction_difficulty(preferred_MI, delta_MI, precision)
        for precision in sorted({found.difficulty for found in (*GRID, OWN)})
    }
    theirs_M = np.array([float(published[name]["length_controlled_winrate"]) for name in models])
    raw_M = np.array([float(published[name]["win_rate"]) for name in models])
    controlled = {
        found: _controlled(preferred_MI, delta_MI, difficulties[found.difficulty], found) for found in {*GRID, OWN}
    }
    half_M = np.array([sha256(name.encode()).digest()[0] % 2 for name in models])
    ours_M, chosen = _crossed({found: controlled[found] for found in GRID}, theirs_M, half_M)
    aligned_M = _controlled(preferred_MI, delta_MI, difficulties[OWN.difficulty], OWN, shifted=False)
    error_M = np.abs(ours_M - theirs_M)
    return WinRates(
        len(models),
        float(np.abs(100 * np.nanmean(preferred_MI, axis=1) - raw_M).max()),
        float(error_M.max()),
        float(error_M.mean()),
        float(spearmanr(ours_M, theirs_M).statistic),
        float(np.abs(controlled[OWN] - theirs_M).max()),
        float(np.abs(aligned_M - theirs_M).max()),
        chosen,
    )


def _controlled(
    preferred_MI: Array, delta_MI: Array, difficulty_I: Array, precisions: Precisions, shifted: bool = True
) -> Array:
    """Length-controlled win rates in points; `shifted`: difficulties by a row's place among those a model has."""
    anchor = Anchor(phi_precision=precisions.phi, psi_precision=precisions.psi)
    found = []
    for preferred_I, delta_I in zip(preferred_MI, delta_MI, strict=True):
        known_I = np.isfinite(preferred_I)
        asked = (preferred_I[known_I], delta_I[known_I], difficulty_I[: known_I.sum()])
        rows = asked if shifted else (preferred_I, delta_I, difficulty_I)
        found.append(100 * length_control(*rows, anchor).controlled)
    return np.array(found)


def _crossed(
    controlled: dict[Precisions, Array], theirs_M: Array, half_M: Array
) -> tuple[Array, tuple[Precisions, ...]]:
    """Win rates of each half of the models by the precisions with the least mean error on the other half."""
    ours_M, chosen = np.empty_like(theirs_M), []
    for half in (0, 1):
        other_M = half_M != half
        best = min(controlled, key=lambda found: float(np.abs(controlled[found] - theirs_M)[other_M].mean()))
        ours_M[half_M == half] = controlled[best][half_M == half]
        chosen.append(best)
    return ours_M, tuple(chosen)


def _record(name: str, ours: list[Score], recorded: list[float], golds: list[str], scores: dict[str, float]) -> Record:
    apart = [
        f"{name}, {at}: recorded {theirs:.0f}, ours {mark.value:.0f} (read {mark.answer[-40:]!r}, gold {gold!r})"
        for at, (mark, theirs, gold) in enumerate(zip(ours, recorded, golds, strict=True)) if mark.value != theirs
    ]  # fmt: skip
    return Record(name, len(ours), len(ours) - len(apart), tuple(apart), scores)


def _text(path: Path) -> str:
    return gzip.decompress(path.read_bytes()).decode("utf-8", "replace")


def _table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(_text(path), newline="")))


def _columns(rows: list[dict[str, str]], names: list[str]) -> Array:
    return np.array([[float(row[name]) if row[name] else np.nan for row in rows] for name in names])


def _mean(scores: list[Score]) -> float:
    return sum(score.value for score in scores) / len(scores)
