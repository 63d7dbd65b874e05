"""MMLU: 57 subjects, 14,042 test questions with four options, 5 worked examples a subject.

Hendrycks et al. 2021, arXiv 2009.03300 (MIT). Items are verified subject by subject against `mmlu_subjects.json`;
the questions themselves are never shipped. Protocols:

- `lm-eval`: lm-evaluation-harness `mmlu` with 5 shots, by log-likelihood of the four letters. The default.
- `original`: the 2020 script: doubled space, questions not stripped, shots dropped until 2,048 tokens fit.
- `letter`: the prompt of `lm-eval`; the model writes a letter (HELM's rule). For models without log-likelihoods.
"""

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path

from parity.benchmarks.base import Benchmark, Protocol, read_letter, spaced_letters
from parity.benchmarks.hub import HubFile, fetch, parquet_rows
from parity.core.digests import digest
from parity.core.items import Item, Tag
from parity.core.prompts import Fit, Sampling, TextPrompt
from parity.errors import DataError, UsageError, did_you_mean
from parity.files import read_text

LETTERS = ("A", "B", "C", "D")
SHOTS = 5
Row = tuple[str, ...]
_COMMIT = "c30699e8356da336a370243923dbaf21066bb9fe"
HUB = {
    "test": HubFile(
        "cais/mmlu",
        _COMMIT,
        "all/test-00000-of-00001.parquet",
        "74a41822ce7d3def56e1682f958469c04642a5336a5ce912fa375fdb90fb25d7",
    ),
    # Its rows are pinned in mmlu_subjects.json, as those of every split are.
    "dev": HubFile("cais/mmlu", _COMMIT, "all/dev-00000-of-00001.parquet"),
}


@dataclass(frozen=True, slots=True)
class Subject:
    """One subject: its category by either grouping, how many questions, and the digests of its rows."""

    name: str
    category: str
    category_lm_eval: str
    test_items: int
    test_digest: str
    dev_digest: str

    @property
    def title(self) -> str:
        return self.name.replace("_", " ")


def subjects() -> dict[str, Subject]:
    """All 57 subjects by name."""
    table = json.loads(files("parity.benchmarks").joinpath("mmlu_subjects.json").read_text("utf-8"))
    return {name: Subject(name, **fields) for name, fields in table.items()}


def load(folder: Path | None, wanted: tuple[str, ...] = ()) -> Benchmark:
    """MMLU from the official layout (dev/ and test/ of <subject>_<split>.csv), or from the hub when there is no folder.

    `wanted` are the subjects, all of them when empty.

    Raises:
        UsageError: there is no such subject.
        DataError: a file is missing or malformed, or its rows are not those of the pinned version.
    """
    known = subjects()
    for name in wanted:
        if name not in known:
            raise UsageError(f"mmlu has no subject {name!r}.", did_you_mean(name, list(known)))
    chosen = [name for name in known if not wanted or name in wanted]
    if folder is None:
        test, dev = (_from_hub(split) for split in ("test", "dev"))
        return assemble({name: (test.get(name, []), dev.get(name, [])) for name in chosen})
    if (folder / "data").is_dir():
        folder = folder / "data"
    missing = [name for name in chosen if not all(_path(folder, name, split).is_file() for split in ("test", "dev"))]
    if missing:
        raise DataError(
            f"{folder} lacks MMLU files for {len(missing)} of {len(chosen)} subjects: {', '.join(missing[:4])} ...",
            "The folder holds dev/<subject>_dev.csv and test/<subject>_test.csv; "
            "measure single subjects with --only subject=NAME.",
        )
    return assemble({name: (_rows(folder, name, "test"), _rows(folder, name, "dev")) for name in chosen})


