"""Questions on filings: FinanceBench (150 open; Islam et al. 2023, arXiv 2311.11944; CC-BY-NC-4.0) and TAT-QA (Zhu et
al. 2021, arXiv 2105.07624; CC-BY-4.0), as far as their answers are numbers.

FinanceBench: `oracle` shows the evidence, `closed-book` does not. Answers in words need a judge (see
docs/benchmarks.md) and are left out here. TAT-QA: arithmetic and counts over a table and its paragraphs, scale words
included. A number is right within half a per cent, or to the digits of the gold answer: filings round.
"""

import re
from collections.abc import Mapping
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
_SCALES = {"thousand": 3, "million": 6, "billion": 9}
_TOLERANCE = Decimal("0.005")


def load_financebench(folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """FinanceBench's questions with a number for an answer. Raises DataError: the data is missing or malformed."""
    rows = [row for row in rows_of(FINANCEBENCH, folder, "FinanceBench") if _alone(str(row["answer"]))]
    items = read_all(rows, _financebench, "financebench")
    evidence = {f"financebench/{row['financebench_id']}": _evidence(row) for row in rows}
    version = f"1/{digest(_ASKS)[:8]}"
    protocols = {
        "oracle": Protocol("oracle", version, partial(_oracle, evidence), sampling=Sampling(1024), read=_read),
        "closed-book": Protocol("closed-book", version, _closed, sampling=Sampling(1024), read=_read),
    }
    return Benchmark("financebench", version_of(items), tuple(items), protocols, "oracle", ("company", "type"))


def load_tatqa(folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """TAT-QA's arithmetic and counting questions. Raises DataError: the data is missing or malformed."""
    found = read_all(rows_of(TATQA, folder, "TAT-QA"), _tatqa, "tatqa")
    items = [item for several in found for item in several]
    protocol = Protocol("chat", f"1/{digest(_ASKS)[:8]}", _closed, sampling=Sampling(512), read=_read)
    return Benchmark("tatqa", version_of(items), tuple(items), {"chat": protocol}, "chat", ("type",))


def same_amount(text: str, target: str) -> Score:
    """Score 1 when the last number of an answer (behind "Answer:" if there is one) is the target's.

    >>> same_amount("Answer: $1,577 million", "$1577.00").value
    1.0
    >>> same_amount("Answer: 1.58 billion", "1,577 million").value
    1.0
    >>> same_amount("Answer: 12 %", "13%").value
    0.0
    """
    tail = text.rpartition("Answer:")[2]
    amounts, wanted = _amounts(tail), _amounts(target)
    if not amounts or not wanted:
        return Score(0.0, text.strip()[-80:], outside=True)
    (plain, scaled), (gold, gold_scaled) = amounts[-1], wanted[-1]
    # A scale may be said on one side only: the filing's own is understood.
    right = _close(scaled, gold_scaled) or (_close(plain, gold) and (plain == scaled or gold == gold_scaled))
    return Score(float(right), str(scaled))


def _amounts(text: str) -> list[tuple[Decimal, Decimal]]:
    """Every number of a text, plain and with the scale word after it; brackets are a minus."""
    found = []
    for match in _NUMBER.finditer(text):
        value = number(re.sub(r"[()$\s]", "", match.group()))
        if value is None:
            continue
        negative = match.group().lstrip("$").startswith("(") and match.group().endswith(")") and value > 0
        value = -value if negative else value
        word = re.match(r"\s*(thousand|million|billion)", text[match.end() :], re.I)
        found.append((value, value.scaleb(_SCALES[word.group(1).lower()]) if word else value))
    return found


def _close(value: Decimal, gold: Decimal) -> bool:
    places = max(0, -int(gold.normalize().as_tuple().exponent))
    return abs(value - gold) <= max(abs(gold) * _TOLERANCE, Decimal(5).scaleb(-places - 1) if places else Decimal(0))


def _alone(answer: str) -> bool:
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
