"""Agreement with people, computed as the authors of the labels report it, from labels and marks that they published.

Knows three: PandaLM's 999 pairs with three people and two judges, the Tulu pairs with one or two people, FinanceBench's
answers that people called right. `published` are the authors' figures, digits as they print them.
"""

import gzip
import json
import re
import xml.etree.ElementTree as ElementTree
import zipfile
from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from parity.benchmarks.finance import is_amount, same_amount
from parity.stats.agreement import agreement

_SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
# Wang et al. 2023, arXiv 2306.05087: the repository's tables of kappa and labels; the paper's
# table of judges from memory, which the recorded verdicts reproduce to the last of four digits.
PANDALM_KAPPA, PANDALM_LABELS = (0.85, 0.88, 0.86), (105, 422, 472)
PANDALM_JUDGES = {"gpt-3.5-turbo": (0.7107, 0.5879, 0.5736, 0.5755), "pandalm-7b": (0.6677, 0.5738, 0.5750, 0.5743)}


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure of the authors' beside ours; `items` behind it. `published` None: they print none."""

    name: str
    items: int
    ours: float
    published: float | None

    @property
    def apart(self) -> float:
        """How far ours is from the published figure, beyond what its digits leave open."""
        if self.published is None:
            return 0.0
        digits = len(f"{self.published:.4f}".rstrip("0").partition(".")[2])
        return max(0.0, abs(self.ours - self.published) - 0.5 * 10.0**-digits - 1e-12)


def compare(data: Path) -> list[Compared]:
    """Every figure of the shared data."""
    folder = data / "judge_and_preference"
    return [*pandalm(folder / "pandalm"), *tulu(folder / "tulu_human_eval"), *financebench(data / "domain_finance")]


def pandalm(folder: Path) -> list[Compared]:
    """Cohen's kappa between people, the labels most of them gave, and the two judges against those.

    A verdict that cannot be read counts as a tie, as the authors have it; precision, recall and F1 are means over the
    three classes.
    """
    people, gpt, own = (_rows(folder / f"{name}testset-v1.json.gz") for name in ("", "gpt-3.5-turbo-", "pandalm-7b-"))
    ids = sorted(people)
    votes = np.array([[int(people[at][f"annotator{who}"]) for who in (1, 2, 3)] for at in ids])
    found = [
        Compared(
            f"PandaLM kappa, people {a + 1} and {b + 1}", len(ids), agreement(votes[:, a], votes[:, b]).kappa, wanted
        )
        for (a, b), wanted in zip(combinations(range(3), 2), PANDALM_KAPPA, strict=True)
    ]
    most = np.array([Counter(row).most_common(1)[0][0] for row in votes.tolist()])
    for label, wanted_count in enumerate(PANDALM_LABELS):
        found.append(Compared(f"PandaLM labels {label}", len(ids), float((most == label).sum()), wanted_count))
    judged = {
        "gpt-3.5-turbo": [str(gpt[at]["gpt_result"]) for at in ids],
        "pandalm-7b": [str(own[at]["pandalm_result"]) for at in ids],
    }
    for judge, said in judged.items():
        marks = np.array([int(verdict) if verdict in ("1", "2") else 0 for verdict in said])
        scores = dict(zip(("accuracy", "precision", "recall", "F1"), _scores(marks, most), strict=True))
        for (name, score), published in zip(scores.items(), PANDALM_JUDGES[judge], strict=True):
            found.append(Compared(f"PandaLM {judge}, {name}", len(ids), score, published))
        found.append(Compared(f"PandaLM {judge}, kappa with people", len(ids), agreement(marks, most).kappa, None))
    return found


def _scores(marks: "np.ndarray", labels: "np.ndarray") -> tuple[float, float, float, float]:
    """Accuracy, and precision, recall and F1 as means over the classes."""
    rates = []
    for label in (0, 1, 2):
        hits = float(((marks == label) & (labels == label)).sum())
        precision, recall = hits / (marks == label).sum(), hits / (labels == label).sum()
        rates.append((precision, recall, 2 * precision * recall / (precision + recall)))
    means = np.mean(rates, axis=0)
    return float((marks == labels).mean()), float(means[0]), float(means[1]), float(means[2])


