"""Questions on filings: FinanceBench (150 open; Islam et al. 2023, arXiv 2311.11944; CC-BY-NC-4.0) and TAT-QA (Zhu et
al. 2021, arXiv 2105.07624; CC-BY-4.0), as far as their answers are numbers.

FinanceBench: `oracle` shows the evidence, `closed-book` does not. Answers in words need a judge (see
docs/benchmarks.md) and are left out here. TAT-QA: arithmetic and counts over a table and its paragraphs, scale words
included, by the authors' exact match. FinanceBench's authors had people judge; here a number is right within half a per
cent, or to the digits of the gold answer: filings round.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path

from parity.benchmarks.base import Benchmark, Protocol
from parity.benchmarks.choices import version_of
from parity.benchmarks.rows import Row, Source, read_all, rows_of
from parity.core.digests import digest
from parity.core.items import Item, Tag
from parity.core.prompts import Sampling, TextPrompt
from parity.core.scores import Mark, Score
from parity.marking.text import number

FINANCEBENCH = Source(("financebench_open_source",), get_it="The authors' repository has it in data/.")
TATQA = Source(
    ("tatqa_dataset_dev", "tatqa_dataset_test_gold"), get_it="The authors' repository has it in dataset_raw/."
)
_ASKS = "End with a line of its own: Answer: and the number, with its unit or scale."
_NUMBER = re.compile(r"-?\(?-?\$?\s?\d[\d,]*(?:\.\d+)?\)?")
_YEAR = re.compile(r"(19|20)\d\d")
_SCALES = {"thousand": 3, "million": 6, "billion": 9}
_TOLERANCE = Decimal("0.005")


def load_financebench(folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """FinanceBench's questions with a number for an answer. Raises DataError: the data is missing or malformed."""
    rows = [row for row in rows_of(FINANCEBENCH, folder, "FinanceBench") if is_amount(str(row["answer"]))]
    items = read_all(rows, _financebench, "financebench")
    evidence = {f"financebench/{row['financebench_id']}": _evidence(row) for row in rows}
    version = f"2/{digest(_ASKS)[:8]}"
    protocols = {
        "oracle": Protocol("oracle", version, partial(_oracle, evidence), sampling=Sampling(1024), read=_read),
        "closed-book": Protocol("closed-book", version, _closed, sampling=Sampling(1024), read=_read),
    }
    return Benchmark("financebench", version_of(items), tuple(items), protocols, "oracle", ("company", "type"))


