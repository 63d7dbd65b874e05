"""Judges as runs: both orders, verdicts, a judge that prefers a place, and what it costs nobody."""

import json

import pytest

from benchmarks.test_choices import written
from parity.benchmarks import judging
from parity.benchmarks.custom import load
from parity.core.outputs import Generation
from parity.core.runs import Marked
from parity.core.scores import Unscored
from parity.errors import DataError
from parity.measurement.judged import judged


@pytest.fixture
def folder(tmp_path):
    instructions = ["Say hi.", "Count to 3."]
    ours = [{"instruction": text, "output": f"ours {text}", "dataset": "made"} for text in instructions]
    theirs = [{"instruction": text, "output": f"theirs {text}"} for text in reversed(instructions)]
    (tmp_path / "candidate.json").write_text(json.dumps(ours))
    (tmp_path / "baseline.json").write_text(json.dumps(theirs))
    return tmp_path


def marked(benchmark, answer):
    protocol = benchmark.protocol("pairwise")
    return [
        Marked(item.id, protocol.mark(item, Generation(answer(item), "stop")), item.tags) for item in benchmark.items
    ]


def test_every_pair_is_asked_in_both_orders(folder):
    benchmark = judging.load_alpaca(folder)
    assert len(benchmark.items) == 4
    first, second = (benchmark.protocol(None).request(item).prompt.text for item in benchmark.items[:2])
    assert first.index("ours Say hi.") < first.index("theirs Say hi.")
    assert second.index("theirs Say hi.") < second.index("ours Say hi.")
    rubric = benchmark.protocols["rubric"]
    graded = [rubric.request(item).prompt.text for item in benchmark.items_of(rubric)]
    assert len(graded) == 2, "one answer is graded once, not once an order"
    assert not any("theirs" in text for text in graded)


def test_a_judge_that_prefers_a_place_comes_out_at_a_half(folder):
    benchmark = judging.load_alpaca(folder)
    found = judged(marked(benchmark, lambda _: "Reasons. [[A]]"))
    assert (found.win_rate, found.consistent, found.first) == (0.5, 0.0, 1.0)


def test_a_judge_that_prefers_the_candidate_says_so_in_both_orders(folder):
    benchmark = judging.load_alpaca(folder)
    found = judged(marked(benchmark, lambda item: "[[A]]" if item.targets[0].startswith("candidate") else "[[B]]"))
    assert (found.win_rate, found.consistent, found.first) == (1.0, 1.0, 0.5)


def test_no_verdict_is_no_score_and_takes_its_pair_along(folder):
    benchmark = judging.load_alpaca(folder)
    marks = marked(benchmark, lambda item: "dunno" if item.id == benchmark.items[0].id else "[[C]]")
    assert isinstance(marks[0].mark, Unscored)
    found = judged(marks)
    assert found.incomplete == ("alpaca_eval/0",)
    assert found.preferred == {"alpaca_eval/1": 0.5}
    with pytest.raises(DataError, match="No pair"):
        judged(marks[:1])


def test_grades_are_shares_of_the_scale(folder):
    benchmark = judging.load_alpaca(folder)
    mark = benchmark.protocols["rubric"].mark
    assert mark(benchmark.items[0], Generation("[[10]]", "stop")).value == 1
    assert mark(benchmark.items[0], Generation("[[1]]", "stop")).value == 0
    assert isinstance(mark(benchmark.items[0], Generation("[[11]]", "stop")), Unscored)


def test_another_instruction_is_an_error(folder):
    (folder / "baseline.json").write_text(json.dumps([{"instruction": "Other.", "output": "x"}]))
    with pytest.raises(DataError, match="row 1: the baseline does not answer this instruction"):
        judging.load_alpaca(folder)


def test_mt_bench_turns_are_items(tmp_path):
    written(tmp_path, "question", {"question_id": 81, "category": "writing", "turns": ["One?", "Two?"]})
    for name in ("candidate", "baseline"):
        written(tmp_path, name, {"question_id": 81, "choices": [{"turns": [f"{name} 1", f"{name} 2"]}]})
    benchmark = judging.load_mt_bench(tmp_path)
    assert [item.id for item in benchmark.items][::2] == [
        "mt_bench/81/1/candidate first", "mt_bench/81/2/candidate first",
    ]  # fmt: skip
    text = benchmark.protocol(None).request(benchmark.items[2]).prompt.text
    assert "User: One?\n\nUser: Two?" in text
    assert "To message 1: baseline 1\n\nTo message 2: baseline 2" in text


def test_your_own_pairs_and_schemas(tmp_path):
    written(tmp_path, "pairs", {"id": "p", "question": "Q?", "answer": "ours", "baseline": "theirs", "team": "x"})
    spec = 'name = "pairs"\nitems = "pairs.jsonl"\nmark = "judge"\n[columns]\ntags = ["team"]\n'
    (tmp_path / "pairs.toml").write_text(spec)
    benchmark = load(tmp_path / "pairs.toml")
    assert [item.id for item in benchmark.items] == ["p/candidate first", "p/baseline first"]
    written(tmp_path, "forms", {"id": "f", "question": "Q?"})
    (tmp_path / "form.json").write_text('{"type": "object", "required": ["a"]}')
    (tmp_path / "forms.toml").write_text('name = "forms"\nitems = "forms.jsonl"\nmark = "json"\nschema = "form.json"\n')
    forms = load(tmp_path / "forms.toml")
    values = [
        forms.protocol(None).mark(forms.items[0], Generation(text, "stop")).value for text in ('{"a": 1}', "{}", "a")
    ]
    assert values == [1, 0, 0]
    (tmp_path / "form.json").write_text('{"type": 3}')
    with pytest.raises(DataError, match="is no JSON Schema"):
        load(tmp_path / "forms.toml")