def assemble(rows: Mapping[str, tuple[list[Row], list[Row]]], verify: bool = True) -> Benchmark:
    """The benchmark from (test, dev) rows of each subject: question, four options, answer letter.

    Raises:
        DataError: rows differ from the pinned version.
    """
    known = subjects()
    items: list[Item] = []
    shots: dict[str, list[Row]] = {}
    for name in sorted(rows):
        test, dev = rows[name]
        subject = known[name]
        if verify:
            _verify(subject, test, dev)
        shots[name] = dev[:SHOTS]
        tags = (
            Tag("subject", name),
            Tag("category", subject.category),
            Tag("category_lm_eval", subject.category_lm_eval),
        )
        items += [Item(f"{name}/{at}", row[0], (row[5],), row[1:5], tags) for at, row in enumerate(test)]
    return Benchmark(
        "mmlu", "hendrycks-2021", tuple(items), protocols(shots), "lm-eval", ("category", "category_lm_eval", "subject")
    )


def protocols(shots: Mapping[str, list[Row]]) -> dict[str, Protocol]:
    modern = partial(_prompt, shots, gap=" ", clean=str.strip)
    original = partial(_prompt, shots, gap="  ", clean=str)
    window = Fit("drop_shots", 2048)
    letter = Sampling(max_tokens=5, stop=("\n",))
    return {
        "lm-eval": Protocol("lm-eval", "0.4.13/5-shot", modern, spaced_letters),
        "original": Protocol("original", "2020/5-shot", original, spaced_letters, fit=window),
        "letter": Protocol("letter", "1/5-shot", modern, sampling=letter, read=read_letter),
    }


def _prompt(shots: Mapping[str, list[Row]], item: Item, gap: str, clean: Callable[[str], str]) -> TextPrompt:
    subject = item.id.rsplit("/", 1)[0]
    about = subject.replace("_", " ")
    preamble = f"The following are multiple choice questions (with answers) about{gap}{about}.\n\n"
    examples = tuple(f"{_question(clean(row[0]), row[1:5])} {row[5]}\n\n" for row in shots[subject])
    return TextPrompt(_question(clean(item.question), item.options), preamble, examples)


def _question(question: str, options: Row) -> str:
    lines = (question, *(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=True)), "Answer:")
    return "\n".join(lines)


def rows_digest(rows: list[Row]) -> str:
    """First 16 hex digits of the digest of rows, as pinned in mmlu_subjects.json."""
    return digest(rows)[:16]


def _verify(subject: Subject, test: list[Row], dev: list[Row]) -> None:
    if rows_digest(test) == subject.test_digest and rows_digest(dev) == subject.dev_digest:
        return
    found = f"{len(test)} test rows where the pinned version has {subject.test_items}"
    if len(test) == subject.test_items:
        found = "the right number of rows, but other text or answers"
    raise DataError(
        f"MMLU {subject.name}: {found}.",
        "This is another version of the data (the first release of 2020-09 has 14,079 questions), or it was edited. "
        "Use the official one, or describe your own as a custom benchmark.",
    )


def _path(folder: Path, subject: str, split: str) -> Path:
    return folder / split / f"{subject}_{split}.csv"


def _rows(folder: Path, subject: str, split: str) -> list[Row]:
    path = _path(folder, subject, split)
    text = read_text(path, "MMLU file", DataError)
    try:
        rows = [tuple(row) for row in csv.reader(io.StringIO(text, newline=""), strict=True)]
    except csv.Error as error:
        raise DataError(f"{path} is not CSV: {error}.", "Download it again.") from error
    for number, row in enumerate(rows, start=1):
        if len(row) != 6 or row[5] not in LETTERS:
            raise DataError(f"{path}, row {number}, is not question, four options and a letter.", "Download it again.")
    return rows


def _from_hub(split: str) -> dict[str, list[Row]]:
    """Rows by subject from the hub's copy, in its order."""
    path = fetch(HUB[split])
    found: dict[str, list[Row]] = {}
    for row in parquet_rows(path):
        match row:
            case {"subject": str(subject), "question": str(question), "choices": [*options], "answer": int(answer)}:
                found.setdefault(subject, []).append((question, *map(str, options), LETTERS[answer]))
            case _:
                raise DataError(f"{path} has rows of another form: {sorted(row)}.", "Fetch it again.")
    return found
