"""LegalBench: legal reasoning in many small tasks (Guha et al. 2023, arXiv 2308.11462); licence by task, see its
README.

A task is a folder with `base_prompt.txt`, whose slots name columns, and `test.tsv`, or `train.tsv` where the test split
is not there. The training rows are the worked examples of the prompt: then every block of the prompt that shows the row
asked is left out of it. Answers are compared as the authors do: without case, marks and spaces. Tasks whose answers are
free text, or whose slots no column fills, are left out and named in `left_out`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from parity.benchmarks.base import Benchmark
from parity.benchmarks.choices import named, version_of
from parity.benchmarks.labels import label_protocols
from parity.core.digests import digest
from parity.core.items import Item, Tag
from parity.core.prompts import TextPrompt
from parity.errors import DataError
from parity.files import read_text
from parity.files.tables import read_table

_SLOT = re.compile(r"\{\{(\w+)\}\}")
# More different answers than this are free text, not labels.
MOST_LABELS = 12


@dataclass(frozen=True, slots=True)
class Task:
    """One task: its prompt, and its rows by column."""

    name: str
    template: str
    rows: tuple[Mapping[str, str | None], ...]
    is_train: bool

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(sorted({(row["answer"] or "").strip() for row in self.rows}))

    @property
    def problem(self) -> str:
        """Why it cannot be asked; empty when it can."""
        missing = set(_SLOT.findall(self.template)) - set(self.rows[0])
        if missing or "answer" not in self.rows[0]:
            return f"no column for {', '.join(sorted(missing)) or 'answer'}"
        if not 2 <= len(self.labels) <= MOST_LABELS or not all(self.labels):
            return f"{len(self.labels)} different answers"
        return ""

    def prompt(self, row: Mapping[str, str | None]) -> str:
        """The prompt of a row, without the blocks that show that very row."""
        shown = [cell.strip() for slot in _SLOT.findall(self.template) if (cell := row[slot])]
        blocks = self.template.split("\n\n")
        if self.is_train:
            blocks = [block for block in blocks if _SLOT.search(block) or not any(text in block for text in shown)]
        return _SLOT.sub(lambda slot: (row[slot.group(1)] or "").strip(), "\n\n".join(blocks))


def load(folder: Path | None, wanted: tuple[str, ...] = ()) -> Benchmark:
    """LegalBench from a folder of tasks; `wanted` are tasks (`--only subject=abercrombie`).

    Raises:
        DataError: there is no task, or a file is malformed.
        UsageError: there is no such task.
    """
    if folder is None:
        raise DataError("LegalBench is read from files.", "Name the folder `tasks` of its repository with --data.")
    names = sorted(path.parent.name for path in folder.glob("*/base_prompt.txt") if _table(path.parent))
    if not names:
        raise DataError(f"{folder} holds no task (base_prompt.txt beside train.tsv or test.tsv).", "Check the folder.")
    tasks = [read_task(folder / name) for name in named(dict.fromkeys(names, ""), wanted, "legalbench")]
    labels: dict[str, tuple[str, ...]] = {}
    items: list[Item] = []
    for task in (task for task in tasks if not task.problem):
        labels[task.name] = task.labels
        items += [
            Item(f"legalbench_{task.name}/{at}", task.prompt(row), ((row["answer"] or "").strip(),), (),
                 (Tag("subject", task.name), Tag("split", "train" if task.is_train else "test")))
            for at, row in enumerate(task.rows)
        ]  # fmt: skip
    if not items:
        raise DataError("No task can be asked: " + "; ".join(f"{task.name}: {task.problem}" for task in tasks), "")
    version = f"1/{digest(labels)[:8]}"
    protocols = label_protocols(
        lambda item: TextPrompt(item.question), lambda item: labels[item.tags[0].value], version
    )
    return Benchmark("legalbench", version_of(items), tuple(items), protocols, "label", ("subject",))


def left_out(folder: Path) -> dict[str, str]:
    """The tasks of a folder that cannot be asked, and why."""
    tasks = [read_task(path.parent) for path in sorted(folder.glob("*/base_prompt.txt")) if _table(path.parent)]
    return {task.name: task.problem for task in tasks if task.problem}


def read_task(folder: Path) -> Task:
    """One task. Raises DataError: a file is malformed."""
    path = _table(folder)
    if path is None:
        raise DataError(f"{folder} holds neither test.tsv nor train.tsv.", "Check the folder.")
    prompt = read_text(folder / "base_prompt.txt", "file of a task", DataError)
    return Task(folder.name, prompt, read_table(path).rows, path.name.startswith("train"))


def _table(folder: Path) -> Path | None:
    """The rows of a task: of the test split, or else of the training split; a table of a header only has none."""
    ways = (folder / name for name in ("test.tsv", "train.tsv"))
    return next((path for path in ways if path.is_file() and _has_rows(path)), None)


def _has_rows(path: Path) -> bool:
    return len(read_text(path, "file of a task", DataError).splitlines()) > 1
