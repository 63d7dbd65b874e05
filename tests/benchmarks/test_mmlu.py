"""MMLU as it was published: prompts by golden hash, counts, constant-letter scores, version drift refused."""

import hashlib
import shutil
from collections import Counter

import pytest

from parity.benchmarks.mmlu import assemble, load, subjects
from parity.core.items import Tag
from parity.core.outputs import Failure, FailureKind, Generation, Loglikelihoods
from parity.core.scores import Score, Unscored
from parity.errors import DataError, UsageError
from shared import needs_shared

ITEM_0 = "ff9b00310e214beacf4b324da8c9e6c1de4e49cb422f1bcb1f7037b78f40a2a3"
ITEM_0_ORIGINAL = "da2912d4e148f4edca160fef6e2223e5a198274da16b2bdca2a16695df8b77de"
ALL_PROMPTS = "e615053d5ed037dcf108fb4fa85df27e5fa45928938a6c4b8f51e9fce3141fb9"


@pytest.fixture(scope="module")
def mmlu():
    return load(needs_shared("mmlu"))


def prompt(benchmark, protocol, item):
    return benchmark.protocol(protocol).request(item).prompt.text


def test_golden_prompts(mmlu):
    first = mmlu.items[0]
    assert first.id == "abstract_algebra/0"
    modern, original = prompt(mmlu, "lm-eval", first), prompt(mmlu, "original", first)
    assert (len(modern), hashlib.sha256(modern.encode()).hexdigest()) == (993, ITEM_0)
    assert (len(original), hashlib.sha256(original.encode()).hexdigest()) == (994, ITEM_0_ORIGINAL)


def test_all_prompts(mmlu):
    whole = hashlib.sha256()
    for item in mmlu.items:
        whole.update(prompt(mmlu, None, item).encode() + b"\0")
    assert whole.hexdigest() == ALL_PROMPTS


def test_counts_both_ways(mmlu):
    by = {
        kind: Counter(tag.value for item in mmlu.items for tag in item.tags if tag.kind == kind)
        for kind in mmlu.groupings
    }
    assert len(mmlu.items) == 14042
    assert by["category"] == {"humanities": 4705, "social sciences": 3077, "STEM": 3018, "other": 3242}
    assert by["category_lm_eval"] == {"humanities": 4705, "social sciences": 3077, "STEM": 3153, "other": 3107}
    sizes = by["subject"].most_common()
    assert sizes[:3] == [("professional_law", 1534), ("moral_scenarios", 895), ("miscellaneous", 783)]
    assert min(by["subject"].values()) == 100


def test_gold_letters_by_category(mmlu):
    keys = Counter((tag.value, item.targets[0]) for item in mmlu.items for tag in item.tags if tag.kind == "category")
    told = {category: [keys[category, letter] for letter in "ABCD"] for category in {name for name, _ in keys}}
    assert told == {
        "STEM": [645, 719, 783, 871],
        "other": [770, 869, 791, 812],
        "social sciences": [668, 721, 732, 956],
        "humanities": [1139, 1153, 1276, 1137],
    }


@pytest.mark.parametrize(("letter", "score"), [("A", 0.229454), ("B", 0.246546), ("C", 0.255092), ("D", 0.268908)])
def test_constant_letters(mmlu, letter, score):
    marks = [mmlu.protocol("letter").mark(item, Generation(f" {letter}", "stop")) for item in mmlu.items]
    assert round(sum(mark.value for mark in marks) / len(marks), 6) == score


def test_a_dead_model_scores_nothing_instead_of_a(mmlu):
    dead = mmlu.protocol("lm-eval").mark(mmlu.items[0], Loglikelihoods((float("nan"),) * 4, (1,) * 4))
    failed = mmlu.protocol("letter").mark(mmlu.items[0], Failure(FailureKind.ENGINE, "gone"))
    mixed = mmlu.protocol("letter").mark(mmlu.items[0], Loglikelihoods((0.0,) * 4, (1,) * 4))
    assert all(isinstance(mark, Unscored) for mark in (dead, failed, mixed))


def test_a_changed_answer_or_a_missing_file_is_noticed(tmp_path):
    for split in ("dev", "test"):
        (tmp_path / split).mkdir()
        shutil.copy(needs_shared("mmlu", "data", split, f"anatomy_{split}.csv"), tmp_path / split)
    assert len(load(tmp_path, ("anatomy",)).items) == 135
    with pytest.raises(DataError, match="lacks MMLU files for 56 of 57"):
        load(tmp_path)
    path = tmp_path / "test" / "anatomy_test.csv"
    text = path.read_text()
    path.write_text(text[: text.rstrip().rindex(",")] + ",A\n")
    with pytest.raises(DataError, match="the right number of rows, but other"):
        load(tmp_path, ("anatomy",))
    path.write_text("".join(text.splitlines(keepends=True)[:-1]))
    with pytest.raises(DataError, match=r"134 test rows where .* 135"):
        load(tmp_path, ("anatomy",))


def made_up(count=3):
    row = ("Which?", "one", "two", "three", "four", "B")
    return {"anatomy": ([(f"{at} Which?", *row[1:]) for at in range(count)], [row] * 5)}


def test_made_up_rows_make_a_benchmark_of_the_same_form():
    benchmark = assemble(made_up(), verify=False)
    request = benchmark.protocol("lm-eval").request(benchmark.items[0])
    # Four letters of which the most likely wins: log p itself is not asked for, in turns neither.
    assert request.compared
    assert benchmark.protocol("original").request(benchmark.items[0], chat=True).compared
    assert request.prompt.text.endswith("0 Which?\nA. one\nB. two\nC. three\nD. four\nAnswer:")
    assert request.prompt.text.count("Answer: B\n\n") == 5
    assert request.continuations == (" A", " B", " C", " D")
    mark = benchmark.protocol(None).mark(benchmark.items[0], Loglikelihoods((-2.0, -1.0, -3.0, -4.0), (1,) * 4))
    assert mark == Score(1.0, "B")
    with pytest.raises(UsageError, match="Did you mean 'letter'"):
        benchmark.protocol("leter")
    with pytest.raises(UsageError, match="subject=anatomy"):
        benchmark.only((Tag("subject", "anatomi"),))


def test_the_table_of_subjects_is_whole():
    assert len(subjects()) == 57
    assert sum(subject.test_items for subject in subjects().values()) == 14042