def load_tatqa(folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """TAT-QA's arithmetic and counting questions. Raises DataError: the data is missing or malformed."""
    found = read_all(rows_of(TATQA, folder, "TAT-QA"), _tatqa, "tatqa")
    items = [item for several in found for item in several]
    protocol = Protocol("chat", f"2/{digest(_ASKS)[:8]}", _closed, sampling=Sampling(512), read=_read_tatqa)
    return Benchmark("tatqa", version_of(items), tuple(items), {"chat": protocol}, "chat", ("type",))


@dataclass(frozen=True, slots=True)
class Amount:
    """A number in a text as it stands, with the power of ten of the word after it; or a per cent."""

    plain: Decimal
    power: int = 0
    percent: bool = False
    year: bool = False

    @property
    def said(self) -> bool:
        """Whether its scale is said."""
        return self.percent or self.power > 0

    @property
    def value(self) -> Decimal:
        return self.plain.scaleb(-2 if self.percent else self.power)


def same_amount(text: str, target: str) -> Score:
    """Score 1 when the last number of an answer is the target's: behind "Answer:", or the last one that is no year.

    Where one side alone says a scale, the filing's own is understood on the other: 5.8 billion are 5,800 (millions),
    and 1.9 % is 0.019.

    >>> same_amount("Answer: $1,577 million", "$1577.00").value
    1.0
    >>> same_amount("Answer: 1.58 billion", "1,577 million").value
    1.0
    >>> same_amount("Answer: 12 %", "13%").value
    0.0
    """
    amounts, wanted = _told(text), _amounts(target)
    if not amounts or not wanted:
        return Score(0.0, text.strip()[-80:], outside=True)
    one, gold = amounts[-1], wanted[-1]
    right = _close(one.value, gold.value)
    if one.said is not gold.said:
        scales = (0, 3, 6) if not (one.percent or gold.percent) else (0,)
        right = (
            right or _close(one.plain, gold.plain) or any(_close(one.value.scaleb(-at), gold.value) for at in scales)
        )
    return Score(float(right), str(one.value))


def same_answer(text: str, target: str) -> Score:
    """Score 1 when the last number of an answer is the target's by TAT-QA's own rule (`tatqa_metric.py`).

    Both are rounded to two digits, scaled, and compared by four; a number without a scale also counts as it is, for
    23.42 per cent may be written 0.2342.
    """
    amounts, wanted = _told(text), _amounts(target)
    if not amounts or not wanted:
        return Score(0.0, text.strip()[-80:], outside=True)
    one, gold = amounts[-1], wanted[-1]
    told = {_four_digits(one)} | ({f"{float(one.plain):.4f}"} if not one.said else set())
    return Score(float(_four_digits(gold) in told), str(one.value))


def _four_digits(amount: Amount) -> str:
    scale = 0.01 if amount.percent else 10.0**amount.power
    return f"{round(float(amount.plain), 2) * scale:.4f}"


def _told(text: str) -> list[Amount]:
    """The numbers of an answer; in prose without "Answer:" years are none, unless there is nothing else."""
    _, mark, tail = text.rpartition("Answer:")
    found = _amounts(tail)
    return found if mark else [amount for amount in found if not amount.year] or found


def _amounts(text: str) -> list[Amount]:
    """Every number of a text; brackets are a minus."""
    found = []
    for match in _NUMBER.finditer(text):
        written = match.group()
        value = number(re.sub(r"[()$\s]", "", written))
        if value is None:
            continue
        negative = written.lstrip("$").startswith("(") and written.endswith(")") and value > 0
        value = -value if negative else value
        after = text[match.end() :]
        word, percent = re.match(r"\s*(thousand|million|billion)", after, re.I), re.match(r"\s*(%|per\s?cent)", after)
        year = _YEAR.fullmatch(written.strip()) is not None and not word and not percent
        found.append(Amount(value, _SCALES[word.group(1).lower()] if word else 0, percent is not None, year))
    return found


def _close(value: Decimal, gold: Decimal) -> bool:
    places = max(0, -int(gold.normalize().as_tuple().exponent))
    return abs(value - gold) <= max(abs(gold) * _TOLERANCE, Decimal(5).scaleb(-places - 1) if places else Decimal(0))


def is_amount(answer: str) -> bool:
    """Whether an answer is one number with its unit, and nothing more."""
    rest = _NUMBER.sub("", answer, count=1)
    return (
        _NUMBER.search(answer) is not None
        and re.fullmatch(r"[\s$%.]*(thousand|million|billion|usd|x|times|days)?[\s%.]*", rest, re.I) is not None
    )


def _financebench(_: int, row: Row) -> Item:
    tags = (Tag("company", str(row["company"])), Tag("type", str(row["question_type"])))
    return Item(f"financebench/{row['financebench_id']}", str(row["question"]), (str(row["answer"]),), (), tags)


def _evidence(row: Row) -> str:
    parts = row["evidence"]
    assert isinstance(parts, list)
    return "\n\n".join(str(part["evidence_text"]) for part in parts)


def _oracle(evidence: Mapping[str, str], item: Item) -> TextPrompt:
    return TextPrompt(f"{item.question}\n{_ASKS}", f"{evidence[item.id]}\n\n")


def _closed(item: Item) -> TextPrompt:
    return TextPrompt(f"{item.question}\n{_ASKS}")


def _read(text: str, item: Item) -> Mark:
    return same_amount(text, item.targets[0])


def _read_tatqa(text: str, item: Item) -> Mark:
    return same_answer(text, item.targets[0])


def _tatqa(_: int, row: Row) -> list[Item]:
    table, paragraphs, questions = row["table"], row["paragraphs"], row["questions"]
    assert isinstance(table, dict)
    assert isinstance(paragraphs, list)
    assert isinstance(questions, list)
    lines = [" | ".join(map(str, cells)) for cells in table["table"]]
    context = "\n".join([*lines, "", *(str(part["text"]) for part in paragraphs)])
    return [
        Item(
            f"tatqa/{asked['uid']}", f"{context}\n\n{asked['question']}",
            (f"{asked['answer']} {'%' if asked['scale'] == 'percent' else asked['scale']}".strip(),), (),
            (Tag("type", str(asked["answer_type"])),),
        )
        for asked in questions if asked["answer_type"] in ("arithmetic", "count")
    ]  # fmt: skip