def tulu(folder: Path) -> list[Compared]:
    """Agreement of two people on the pairs that have two, as `human_eval/compute_metrics.py` of open-instruct counts.

    A person's latest label counts, the first two people by time; in comparisons half a point where one of two says tie.
    """
    rows = _sheet(folder / "eval_annotations_tulu_1.xlsx")
    latest = {
        (row["instance_index"], row["evaluator"]): row for row in sorted(rows, key=lambda row: float(row["timestamp"]))
    }
    pairs: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in sorted(latest.values(), key=lambda row: float(row["timestamp"])):
        models = tuple(sorted((row["model_a"], row["model_b"])))
        pairs.setdefault((*models, row["instance_id"]), []).append(row)
    twice = [(key[:2], rows[:2]) for key, rows in pairs.items() if len(rows) > 1]
    accepted = [
        len({_accepted(row, model) for row in both}) == 1 for models, both in twice for model in models
    ]  # fmt: skip
    points = []
    for _, both in twice:
        one, other = (_better(row) for row in both)
        points.append(1.0 if one == other else 0.5 if "tie" in (one, other) else 0.0)
    return [
        Compared("Tulu, acceptance", len(accepted), float(np.mean(accepted)), None),
        Compared("Tulu, comparison", len(points), float(np.mean(points)), None),
    ]


def _accepted(row: dict[str, str], model: str) -> str:
    return row["completion_a_is_acceptable"] if row["model_a"] == model else row["completion_b_is_acceptable"]


def _better(row: dict[str, str]) -> str:
    """The model a person calls better, clearly or slightly; or tie."""
    said = row["preference"]
    return row["model_a"] if said.startswith("a-") else row["model_b"] if said.startswith("b-") else "tie"


def financebench(folder: Path) -> list[Compared]:
    """Our rule for numbers on free answers of 16 configurations, against people who called them right or not."""
    agree = items = 0
    for path in sorted((folder / "financebench" / "results").glob("*.gz")):
        for line in filter(None, gzip.decompress(path.read_bytes()).decode().split("\n")):
            row = json.loads(line)
            if is_amount(str(row["gold_answer"])):
                right = same_amount(str(row["model_answer"]), str(row["gold_answer"])).value == 1
                items += 1
                agree += right is (row["label"] == "Correct Answer")
    return [Compared("FinanceBench, our rule for numbers and people", items, agree / items, None)]


def _rows(path: Path) -> dict[int, dict[str, object]]:
    return {row["idx"]: row for row in json.loads(gzip.decompress(path.read_bytes()))}


def _sheet(path: Path) -> list[dict[str, str]]:
    """Rows of the first sheet of a workbook under its header, where the row has all cells of one; text only."""
    with zipfile.ZipFile(path) as book:
        strings = [
            "".join(text.text or "" for text in entry.iter(f"{_SHEET}t"))
            for entry in ElementTree.fromstring(book.read("xl/sharedStrings.xml"))
        ]
        rows = list(ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml")).iter(f"{_SHEET}row"))
    table = [{_column(cell): _cell(cell, strings) for cell in row} for row in rows]
    head, body = table[0], table[1:]
    named = [{head[column]: value for column, value in row.items() if column in head} for row in body]
    return [row for row in named if row.get("preference") and row.get("timestamp")]


def _column(cell: ElementTree.Element) -> str:
    return re.sub(r"\d", "", cell.get("r", ""))


def _cell(cell: ElementTree.Element, strings: list[str]) -> str:
    value = cell.find(f"{_SHEET}v")
    if value is None or value.text is None:
        return ""
    return strings[int(value.text)] if cell.get("t") == "s" else value.text
